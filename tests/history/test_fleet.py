"""Replicas that share a history: who lives, who follows what, and what the others know of it.

Minutes pass in milliseconds.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from driven_time import DrivenTime
from following import FIRST, SECOND, THIRD, accounts_yaml, following
from history_model import now
from transfer_emulator import Fault, FaultKind
from transfer_gateway.core.fleet import GONE_S, Fleet
from transfer_gateway.core.follower_state import dump_state
from transfer_gateway.core.pacing import PacingLimits
from transfer_gateway.core.quota import QuotaLimits, Quotas
from transfer_gateway.domain.caller import ANONYMOUS
from transfer_gateway.domain.errors import Throttled
from transfer_gateway.domain.identity import AccountId, Region, Target
from transfer_gateway.history.failures import Failure, Kind
from transfer_gateway.history.fleet import Followed
from transfer_gateway.history.store import open_store
from transfer_gateway.settings import AccountsFile

if TYPE_CHECKING:
    from pathlib import Path

    from following import Following
    from postgres import PostgresServer

pytestmark = [pytest.mark.driven_time, pytest.mark.early]
ACCOUNTS = (FIRST, SECOND, THIRD)
TARGETS = [Target(AccountId(f"{number:012}"), Region("eu-west-1")) for number in range(1000)]


@pytest.fixture
def shared_url(postgres: PostgresServer) -> str:
    """Made before the test's time begins."""
    return asyncio.run(postgres.create_database())


def divided(members: list[str]) -> dict[str, set[Target]]:
    """Which of them follows what, as each sees it by itself."""
    fleets = []
    for member in members:
        fleet = Fleet(None)
        fleet.replica = member
        fleet._use(members)
        fleets.append(fleet)
    return {fleet.replica: {target for target in TARGETS if fleet.owns(target)} for fleet in fleets}


async def test_targets_spread_evenly_and_those_of_who_stays_do_not_move() -> None:
    four = divided(["a", "b", "c", "d"])
    assert sum(map(len, four.values())) == len(TARGETS) == len(set[Target]().union(*four.values()))
    assert all(200 < len(owned) < 300 for owned in four.values())
    three = divided(["a", "b", "d"])
    assert all(three[member] >= four[member] for member in three)
    assert all(270 < len(owned) < 400 for owned in three.values())


async def test_who_is_silent_is_gone_after_six_seconds_in_which_others_are_seen(
    shared_url: str,
) -> None:
    """Not after an outage of the store, in which nobody is."""
    async with open_store(shared_url, timeout_s=60) as store:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, DrivenTime)
        loop.is_busy = lambda: bool(store._operations._running)
        this, other = Fleet(store.fleet, name="this"), Fleet(store.fleet, name="other")
        await other.beat()
        await this.beat()
        assert {this.replica, other.replica} <= set(this.members)
        await asyncio.sleep(1000)  # in which nobody is seen
        await this.beat()
        assert other.replica in this.members
        for _ in range(int(GONE_S) - 3):
            await asyncio.sleep(1)  # a beat
            await this.beat()
        assert other.replica in this.members
        await asyncio.sleep(1)  # a beat
        await this.beat()
        assert other.replica not in this.members
        await other.beat()
        await this.beat()
        assert other.replica in this.members


async def test_beats_tell_of_lost_writes(shared_url: str) -> None:
    """A database that is back has all that was written before, unless the number of the last beats says otherwise."""
    async with open_store(shared_url, timeout_s=60) as store:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, DrivenTime)
        loop.is_busy = lambda: bool(store._operations._running)
        generation = store.generation
        for _ in range(3):
            await store.fleet.beat("this")
        store._operations._down = Failure(Kind.DOWN, "is down", "")
        store._operations._try_at = 0.0
        await store.fleet.beat("this")
        assert store._operations.problem is None
        assert store.generation == generation
        async with store._operations.database.writer.begin() as connection:
            await connection.exec_driver_sql("UPDATE history_replicas SET beats = 2")
        await store.fleet.beat("this")
        assert store.generation == generation + 1
        await store.fleet.remove(["this"])
        await store.fleet.beat("this")
        assert store.generation == generation + 2


async def until_divided(*replicas: Following) -> None:
    async with asyncio.timeout(5):
        while sorted(account for it in replicas for account in it.owned) != sorted(ACCOUNTS):
            await asyncio.sleep(0.1)  # between two looks


@pytest.mark.thorough
async def test_a_replica_that_comes_and_goes_takes_its_part_and_gives_it_back(
    tmp_path: Path, shared_url: str
) -> None:
    """Each target is followed by one of them, and what is known of it is known to both."""
    async with following(tmp_path, *ACCOUNTS, history_url=shared_url) as it:
        await it.until_read()
        async with it.another() as other:
            await until_divided(it, other)
            for _ in range(15):  # what was known stays known, though another one follows it now
                assert not it.history.followers.gaps
                await asyncio.sleep(1)  # until both know of all
            looked_up = it.aws.calls.count(operation="ListServers")
            keys = [it.upload(account)[0] for account in ACCOUNTS]
            await asyncio.sleep(70)  # quiet logs are read again
            for replica in (it, other):
                assert len(await replica.history.store.records(keys)) == len(keys)
                assert not replica.history.followers.gaps
                for coverage in replica.coverage().values():
                    assert coverage.complete_until is not None
                    assert now() - coverage.complete_until.timestamp() < 70
            # Of quiet logs each is read once a minute, not once by each replica.
            await asyncio.sleep(400)
            assert await it.reads_in(600) <= 12 * len(ACCOUNTS)
            assert it.aws.calls.count(operation="ListServers") - looked_up <= 5 * len(ACCOUNTS)
        await until_divided(it)


async def test_a_replica_that_is_killed_is_replaced_within_ten_seconds(
    tmp_path: Path, shared_url: str
) -> None:
    async with following(tmp_path, *ACCOUNTS, history_url=shared_url) as it:
        await it.until_read()
        for number in range(20):  # so many that it loses targets
            await it.history.store.fleet.beat(f"killed-{number}")
        async with asyncio.timeout(3):
            while len(it.core.fleet.members) == 1:
                await asyncio.sleep(0.1)  # between two looks
        started_at = now()
        async with asyncio.timeout(10):
            while len(it.core.fleet.members) > 1 or it.owned != set(ACCOUNTS):
                await asyncio.sleep(0.1)  # between two looks
        assert now() - started_at < 8
        assert it.core.fleet.members == (it.core.fleet.replica,)
        key, upload = it.upload(FIRST)
        await asyncio.sleep(upload.ended_at - now() + 65)  # a quiet log's next read
        assert key in await it.history.store.records([key])


async def test_why_a_target_is_not_read_is_known_everywhere(tmp_path: Path, shared_url: str) -> None:
    async with following(tmp_path, *ACCOUNTS, history_url=shared_url) as it:
        await it.until_read()
        async with it.another() as other:
            await until_divided(it, other)
            it.aws.faults.add(Fault(FaultKind.DENY, service="logs", account_id=FIRST))
            await asyncio.sleep(130)  # two reads of a quiet log
            for replica in (it, other):
                problems = {
                    account: found.problem and found.problem.code
                    for account, found in replica.coverage().items()
                }
                assert problems == {FIRST: "ACCESS_DENIED", SECOND: None, THIRD: None}
                gap = replica.history.followers.of(Target(AccountId(FIRST), Region(it.region)))
                assert gap is not None
                assert gap.gap == "UNREADABLE"


@pytest.mark.thorough
async def test_what_is_watched_on_one_is_read_closely_by_another(tmp_path: Path, shared_url: str) -> None:
    async with following(tmp_path, *ACCOUNTS, history_url=shared_url) as it:
        await it.until_read()
        async with it.another() as other:
            await until_divided(it, other)
            await asyncio.sleep(300)  # quiet
            for account in ACCOUNTS:
                owner, watcher = (it, other) if account in it.owned else (other, it)
                follower = watcher.history.followers.of(Target(AccountId(account), Region(it.region)))
                assert follower is not None
                follower.watch()
                await asyncio.sleep(5)  # the owner hears of it
                assert await owner.reads_in(20, account) >= 8


async def test_each_uses_its_part_of_the_limits() -> None:
    assert PacingLimits(10, 20, 3, 100).part(0.5) == PacingLimits(5, 10, 2, 100)
    assert PacingLimits(10, 1, 1, 100).part(0.25) == PacingLimits(2.5, 1, 1, 100)
    limits = QuotaLimits(10, 4, 5, 100, 100, 10, 10, 7)
    quotas = Quotas(limits)
    quota = quotas.of(ANONYMOUS)
    quotas.use_share(0.5)
    quota.take_request(None)
    quota.take_request(None)
    with pytest.raises(Throttled, match="5 per second"):
        quota.take_request(None)


async def test_of_a_target_that_is_not_configured_any_more_nothing_is_kept(
    tmp_path: Path, shared_url: str
) -> None:
    async with following(tmp_path, *ACCOUNTS, history_url=shared_url) as it:
        await it.until_read()
        await it.history.store.fleet.beat("another")  # so that it tells what it follows
        await asyncio.sleep(4)  # all is told
        told, _ = await it.history.store.fleet.followed(0)
        assert {each.target.account_id for each in told} >= it.owned
        fewer = tmp_path / "fewer.yaml"
        fewer.write_text(accounts_yaml(it.region, SECOND))
        await it.core.use_accounts(AccountsFile(fewer).load().listed)
        await asyncio.sleep(4)  # it is forgotten
        told, _ = await it.history.store.fleet.followed(0)
        assert {each.target.account_id for each in told} <= {SECOND}


@pytest.mark.parametrize("what", ["state", "sources"])
async def test_what_can_not_be_read_of_another_replica_is_left_out(
    tmp_path: Path, shared_url: str, what: str
) -> None:
    """It may be another version's."""
    async with following(tmp_path, *ACCOUNTS, history_url=shared_url) as it:
        await it.until_read()
        others = [f"other-{number}" for number in range(50)]  # so that this one follows little
        for other in others:
            await it.history.store.fleet.beat(other)
        await asyncio.sleep(3)  # it has seen them
        targets = it.history.followers._followers
        state = dump_state(next(iter(targets.values())).state)
        told = {"state": state, "sources": "[]"} | {what: '{"another": "version"}'}
        unreadable = [Followed(target, others[0], **told) for target in targets]
        await it.history.store.fleet.save(unreadable)
        await asyncio.sleep(3)  # it has read that
        assert {"follow", "say that this replica lives"} <= {task.get_name() for task in asyncio.all_tasks()}
        good = [Followed(target, others[0], state, None) for target in targets]
        await it.history.store.fleet.save(good)
        after = it.history.followers._shared._after
        await asyncio.sleep(3)  # as above
        assert it.history.followers._shared._after > after
