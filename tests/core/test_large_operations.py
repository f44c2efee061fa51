"""Large operations: one at a time, a pause after each, round-robin by caller."""

from __future__ import annotations

import asyncio

import pytest

from transfer_gateway.api.graphql.large_operations import LargeOperations
from transfer_gateway.domain.caller import Caller
from transfer_gateway.domain.errors import DeadlineExceeded, Throttled

ANNA, BEN = Caller("anna"), Caller("ben")
FOREVER = 1e9
pytestmark = pytest.mark.made_up_time


class Worked:
    """Records who ran, and when."""

    def __init__(self, turns: LargeOperations) -> None:
        self._turns = turns
        self.began: list[tuple[str, float]] = []

    async def __call__(self, caller: Caller, for_s: float) -> None:
        loop = asyncio.get_running_loop()
        async with self._turns.take(caller, FOREVER):
            self.began.append((caller.subject, round(loop.time(), 3)))
            await asyncio.sleep(for_s)


async def test_each_rests_as_long_as_it_took() -> None:
    """The next one starts after a pause as long as the previous one took."""
    work = Worked(LargeOperations())
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(work(ANNA, 0.05))
    assert [at for _, at in work.began] == [0, 0.1, 0.2]


async def test_who_waits_for_aws_holds_nobody_up() -> None:
    """An operation that takes long is waiting for AWS, so the next one starts meanwhile."""
    work = Worked(LargeOperations())
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(work(ANNA, 60))
    assert [at for _, at in work.began] == [0, 0.1, 0.2]


async def test_callers_take_turns() -> None:
    """A caller with many large operations does not delay another caller's single one."""
    work = Worked(LargeOperations())
    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(work(ANNA, 0.01))
        await asyncio.sleep(0)
        tasks.create_task(work(BEN, 0.01))
    assert [name for name, _ in work.began].index("ben") <= 2


async def test_few_wait() -> None:
    """At most 20 operations of a caller wait; other callers' still may."""
    turns, done = LargeOperations(), asyncio.Event()

    async def work(caller: Caller) -> None:
        async with turns.take(caller, FOREVER):
            await done.wait()

    async with asyncio.TaskGroup() as tasks:
        for caller in [*[ANNA] * 21, BEN]:
            tasks.create_task(work(caller))
        await asyncio.sleep(0)
        with pytest.raises(Throttled) as refused:
            async with turns.take(ANNA, FOREVER):
                pass
        assert refused.value.retry_after_s == 1
        done.set()


async def test_nobody_waits_beyond_its_deadline() -> None:
    """An operation that gets no slot in time fails, and holds none."""
    turns = LargeOperations()
    async with turns.take(ANNA, FOREVER):
        with pytest.raises(DeadlineExceeded):
            async with turns.take(BEN, asyncio.get_running_loop().time() + 0.05):
                pass
    async with asyncio.timeout(1), turns.take(BEN, FOREVER):
        pass
