"""Large gRPC responses are built a few rows per event loop iteration; a caller's streams are queued."""

from __future__ import annotations

import asyncio

import pytest

from transfer_gateway.api.loop_budget import LoopBudget
from transfer_gateway.api.rpc.stream_queue import StreamQueue
from transfer_gateway.domain.errors import DeadlineExceeded, UpstreamUnavailable


async def test_an_iteration_admits_few_in_order() -> None:
    """First come, first served, at most three per loop iteration; cancelled waiters are skipped."""
    budget, admitted = LoopBudget(), list[tuple[int, int]]()
    iterations = 0

    async def count_iterations() -> None:
        nonlocal iterations
        while True:
            iterations += 1
            await asyncio.sleep(0)

    async def one(number: int) -> None:
        await budget.take()
        admitted.append((iterations, number))

    counting = asyncio.create_task(count_iterations())
    tasks = [asyncio.create_task(one(number)) for number in range(20)]
    await asyncio.sleep(0)
    tasks[5].cancel()
    await asyncio.wait(tasks)
    counting.cancel()
    assert [number for _, number in admitted] == [number for number in range(20) if number != 5]
    at_iteration = [at for at, _ in admitted]
    assert max(at_iteration.count(at) for at in at_iteration) == 3


async def test_map_returns_all_in_order() -> None:
    """Other tasks run in between."""
    budget, others = LoopBudget(), 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(other())
    assert await budget.map(str, range(1000)) == [str(number) for number in range(1000)]
    counting.cancel()
    assert others > 10


def later(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_each_caller_has_few_slots() -> None:
    """A released slot goes to the next waiter of the same caller; other callers have their own queues."""
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


async def test_waiting_for_a_slot_ends() -> None:
    """At the deadline, or when the service shuts down: waiters get an error, and held slots stay valid."""
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
