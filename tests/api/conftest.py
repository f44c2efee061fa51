from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from transfer_gateway import server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings

Run = Any


@pytest.fixture
async def run(aws: Emulator, settings: Callable[..., Settings]) -> AsyncIterator[Run]:
    """Run the service with the given settings. Returns: its URL."""
    async with AsyncExitStack() as stack:

        async def start(**overrides: object) -> str:
            service = await stack.enter_async_context(server.running(settings(**overrides)))
            return service.url

        yield start
