"""Selects the HTTP server, and has the fallback if uvicorn's private parts have changed: only documented settings.

The fallback limits the head's size, the number of connections and a message's size. `_LOST` lists what it lacks.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import uvicorn

from transfer_gateway.api.open_streams import OpenStreams
from transfer_gateway.api.uvicorn_log import filter_log
from transfer_gateway.library_checks import Check

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from transfer_gateway.api.connections import ConnectionLimits
    from transfer_gateway.api.http_tls import HttpTls

_LOST = (
    "uvicorn's own server: no timeouts for heads, unread responses or TLS handshakes, no limits on connections per "
    "address or WebSocket frames, and probes are rejected at the connection limit"
)


class HttpServing(Protocol):
    """The common interface of both servers; `should_exit` ends them."""

    should_exit: bool

    def stop_now(self) -> None:
        """Stop waiting for requests in progress."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None: ...


def http_server(
    app: ASGIApp,
    *,
    grace_s: float,
    keepalive_s: int,
    max_message_bytes: int,
    limits: ConnectionLimits,
    tls: HttpTls | None = None,
) -> HttpServing:
    """`http_server.HttpServer`, unless uvicorn's private parts fail their self-test. Needs a running loop."""
    with Check("uvicorn", fallback=_LOST) as check:
        from transfer_gateway.api import http_server, uvicorn_internals  # noqa: PLC0415  the import itself may fail

        uvicorn_internals.self_test()
    made = http_server.HttpServer if check.passed else PlainHttpServer
    return made(
        app,
        grace_s=grace_s,
        keepalive_s=keepalive_s,
        max_message_bytes=max_message_bytes,
        limits=limits,
        tls=tls,
    )


class PlainHttpServer(uvicorn.Server):
    """Handles no signals, as `HttpServer`. Once `should_exit` is set, requests in progress have `grace_s` to finish."""

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
        self._requests: set[_Request] = set()

        async def with_request(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["connection"] = request = _Request()
            self._requests.add(request)
            try:
                await app(scope, receive, send)
            finally:
                self._requests.discard(request)

        super().__init__(
            uvicorn.Config(
                with_request,
                http="h11",  # slow (pure Python), but it limits the head
                h11_max_incomplete_event_size=limits.max_head_bytes,
                limit_concurrency=limits.max_connections,
                ws="websockets-sansio",
                ws_max_size=max_message_bytes,
                ws_ping_interval=limits.heartbeat_s,
                ws_per_message_deflate=False,
                lifespan="off",
                timeout_keep_alive=keepalive_s,
                timeout_graceful_shutdown=math.ceil(grace_s),
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                ssl_context_factory=None if tls is None else lambda *_: tls.listening,
            )
        )
        filter_log()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop_now(self) -> None:
        self.force_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for request in list(self._requests):
            request.streams.end()
        await super().shutdown(sockets)


class _Request:
    """Replaces the connection in `scope["state"]["connection"]`: `end` ends only the request."""

    def __init__(self) -> None:
        self.waiting_bytes = 0
        self.streams = OpenStreams()
        self._task = asyncio.current_task()

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
