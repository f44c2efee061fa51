"""Places: that they are kept to, go round, and are not held by slow calls."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from transfer_gateway.places import Places


async def call(places: Places, party: str, served: list[str], takes_s: float = 0.0) -> None:
    async with places.hold(party):
        served.append(party)
        await asyncio.sleep(takes_s)


async def test_places_go_round() -> None:
    """Each party that waits gets one place in its turn, however many places others wait for."""
    places, served = Places(1), list[str]()
    await asyncio.gather(*(call(places, party, served) for party in "aaaabbc"))
    assert "".join(served) == "aabcaba"


async def test_a_slow_call_gives_its_place_back() -> None:
    """Calls that never end hold nobody up for long, and their place is given back once."""
    places, served = Places(1), list[str]()
    hanging = [asyncio.create_task(call(places, "slow", served, takes_s=60)) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await call(places, "well", served)
        await call(places, "well", served)
    assert served[:2] == ["slow", "well"]
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)
    await is_whole(places)


async def test_who_leaves_takes_no_place() -> None:
    """Cancelled while waiting, or in the moment in which a place comes: it goes to the next."""
    places, served = Places(1), list[str]()
    async with AsyncExitStack() as held:
        await held.enter_async_context(places.hold("first"))
        waiting = [asyncio.create_task(call(places, party, served)) for party in "abc"]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        await held.aclose()
        waiting[1].cancel()
    await asyncio.wait(waiting)
    assert served == ["c"]
    await is_whole(places)


async def is_whole(places: Places) -> None:
    """One place, no more and no fewer."""
    served = list[str]()
    async with places.hold("one"):
        other = asyncio.create_task(call(places, "other", served))
        await asyncio.sleep(0.01)
        assert served == []
    await other
