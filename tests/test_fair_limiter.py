"""FairLimiter: the limit holds, slots go round, and slow calls keep none."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from transfer_gateway.fair_limiter import FairLimiter


async def call(limiter: FairLimiter, party: str, served: list[str], takes_s: float = 0.0) -> None:
    async with limiter.hold(party):
        served.append(party)
        await asyncio.sleep(takes_s)


async def test_places_go_round() -> None:
    """Each party that waits gets one place in its turn, however many limiter others wait for."""
    limiter, served = FairLimiter(1), list[str]()
    await asyncio.gather(*(call(limiter, party, served) for party in "aaaabbc"))
    assert "".join(served) == "aabcaba"


async def test_a_slow_call_gives_its_place_back() -> None:
    """Calls that never end hold nobody up for long, and their place is given back once."""
    limiter, served = FairLimiter(1), list[str]()
    hanging = [asyncio.create_task(call(limiter, "slow", served, takes_s=60)) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await call(limiter, "well", served)
        await call(limiter, "well", served)
    assert served[:2] == ["slow", "well"]
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)
    await is_whole(limiter)


async def test_who_leaves_takes_no_place() -> None:
    """Cancelled while waiting, or in the moment in which a place comes: it goes to the next."""
    limiter, served = FairLimiter(1), list[str]()
    async with AsyncExitStack() as held:
        await held.enter_async_context(limiter.hold("first"))
        waiting = [asyncio.create_task(call(limiter, party, served)) for party in "abc"]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        await held.aclose()
        waiting[1].cancel()
    await asyncio.wait(waiting)
    assert served == ["c"]
    await is_whole(limiter)


async def is_whole(limiter: FairLimiter) -> None:
    """One place, no more and no fewer."""
    served = list[str]()
    async with limiter.hold("one"):
        other = asyncio.create_task(call(limiter, "other", served))
        await asyncio.sleep(0.01)
        assert served == []
    await other
