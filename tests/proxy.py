"""A TCP proxy between clients and a gateway: it cuts connections off, and the gateway behind it can be replaced."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from transfer_gateway import server

_PIECE_BYTES = 65_536


class Proxy:
    """Passes bytes on. `server`: host and port; None: connections are closed at once.

    `bytes_until_cut` says for each connection after how many bytes, in both directions together, it is cut off; None:
    never.
    """

    def __init__(self, bytes_until_cut: Callable[[], int | None] = lambda: None) -> None:
        self.server: tuple[str, int] | None = None
        self.connections = 0  # made so far
        self._bytes_until_cut = bytes_until_cut
        self._writers: set[StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """Cut all connections off."""
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._connect(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError):
            if self.server is None:
                writer.transport.abort()
                return
            server_reader, server_writer = await asyncio.open_connection(*self.server)
            connection = _Connection(self._bytes_until_cut())
            async with self._open(writer), self._open(server_writer):
                passing = [
                    asyncio.create_task(connection.pass_on(reader, server_writer)),
                    asyncio.create_task(connection.pass_on(server_reader, writer)),
                ]
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
                for task in passing:
                    task.cancel()
                await asyncio.wait(passing)

    @asynccontextmanager
    async def _open(self, writer: StreamWriter) -> AsyncIterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            writer.close()  # after what has been passed on
            with suppress(OSError):
                await writer.wait_closed()
            self._writers.discard(writer)


class _Connection:
    def __init__(self, bytes_left: int | None) -> None:
        self._bytes_left = bytes_left

    async def pass_on(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Until the end of either side, or the cut."""
        with suppress(OSError):
            while self._bytes_left != 0 and (piece := await reader.read(_PIECE_BYTES)):
                if self._bytes_left is not None:
                    piece = piece[: self._bytes_left]
                    self._bytes_left -= len(piece)
                writer.write(piece)
                await writer.drain()


class ProxiedGateway:
    """A gateway whose addresses stay when another one takes its place."""

    def __init__(
        self,
        start: Callable[[], AbstractAsyncContextManager[server.Service]],
        bytes_until_cut: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._start = start
        self.http, self.grpc = Proxy(bytes_until_cut), Proxy(bytes_until_cut)
        self._proxies, self._gateway = AsyncExitStack(), AsyncExitStack()

    @property
    def url(self) -> str:
        return f"http://{self.http.address}"

    async def __aenter__(self) -> Self:
        for proxy in (self.http, self.grpc):
            await self._proxies.enter_async_context(proxy)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self._proxies.aclose()

    def cut(self) -> None:
        """Cut all connections off."""
        self.http.cut()
        self.grpc.cut()

    async def stop(self) -> None:
        """Shut it down, as on SIGTERM. Connections are closed at once until it starts again."""
        self.http.server = self.grpc.server = None
        await self._gateway.aclose()

    async def start(self) -> None:
        service = await self._gateway.enter_async_context(self._start())
        for proxy, url in ((self.http, service.url), (self.grpc, f"//{service.grpc}")):
            place = urlsplit(url)
            if place.hostname and place.port:  # gRPC may be off
                proxy.server = place.hostname, place.port
