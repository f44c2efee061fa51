"""Long answers over gRPC are made a few rows at a time."""

from __future__ import annotations

import asyncio

import pytest

from transfer_gateway.api.loop_budget import LoopBudget
from transfer_gateway.api.rpc.stream_queue import StreamQueue
from transfer_gateway.domain.errors import DeadlineExceeded, UpstreamUnavailable


async def test_a_round_has_few_turns_each_in_order() -> None:
    """Whoever waits goes on in the order of asking, no more than three in a round of the loop; who left is skipped."""
    turns, came = LoopBudget(), list[tuple[int, int]]()
    rounds = 0

    async def count_rounds() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    async def one(number: int) -> None:
        await turns.take()
        came.append((rounds, number))

    counting = asyncio.create_task(count_rounds())
    tasks = [asyncio.create_task(one(number)) for number in range(20)]
    await asyncio.sleep(0)
    tasks[5].cancel()
    await asyncio.wait(tasks)
    counting.cancel()
    assert [number for _, number in came] == [number for number in range(20) if number != 5]
    in_round = [at for at, _ in came]
    assert max(in_round.count(at) for at in in_round) == 3


async def test_each_gives_all_in_order() -> None:
    """And others have their turns in between."""
    turns, others = LoopBudget(), 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(other())
    assert await turns.each(str, range(1000)) == [str(number) for number in range(1000)]
    counting.cancel()
    assert others > 10


def later(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_line_has_few_places_for_each_caller() -> None:
    """Who leaves gives the place to the next who still waits; others' queue are their own."""
    queue, inside, leave = StreamQueue(2), list[int](), [asyncio.Event() for _ in range(5)]

    async def one(number: int) -> None:
        async with queue.slot("me", deadline=later(60)):
            inside.append(number)
            await leave[number].wait()

    tasks = [asyncio.create_task(one(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert inside == [0, 1]
    async with asyncio.timeout(5), queue.slot("another", deadline=later(60)):
        tasks[2].cancel()
        leave[0].set()
        await asyncio.wait([tasks[0], tasks[2]])
        while len(inside) < 3:
            await asyncio.sleep(0)
    assert inside == [0, 1, 3]
    for event in leave:
        event.set()
    await asyncio.wait(tasks)
    assert inside == [0, 1, 3, 4]


async def test_the_end_of_waiting_in_line() -> None:
    """The request's time, or the service's end: then whoever waits is told so, and whoever has a place keeps it."""
    queue = StreamQueue(1)
    async with queue.slot("me", deadline=later(60)):
        with pytest.raises(DeadlineExceeded):
            await queue.slot("me", deadline=later(0.01)).__aenter__()
        waiting = asyncio.create_task(queue.slot("me", deadline=later(60)).__aenter__())
        await asyncio.sleep(0)
        queue.stop()
        with pytest.raises(UpstreamUnavailable):
            await waiting
        with pytest.raises(UpstreamUnavailable):
            await queue.slot("me", deadline=later(60)).__aenter__()
