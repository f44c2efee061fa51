"""Every private part of uvicorn that the HTTP server uses. uvicorn documents only its settings and `Server.serve`.

Of `HttpToolsProtocol`, the base of `http_protocol.py`:

- its callbacks, extended or replaced there: `connection_made`, `connection_lost`, `resume_writing`, `data_received`,
  `on_headers_complete`, `on_body`, `on_message_complete`, `handle_websocket_upgrade`, `shutdown`;
- its state: `transport`, `flow`, `parser`, `url`, `headers`, `scope`, `app`, `app_state`, `pipeline`, `cycle`,
  `timeout_keep_alive`, `timeout_keep_alive_task`;
- `_unset_keepalive_if_required`, here `stop_keepalive_timer`; `_get_upgrade`, here `offered_upgrade`; and
  `_should_upgrade`, which is replaced.

Of a `RequestResponseCycle`: `body`, `more_body`, `message_event`, `response_started`, `response_complete`,
`keep_alive`, `disconnected`, `send`, `chunked_encoding`, `expected_content_length`. Of `FlowControl`: `pause_reading`,
`resume_reading`, `read_paused`; and `HIGH_WATER_LIMIT`.

Of `WebSocketsSansIOProtocol`, the base of `websocket_protocol.py`:

- `connection_made`, `connection_lost`, `resume_writing`, `data_received`, `handle_connect`, `handle_cont`,
  `handle_ping`, `handle_pong`, `send`, `receive`, `shutdown`;
- `transport`, `conn`, `loop`, `queue`, `frames`, `writable`, `app_state`, `read_paused`, `handshake_initiated`,
  `handshake_complete`, `close_sent`, `close_timeout`, `close_timer`, `disconnected`.

Of `Server`, the base of `http_server.py`: `startup`, `shutdown`, `on_tick`, `capture_signals`, `server_state` with its
`tasks` and `connections`, `lifespan`, `servers`, `started`, `force_exit`, `config` with its `ssl`.

Fallback: `plain_http_server.py`, uvicorn's own server with documented settings. The warning lists the limits that it
lacks. The self-test sends uvicorn's own protocols a request, a pipelined one and a WebSocket frame, in memory.
"""

# ruff: noqa: SLF001  the purpose of this module

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from transfer_gateway.library_checks import expect, require

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.types import Message, Send

    from transfer_gateway.api.connections import Connection, ConnectionProtocol

__all__ = [
    "HIGH_WATER_LIMIT",
    "ClientDisconnected",
    "FlowControl",
    "Http1Base",
    "RequestResponseCycle",
    "WebSocketBase",
    "self_test",
    "send_unchunked",
]


class _OnConnection(asyncio.Protocol):
    """A protocol that reports to its `connection` when it is made, lost, and writable again."""

    connection: Connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connection.made(cast("asyncio.Transport", transport), cast("ConnectionProtocol", self))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.connection.lost()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.connection.resumed()


class Http1Base(_OnConnection, HttpToolsProtocol):
    stop_keepalive_timer = HttpToolsProtocol._unset_keepalive_if_required
    offered_upgrade = HttpToolsProtocol._get_upgrade

    def _should_upgrade(self) -> bool:
        """Don't respond to a head that offers an upgrade: the subclass decides."""
        return True


class WebSocketBase(_OnConnection, WebSocketsSansIOProtocol):
    pass


def send_unchunked(cycle: Any) -> None:  # noqa: ANN401  a RequestResponseCycle, of which `send` is replaced
    """Let a body of unknown length end with the connection: HTTP/1.0 has no chunks. Source: RFC 9112, section 6.1."""
    send: Send = cycle.send
    is_unknown = False

    async def unchunked(message: Message) -> None:
        nonlocal is_unknown
        if message["type"] == "http.response.start":
            is_unknown = all(name != b"content-length" for name, _ in message["headers"])
            if is_unknown:
                cycle.chunked_encoding, cycle.expected_content_length = False, sys.maxsize
        elif is_unknown and not message.get("more_body", False):
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    cycle.send = unchunked


def self_test() -> None:
    """Raises: PartDiffers, and any error of a changed part."""
    config = uvicorn.Config(
        _answer, ws=WebSocketsSansIOProtocol, lifespan="off", log_config=None, access_log=False
    )
    _check_server(config)
    _check_http(config)
    log = logging.getLogger("uvicorn.error")
    log.disabled = True  # it would report this test's WebSocket
    try:
        _check_websocket(config)
    finally:
        log.disabled = False


def _check_server(config: uvicorn.Config) -> None:
    require(
        uvicorn.Server,
        "startup(self, sockets)",
        "shutdown(self, sockets)",
        "on_tick(self, counter)",
        "capture_signals(self)",
    )
    require(
        uvicorn.Server(config),
        "server_state.tasks.discard",
        "server_state.connections.discard",
        "started",
        "force_exit",
        "config.is_ssl",
    )


def _check_http(config: uvicorn.Config) -> None:
    loop, transport = _Loop(), _Transport()
    protocol = HttpToolsProtocol(config, ServerState(), {"sample": 1}, cast("Any", loop))
    protocol.connection_made(cast("Any", transport))
    protocol.data_received(b"POST /a?b HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nok")
    cycle = protocol.cycle
    state: Any = protocol.scope.get("state")
    expect(
        "a head is reported differently", holds=protocol.scope["method"] == "POST" and state == {"sample": 1}
    )
    expect("a URL is reported differently", holds=protocol.url == b"/a?b")
    expect("headers are reported differently", holds=protocol.scope["headers"] is protocol.headers)
    expect("a body is reported differently", holds=cycle.body == b"ok" and cycle.more_body)
    expect("message_event is reported differently", holds=cycle.message_event.is_set())
    protocol.data_received(b"okGET /c HTTP/1.1\r\nhost: h\r\n\r\n")
    expect("a body's end is reported differently", holds=not cycle.more_body)
    expect("a pipelined request does not wait", holds=len(protocol.pipeline) == 1)
    expect("reading is not paused meanwhile", holds=protocol.flow.read_paused and transport.is_paused)
    require(cycle, "disconnected", "keep_alive", "send(message)")
    expect("a response's framing is chosen early", holds=cycle.chunked_encoding is None)
    expect("a response starts early", holds=not cycle.response_started and not cycle.response_complete)
    loop.run()
    expect("a response is not sent", holds=cycle.response_started and cycle.response_complete)
    expect("its length is counted differently", holds=cycle.expected_content_length == 0)
    expect("keep-alive has no timer", holds=protocol.timeout_keep_alive_task is not None)
    expect("its timer has another time", holds=loop.delay_s == protocol.timeout_keep_alive)
    protocol._unset_keepalive_if_required()
    expect("its timer does not stop", holds=protocol.timeout_keep_alive_task is None)
    protocol.headers[:] = [(b"connection", b"upgrade"), (b"upgrade", b"h2c")]
    expect("an upgrade is reported differently", holds=protocol._get_upgrade() == b"h2c")
    expect("it is offered to the application", holds=not protocol._should_upgrade())
    require(
        HttpToolsProtocol,
        "on_headers_complete(self)",
        "on_body(self, body)",
        "on_message_complete(self)",
        "handle_websocket_upgrade(self)",
        "connection_lost(self, exc)",
        "resume_writing(self)",
        "shutdown(self)",
    )
    protocol.app = _answer
    protocol.shutdown()
    expect("an idle connection is not closed at shutdown", holds=transport.is_closing())


def _check_websocket(config: uvicorn.Config) -> None:
    loop, transport = _Loop(), _Transport()
    protocol = WebSocketsSansIOProtocol(config, ServerState(), {"sample": 1}, cast("Any", loop))
    protocol.connection_made(cast("Any", transport))
    protocol.data_received(
        b"GET / HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    expect("a handshake is reported differently", holds=protocol.handshake_initiated)
    expect("it is done before the application accepts", holds=not protocol.handshake_complete)
    expect("it is not in the queue", holds=protocol.queue.get_nowait()["type"] == "websocket.connect")
    loop.forget()  # the application, which this test is
    _run(protocol.send({"type": "websocket.accept", "subprotocol": None, "headers": []}))
    expect("it is not done once accepted", holds=protocol.handshake_complete)
    protocol.data_received(b"\x01\x81\0\0\0\0a")  # text, with a zero mask, and not the final frame
    expect("frames are reported differently", holds=protocol.frames == [b"a"])
    protocol.data_received(b"\x80\x81\0\0\0\0b")
    expect("a message is reported differently", holds=protocol.queue.get_nowait().get("text") == "ab")
    expect("reading is not paused meanwhile", holds=protocol.read_paused and transport.is_paused)
    expect("it can't be written", holds=protocol.writable.is_set())
    require(protocol, "app_state", "close_sent", "close_timeout", "close_timer", "disconnected", "loop")
    require(protocol, "conn.fail", "conn.send_text", "conn.send_continuation", "conn.data_to_send")
    require(
        WebSocketsSansIOProtocol,
        "handle_connect(self, event)",
        "handle_cont(self, event)",
        "handle_ping(self)",
        "handle_pong(self, event)",
        "send(self, message)",
        "receive(self)",
        "connection_lost(self, exc)",
        "resume_writing(self)",
    )


async def _answer(_scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401  ASGI's
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def _run(work: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that must not wait. Raises: PartDiffers, if it does."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    expect("it waits where it should not", holds=False)


class _Loop:
    """The part of an event loop that the protocols use; `run` runs the tasks that they started."""

    def __init__(self) -> None:
        self._started: list[Coroutine[Any, Any, Any]] = []
        self.delay_s = -1.0

    def create_task(self, work: Coroutine[Any, Any, Any]) -> _Task:
        self._started.append(work)
        return _Task()

    def call_later(self, delay_s: float, _call: Callable[[], None]) -> _Task:
        self.delay_s = delay_s
        return _Task()

    def run(self) -> None:
        while self._started:
            _run(self._started.pop(0))

    def forget(self) -> None:
        for work in self._started:
            work.close()


class _Task:
    def add_done_callback(self, _call: Any) -> None:  # noqa: ANN401  asyncio's
        pass

    def cancel(self) -> None:
        pass


class _Transport:
    def __init__(self) -> None:
        self.is_paused = self._is_closing = False

    def get_extra_info(self, _name: str) -> None:
        return None

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def write(self, _data: bytes) -> None:
        pass

    def close(self) -> None:
        self._is_closing = True

    def is_closing(self) -> bool:
        return self._is_closing
