"""The HTTP door's connections: how many there may be, which must go to make room, and which have hung.

Nothing here parses HTTP. `http_protocol.py` and `websocket_protocol.py` tell what a connection is doing.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Protocol

from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    import asyncio

_log = get_logger(__name__)
LINGER_S = 2.0  # for a peer to read our last words before its connection is closed
LINGER_BYTES = 1_048_576  # read and dropped meanwhile; what comes after stays in the kernel
STUCK_AT_SHUTDOWN_S, WRITING_AT_SHUTDOWN_S = 2.0, 4.0
_RESERVED = 16  # connections beyond the limit, for probes
_SEARCH_AGAIN_S, _FEW = 0.1, 64
_WARN_EVERY_S = 10.0

Idle = tuple[int, float]  # rank and time.monotonic(): the lowest is closed first
SILENT, KEPT_ALIVE, WEBSOCKET = range(3)  # ranks: sent no request yet, between requests, no operation running


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`stall_timeout_s`: how long a peer may read nothing. `write_timeout_s`: how long it may read one answer."""

    max_head_bytes: int
    head_timeout_s: float
    max_pipelined_requests: int
    max_connections: int
    max_connections_per_address: int
    stall_timeout_s: float
    write_timeout_s: float


class ConnectionProtocol(Protocol):
    """The protocol that speaks on a connection."""

    def idle(self) -> Idle | None:
        """Since when nothing has been asked; None while something is."""

    def make_room(self) -> None:
        """Close, as it is idle and another connection needs the place."""

    def check(self, now: float, *, shutting_down: bool) -> None:
        """End what has waited too long for the peer."""


class Connection:
    """One TCP connection, from accept() to its end. Applications find it in `scope["state"]["connection"]`."""

    __slots__ = (
        "_closing_since",
        "_connections",
        "_resumed",
        "_stalled_since",
        "_transport",
        "_unread",
        "_unread_since",
        "accepted_at",
        "address",
        "limits",
        "opening",
        "probes_only",
        "protocol",
        "waiting_bytes",
    )

    def __init__(self, connections: Connections, address: str, *, probes_only: bool) -> None:
        self.limits = connections.limits
        self.address = address
        self.probes_only = probes_only
        self.accepted_at = time.monotonic()
        self.opening: asyncio.Task[None] | None = None  # until a TLS handshake is done
        self.protocol: ConnectionProtocol | None = None
        self.waiting_bytes = 0  # of answers, not handed to the transport yet
        self._connections: Connections | None = connections
        self._transport: asyncio.Transport | None = None
        self._unread, self._resumed = 0, False
        self._unread_since = self._stalled_since = self._closing_since = 0.0

    def unread_bytes(self) -> int:
        """Bytes of answers that the peer has not taken yet; the kernel's buffers aside."""
        transport = self._transport
        return self.waiting_bytes + (_buffered(transport) if transport is not None else 0)

    def end(self) -> None:
        """Close it now, whatever is unread. The application then sees a client that has disconnected."""
        if self._transport is not None:
            self._transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    @property
    def is_lost(self) -> bool:
        return self._connections is None

    def made(self, transport: asyncio.Transport, protocol: ConnectionProtocol) -> None:
        self._transport, self.protocol = transport, protocol

    def lost(self) -> None:
        """Called once, by whatever learns of it."""
        if self._connections is not None:
            self._connections.release(self)
        self._connections = self._transport = self.protocol = None

    def resumed(self) -> None:
        """The peer has read nearly everything that waited."""
        self._resumed = True

    def idle(self) -> Idle | None:
        return (SILENT, self.accepted_at) if self.protocol is None else self.protocol.idle()

    def make_room(self) -> None:
        if self.protocol is None:
            self.end()
        else:
            self.protocol.make_room()

    def check(self, now: float, *, shutting_down: bool) -> None:
        if self.protocol is None:
            if shutting_down and now - self.accepted_at >= LINGER_S:
                self.end()
            return
        stall_s, write_s = self.limits.stall_timeout_s, self.limits.write_timeout_s
        if shutting_down:
            stall_s, write_s = min(stall_s, STUCK_AT_SHUTDOWN_S), min(write_s, WRITING_AT_SHUTDOWN_S)
        if self._transport is not None and self._has_hung(self._transport, now, stall_s, write_s):
            self.end()
        else:
            self.protocol.check(now, shutting_down=shutting_down)

    def _has_hung(self, transport: asyncio.Transport, now: float, stall_s: float, write_s: float) -> bool:
        unread, before = _buffered(transport), self._unread
        self._unread = unread
        if transport.is_closing():
            self._closing_since = self._closing_since or now
            if not unread and now - self._closing_since >= LINGER_S:  # TLS waits for the peer's goodbye
                return True
        if not unread:
            self._unread_since = 0.0
            return False
        if not self._unread_since or self._resumed:
            self._unread_since = self._stalled_since = now
        elif unread < before:
            self._stalled_since = now
        self._resumed = False
        return now - self._stalled_since >= stall_s or now - self._unread_since >= write_s


def _buffered(transport: asyncio.Transport) -> int:
    """Bytes that wait in it; asyncio's for TLS fails once it is aborted."""
    try:
        return transport.get_write_buffer_size()
    except AttributeError:
        return 0


class _Slots:
    """So many connections, and the order in which idle ones leave for others."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held: set[Connection] = set()
        self._idle: deque[tuple[Idle, Connection]] = deque()
        self._next_search_at = 0.0

    def free(self, now: float) -> Connection | None:
        """The connection that has been idle longest.

        Where few of many are idle, they are looked for rarely: a flood of connections calls this often.
        """
        connection = self._next_idle()
        if connection is None and now >= self._next_search_at:
            found = [
                (idle, connection) for connection in self.held if (idle := connection.idle()) is not None
            ]
            self._idle = deque(sorted(found, key=lambda entry: entry[0]))
            if len(self.held) > max(_FEW, 16 * len(found)):
                self._next_search_at = now + _SEARCH_AGAIN_S
            connection = self._next_idle()
        return connection

    def _next_idle(self) -> Connection | None:
        """Of those found: the next that is still as it was then."""
        while self._idle:
            idle, connection = self._idle.popleft()
            if connection in self.held and connection.idle() == idle:
                return connection
        return None


class Connections:
    """All connections of the door. At a limit the one idle longest goes; where all are busy, only probes are served.

    An address is an IPv4 address or the 64 bits that one IPv6 subscriber has.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._all = _Slots(limits.max_connections)
        self._reserved = _Slots(_RESERVED)
        self._by_address: dict[str, _Slots] = {}
        self._warned_at = 0.0

    def __len__(self) -> int:
        return len(self._all.held) + len(self._reserved.held)

    @property
    def are_full(self) -> bool:
        return len(self._all.held) >= self._all.limit

    def admit(self, host: str) -> Connection | None:
        """A place for a new connection; None where not even a probe's place is free."""
        now, address = time.monotonic(), _subscriber(host)
        of_address = self._by_address.get(address) or _Slots(self.limits.max_connections_per_address)
        if all(self._has_room(slots, now) for slots in (of_address, self._all)):
            connection = Connection(self, address, probes_only=False)
            self._by_address[address] = of_address
            of_address.held.add(connection)
            self._all.held.add(connection)
            return connection
        self._warn(now, address)
        if not self._has_room(self._reserved, now):
            return None
        connection = Connection(self, address, probes_only=True)
        self._reserved.held.add(connection)
        return connection

    def release(self, connection: Connection) -> None:
        for slots in (self._all, self._reserved):
            slots.held.discard(connection)
        of_address = self._by_address.get(connection.address)
        if of_address is not None:
            of_address.held.discard(connection)
            if not of_address.held:
                del self._by_address[connection.address]

    def make_room(self) -> bool:
        """Close the connection that has been idle longest, if any is."""
        return self._free(self._all, time.monotonic())

    def check(self, *, shutting_down: bool = False) -> None:
        """End connections whose peers have kept them waiting too long. To be called about once a second."""
        now = time.monotonic()
        for connection in [*self._all.held, *self._reserved.held]:
            connection.check(now, shutting_down=shutting_down)

    def end_all(self) -> None:
        for connection in [*self._all.held, *self._reserved.held]:
            connection.end()

    def _has_room(self, slots: _Slots, now: float) -> bool:
        return len(slots.held) < slots.limit or self._free(slots, now)

    def _free(self, slots: _Slots, now: float) -> bool:
        connection = slots.free(now)
        if connection is None:
            return False
        connection.make_room()
        self.release(connection)
        return True

    def _warn(self, now: float, address: str) -> None:
        if now - self._warned_at >= _WARN_EVERY_S:
            self._warned_at = now
            _log.warning("http_connections_full", connections=len(self), address=address)


def _subscriber(host: str) -> str:
    if ":" not in host:
        return host
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex()
