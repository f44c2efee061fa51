"""Fan-out: how many calls run at once, and that slow ones don't delay others."""

from __future__ import annotations

import asyncio

import pytest

from transfer_gateway.core.fanout import outcomes, outcomes_as_completed

pytestmark = pytest.mark.made_up_time
MANY = range(1000)


class Asked:
    """Calls that take that long each; records the maximum that ran at once."""

    def __init__(self, for_s: float) -> None:
        self._for_s = for_s
        self._under_way = self.most = 0

    async def __call__(self, number: int) -> int:
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        await asyncio.sleep(self._for_s)
        self._under_way -= 1
        return number


async def test_no_more_than_help() -> None:
    """Of a thousand calls that take a moment each, 256 run at a time."""
    ask = Asked(for_s=0.02)
    assert await outcomes(MANY, ask) == dict(zip(MANY, MANY, strict=True))
    assert 8 <= ask.most <= 256


async def test_who_is_quick_is_not_asked_beside_others() -> None:
    """Of calls that complete at once, only a few are in memory."""
    ask = Asked(for_s=0)
    await outcomes(MANY, ask)
    assert ask.most <= 32


async def test_the_slow_hold_nobody_up() -> None:
    """However many calls hang, the others complete soon."""
    answered: list[tuple[int, object]] = []

    async def ask(number: int) -> None:
        if number < 600:
            await asyncio.Event().wait()

    coming = outcomes_as_completed(MANY, ask)
    async with asyncio.timeout(5):
        while len(answered) < 400:
            answered.append(await anext(coming))
    await coming.aclose()
    assert sorted(number for number, _ in answered) == list(range(600, 1000))


async def test_asks_no_faster_than_answers_are_taken() -> None:
    """Of a thousand calls that complete at once, few start if the consumer takes one outcome and then pauses."""
    asked = 0

    async def ask(_: int) -> None:
        nonlocal asked
        asked += 1

    coming = outcomes_as_completed(MANY, ask)
    await anext(coming)
    await asyncio.sleep(5)
    assert asked <= 64
    assert 1 + len([each async for each in coming]) == len(MANY)
    assert asked == len(MANY)


async def test_answers_under_way_have_room() -> None:
    """Outcomes of calls started before the consumer paused are kept, and the remaining calls start later."""
    ask = Asked(for_s=0.02)
    coming = outcomes_as_completed(MANY, ask)
    first = await anext(coming)
    await asyncio.sleep(5)
    assert sorted([first, *[each async for each in coming]]) == [(number, number) for number in MANY]
    assert ask.most <= 256


async def test_no_question_after_its_time() -> None:
    """From `until` on no call starts, even if running ones end."""
    until = asyncio.get_running_loop().time() + 10
    asked = 0

    async def ask(_: int) -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(until - asyncio.get_running_loop().time())

    coming = outcomes_as_completed(range(100_000), ask, until=until)
    answered = len([each async for each in coming])
    assert answered == asked < 100_000
    assert asyncio.get_running_loop().time() < until + 0.1
