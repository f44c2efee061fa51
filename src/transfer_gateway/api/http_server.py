"""uvicorn, with what it does otherwise than we want it: signals, the end, and offers to upgrade."""

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
from transfer_gateway.api.uvicorn_log import log_news_only
from transfer_gateway.api.websocket_protocol import WebSocketProtocol
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from transfer_gateway.api.http_tls import HttpTls

_log = get_logger(__name__)
_LAST_WORDS_S = 1.0
_CHECK_EVERY_TICKS = 10  # of uvicorn's loop: a second
_CHECK_AT_SHUTDOWN_S = 0.25
_NONE_LEFT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
# The kernel takes no more than this ahead of what it may send: 4 MB otherwise, of which nobody would know whether the
# peer reads them.
_UNSENT_BYTES = 65_536
_REST_S = 0.5  # before accept() is tried again when no descriptor was left
_ACCEPTS_AT_ONCE = 32


class HttpServer(uvicorn.Server):
    """Once `should_exit` is set, requests under way have `grace_s` to finish; then each is cancelled.

    Idle connections are closed after `keepalive_s`. Who sends a request in that very moment loses it, so proxies in
    front must close theirs earlier.

    Takes no signals: uvicorn would raise them again afterwards, so that nothing after it runs.
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
                ws_per_message_deflate=False,  # memory for each connection, and work that nobody bounds
                lifespan="off",
                timeout_keep_alive=keepalive_s,
                access_log=False,
                log_config=None,
                log_level="warning",
                # Else a pipelined request begins in the context of the one before it: its ids, its quota.
                reset_contextvars=True,
                server_header=False,
                ssl_context_factory=None if tls is None else lambda *_: tls.listening,
            )
        )
        self._grace_s = grace_s
        self._connections = Connections(limits)
        self._accepting: list[asyncio.Task[None]] = []
        log_news_only()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def hurry(self) -> None:
        """Wait no longer."""
        self.force_exit = True
        for request in self.server_state.tasks:
            request.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        end_of_grace = asyncio.get_running_loop().call_later(self._grace_s, self.hurry)
        for accepting in self._accepting:
            accepting.cancel()
        checking = asyncio.create_task(self._check_until_cancelled())
        if self._accepting:  # what has been accepted is opened, and closed as all others are
            await asyncio.wait(self._accepting)
        await super().shutdown(sockets)
        end_of_grace.cancel()
        if self.server_state.tasks:  # cancelled; each still answers
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_WORDS_S)
        await _cancel(checking)
        self._connections.end_all()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept by ourselves: where a server of asyncio's does, a connection is known only after its TLS handshake."""
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
                for connection in list(self.server_state.connections):  # whatever keeps it
                    connection.transport.abort()
                self.server_state.connections.clear()
            await asyncio.sleep(_CHECK_AT_SHUTDOWN_S)

    async def _accept(self, listener: socket.socket) -> None:
        """Until it is cancelled; then until what has been accepted is open.

        uvloop does not tell of the end of a connection whose opening is cancelled.
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
                # Not in the task: it may be cancelled before it begins.
                connection.opening.add_done_callback(partial(_opened, connection, accepted))
            # A full backlog would keep everything else waiting; and what gave way is closed in the loop's next round.
            if number % _ACCEPTS_AT_ONCE == 0 or self._connections.are_full:
                await asyncio.sleep(0)

    async def _open(self, connection: Connection, accepted: socket.socket) -> None:
        """Make it a connection of the protocol's; with TLS, after the handshake."""
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
            await loop.connect_accepted_socket(protocol, accepted, ssl=self.config.ssl, **timeouts)
        except OSError as error:  # no TLS, too slow, or gone again: TimeoutError and SSLError are among them
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
