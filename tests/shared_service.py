"""A service in its own thread, shared by a module's tests, whatever their event loops."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from transfer_emulator import Emulator
from transfer_gateway import server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pytest

    from transfer_emulator import World
    from transfer_gateway.settings import Settings

T = TypeVar("T")


def clear_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove this machine's settings, and set those of all tests."""
    for name in os.environ:
        if name.startswith(("AWS_", "OTEL_", "TRANSFER_GATEWAY_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TRANSFER_GATEWAY_AUTH", "none")
    # Its followers call AWS in between; tests of it switch it on.
    monkeypatch.setenv("TRANSFER_GATEWAY_HISTORY_URL", "off")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost,::1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@dataclass(frozen=True)
class SharedService:
    """`environment`: points AWS's clients to the emulator behind it. `grpc`: its address, if it has a gRPC server."""

    url: str
    grpc: str
    environment: Mapping[str, str]
    _loop: asyncio.AbstractEventLoop

    def call(self, work: Callable[[], T]) -> T:
        """Do in its thread what looks into the emulator's world, which is not made for two."""

        async def done() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(60)


@contextmanager
def shared(
    world: World, use: Callable[[Mapping[str, str]], None], settings: Callable[[], Settings]
) -> Iterator[SharedService]:
    """Start the emulator, then call `use` with its environment, then start the service with `settings()`."""
    ready: Future[SharedService] = Future()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with Emulator(world, port=0) as aws:
            environment = aws.environment()
            use(environment)
            async with server.running(settings()) as service:
                ready.set_result(SharedService(service.url, service.grpc, environment, loop))
                await stop.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            try:
                runner.run(serve())
            except BaseException as error:
                if ready.done():
                    raise
                ready.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ready.result()
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        thread.join()
