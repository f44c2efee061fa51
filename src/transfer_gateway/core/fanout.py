"""Asking many at once: each answer or failure stands for itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from transfer_gateway.domain.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

K = TypeVar("K")
V = TypeVar("V")

_AT_ONCE = 8


async def outcomes(items: Iterable[K], ask: Callable[[K], Awaitable[V]]) -> dict[K, V | GatewayError]:
    """What `ask` gives for each different item, all asked at once, in the order of the items.

    Bounded by the caller's number of items and by pacing, which `ask` goes through.
    """
    async with asyncio.TaskGroup() as tasks:
        asked = {item: tasks.create_task(outcome_of(item, ask)) for item in dict.fromkeys(items)}
    return {item: task.result() for item, task in asked.items()}


async def outcomes_as_they_come(
    items: Iterable[K], ask: Callable[[K], Awaitable[V]]
) -> AsyncGenerator[tuple[K, V | GatewayError]]:
    """The same, each as soon as it is there, in no order. Closing the generator cancels what is still asked.

    The first answers are not to wait until all questions are put: that alone takes a while for a thousand.
    """
    come: asyncio.Queue[tuple[K, V | GatewayError] | None] = asyncio.Queue()

    async def one(item: K) -> None:
        come.put_nowait((item, await outcome_of(item, ask)))

    async def ask_all() -> None:
        async with asyncio.TaskGroup() as tasks:
            for number, item in enumerate(dict.fromkeys(items), 1):
                tasks.create_task(one(item))
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)

    # In a task of its own: a generator that is closed can't leave a TaskGroup in peace.
    asking = asyncio.create_task(ask_all())
    asking.add_done_callback(lambda _: come.put_nowait(None))
    try:
        while (answer := await come.get()) is not None:
            yield answer
        await asking
    finally:
        asking.cancel()
        await asyncio.wait([asking])


async def outcome_of(item: K, ask: Callable[[K], Awaitable[V]]) -> V | GatewayError:
    """What `ask` gives, or the GatewayError that it raises."""
    try:
        return await ask(item)
    except GatewayError as error:
        return error
