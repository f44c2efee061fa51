from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from built_pages import serving_pages, write_page
from transfer_gateway import server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings
    from wire import Gateway

Run = Any


@pytest.fixture
def with_grpc(request: pytest.FixtureRequest) -> bool:
    """For modules that use gRPC, as their names or imports say."""
    module = request.module
    return any(word in module.__name__ for word in ("rpc", "tls")) or hasattr(module, "both_doors")


@pytest.fixture
async def run(aws: Emulator, settings: Callable[..., Settings]) -> AsyncIterator[Run]:
    """Run the service with the given settings. Returns: its URL."""
    async with AsyncExitStack() as stack:

        async def start(**overrides: object) -> str:
            service = await stack.enter_async_context(server.running(settings(**overrides)))
            return service.url

        yield start


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Of a small page as built by Vite."""
    write_page(tmp_path / "page")
    return tmp_path / "page"


@pytest.fixture
async def page(directory: Path) -> AsyncIterator[Gateway]:
    """Both pages, of that directory's files."""
    async with serving_pages(directory) as client:
        yield client
