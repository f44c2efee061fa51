"""uvicorn's server with our own accept loop, connection limits and shutdown."""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from transfer_gateway.api.connections import (
    LINGER_S,
    WRITING_AT_SHUTDOWN_S,
    Connection,
    ConnectionLimits,
    Connections,
)
from transfer_gateway.api.http_protocol import Http11Protocol
from transfer_gateway.api.uvicorn_log import filter_log
from transfer_gateway.api.websocket_protocol import WebSocketProtocol
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from transfer_gateway.api.http_tls import HttpTls

_log = get_logger(__name__)
_LAST_WORDS_S = 1.0
_CHECK_EVERY_TICKS = 10  # of uvicorn's main loop: one second
_CHECK_AT_SHUTDOWN_S = 0.25
_NONE_LEFT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
# Limits unsent data in the kernel's send buffer, otherwise 4 MB, since a stalled peer would go unnoticed that long.
_UNSENT_BYTES = 65_536
_REST_S = 0.5  # delay before accept() is retried after file descriptors ran out
_ACCEPTS_AT_ONCE = 32


class HttpServer(uvicorn.Server):
    """Once `should_exit` is set, requests in progress have `grace_s` to finish; then each is cancelled.

    Idle connections are closed after `keepalive_s`. A request sent at that very moment is lost, so proxies in front
    must close idle connections earlier.

    Handles no signals: uvicorn would raise them again at its end, and skip the rest of our shutdown.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        grace_s: float,
        keepalive_s: int,
        max_message_bytes: int,
        limits: ConnectionLimits,
        tls: HttpTls | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Http11Protocol,
                ws=WebSocketProtocol,
                ws_max_size=max_message_bytes,
                ws_ping_interval=limits.heartbeat_s,
                ws_per_message_deflate=False,  # it takes memory per connection, and unbounded CPU
                lifespan="off",
                timeout_keep_alive=keepalive_s,
                access_log=False,
                log_config=None,
                log_level="warning",
                # Otherwise a pipelined request would start in the context of the previous one, with its ids and quota.
                reset_contextvars=True,
                server_header=False,
                ssl_context_factory=None if tls is None else lambda *_: tls.listening,
            )
        )
        self._grace_s = grace_s
        self._connections = Connections(limits)
        self._accepting: list[asyncio.Task[None]] = []
        filter_log()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop_now(self) -> None:
        """Stop waiting for requests in progress."""
        self.force_exit = True
        for request in self.server_state.tasks:
            request.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        end_of_grace = asyncio.get_running_loop().call_later(self._grace_s, self.stop_now)
        for accepting in self._accepting:
            accepting.cancel()
        checking = asyncio.create_task(self._check_until_cancelled())
        if self._accepting:  # accepted connections are opened first, then closed like all others
            await asyncio.wait(self._accepting)
        await super().shutdown(sockets)
        end_of_grace.cancel()
        if self.server_state.tasks:  # cancelled, but each still sends a response
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_WORDS_S)
        await _cancel(checking)
        self._connections.end_all()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start our own accept loop: an asyncio server reports a connection only after its TLS handshake."""
        self.servers: list[asyncio.base_events.Server] = []
        self._accepting = [asyncio.create_task(self._accept(listener)) for listener in sockets or []]
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        if counter % _CHECK_EVERY_TICKS == 0:
            self._connections.check()
        return await super().on_tick(counter)

    async def _check_until_cancelled(self) -> None:
        without_requests = 0
        while True:
            self._connections.check(shutting_down=True)
            without_requests = 0 if self.server_state.tasks else without_requests + 1
            if without_requests * _CHECK_AT_SHUTDOWN_S > WRITING_AT_SHUTDOWN_S:
                for connection in list(self.server_state.connections):  # those that are still open
                    connection.transport.abort()
                self.server_state.connections.clear()
            await asyncio.sleep(_CHECK_AT_SHUTDOWN_S)

    async def _accept(self, listener: socket.socket) -> None:
        """Accept until cancelled, then until all accepted connections are open.

        uvloop does not report the end of a connection whose opening is cancelled.
        """
        listener.setblocking(False)  # noqa: FBT003  the library's
        async with asyncio.TaskGroup() as opening:
            with suppress(asyncio.CancelledError):
                await self._accept_into(opening, listener)

    async def _accept_into(self, opening: asyncio.TaskGroup, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for number in itertools.count(1):
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in _NONE_LEFT:
                    self._connections.make_room()
                    _log.warning("no_descriptor_left", error=error.strerror)
                    await asyncio.sleep(_REST_S)
                continue
            connection = self._connections.admit(address[0])
            if connection is None:
                accepted.close()
            else:
                connection.opening = opening.create_task(self._open(connection, accepted))
                # Not in the task, which may be cancelled before it starts.
                connection.opening.add_done_callback(partial(_opened, connection, accepted))
            # A full backlog would block everything else, and evicted connections close in the loop's next iteration.
            if number % _ACCEPTS_AT_ONCE == 0 or self._connections.are_full:
                await asyncio.sleep(0)

    async def _open(self, connection: Connection, accepted: socket.socket) -> None:
        """Hand the socket to the protocol, with TLS after the handshake."""
        loop = asyncio.get_running_loop()
        timeouts = (
            {"ssl_handshake_timeout": connection.limits.head_timeout_s, "ssl_shutdown_timeout": LINGER_S}
            if self.config.ssl
            else {}
        )
        protocol = partial(
            Http11Protocol,
            connection=connection,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
            # Heartbeats fit into the kernel's buffer for hours, so a peer that vanished is noticed by the kernel alone.
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # on Linux
                unacknowledged_ms = round(connection.limits.write_timeout_s * 1000)
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacknowledged_ms)
            await loop.connect_accepted_socket(protocol, accepted, ssl=self.config.ssl, **timeouts)
        except OSError as error:  # the TLS handshake failed or timed out, or the client disconnected
            _log.debug("connection_not_opened", error=str(error))


def _opened(connection: Connection, accepted: socket.socket, _task: asyncio.Task[None]) -> None:
    connection.opening = None
    if connection.protocol is None:
        accepted.close()
        connection.lost()


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
