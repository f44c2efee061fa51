"""Asking many at once: each answer or failure stands for itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from transfer_gateway.domain.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

K = TypeVar("K")
V = TypeVar("V")


async def outcomes(items: Iterable[K], ask: Callable[[K], Awaitable[V]]) -> dict[K, V | GatewayError]:
    """What `ask` gives for each different item, all asked at once, in the order of the items.

    Bounded by the caller's number of items and by pacing, which `ask` goes through.
    """

    async def one(item: K) -> V | GatewayError:
        try:
            return await ask(item)
        except GatewayError as error:
            return error

    async with asyncio.TaskGroup() as tasks:
        asked = {item: tasks.create_task(one(item)) for item in dict.fromkeys(items)}
    return {item: task.result() for item, task in asked.items()}
