"""uvicorn, with what it does otherwise than we want it: signals, the end, and offers to upgrade."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from transfer_gateway.api.graphql.exchange import error_response

if TYPE_CHECKING:
    import socket
    import ssl
    from array import array
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from transfer_gateway.settings import DoorTls

_LAST_WORDS_S = 1.0


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
        tls: HttpTls | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Http11Protocol,
                ws="websockets-sansio",
                ws_max_size=max_message_bytes,
                ws_per_message_deflate=False,  # memory for each connection, and work that nobody bounds
                lifespan="off",
                timeout_keep_alive=keepalive_s,
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                ssl_context_factory=None if tls is None else lambda *_: tls.listening,
            )
        )
        self._grace_s = grace_s
        logging.getLogger("uvicorn.error").addFilter(_tells_news)

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
        await super().shutdown(sockets)
        end_of_grace.cancel()
        if self.server_state.tasks:  # cancelled; each still answers
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_WORDS_S)


class HttpTls:
    """Each connection gets what `use` was last given; those that are open go on.

    Each version has a context of its own, put in place of the listening one when a client says hello. A new
    certificate loaded into a context that is in use would leave the old one beside it where the key is of another kind,
    and half of it where it turns out not to fit.
    """

    def __init__(self, tls: DoorTls) -> None:
        self.use(tls)
        self.listening = tls.context
        self.listening.sni_callback = self._hello

    def use(self, tls: DoorTls) -> None:
        tls.context.set_alpn_protocols(["http/1.1"])
        self.valid_until = tls.valid_until
        self._newest = tls.context

    def _hello(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _from: object) -> None:
        """Called for every client, whether it names a server or not."""
        connection.context = self._newest


def _tells_news(record: logging.LogRecord) -> bool:
    """All but uvicorn's trace of a request that was cancelled: `RequestLog` has told that."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class _Http11Protocol(HttpToolsProtocol):
    """Ignores offers to upgrade to another protocol than WebSocket. Source: RFC 9110, section 7.8.

    Java's HttpClient offers h2c with every request. httptools takes whatever follows such a head for the other
    protocol's, so uvicorn by itself loses the body. Here the parser is given the head again, without the offer.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  uvicorn's
        super().__init__(*args, **options)
        self.parser = _Parser(self)

    def _should_upgrade(self) -> bool:
        """Start no answer to the head with the offer: the one without is coming."""
        return True

    def offers_websocket(self) -> bool:
        return self.scope["method"] == "GET" and self._get_upgrade() == b"websocket"

    def send_400_response(self, msg: str) -> None:
        """In the form of every other failure; uvicorn's own is plain text."""
        response = error_response(400, msg)
        response.headers["connection"] = "close"
        headers = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%b\r\n%b" % (headers, bytes(response.body)))
        self.transport.close()

    def head_without_offer(self) -> bytes:
        method, version = self.scope["method"], self.scope["http_version"]
        lines = [b"%b %b HTTP/%b" % (method.encode(), self.url, version.encode())]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])


class _Parser(httptools.HttpRequestParser):
    def __init__(self, protocol: _Http11Protocol) -> None:
        super().__init__(protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._protocol = protocol

    def feed_data(self, data: bytes | bytearray | memoryview | array[int]) -> None:
        rest = memoryview(data)
        while True:
            try:
                return super().feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                if self._protocol.offers_websocket():
                    raise
                if self.get_method() == b"CONNECT":
                    raise httptools.HttpParserError("this is no proxy") from None
                rest = rest[upgrade.args[0] :]
                super().feed_data(self._protocol.head_without_offer())
