"""Concurrent calls: how many run at once, and in which order their outcomes come. One failure never ends the others.

    outcomes               all, at most 256 at a time
    outcomes_as_they_come  the same, each as soon as it is there
    outcomes_in_window     in the items' order, few at first, and only until there is enough

A call that takes longer than half a second no longer counts towards these limits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.fair_limiter import SLOW_S, FairLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable

K = TypeVar("K")
V = TypeVar("V")

_MAX_CONCURRENCY = 256  # each has some 20 KB, its connection included; more would only wait for each other
_STARTED_TOGETHER = 8  # before the event loop runs other tasks
_MAX_UNREAD = 32  # outcomes not yet taken by the reader; nothing further is asked while there are more
_MIN_WINDOW, _MAX_WINDOW = 8, 128


async def outcomes(
    items: Iterable[K], ask: Callable[[K], Awaitable[V]], *, max_concurrency: int = _MAX_CONCURRENCY
) -> dict[K, V | GatewayError]:
    """What `ask` gives for each different item, all asked at once, in the order of the items."""
    found: dict[K, Any] = dict.fromkeys(items)

    async def one(item: K) -> None:
        found[item] = await outcome_of(item, ask)

    async with asyncio.TaskGroup() as tasks:
        await _ask_all(tasks, found, one, max_concurrency=max_concurrency)
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
        if come.qsize() >= _MAX_UNREAD:
            has_room.clear()

    async def ask_all() -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                await _ask_all(tasks, items, one, has_room=has_room, until=until)
        except asyncio.CancelledError as cancelled:  # by the generator's end: nobody waits for this any more
            # The exception and a frame of the TaskGroup refer to each other: with the traceback all of this would
            # stay in memory until the next search for garbage.
            cancelled.with_traceback(None)

    # In a task of its own: a generator that is closed can't leave a TaskGroup in peace.
    asking = asyncio.create_task(ask_all())
    asking.add_done_callback(lambda _: come.put_nowait(None))
    try:
        while (answer := await come.get()) is not None:
            if come.qsize() < _MAX_UNREAD:
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
    *,
    has_room: asyncio.Event | None = None,
    until: float | None = None,
    max_concurrency: int = _MAX_CONCURRENCY,
) -> None:
    """Start `one` for each different item, a few at a time; none while there is no room for answers or from `until` on.

    So the first answers need not wait until all questions are put, and there are no more of them under way, and in
    memory, than it takes to have the event loop busy. Those that get no answer hold no others up.
    """
    loop = asyncio.get_running_loop()
    limiter = FairLimiter(max_concurrency)
    for number, item in enumerate(dict.fromkeys(items), 1):
        if has_room is not None and not has_room.is_set():
            await has_room.wait()
        end = await limiter.acquire(item)
        if until is not None and loop.time() >= until:
            end()
            return
        tasks.create_task(one(item)).add_done_callback(end)
        if number % _STARTED_TOGETHER == 0:
            await asyncio.sleep(0)


async def outcomes_in_window(
    items: Iterable[K], ask: Callable[[K], Awaitable[V]], *, is_enough: Callable[[], bool], until: float
) -> AsyncGenerator[tuple[K, V | GatewayError]]:
    """What `ask` gives for each item, as soon as it is there; no further item is asked once `is_enough`.

    Nor from `until` on, in the loop's time.

    Items are asked in their order: as many at a time as have answered so far, 8 to 128. An item that takes longer
    than half a second no longer counts, so items that hang don't block the others. Closing the generator cancels the
    calls in progress.
    """
    loop = asyncio.get_running_loop()
    waiting, answered = deque(items), 0
    under_way: dict[asyncio.Task[V | GatewayError], tuple[K, float]] = {}
    done: asyncio.Queue[asyncio.Task[V | GatewayError]] = asyncio.Queue()

    def has_room() -> bool:
        now = loop.time()
        if now >= until:
            return False
        slow_before = now - SLOW_S
        quick = sum(started > slow_before for _, started in under_way.values())
        return quick < min(_MAX_WINDOW, max(_MIN_WINDOW, answered))

    try:
        while True:
            while waiting and not is_enough() and has_room():
                item = waiting.popleft()
                task = asyncio.create_task(outcome_of(item, ask))
                under_way[task] = item, loop.time()
                task.add_done_callback(done.put_nowait)
            if not under_way:
                return
            try:
                async with asyncio.timeout(SLOW_S):
                    task = await done.get()
            except TimeoutError:
                continue
            answered += 1
            item, _ = under_way.pop(task)
            yield item, task.result()
    finally:
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)


async def outcome_of(item: K, ask: Callable[[K], Awaitable[V]]) -> V | GatewayError:
    """What `ask` gives, or the GatewayError that it raises."""
    try:
        return await ask(item)
    except GatewayError as error:
        return error
