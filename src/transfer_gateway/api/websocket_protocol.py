"""uvicorn's WebSocket protocol with limits on input per loop iteration, empty and control frames, and output."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from websockets.exceptions import InvalidState
from websockets.protocol import State

from transfer_gateway.api.connections import (
    LINGER_BYTES,
    LINGER_S,
    WEBSOCKET,
    WRITING_AT_SHUTDOWN_S,
    Connection,
    Idle,
)
from transfer_gateway.api.uvicorn_internals import ClientDisconnected, WebSocketBase

if TYPE_CHECKING:
    from websockets.frames import Frame
    from websockets.http11 import Request

_SLICE_BYTES = 2048  # parsed per event loop iteration: 300 pings, 10 ms of work
_PIECE_BYTES = 65_536  # of a message, passed to the transport at a time
_MAX_EMPTY_FRAMES = 200  # per second: pings, pongs and empty fragments
_MAX_FRAGMENTS = 1024  # per message
_POLICY_VIOLATION, _TRY_AGAIN_LATER = 1008, 1013  # RFC 6455 and IANA's registry of close codes
_NO_HANDSHAKE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class WebSocketProtocol(WebSocketBase):
    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  uvicorn's
        super().__init__(*args, **options)
        self.connection: Connection = self.app_state["connection"]
        self._rest = memoryview(b"")
        self._will_feed = False
        self._dropped = -1  # bytes discarded; -1: not discarding
        self.close_timeout = LINGER_S
        self._empty_frames = 0
        self._sending = asyncio.Lock()
        self._sending_since: float | None = None  # start time of a fragmented message
        self._last_message_at = time.monotonic()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest = memoryview(b"")
        super().connection_lost(exc)

    # Reading

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated:
            super().data_received(data)
            if not self.handshake_initiated:  # websockets' own limit per line closes without a response
                self.transport.write(_NO_HANDSHAKE)
                self.transport.close()
            return
        if self._dropped >= 0:
            self._drop(len(data))
            return
        self._rest = memoryview(bytes(self._rest) + data if self._rest else data)
        if not self._will_feed:
            self._feed()

    def _feed(self) -> None:
        """Parse one slice now and the rest later: a chunk of 256 KiB may hold 40,000 frames."""
        self._will_feed = False
        if self.transport.is_closing() or not self._rest:
            return
        data, self._rest = self._rest[:_SLICE_BYTES], self._rest[_SLICE_BYTES:]
        super().data_received(bytes(data))
        self._go_on_reading()

    def _go_on_reading(self) -> None:
        """Parse the rest of a chunk before reading more."""
        if self._dropped >= 0 or self.read_paused or self.transport.is_closing():
            return
        if not self._rest:
            self.transport.resume_reading()
        elif not self._will_feed:
            self.transport.pause_reading()
            self._will_feed = True
            self.loop.call_soon(self._feed)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.handshake_complete:  # don't parse frames before the application has accepted
            self.read_paused = True
            self.transport.pause_reading()

    async def receive(self) -> Any:  # noqa: ANN401  uvicorn's
        message = await super().receive()
        self._last_message_at = time.monotonic()
        if not self.handshake_complete:
            self.read_paused = True
            self.transport.pause_reading()
        elif self._rest:
            self._go_on_reading()
        return message

    def handle_ping(self) -> None:
        self._count_empty_frame()
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # no pongs for a peer that doesn't read; the last suffices (RFC 6455, 5.5.3)

    def handle_pong(self, event: Frame) -> None:
        self._count_empty_frame()
        super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        if not event.data:
            self._count_empty_frame()
        if len(self.frames) >= _MAX_FRAGMENTS:
            self._fail(_POLICY_VIOLATION, "too many fragments")
        if not self.close_sent:
            super().handle_cont(event)

    def _count_empty_frame(self) -> None:
        self._empty_frames += 1
        if self._empty_frames > _MAX_EMPTY_FRAMES:
            self._fail(_POLICY_VIOLATION, "too many frames without content")

    def _fail(self, code: int, reason: str) -> None:
        """Send a close frame with the reason, then discard input while the peer reads it."""
        if self.close_sent or self.transport.is_closing():
            return
        self._send_close(code, reason)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._dropped, self.frames, self._rest = 0, [], memoryview(b"")
        self.read_paused = False
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _send_close(self, code: int, reason: str) -> None:
        self.conn.fail(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True

    def _drop(self, size: int) -> None:
        self._dropped += size
        if self._dropped > LINGER_BYTES:
            self.transport.pause_reading()

    # Writing

    async def send(self, message: Any) -> None:  # noqa: ANN401  uvicorn's
        if self.transport.is_closing():  # uvloop raises here before it reports the lost connection
            raise ClientDisconnected
        text = message.get("text") if message["type"] == "websocket.send" else None
        if text is None:
            await super().send(message)
            if message["type"] == "websocket.accept" and self.handshake_complete:
                self.read_paused = False
            if self._rest or message["type"] == "websocket.accept":
                self._go_on_reading()
            return
        data = text.encode()
        self.connection.waiting_bytes += len(data)
        try:
            async with self._sending:
                if len(data) > _PIECE_BYTES and self.handshake_complete and not self.close_sent:
                    await self._send_in_fragments(data)
                else:
                    await super().send(message)
        finally:
            self.connection.waiting_bytes -= len(data)
            self._last_message_at = time.monotonic()

    async def _send_in_fragments(self, data: bytes) -> None:
        """So the transport reports backpressure early, even with TLS, where it hides what it buffers."""
        start, self._sending_since = 0, time.monotonic()
        try:
            while start < len(data):
                await self.writable.wait()
                if self.disconnected:
                    raise ClientDisconnected
                self._send_fragment(data, start, start + _PIECE_BYTES)
                start += _PIECE_BYTES
        except asyncio.CancelledError:
            if start and not self.disconnected:  # messages must not be interleaved
                self._send_fragment(data, start, len(data))
            raise
        except InvalidState:
            raise ClientDisconnected from None
        finally:
            self._sending_since = None

    def _send_fragment(self, data: bytes, start: int, end: int) -> None:
        piece, last = data[start:end], end >= len(data)
        if start:
            self.conn.send_continuation(piece, last)
        else:
            self.conn.send_text(piece, last)
        self.transport.write(b"".join(self.conn.data_to_send()))

    # Timeouts

    def idle(self) -> Idle | None:
        """Idle once the request timeout has passed since the last operation: only subscriptions run longer."""
        if self.transport.is_closing() or self.connection.streams or self.connection.unread_bytes():
            return None
        if time.monotonic() - self._last_message_at <= self.connection.limits.stall_timeout_s:
            return None
        return WEBSOCKET, self._last_message_at

    def make_room(self) -> None:
        self._send_close(_TRY_AGAIN_LATER, "too many connections")
        self.transport.close()

    def check(self, now: float, *, shutting_down: bool) -> None:
        self._empty_frames = 0
        write_s = self.connection.limits.write_timeout_s
        if shutting_down:
            write_s = min(write_s, WRITING_AT_SHUTDOWN_S)
        if self._sending_since is not None and now - self._sending_since >= write_s:
            self.connection.end()

    # Ends

    def shutdown(self) -> None:
        """A client that has closed the WebSocket already, but not yet read everything, gets no other frame.

        Otherwise websockets would raise, and uvicorn would close none of the other connections.
        """
        if self.handshake_complete and self.conn.state is not State.OPEN:
            self.close_sent = True
        super().shutdown()
