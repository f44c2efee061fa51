"""uvicorn's HTTP/1.1 protocol with bounds: of a head, of requests waiting, and of patience with the peer.

uvicorn's protocol classes are not a public interface: `uvicorn_internals.py` lists what is used of them. See
docs/decisions/0011-bounds-at-the-http-door.md.
"""

from __future__ import annotations

import re
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
from transfer_gateway.api.uvicorn_internals import (
    HIGH_WATER_LIMIT,
    FlowControl,
    Http1Base,
    RequestResponseCycle,
)
from transfer_gateway.domain.errors import ErrorCode

if TYPE_CHECKING:
    import asyncio
    from collections import deque

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MAX_HEADERS = 100
_MAX_CHUNKS = 4096  # of a body: a megabyte in chunks of one byte would take two seconds to read
# Source: RFC 9110, section 7.2, and RFC 3986, section 3.2.2.
_NO_HOST = object()
_HOST = re.compile(rb"(\[[\w:.%~-]+\]|([\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(:[0-9]*)?")
_HTTP2 = "PRI"  # in llhttp's message for a client that begins with HTTP/2, as clients of gRPC do
_PROBES = {"/livez", "/readyz", "/metrics"}
_FULL = "The service has as many connections as it can serve."


class Http11Protocol(Http1Base):
    """Ignores offers to upgrade to another protocol than WebSocket. Source: RFC 9110, section 7.8.

    Java's HttpClient offers h2c with every request. httptools takes whatever follows such a head for the other
    protocol's, so uvicorn by itself loses the body. Here the parser is given the head again, without the offer.
    """

    def __init__(self, *args: Any, connection: Connection, **options: Any) -> None:  # noqa: ANN401  uvicorn's
        super().__init__(*args, **options)
        self.connection = connection
        self.app_state = {"connection": connection}
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._max_head_bytes = connection.limits.max_head_bytes
        self._max_pipelined = connection.limits.max_pipelined_requests
        self._fed = 0  # bytes since the parser last had something to tell
        self._reads_head = True
        self._chunks = 0
        self._takes_no_more = False
        self._dropped = 0
        # Of the last request: most clients repeat them, or at least the host.
        self._good_headers: list[tuple[bytes, bytes]] | None = None
        self._good_host: object = _NO_HOST
        self._watched: tuple[object, object] = ("", None)
        self._watched_since = 0.0
        if connection.probes_only:
            self.app = _probes_only(self.app)

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  a Transport, which asyncio calls a BaseTransport
        if self.connection.is_lost:  # given up while it was opened
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
        if (
            len(data) > self._max_head_bytes
        ):  # what httptools keeps before it tells anything has no other bound
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
                self._check_host()
                self._good_host = by_name.get(b"host", _NO_HOST)
            self._good_headers = self.headers
        self._fed = self._chunks = 0
        self._reads_head = False
        super().on_headers_complete()
        self.headers = []  # of trailers, which nobody reads

    def _check_host(self) -> None:
        """Raises: _BadHost. Source: RFC 9112, section 3.2."""
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1:
            raise _BadHost("The request has more than one Host header.")
        if hosts and not _HOST.fullmatch(hosts[0]):
            raise _BadHost("The Host header must be a host name or an address, and optionally a port.")
        if not hosts and self.parser.get_http_version() != "1.0":
            raise _BadHost("The Host header is required.")

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

    # Refusing

    def _reject(self, error: httptools.HttpParserError) -> None:
        if isinstance(error.__context__, _TooManyRequests):
            self._take_no_more()
        elif isinstance(error.__context__, _HeadTooLarge):
            self._refuse_head()
        elif isinstance(error.__context__, _BadHost):
            self.refuse(400, str(error.__context__))
        elif isinstance(error.__context__, _TooManyChunks):
            self.refuse(400, f"The body has more than {_MAX_CHUNKS} chunks.")
        elif _HTTP2 in str(error):
            self.refuse(400, "This port serves HTTP/1.1, not HTTP/2. gRPC has a port of its own.")
        else:
            self.refuse(400, "Invalid HTTP request received.")

    def refuse(self, status: int, message: str, code: ErrorCode = ErrorCode.BAD_USER_INPUT) -> None:
        """In the form of every other failure, then close; where requests are under way, close after those."""
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
        # Closed with something of the peer's unread, TCP would reset, and the peer may lose what we said.
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
        """Whether what has just been read is due for an answer. A request whose body is broken has none yet."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or self._reads_head:
            return not self._is_busy() and not self.transport.is_closing()
        due = not (self.pipeline or cycle.response_started or self.transport.is_closing())
        cycle.disconnected = True  # its application need not wait for the rest
        cycle.message_event.set()
        return due

    def _take_no_more(self) -> None:
        """Answer what has been accepted, then close."""
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

    # Patience

    def idle(self) -> Idle | None:
        if self._is_busy() or self._takes_no_more or self.transport.is_closing():
            return None
        if self.cycle is None:
            return SILENT, self.connection.accepted_at
        timer = self.timeout_keep_alive_task
        if timer is None:  # half a head, or a body that nobody wanted
            return SILENT, self._watched_since
        return KEPT_ALIVE, timer.when() - self.timeout_keep_alive

    def make_room(self) -> None:
        if self.connection.unread_bytes():  # its end would wait for a peer that may never read
            self.transport.abort()
        else:
            self.transport.close()

    def check(self, now: float, *, shutting_down: bool) -> None:
        if shutting_down:  # again and again: some connections are opened while the others are told
            self.shutdown()
        waiting_for, patience_s = self._waiting_for(shutting_down=shutting_down)
        if self._watched != (waiting_for, self.cycle):
            self._watched, self._watched_since = (waiting_for, self.cycle), now
            if not (waiting_for == "head" and self.cycle is None):
                return
            self._watched_since = self.connection.accepted_at
        if waiting_for is None or now - self._watched_since < patience_s:
            return
        if waiting_for == "reader":
            self.connection.end()
        elif waiting_for == "head" and self._fed:
            self.refuse(408, f"The head did not arrive within {patience_s:g} s.")
        else:
            self.transport.close()

    def _waiting_for(self, *, shutting_down: bool) -> tuple[str | None, float]:
        """What the peer must do next, and how long it may take."""
        limits = self.connection.limits
        cycle: RequestResponseCycle | None = self.cycle
        if self._is_busy():
            if self.cycle.response_started:
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
        return "request", self.timeout_keep_alive + 1  # uvicorn's timer misses what follows an unwanted body

    # Upgrades

    def _upgrade(self, rest: bytes) -> None:
        self.headers = self.scope["headers"]  # type: ignore[assignment]  # uvicorn's is a list
        if self.scope["method"] == "GET" and self.offered_upgrade() == b"websocket":
            self.handle_websocket_upgrade()
        elif self.scope["method"] == "CONNECT":  # this is no proxy
            self.refuse(400, "Invalid HTTP request received.")
        else:
            try:
                self.parser.feed_data(self._head_without_offer())
            except httptools.HttpParserError as error:
                self._reject(error)
            if rest:
                self.data_received(rest)

    def handle_websocket_upgrade(self) -> None:
        if self._is_busy():  # answers would be sent into the WebSocket
            self._take_no_more()
        elif self.connection.probes_only:
            self.refuse(503, _FULL, ErrorCode.UPSTREAM_UNAVAILABLE)
        else:
            self._takes_no_more = True  # what follows in this chunk came before the handshake was done
            super().handle_websocket_upgrade()

    def _head_without_offer(self) -> bytes:
        method, version = self.scope["method"], self.scope["http_version"]
        lines = [b"%b %b HTTP/%b" % (method.encode(), self.url, version.encode())]
        lines += [name + b": " + value for name, value in self.scope["headers"] if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])


class _BadHost(Exception):
    pass


class _HeadTooLarge(Exception):
    pass


class _TooManyChunks(Exception):
    pass


class _TooManyRequests(Exception):
    pass


class _Flow(FlowControl):
    """Reads nothing while requests wait: uvicorn's reads on after each answer."""

    def __init__(self, transport: asyncio.Transport, pipeline: deque[Any]) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if self.read_paused and not self._pipeline:
            super().resume_reading()


def _probes_only(app: ASGIApp) -> ASGIApp:
    """Answers probes, and refuses all else; the connection is closed either way."""

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
