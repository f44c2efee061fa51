"""How many connections the gRPC door takes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from transfer_gateway import server
from wire import connected

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
PATIENCE_S = 20


async def test_grpc_connections_are_bounded(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """Beyond GRPC_MAX_CONNECTIONS a connection is closed, and those before it are served on."""
    async with server.running(settings(grpc_max_connections=3)) as service, AsyncExitStack() as stack:
        answers = []
        for _ in range(6):
            reader, writer = await stack.enter_async_context(connected(f"http://{service.grpc}"))
            writer.write(PREFACE)
            async with asyncio.timeout(PATIENCE_S):
                answers.append(bool(await reader.read(9)))
        assert answers == [True] * 3 + [False] * 3
