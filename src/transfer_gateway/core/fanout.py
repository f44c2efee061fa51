"""Asking many at once: each answer or failure stands for itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.fair_limiter import FairLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable

K = TypeVar("K")
V = TypeVar("V")

_AT_ONCE = 8
_UNDER_WAY = 256  # each has some 20 KB, its connection included; more would only wait for each other
_UNREAD = 32  # answers that are there and not taken yet; no further question is put while there are more


async def outcomes(items: Iterable[K], ask: Callable[[K], Awaitable[V]]) -> dict[K, V | GatewayError]:
    """What `ask` gives for each different item, all asked at once, in the order of the items."""
    found: dict[K, Any] = dict.fromkeys(items)

    async def one(item: K) -> None:
        found[item] = await outcome_of(item, ask)

    async with asyncio.TaskGroup() as tasks:
        await _ask_all(tasks, found, one)
    return found


async def outcomes_as_they_come(
    items: Iterable[K], ask: Callable[[K], Awaitable[V]], *, until: float | None = None
) -> AsyncGenerator[tuple[K, V | GatewayError]]:
    """The same, each as soon as it is there, in no order. Closing the generator cancels what is still asked.

    Asks no faster than its answers are taken: at most 32 wait to be, and those of the questions then under way.
    From `until` on, in the loop's time, no further question is put: those left over have no outcome.
    """
    come: asyncio.Queue[tuple[K, V | GatewayError] | None] = asyncio.Queue()
    has_room = asyncio.Event()
    has_room.set()

    async def one(item: K) -> None:
        come.put_nowait((item, await outcome_of(item, ask)))
        if come.qsize() >= _UNREAD:
            has_room.clear()

    async def ask_all() -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                await _ask_all(tasks, items, one, has_room, until)
        except asyncio.CancelledError as cancelled:  # by the generator's end: nobody waits for this any more
            # The exception and a frame of the TaskGroup refer to each other: with the traceback all of this would
            # stay in memory until the next search for garbage.
            cancelled.with_traceback(None)

    # In a task of its own: a generator that is closed can't leave a TaskGroup in peace.
    asking = asyncio.create_task(ask_all())
    asking.add_done_callback(lambda _: come.put_nowait(None))
    try:
        while (answer := await come.get()) is not None:
            if come.qsize() < _UNREAD:
                has_room.set()
            yield answer
        await asking
    finally:
        asking.cancel()
        await asyncio.wait([asking])


async def _ask_all(
    tasks: asyncio.TaskGroup,
    items: Iterable[K],
    one: Callable[[K], Coroutine[Any, Any, None]],
    has_room: asyncio.Event | None = None,
    until: float | None = None,
) -> None:
    """Start `one` for each different item, a few at a time; none while there is no room for answers or from `until` on.

    So the first answers need not wait until all questions are put, and there are no more of them under way, and in
    memory, than it takes to have the event loop busy. Those that get no answer hold no others up.
    """
    loop = asyncio.get_running_loop()
    limiter = FairLimiter(_UNDER_WAY)
    for number, item in enumerate(dict.fromkeys(items), 1):
        if has_room is not None and not has_room.is_set():
            await has_room.wait()
        end = await limiter.acquire(item)
        if until is not None and loop.time() >= until:
            end()
            return
        tasks.create_task(one(item)).add_done_callback(end)
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)


async def outcome_of(item: K, ask: Callable[[K], Awaitable[V]]) -> V | GatewayError:
    """What `ask` gives, or the GatewayError that it raises."""
    try:
        return await ask(item)
    except GatewayError as error:
        return error
