"""FairLimiter: the limit holds, slots are shared round-robin, and slow calls free theirs."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from driven_time import MadeUpTime
from transfer_gateway.fair_limiter import FairLimiter

pytestmark = pytest.mark.made_up_time


async def call(limiter: FairLimiter, key: str, served: list[str], takes_s: float = 0.0) -> None:
    async with limiter.slot(key):
        served.append(key)
        await asyncio.sleep(takes_s)


async def test_slots_are_shared_round_robin() -> None:
    """Each waiting key gets one slot in turn, however many calls of other keys wait."""
    limiter, served = FairLimiter(1), list[str]()
    await asyncio.gather(*(call(limiter, key, served) for key in "aaaabbc"))
    assert "".join(served) == "aabcaba"


async def test_a_slow_call_frees_its_slot() -> None:
    """Calls that hang do not block others for long, and free their slot only once."""
    limiter, served = FairLimiter(1), list[str]()
    hanging = [asyncio.create_task(call(limiter, "slow", served, takes_s=60)) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await call(limiter, "fast", served)
        await call(limiter, "fast", served)
    assert served[:2] == ["slow", "fast"]
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)
    await has_one_slot(limiter)


async def test_slow_calls_keep_their_slots_while_the_event_loop_is_late() -> None:
    """A process that gets too little CPU begins no more calls than it can end."""
    limiter, served, loop = FairLimiter(1), list[str](), asyncio.get_running_loop()
    assert isinstance(loop, MadeUpTime)
    hanging = asyncio.create_task(call(limiter, "slow", served, takes_s=60))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(call(limiter, "fast", served))
    for _ in range(20):
        loop._leap(1.0)
        await asyncio.sleep(0)
    assert served == ["slow"]
    async with asyncio.timeout(2):
        await waiting
    hanging.cancel()


async def test_a_cancelled_call_takes_no_slot() -> None:
    """Cancelled while waiting, or just as a slot is granted: the slot goes to the next call."""
    limiter, served = FairLimiter(1), list[str]()
    async with AsyncExitStack() as held:
        await held.enter_async_context(limiter.slot("first"))
        waiting = [asyncio.create_task(call(limiter, key, served)) for key in "abc"]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        await held.aclose()
        waiting[1].cancel()
    await asyncio.wait(waiting)
    assert served == ["c"]
    await has_one_slot(limiter)


async def has_one_slot(limiter: FairLimiter) -> None:
    """Exactly one slot is free."""
    served = list[str]()
    async with limiter.slot("one"):
        other = asyncio.create_task(call(limiter, "other", served))
        await asyncio.sleep(0.01)
        assert served == []
    await other
