"""uvicorn's HTTP/1.1 protocol with limits on the size of the head, pipelined requests, and the peer's delays.

uvicorn's protocol classes are not a public API: `uvicorn_internals.py` lists the parts in use. See
docs/decisions/0011-bounds-at-the-http-door.md.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httptools

from transfer_gateway.api.connections import (
    KEPT_ALIVE,
    LINGER_BYTES,
    LINGER_S,
    SILENT,
    STUCK_AT_SHUTDOWN_S,
    Connection,
    Idle,
)
from transfer_gateway.api.graphql.exchange import error_response
from transfer_gateway.api.host_header import BadHost, check_host
from transfer_gateway.api.uvicorn_internals import (
    HIGH_WATER_LIMIT,
    FlowControl,
    Http1Base,
    RequestResponseCycle,
    send_unchunked,
)
from transfer_gateway.domain.errors import ErrorCode

if TYPE_CHECKING:
    import asyncio
    from collections import deque

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MAX_HEADERS = 100
_MAX_CHUNKS = 4096  # per body: one megabyte in one-byte chunks would take two seconds to parse
_NO_HOST = object()
_HTTP2 = "PRI"  # in llhttp's message for a client that starts with HTTP/2, as gRPC clients do
_PROBES = {"/livez", "/readyz", "/metrics"}
_FULL = "The service has reached its connection limit."


class Http11Protocol(Http1Base):
    """Ignores offers to upgrade to a protocol other than WebSocket. Source: RFC 9110, section 7.8.

    Java's HttpClient offers h2c with every request. httptools treats everything after such a head as the other
    protocol's, so plain uvicorn loses the body. Here the head is parsed again without the offer.
    """

    def __init__(self, *args: Any, connection: Connection, **options: Any) -> None:  # noqa: ANN401  uvicorn's
        super().__init__(*args, **options)
        self.connection = connection
        self.app_state = {"connection": connection}
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._max_head_bytes = connection.limits.max_head_bytes
        self._max_pipelined = connection.limits.max_pipelined_requests
        self._fed = 0  # bytes since the parser's last callback
        self._reads_head = True
        self._chunks = 0
        self._takes_no_more = False
        self._dropped = 0
        # The previous request's: most clients repeat them, or at least the host.
        self._good_headers: list[tuple[bytes, bytes]] | None = None
        self._good_host: object = _NO_HOST
        self._watched: tuple[object, object] = ("", None)
        self._watched_since = 0.0
        if connection.probes_only:
            self.app = _probes_only(self.app)

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  a Transport, which asyncio calls a BaseTransport
        if self.connection.is_lost:  # closed while it was being opened
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._takes_no_more:
            self._drop(len(data))
            return
        # httptools itself does not limit what it buffers before its first callback.
        if len(data) > self._max_head_bytes:
            for start in range(0, len(data), self._max_head_bytes):
                self.data_received(data[start : start + self._max_head_bytes])
            return
        self.stop_keepalive_timer()
        self._fed += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._reject(error)
        else:
            if self._fed and (self._fed > self._max_head_bytes or len(self.headers) > _MAX_HEADERS):
                self._refuse_head()

    def on_headers_complete(self) -> None:
        if self._fed > self._max_head_bytes and self._head_bytes() > self._max_head_bytes:
            raise _HeadTooLarge
        if self.pipeline and len(self.pipeline) >= self._max_pipelined:
            raise _TooManyRequests
        if self.headers != self._good_headers:
            by_name = dict(self.headers)
            if len(by_name) != len(self.headers) or by_name.get(b"host") != self._good_host:
                check_host(self.headers, self.parser.get_http_version())
                self._good_host = dict(self.headers).get(b"host", _NO_HOST)
            self._good_headers = self.headers if self._good_host is not _NO_HOST else None
        self._fed = self._chunks = 0
        self._reads_head = False
        super().on_headers_complete()
        self.headers = []  # for trailers, which are ignored
        if self.scope["http_version"] == "1.0" and not self.parser.should_upgrade():
            send_unchunked(self.cycle)

    def on_body(self, body: bytes) -> None:
        self._fed = 0
        cycle = self.cycle
        if self.parser.should_upgrade():
            return
        if cycle.response_complete:
            self._drop(len(body))
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_chunk_header(self) -> None:
        self._chunks += 1
        if self._chunks > _MAX_CHUNKS:
            raise _TooManyChunks

    def on_message_complete(self) -> None:
        self._fed = 0
        self._reads_head = True
        if not self.parser.should_upgrade():
            self.cycle.more_body = False
            self.cycle.message_event.set()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    # Rejecting

    def _reject(self, error: httptools.HttpParserError) -> None:
        if isinstance(error.__context__, _TooManyRequests):
            self._take_no_more()
        elif isinstance(error.__context__, _HeadTooLarge):
            self._refuse_head()
        elif isinstance(error.__context__, BadHost):
            self.refuse(400, str(error.__context__))
        elif isinstance(error.__context__, _TooManyChunks):
            self.refuse(400, f"The body has more than {_MAX_CHUNKS} chunks.")
        elif _HTTP2 in str(error):
            self.refuse(400, "This port serves HTTP/1.1, not HTTP/2. gRPC has a separate port.")
        else:
            self.refuse(400, "Invalid HTTP request received.")

    def refuse(self, status: int, message: str, code: ErrorCode = ErrorCode.BAD_USER_INPUT) -> None:
        """Send an error in the usual format, then close; after the responses to requests in progress, if any."""
        if not self._is_next_to_answer():
            self._take_no_more()
            return
        response = error_response(status, message, code)
        response.headers["connection"] = "close"
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["retry-after"] = "1"
        headers = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
        line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
        self._takes_no_more = True
        self.transport.write(b"%b%b\r\n%b" % (line, headers, bytes(response.body)))
        # Closing with unread input sends a TCP reset, and the peer may lose our response.
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _refuse_head(self) -> None:
        if self._reads_head and len(self.url) > self._max_head_bytes // 2:
            self.refuse(414, f"The URL has more than {self._max_head_bytes} bytes.")
        else:
            self.refuse(
                431,
                f"The headers have more than {self._max_head_bytes} bytes, or are more than {_MAX_HEADERS}.",
            )

    def _is_next_to_answer(self) -> bool:
        """Whether the request just parsed is next to be answered. One with an invalid body has no response yet."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or self._reads_head:
            return not self._is_busy() and not self.transport.is_closing()
        due = not (self.pipeline or cycle.response_started or self.transport.is_closing())
        cycle.disconnected = True  # its application must not wait for the rest of the body
        cycle.message_event.set()
        return due

    def _take_no_more(self) -> None:
        """Answer the accepted requests, then close."""
        self._takes_no_more = True
        if self._is_busy():
            self.cycle.keep_alive = False

    def _drop(self, size: int) -> None:
        self._dropped += size
        if self._dropped > LINGER_BYTES:
            self.flow.pause_reading()

    def _is_busy(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not (cycle.response_complete or cycle.disconnected)

    # Timeouts

    def idle(self) -> Idle | None:
        if self._is_busy() or self._takes_no_more or self.transport.is_closing():
            return None
        if self.cycle is None:
            return SILENT, self.connection.accepted_at
        timer = self.timeout_keep_alive_task
        if timer is None:  # an incomplete head, or an unwanted body
            return SILENT, self._watched_since
        return KEPT_ALIVE, timer.when() - self.timeout_keep_alive

    def make_room(self) -> None:
        if self.connection.unread_bytes():  # a graceful close would wait for a peer that may never read
            self.transport.abort()
        else:
            self.transport.close()

    def check(self, now: float, *, shutting_down: bool) -> None:
        if shutting_down:  # repeatedly, since connections may be opened meanwhile
            self.shutdown()
        waiting_for, timeout_s = self._waiting_for(shutting_down=shutting_down)
        if self._watched != (waiting_for, self.cycle):
            self._watched, self._watched_since = (waiting_for, self.cycle), now
            if not (waiting_for == "head" and self.cycle is None):
                return
            self._watched_since = self.connection.accepted_at
        if waiting_for is None or now - self._watched_since < timeout_s:
            return
        if waiting_for == "reader":
            self.connection.end()
        elif waiting_for == "head" and self._fed:
            self.refuse(408, f"The head did not arrive within {timeout_s:g} s.")
        else:
            self.transport.close()

    def _waiting_for(self, *, shutting_down: bool) -> tuple[str | None, float]:
        """What the peer must send next, and its timeout in seconds."""
        limits = self.connection.limits
        cycle: RequestResponseCycle | None = self.cycle
        if self._is_busy():
            if self.cycle.response_started and not self.connection.streams:
                return "reader", limits.write_timeout_s
            return ("reader", STUCK_AT_SHUTDOWN_S) if shutting_down and self.cycle.more_body else (None, 0)
        if self._takes_no_more:
            return "linger", LINGER_S
        if cycle is not None and cycle.more_body:
            return "end of body", LINGER_S
        if self._fed or cycle is None:
            return "head", min(
                limits.head_timeout_s, LINGER_S
            ) if self.connection.probes_only else limits.head_timeout_s
        return "request", self.timeout_keep_alive + 1  # uvicorn's timer does not run after an unwanted body

    def shutdown(self) -> None:
        super().shutdown()
        self.connection.streams.end()

    # Upgrades

    def _upgrade(self, rest: bytes) -> None:
        self.headers = self.scope["headers"]  # type: ignore[assignment]  # uvicorn's is a list
        if self.scope["method"] == "GET" and self.offered_upgrade() == b"websocket":
            self.handle_websocket_upgrade()
        elif self.scope["method"] == "CONNECT":  # not a proxy
            self.refuse(400, "Invalid HTTP request received.")
        else:
            try:
                self.parser.feed_data(self._head_without_offer())
            except httptools.HttpParserError as error:
                self._reject(error)
            if rest:
                self.data_received(rest)

    def handle_websocket_upgrade(self) -> None:
        if self._is_busy():  # responses would be sent into the WebSocket
            self._take_no_more()
        elif self.connection.probes_only:
            self.refuse(503, _FULL, ErrorCode.UPSTREAM_UNAVAILABLE)
        else:
            self._takes_no_more = True  # data after the head was sent before the handshake was complete
            super().handle_websocket_upgrade()

    def _head_without_offer(self) -> bytes:
        method, version = self.scope["method"], self.scope["http_version"]
        lines = [b"%b %b HTTP/%b" % (method.encode(), self.url, version.encode())]
        lines += [name + b": " + value for name, value in self.scope["headers"] if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])


class _HeadTooLarge(Exception):
    pass


class _TooManyChunks(Exception):
    pass


class _TooManyRequests(Exception):
    pass


class _Flow(FlowControl):
    """Pauses reading while pipelined requests wait: uvicorn's resumes after each response."""

    def __init__(self, transport: asyncio.Transport, pipeline: deque[Any]) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if self.read_paused and not self._pipeline:
            super().resume_reading()


def _probes_only(app: ASGIApp) -> ASGIApp:
    """Serves probes and rejects everything else; then closes the connection."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        if scope["path"] in _PROBES:
            await app(scope, receive, send_and_close)
            return
        response = error_response(503, _FULL, ErrorCode.UPSTREAM_UNAVAILABLE)
        response.headers["retry-after"] = "1"
        await response(scope, receive, send_and_close)

    return answer
