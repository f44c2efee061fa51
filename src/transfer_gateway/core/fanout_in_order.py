"""Asking many in their order, a few at first and then ever more at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from transfer_gateway.core.fanout import outcome_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

    from transfer_gateway.domain.errors import GatewayError

K = TypeVar("K")
V = TypeVar("V")

_FEWEST, _MOST = 8, 128
_PATIENCE_S = 0.5


async def outcomes_in_window(
    items: Iterable[K], ask: Callable[[K], Awaitable[V]], *, is_enough: Callable[[], bool], until: float
) -> AsyncGenerator[tuple[K, V | GatewayError]]:
    """What `ask` gives for each item, as soon as it is there; no further item is asked once `is_enough`.

    Nor from `until` on, in the loop's time.

    The next is asked as soon as any has answered: as many at a time as have answered so far, 8 to 128. One
    that takes longer than half a second gives its place to the next, so that those which hang, however many
    come first, hold up nobody. Closing the generator cancels what is still asked.
    """
    loop = asyncio.get_running_loop()
    ahead, answered = deque(items), 0
    flying: dict[asyncio.Task[V | GatewayError], tuple[K, float]] = {}
    landed: asyncio.Queue[asyncio.Task[V | GatewayError]] = asyncio.Queue()

    def has_room() -> bool:
        now = loop.time()
        if now >= until:
            return False
        patient_since = now - _PATIENCE_S
        prompt = sum(started > patient_since for _, started in flying.values())
        return prompt < min(_MOST, max(_FEWEST, answered))

    try:
        while True:
            while ahead and not is_enough() and has_room():
                item = ahead.popleft()
                task = asyncio.create_task(outcome_of(item, ask))
                flying[task] = item, loop.time()
                task.add_done_callback(landed.put_nowait)
            if not flying:
                return
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    task = await landed.get()
            except TimeoutError:
                continue
            answered += 1
            item, _ = flying.pop(task)
            yield item, task.result()
    finally:
        for task in flying:
            task.cancel()
        if flying:
            await asyncio.wait(flying)
