"""The followers of all targets, on the wire: how often each reads, and that a sick one costs the others nothing.

Minutes pass in milliseconds.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from following import FIRST, READ, SECOND, THIRD, TRADES, accounts_yaml, following
from history_model import AUDIT, SqliteFile, now
from transfer_emulator import (
    Fault,
    FaultKind,
    Logging,
)
from transfer_gateway.core.fanout import outcomes
from transfer_gateway.domain.execution import ExecutionStatus
from transfer_gateway.domain.identity import AccountId, ExecutionId, ExecutionKey, Region, Target, WorkflowId
from transfer_gateway.settings import AccountsFile

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = [pytest.mark.driven_time, pytest.mark.early]


async def test_a_hanging_and_a_denied_target_delay_nobody(tmp_path: Path) -> None:
    """Each has its own task, rate and problem; the healthy one is as current as ever."""
    async with following(tmp_path, FIRST, SECOND, THIRD) as it:
        it.aws.faults.add(Fault(FaultKind.HANG, operation=READ, account_id=FIRST))
        it.aws.faults.add(Fault(FaultKind.DENY, operation=READ, account_id=SECOND))
        key, upload = it.upload(THIRD)
        await asyncio.sleep(upload.ended_at - now() + 3)  # an interval, and a little
        stored = await it.history.store.records([key])
        assert stored[key].events[-1].occurred_at.timestamp() == pytest.approx(upload.ended_at, abs=0.001)
        await asyncio.sleep(20)
        coverage = it.coverage()
        problems = {account: found.problem and found.problem.code for account, found in coverage.items()}
        assert problems == {FIRST: "DEADLINE_EXCEEDED", SECOND: "ACCESS_DENIED", THIRD: None}
        complete_until = coverage[THIRD].complete_until
        assert complete_until is not None
        assert now() - complete_until.timestamp() < 3


@pytest.mark.parametrize(
    "kind", [FaultKind.DENY, FaultKind.HANG, FaultKind.SERVER_ERROR, FaultKind.NO_LOG_GROUP]
)
@pytest.mark.variants(keep=2)
async def test_a_sick_log_is_asked_less_and_less_until_it_works(tmp_path: Path, kind: FaultKind) -> None:
    """At most once a minute in the end; what was written meanwhile is read then."""
    async with following(tmp_path, FIRST) as it:
        await asyncio.sleep(10)
        number = it.aws.faults.add(Fault(kind, operation=READ))
        key, _ = it.upload(FIRST)
        await asyncio.sleep(300)
        attempts = 1 if kind in {FaultKind.DENY, FaultKind.NO_LOG_GROUP} else 4  # with retries
        assert it.reads() > 0
        assert await it.reads_in(300) <= 8 * attempts
        it.aws.faults.remove(number)
        await asyncio.sleep(130)
        assert key in await it.history.store.records([key])
        assert it.coverage()[FIRST].problem is None


async def test_a_quiet_log_is_read_every_minute_and_a_busy_one_every_two_seconds(tmp_path: Path) -> None:
    async with following(tmp_path, FIRST) as it:
        await asyncio.sleep(600)
        assert 4 <= await it.reads_in(300) <= 6
        key, _ = it.upload(FIRST)
        while key not in await it.history.store.records([key]):
            await asyncio.sleep(1)
        it.upload(FIRST)
        assert 8 <= await it.reads_in(20) <= 12
        await asyncio.sleep(600)
        assert 4 <= await it.reads_in(300) <= 6


async def test_a_question_makes_a_quiet_log_current(tmp_path: Path) -> None:
    """It is read at once, and every two seconds for a minute."""
    async with following(tmp_path, FIRST) as it:
        await asyncio.sleep(600)
        follower = it.history.followers.of(Target(AccountId(FIRST), Region(it.region)))
        assert follower is not None
        key, upload = it.upload(FIRST)
        await asyncio.sleep(upload.ended_at - now() + 0.001)
        await follower.catch_up()
        assert len((await it.history.store.records([key]))[key].events) == 2 + 2 * len(upload.steps)
        assert 8 <= await it.reads_in(20) <= 12


@pytest.mark.parametrize(
    ("region", "quota_per_s"),
    [("eu-west-1", 10), ("eu-central-1", 5), pytest.param("us-east-1", 25, marks=pytest.mark.thorough)],
)
@pytest.mark.variants(keep=1)
async def test_at_most_half_of_awss_quota_is_used(tmp_path: Path, region: str, quota_per_s: float) -> None:
    """However many logs there are, and however many searches: the rest is for people."""
    scripts = [replace(TRADES[0], subject=f"trades-{number}", logging=Logging.SERVER) for number in range(40)]
    async with following(tmp_path, FIRST, region=region, scripts=scripts, history_interval_s=0.1) as it:
        it.upload(FIRST)
        await asyncio.sleep(30)
        workflow_id = next(iter(it.aws.world.target(FIRST, region).workflows))
        keys = [
            ExecutionKey(
                AccountId(FIRST),
                Region(region),
                WorkflowId(workflow_id),
                ExecutionId(f"{number:08}-0000-4000-8000-000000000000"),
            )
            for number in range(5)
        ]
        loop = asyncio.get_running_loop()
        before, asked_at = it.reads(), loop.time()
        await outcomes(
            keys, lambda key: it.history.forgotten.get(key, max_age_s=0, deadline=loop.time() + 60)
        )
        await asyncio.sleep(20)
        used_per_s = (it.reads() - before - 4) / (loop.time() - asked_at)  # both bursts
        assert quota_per_s / 3 < used_per_s <= quota_per_s / 2


@pytest.mark.thorough
async def test_many_quiet_logs_stay_below_the_limit_together(tmp_path: Path) -> None:
    """They are read less often than once a minute then, but all of them."""
    scripts = [replace(TRADES[0], subject=f"trades-{number}", logging=Logging.SERVER) for number in range(40)]
    async with following(tmp_path, FIRST, SECOND, THIRD, scripts=scripts, history_max_reads_per_s=1) as it:
        await asyncio.sleep(120)
        # Each target's 40 logs come one after the other every 120 s: about twice, and four times if every 60 s.
        assert 200 <= await it.reads_in(240) <= 300
        for coverage in it.coverage().values():
            assert coverage.problem is None
            assert coverage.complete_until is not None
            assert now() - coverage.complete_until.timestamp() < 200


@pytest.mark.thorough
async def test_a_question_notices_that_the_store_has_lost_what_was_read(tmp_path: Path) -> None:
    """Although nothing is new: otherwise it would answer that there never was such an execution."""
    async with following(tmp_path, FIRST) as it:
        key, _ = it.upload(FIRST)
        it.upload(FIRST, duration_s=5000)  # so that the log is read often
        for _ in range(2):
            await asyncio.sleep(701)
            await SqliteFile(tmp_path).wipe()
            reader = it.core.reader(AUDIT)
            execution = await reader.describe(
                key, max_age_s=0, deadline=asyncio.get_running_loop().time() + 10
            )
            assert execution.status is ExecutionStatus.COMPLETED
            it.history._settled.clear()
            it.history.followers.of(key.target)._asked_at = 0  # type: ignore[union-attr]  # it is followed


async def test_accounts_come_and_go(tmp_path: Path) -> None:
    """What is not configured any more is not read any more; what is new is followed at once."""
    async with following(tmp_path, FIRST, SECOND) as it:
        await asyncio.sleep(10)
        assert it.coverage().keys() == {FIRST, SECOND}
        other = tmp_path / "other.yaml"
        other.write_text(accounts_yaml(it.region, SECOND, THIRD))
        await it.core.use_accounts(AccountsFile(other).load().listed)
        await asyncio.sleep(10)
        assert await it.reads_in(100, FIRST) == 0
        assert await it.reads_in(100, SECOND) > 0
        assert it.coverage().keys() == {SECOND, THIRD}
        assert it.coverage()[THIRD].complete_until is not None


async def test_no_task_is_left_when_the_service_ends(tmp_path: Path) -> None:
    """Also while AWS hangs."""
    async with following(tmp_path, FIRST, SECOND, THIRD) as it:
        await asyncio.sleep(5)
        it.aws.faults.add(Fault(FaultKind.HANG, operation=READ, account_id=FIRST))
        await asyncio.sleep(3)
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert sum(name.startswith("follow ") for name in names) == 3
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith(("follow ", "history"))]
    assert asyncio.all_tasks() == {asyncio.current_task()}
