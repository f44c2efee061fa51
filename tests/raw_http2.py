"""A client of the gRPC server that does, frame by frame, what no library would."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from transfer_gateway import server

DATA, HEADERS, RESET, SETTINGS, PING = 0, 1, 3, 4, 6
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4
DEFAULT_WINDOW = 65_535


class Client:
    """A minimal HTTP/2 client. It grants the server no more window than given at first.

    Source: RFC 9113.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._next_stream = 1
        self.answered: set[int] = set()
        self.ended: set[int] = set()
        self.statuses: dict[int, int] = {}
        self.pings = 0

    def start(self, window_bytes: int) -> None:
        self._writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self._frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, window_bytes))

    def call(
        self, path: str, message: bytes | None = b"", *, part: int | None = None, ends: bool = False
    ) -> int:
        """Call a method. `part`: send only that many bytes of the message. Returns: the stream.

        With `message` None, sends none; `ends` closes the client's side nevertheless.
        """
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "x",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        flags = END_HEADERS | (END_STREAM if ends else 0)
        self._frame(HEADERS, flags, stream, b"".join(map(_literal, headers, headers.values())))
        if message is not None:
            body = b"\0" + struct.pack(">I", len(message)) + message
            sent = body if part is None else body[:part]
            for start in range(0, len(sent), 16_384):
                ends = part is None and start + 16_384 >= len(sent)
                self._frame(DATA, END_STREAM if ends else 0, stream, sent[start : start + 16_384])
        return stream

    async def read(self) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self._reader.readexactly(9)
                body = await self._reader.readexactly(int.from_bytes(head[:3]))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:])
                self.pings += kind == PING and not flags & ACK
                if kind in {SETTINGS, PING} and not flags & ACK:
                    self._frame(kind, ACK, 0, body if kind == PING else b"")
                _, found, status = body.partition(b"\x0bgrpc-status")
                if kind == HEADERS and found:  # it is written out where nothing else could be sent, too
                    self.statuses[stream] = int(status[1 : 1 + status[0]])
                if kind == DATA:
                    self.answered.add(stream)
                if kind == RESET or (kind in {DATA, HEADERS} and flags & END_STREAM):
                    self.ended.add(stream)

    def _frame(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        self._writer.write(struct.pack(">I", len(body))[1:] + bytes([kind, flags]))
        self._writer.write(struct.pack(">I", stream) + body)


def _literal(name: str, value: str) -> bytes:
    """A header in HPACK, as a literal."""
    return b"".join((b"\0", bytes([len(name)]), name.encode(), bytes([len(value)]), value.encode()))


@asynccontextmanager
async def hostile(service: server.Service, window_bytes: int = 0) -> AsyncIterator[Client]:
    host, _, port = service.grpc.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    client = Client(reader, writer)
    client.start(window_bytes)
    reading = asyncio.create_task(client.read())
    try:
        yield client
    finally:
        reading.cancel()
        await asyncio.wait([reading])
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def calls_open() -> int:
    """Calls for which grpc.aio has tasks."""
    return sum(task.get_name() == "rpc_task" for task in asyncio.all_tasks())
