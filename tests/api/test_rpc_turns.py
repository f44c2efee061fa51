"""Long answers over gRPC are made a few rows at a time."""

from __future__ import annotations

import asyncio

from transfer_gateway.api.rpc.turns import Turns


async def test_a_round_has_few_turns_each_in_order() -> None:
    """Whoever waits goes on in the order of asking, no more than three in a round of the loop; who left is skipped."""
    turns, came = Turns(), list[tuple[int, int]]()
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
    turns, others = Turns(), 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(other())
    assert await turns.each(str, range(1000)) == [str(number) for number in range(1000)]
    counting.cancel()
    assert others > 10
