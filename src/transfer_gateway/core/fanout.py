"""Concurrent calls: how many run at once, and the order of their outcomes. A failure never cancels the others.

    outcomes               all, at most 256 at a time
    outcomes_as_completed  the same, each as soon as it completes
    outcomes_in_window     started in the items' order, few at first, and only until there are enough

A call that takes longer than half a second no longer counts towards these limits, so calls that hang don't block the
others.
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

_MAX_CONCURRENCY = 256  # each takes about 20 KB with its connection; more would not be faster
_STARTED_TOGETHER = 8  # before the event loop runs other tasks
_MAX_UNREAD = 32  # outcomes not yet consumed; no further call starts above that
_MIN_WINDOW, _MAX_WINDOW = 8, 128


async def outcomes(
    items: Iterable[K], call: Callable[[K], Awaitable[V]], *, max_concurrency: int = _MAX_CONCURRENCY
) -> dict[K, V | GatewayError]:
    """The outcome of `call` for each distinct item, run concurrently, in the order of the items."""
    found: dict[K, Any] = dict.fromkeys(items)

    async def one(item: K) -> None:
        found[item] = await outcome_of(item, call)

    async with asyncio.TaskGroup() as tasks:
        await _start_all(tasks, found, one, max_concurrency=max_concurrency)
    return found


async def outcomes_as_completed(
    items: Iterable[K], call: Callable[[K], Awaitable[V]], *, until: float | None = None
) -> AsyncGenerator[tuple[K, V | GatewayError]]:
    """As `outcomes`, each as soon as it completes. Closing the generator cancels the calls in progress.

    Backpressure: no further call starts while 32 outcomes are not yet consumed. From `until` on, in the loop's time,
    no further call starts either: the remaining items have no outcome.
    """
    completed: asyncio.Queue[tuple[K, V | GatewayError] | None] = asyncio.Queue()
    has_room = asyncio.Event()
    has_room.set()

    async def one(item: K) -> None:
        completed.put_nowait((item, await outcome_of(item, call)))
        if completed.qsize() >= _MAX_UNREAD:
            has_room.clear()

    async def run_all() -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                await _start_all(tasks, items, one, has_room=has_room, until=until)
        except asyncio.CancelledError as cancelled:  # by the end of the generator
            # The exception and a frame of the TaskGroup reference each other: with the traceback, all of this would
            # stay in memory until the next garbage collection.
            cancelled.with_traceback(None)

    # A separate task, because closing a generator inside a TaskGroup breaks the group.
    running = asyncio.create_task(run_all())
    running.add_done_callback(lambda _: completed.put_nowait(None))
    try:
        while (answer := await completed.get()) is not None:
            if completed.qsize() < _MAX_UNREAD:
                has_room.set()
            yield answer
        await running
    finally:
        running.cancel()
        await asyncio.wait([running])


async def _start_all(
    tasks: asyncio.TaskGroup,
    items: Iterable[K],
    one: Callable[[K], Coroutine[Any, Any, None]],
    *,
    has_room: asyncio.Event | None = None,
    until: float | None = None,
    max_concurrency: int = _MAX_CONCURRENCY,
) -> None:
    """Start `one` for each distinct item, a few at a time; none while outcomes are unread, or from `until` on.

    So the first outcomes arrive before all calls have started, and only as many calls are in memory as keep the event
    loop busy. Calls that hang do not block the others.
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
    items: Iterable[K], call: Callable[[K], Awaitable[V]], *, is_enough: Callable[[], bool], until: float
) -> AsyncGenerator[tuple[K, V | GatewayError]]:
    """The outcome of `call` for each item, as soon as it completes.

    Calls start in the items' order, as many at a time as have completed so far: 8 to 128. No call starts once
    `is_enough`, or from `until` on, in the loop's time. Closing the generator cancels the calls in progress.
    """
    loop = asyncio.get_running_loop()
    waiting, answered = deque(items), 0
    in_progress: dict[asyncio.Task[V | GatewayError], tuple[K, float]] = {}
    done: asyncio.Queue[asyncio.Task[V | GatewayError]] = asyncio.Queue()

    def has_room() -> bool:
        now = loop.time()
        if now >= until:
            return False
        slow_before = now - SLOW_S
        quick = sum(started > slow_before for _, started in in_progress.values())
        return quick < min(_MAX_WINDOW, max(_MIN_WINDOW, answered))

    try:
        while True:
            while waiting and not is_enough() and has_room():
                item = waiting.popleft()
                task = asyncio.create_task(outcome_of(item, call))
                in_progress[task] = item, loop.time()
                task.add_done_callback(done.put_nowait)
            if not in_progress:
                return
            try:
                async with asyncio.timeout(SLOW_S):
                    task = await done.get()
            except TimeoutError:
                continue
            answered += 1
            item, _ = in_progress.pop(task)
            yield item, task.result()
    finally:
        for task in in_progress:
            task.cancel()
        if in_progress:
            await asyncio.wait(in_progress)


async def outcome_of(item: K, call: Callable[[K], Awaitable[V]]) -> V | GatewayError:
    """The result of `call`, or the GatewayError that it raises."""
    try:
        return await call(item)
    except GatewayError as error:
        return error
