"""HTTP connection limits: the maximum count, which idle connections to close for new ones, and stall timeouts.

Nothing here parses HTTP. `http_protocol.py` and `websocket_protocol.py` report what a connection is doing.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Protocol

from transfer_gateway.api.open_streams import OpenStreams
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    import asyncio

_log = get_logger(__name__)
LINGER_S = 2.0  # for a peer to read the final response before the connection is closed
LINGER_BYTES = 1_048_576  # read and discarded meanwhile; the rest stays in the kernel
STUCK_AT_SHUTDOWN_S, WRITING_AT_SHUTDOWN_S = 2.0, 4.0
_RESERVED = 16  # connections beyond the limit, for probes
_SEARCH_AGAIN_S, _FEW = 0.1, 64
_WARN_EVERY_S = 10.0

Idle = tuple[int, float]  # rank and time.monotonic(): lowest is closed first
SILENT, KEPT_ALIVE, WEBSOCKET = range(3)  # ranks: sent no request yet, between requests, no operation running


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`stall_timeout_s`: limit on the peer reading nothing. `write_timeout_s`: limit for one response.

    `heartbeat_s`: between pings of a WebSocket.
    """

    max_head_bytes: int
    head_timeout_s: float
    max_pipelined_requests: int
    max_connections: int
    max_connections_per_address: int
    stall_timeout_s: float
    write_timeout_s: float
    heartbeat_s: float = 20.0


class ConnectionProtocol(Protocol):
    """The protocol of a connection: HTTP or WebSocket."""

    def idle(self) -> Idle | None:
        """Since when the connection has been idle; None while a request is in progress."""

    def make_room(self) -> None:
        """Close this idle connection in favor of a new one."""

    def check(self, now: float, *, shutting_down: bool) -> None:
        """Close the connection if the peer has exceeded a timeout."""


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
        "streams",
        "waiting_bytes",
    )

    def __init__(self, connections: Connections, address: str, *, probes_only: bool) -> None:
        self.limits = connections.limits
        self.address = address
        self.probes_only = probes_only
        self.accepted_at = time.monotonic()
        self.opening: asyncio.Task[None] | None = None  # until a TLS handshake is done
        self.protocol: ConnectionProtocol | None = None
        self.waiting_bytes = 0  # response bytes not yet passed to the transport
        self.streams = OpenStreams()
        self._connections: Connections | None = connections
        self._transport: asyncio.Transport | None = None
        self._unread, self._resumed = 0, False
        self._unread_since = self._stalled_since = self._closing_since = 0.0

    def unread_bytes(self) -> int:
        """Response bytes that the peer has not read, excluding kernel buffers."""
        transport = self._transport
        return self.waiting_bytes + (_buffered(transport) if transport is not None else 0)

    def end(self) -> None:
        """Close it now, discarding unread data. The application sees a disconnected client."""
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
        """Called once, by the first to notice."""
        if self._connections is not None:
            self._connections.release(self)
        self._connections = self._transport = self.protocol = None

    def resumed(self) -> None:
        """The peer has read most of the buffered data."""
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
        if self._transport is not None and self._is_stalled(self._transport, now, stall_s, write_s):
            self.end()
        else:
            self.protocol.check(now, shutting_down=shutting_down)

    def _is_stalled(self, transport: asyncio.Transport, now: float, stall_s: float, write_s: float) -> bool:
        unread, before = _buffered(transport), self._unread
        self._unread = unread
        if transport.is_closing():
            self._closing_since = self._closing_since or now
            if not unread and now - self._closing_since >= LINGER_S:  # TLS waits for the peer's close_notify
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
    """Buffered bytes. asyncio's TLS transport raises AttributeError after an abort."""
    try:
        return transport.get_write_buffer_size()
    except AttributeError:
        return 0


class _Slots:
    """A limited number of connections, and the order in which to close idle ones."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held: set[Connection] = set()
        self._idle: deque[tuple[Idle, Connection]] = deque()
        self._next_search_at = 0.0

    def longest_idle(self, now: float) -> Connection | None:
        """The connection that has been idle longest, if any.

        If few of many are idle, the search runs rarely: a connection flood calls this often.
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
        """The next one of the last search that is still idle."""
        while self._idle:
            idle, connection = self._idle.popleft()
            if connection in self.held and connection.idle() == idle:
                return connection
        return None


class Connections:
    """All HTTP connections. At a limit the one idle longest is closed; if all are busy, only probes are served.

    An address is an IPv4 address or an IPv6 /64 prefix, which one subscriber has.
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
        """Admit a new connection; None if not even a slot reserved for probes is free."""
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
        return self._close_idle(self._all, time.monotonic())

    def check(self, *, shutting_down: bool = False) -> None:
        """Close connections whose peers have exceeded a timeout. Call it about once a second."""
        now = time.monotonic()
        for connection in [*self._all.held, *self._reserved.held]:
            connection.check(now, shutting_down=shutting_down)

    def end_all(self) -> None:
        for connection in [*self._all.held, *self._reserved.held]:
            connection.end()

    def _has_room(self, slots: _Slots, now: float) -> bool:
        return len(slots.held) < slots.limit or self._close_idle(slots, now)

    def _close_idle(self, slots: _Slots, now: float) -> bool:
        connection = slots.longest_idle(now)
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
