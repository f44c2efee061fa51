"""Which HTTP server runs, and uvicorn's own for where its private parts have changed: documented settings alone.

It limits the head's size, the number of connections and a message's size. What it lacks is in `_LOST`.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import uvicorn

from transfer_gateway.api.uvicorn_log import log_news_only
from transfer_gateway.library_checks import Check

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from transfer_gateway.api.connections import ConnectionLimits
    from transfer_gateway.api.http_tls import HttpTls

_LOST = (
    "uvicorn's own server: no timeout of a head, an unread response or a TLS handshake, no limit of connections per "
    "address or of WebSocket frames, and probes are refused at the limit of connections"
)


class HttpServing(Protocol):
    """What this module's servers have in common; `should_exit` ends them."""

    should_exit: bool

    def hurry(self) -> None:
        """Wait no longer for requests under way."""

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
    """`http_server.HttpServer`, unless uvicorn's private parts fail their self-test. To be called in a running loop."""
    with Check("uvicorn", fallback=_LOST) as check:
        from transfer_gateway.api import http_server, uvicorn_internals  # noqa: PLC0415  they may not import then

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
    """Takes no signals, as `HttpServer`. Once `should_exit` is set, requests under way have `grace_s` to finish."""

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
        async def with_request(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["connection"] = _Request()
            await app(scope, receive, send)

        super().__init__(
            uvicorn.Config(
                with_request,
                http="h11",  # in Python, slowly; but a head has a limit
                h11_max_incomplete_event_size=limits.max_head_bytes,
                limit_concurrency=limits.max_connections,
                ws="websockets-sansio",
                ws_max_size=max_message_bytes,
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
        log_news_only()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def hurry(self) -> None:
        self.force_exit = True


class _Request:
    """Stands for the connection of a request, as in `scope["state"]["connection"]`: it ends the request alone."""

    def __init__(self) -> None:
        self.waiting_bytes = 0
        self._task = asyncio.current_task()

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
