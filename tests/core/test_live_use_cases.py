"""Who watches is told each change once, in order, as far as it may see it by then; and AWS is asked for all at once.

Minutes pass in milliseconds.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from following import FIRST, SECOND, TRADES, Following, following
from history_events import START, a_run, new_key
from history_model import AUDIT, now
from transfer_emulator import Fault, FaultKind, Logging
from transfer_gateway.core.quota import Quota, QuotaLimits
from transfer_gateway.domain.account import Accounts
from transfer_gateway.domain.errors import (
    AccountNotAvailable,
    BadUserInput,
    ExecutionNotFound,
    Throttled,
    Unauthenticated,
)
from transfer_gateway.domain.execution import ExecutionStatus
from transfer_gateway.domain.identity import AccountId, Region, Target
from transfer_gateway.domain.scope import Hideable, Scope
from transfer_gateway.domain.search import SearchInput, SearchOrder, Window

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from transfer_gateway.core.use_cases import Reader
    from transfer_gateway.domain.change import ExecutionChange
    from transfer_gateway.domain.identity import ExecutionKey

pytestmark = [pytest.mark.driven_time]
UNLOGGED = tuple(replace(script, logging=Logging.NONE) for script in TRADES)
DESCRIBE = "DescribeExecution"


async def _as_before() -> None:
    """A token and a policy that do not change."""


def watch(
    reader: Reader,
    key: ExecutionKey,
    after: str | None = None,
    recheck: Callable[[], Awaitable[None]] = _as_before,
) -> AsyncGenerator[ExecutionChange | None]:
    deadline = asyncio.get_running_loop().time() + 10
    return reader.watch_execution(key, after=after, deadline=deadline, recheck=recheck)


def watch_all(
    reader: Reader,
    wanted: SearchInput = SearchInput(),  # noqa: B008  it is frozen
    after: str | None = None,
    recheck: Callable[[], Awaitable[None]] = _as_before,
) -> AsyncGenerator[ExecutionChange | None]:
    deadline = asyncio.get_running_loop().time() + 10
    return reader.watch_executions(wanted, after=after, deadline=deadline, recheck=recheck)


async def told(
    changes: AsyncGenerator[ExecutionChange | None], count: int | None = None
) -> list[ExecutionChange]:
    """So many changes; None: all of them."""
    found = []
    async with aclosing(changes):
        async for change in changes:
            if change is not None:
                found.append(change)
            if len(found) == count:
                break
    return found


async def test_from_the_first_event_to_the_end(tmp_path: Path) -> None:
    """What is logged is told from the log: AWS is not asked, however many watch."""
    async with following(tmp_path, FIRST) as it:
        await it.until_read()
        key, upload = it.upload(FIRST, duration_s=20)
        while not await it.history.store.records([key]):
            await asyncio.sleep(0.5)  # until its start has been read
        async with asyncio.TaskGroup() as tasks:
            watching = [tasks.create_task(told(watch(it.core.reader(AUDIT), key))) for _ in range(5)]
        stored = (await it.history.store.records([key]))[key]
        for task in watching:
            changes = task.result()
            events = [event for change in changes for event in change.events]
            assert events == list(stored.events)
            assert [change.is_last for change in changes] == [False] * (len(changes) - 1) + [True]
            assert changes[-1].execution.status is ExecutionStatus.COMPLETED
        assert now() - upload.ended_at < 5
        assert it.aws.calls.count(operation=DESCRIBE) == 0


async def test_what_is_in_the_log_alone_is_told_with_its_events(tmp_path: Path) -> None:
    """It has ended before the follower has read its log, which the lookup at the beginning does."""
    async with following(tmp_path, FIRST) as it:
        await it.until_read()
        await asyncio.sleep(120)  # a quiet log is read once a minute
        key, _ = it.upload(FIRST, duration_s=1)
        await asyncio.sleep(2)  # it has ended
        assert not await it.history.store.records([key])
        changes = await told(watch(it.core.reader(AUDIT), key))
        stored = (await it.history.store.records([key]))[key].events
        assert [event for change in changes for event in change.events] == list(stored)


async def test_many_that_begin_at_once_read_the_store_in_turn(tmp_path: Path) -> None:
    """None is refused because others read it; where it is, they read once for all who wait."""
    async with following(tmp_path, FIRST) as it:
        await it.until_read()
        key, _ = it.upload(FIRST, duration_s=30)
        await asyncio.sleep(5)
        before = _reads_of_state(it)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(50):
                for changes in (watch(it.core.reader(AUDIT), key), watch_all(it.core.reader(AUDIT))):
                    tasks.create_task(told(changes, 1))
        assert _reads_of_state(it) - before < 20


def _reads_of_state(it: Following) -> int:
    return it.history.store._operations._done.get(("feed_state",), 0)


async def test_it_goes_on_after_each_cursor(tmp_path: Path) -> None:
    """With what came after it, and once; at the end with nothing."""
    async with following(tmp_path, FIRST) as it:
        await it.until_read()
        key, _ = it.upload(FIRST, duration_s=20)
        await asyncio.sleep(5)
        reader = it.core.reader(AUDIT)
        whole = await told(watch(reader, key))
        events = [event for change in whole for event in change.events]
        for number, change in enumerate(whole, 1):
            rest = await told(watch(reader, key, reader.cursor_of(change)))
            known = sum(len(before.events) for before in whole[:number])
            assert [event for change in rest for event in change.events] == events[known:]
        assert not await told(watch(reader, key, reader.cursor_of(whole[-1])))


async def test_what_nothing_logs_costs_one_call_every_two_seconds(tmp_path: Path) -> None:
    """However many watch; none once nobody does. Its end is told, although nobody knows how it ended."""
    async with following(tmp_path, FIRST, scripts=UNLOGGED) as it:
        await asyncio.sleep(10)
        key, _ = it.upload(FIRST, duration_s=60)
        left, _ = it.upload(FIRST, duration_s=61)
        async with asyncio.TaskGroup() as tasks:
            watching = [tasks.create_task(told(watch(it.core.reader(AUDIT), key))) for _ in range(5)]
            leaving = tasks.create_task(told(watch(it.core.reader(AUDIT), left), 1))
            await asyncio.sleep(10)
            assert leaving.done()
            before = it.aws.calls.count(operation=DESCRIBE)
            await asyncio.sleep(20)
            assert 9 <= it.aws.calls.count(operation=DESCRIBE) - before <= 11
        for task in watching:
            changes = task.result()
            assert [change.execution.status for change in changes[:1]] == [ExecutionStatus.IN_PROGRESS]
            assert changes[-1].execution.status is None
            assert (
                len(
                    {
                        len(change.execution.results.steps or ())
                        for change in changes
                        if change.execution.results
                    }
                )
                > 1
            )
        before = it.aws.calls.count(operation=DESCRIBE)
        await asyncio.sleep(20)
        assert it.aws.calls.count(operation=DESCRIBE) == before


async def test_a_log_that_can_not_be_read_is_replaced_by_calls(tmp_path: Path) -> None:
    async with following(tmp_path, FIRST) as it:
        await it.until_read()
        it.aws.faults.add(Fault(FaultKind.DENY, operation="FilterLogEvents", account_id=FIRST))
        await asyncio.sleep(70)  # until it has been noticed in the idle log
        key, _ = it.upload(FIRST, duration_s=30)
        changes = await told(watch(it.core.reader(AUDIT), key))
        assert len(changes) > 2
        assert changes[-1].execution.status is None


async def test_what_does_not_exist_is_said_at_once(tmp_path: Path) -> None:
    async with following(tmp_path, FIRST) as it:
        await it.until_read()
        key, _ = it.upload(FIRST)
        unknown = replace_id(key)
        with pytest.raises(ExecutionNotFound):
            await told(watch(it.core.reader(AUDIT), unknown))
        elsewhere = key._replace(account_id=AccountId("999999999999"))
        with pytest.raises(AccountNotAvailable):
            await told(watch(it.core.reader(AUDIT), elsewhere))


def replace_id(key: ExecutionKey) -> ExecutionKey:
    return key._replace(execution_id=type(key.execution_id)("00000000-0000-4000-8000-000000000000"))


async def test_a_filter_tells_what_runs_and_then_what_changes(tmp_path: Path) -> None:
    async with following(tmp_path, FIRST, SECOND) as it:
        await it.until_read()
        running, _ = it.upload(FIRST, duration_s=100)
        elsewhere, _ = it.upload(SECOND, duration_s=100)
        await asyncio.sleep(10)
        changes = watch_all(it.core.reader(AUDIT), SearchInput(account_ids=(AccountId(FIRST),)))
        async with aclosing(changes):
            first = await next_of(changes)
            assert (first.key, first.events) == (running, ())
            await asyncio.sleep(10)
            new, _ = it.upload(FIRST, duration_s=20)
            found: list[ExecutionChange] = []
            while not any(change.key == new and change.is_last for change in found):
                found.append(await next_of(changes))
        stored = (await it.history.store.records([new]))[new]
        assert [event for it_ in found if it_.key == new for event in it_.events] == list(stored.events)
        assert elsewhere not in {change.key for change in found}


async def next_of(changes: AsyncGenerator[ExecutionChange | None]) -> ExecutionChange:
    async with asyncio.timeout(120):
        while (change := await anext(changes)) is None:
            pass
    return change


async def test_what_runs_is_listed_to_its_end_over_interruptions(tmp_path: Path) -> None:
    """Each cursor goes on with the rest of what ran, then with what changed since the beginning."""
    async with following(tmp_path, FIRST) as it:
        await it.until_read()
        keys = {it.upload(FIRST, duration_s=1000 + number)[0] for number in range(7)}
        await asyncio.sleep(10)
        reader, after = it.core.reader(AUDIT), None
        seen: list[ExecutionChange] = []
        for _ in range(7):
            (change,) = await told(watch_all(reader, after=after), 1)
            seen.append(change)
            after = reader.cursor_of(change)
        assert {change.key for change in seen} == keys
        new, _ = it.upload(FIRST, duration_s=20)
        async with aclosing(watch_all(reader, after=after)) as changes:
            assert (await next_of(changes)).key == new


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("running", SearchInput(running=True)),
        ("min_duration_s", SearchInput(min_duration_s=5)),
        ("statuses", SearchInput(statuses=(ExecutionStatus.IN_PROGRESS,))),
    ],
)
async def test_filters_by_what_passes_are_refused(tmp_path: Path, field: str, wanted: SearchInput) -> None:
    async with following(tmp_path, FIRST) as it:
        with pytest.raises(BadUserInput, match=field):
            await told(watch_all(it.core.reader(AUDIT), wanted))


async def test_cursors_are_checked(tmp_path: Path) -> None:
    """One of another list, of another history, or of none."""
    async with following(tmp_path, FIRST) as it:
        await it.until_read()
        reader = it.core.reader(AUDIT)
        key, _ = it.upload(FIRST, duration_s=20)
        (change,) = await told(watch(reader, key), 1)
        of_another = replace(change, position=change.position._replace(history="other"), rendered={})
        for cursor in ("nonsense", reader.cursor_of(of_another)):
            with pytest.raises(BadUserInput, match="after"):
                await told(watch(reader, key, cursor))
            with pytest.raises(BadUserInput, match="after"):
                await told(watch_all(reader, after=cursor))


async def test_rights_are_judged_at_each_change(tmp_path: Path) -> None:
    """Within five seconds of a change: what is denied is not told any more, what is hidden is hidden."""
    async with following(tmp_path, FIRST, SECOND) as it:
        await it.until_read()
        keys = [it.upload(account, duration_s=100)[0] for account in (FIRST, SECOND)]
        await asyncio.sleep(10)
        accounts = it.core._accounts
        only_second = Scope(Accounts([accounts.get(keys[1].target)]))
        hidden = frozenset({Hideable.INITIAL_FILE_LOCATION})
        target = Target(AccountId(FIRST), Region(it.region))
        for scope in (only_second, Scope(accounts, {target: hidden})):
            reader, one = it.core.reader(AUDIT), it.core.reader(AUDIT)

            async def recheck(reader: Reader = reader, scope: Scope = scope) -> None:
                reader.scope = scope

            async def recheck_one(one: Reader = one, scope: Scope = scope) -> None:
                one.scope = scope

            async with (
                aclosing(watch_all(reader, recheck=recheck)) as all_,
                aclosing(watch(one, keys[0], recheck=recheck_one)) as changes,
            ):
                assert (await next_of(changes)).execution.initial_file_location is not None
                seen = set[object]()
                while not seen.issuperset(keys):
                    seen.add((await next_of(all_)).key)
                started_at = now()
                while reader.scope is not scope:
                    await anext(all_)
                assert now() - started_at < 5
                new = [it.upload(account, duration_s=5)[0] for account in (SECOND, FIRST)]
                found = [await next_of(all_)]
                while not any(change.key == new[0] and change.is_last for change in found):
                    found.append(await next_of(all_))
                if scope is only_second:
                    assert {change.key.account_id for change in found} == {SECOND}
                    with pytest.raises(AccountNotAvailable):
                        await told(changes)
                else:
                    assert all(
                        change.execution.initial_file_location is None
                        and all(event.file_location is None for event in change.events)
                        for change in found
                        if change.key.account_id == FIRST
                    )


async def test_it_ends_when_the_token_does(tmp_path: Path) -> None:
    async with following(tmp_path, FIRST) as it:
        await it.until_read()
        key, _ = it.upload(FIRST, duration_s=100)

        async def recheck() -> None:
            raise Unauthenticated("The token has expired.")

        started_at = now()
        with pytest.raises(Unauthenticated):
            await told(watch(it.core.reader(AUDIT), key, recheck=recheck))
        with pytest.raises(Unauthenticated):
            await told(watch_all(it.core.reader(AUDIT), recheck=recheck))
        assert now() - started_at < 10


async def test_a_caller_has_only_so_many(tmp_path: Path) -> None:
    async with following(tmp_path, FIRST) as it:
        await it.until_read()
        quota = Quota(QuotaLimits(100, 100, 100, 100, 100, 100, 100, subscriptions=1))
        async with aclosing(watch_all(it.core.reader(AUDIT, quota=quota))) as first:
            await anext(first)
            with pytest.raises(Throttled, match="subscriptions"):
                await told(watch_all(it.core.reader(AUDIT, quota=quota)))
        async with aclosing(watch_all(it.core.reader(AUDIT, quota=quota))) as again:
            await anext(again)


async def test_all_callers_have_only_so_many(tmp_path: Path) -> None:
    async with following(tmp_path, FIRST, live_max_subscriptions=1) as it:
        await it.until_read()
        async with aclosing(watch_all(it.core.reader(AUDIT))) as first:
            await anext(first)
            with pytest.raises(Throttled, match="subscriptions"):
                await told(watch_all(it.core.reader(AUDIT)))


async def test_what_was_missed_in_ten_minutes(tmp_path: Path) -> None:
    """It is told exactly, also to one who begins with a search's cursor."""
    async with following(tmp_path, FIRST, SECOND) as it:
        await it.until_read()
        reader = it.core.reader(AUDIT)
        page = await reader.search(
            SearchInput(),
            SearchOrder.NEWEST_FIRST,
            Window(),
            with_counts=False,
            with_coverage=False,
            with_changes_cursor=True,
            deadline=asyncio.get_running_loop().time() + 10,
        )
        keys = []
        for _ in range(5):
            keys.append(it.upload(FIRST, duration_s=20)[0])
            await asyncio.sleep(120)  # it is away for ten minutes
        found: list[ExecutionChange] = []
        async with aclosing(watch_all(reader, after=page.changes_cursor)) as changes:
            while sum(change.is_last for change in found) < len(keys):
                found.append(await next_of(changes))
        for key in keys:
            stored = (await it.history.store.records([key]))[key]
            assert [event for change in found if change.key == key for event in change.events] == list(
                stored.events
            )


@pytest.mark.parametrize("comes", [True, False])
async def test_a_step_that_ends_after_the_execution_is_waited_for(tmp_path: Path, *, comes: bool) -> None:
    """Its entry may be read after that of the execution's end; for ten seconds, and no longer."""
    async with following(tmp_path, FIRST) as it:
        await it.until_read()
        run = a_run(new_key(FIRST), start_ms=int((now() - START.timestamp()) * 1000))
        *begin, step_ends, execution_ends = run
        await it.history.store.append([*begin, execution_ends])
        started_at = now()
        watching = asyncio.create_task(told(watch(it.core.reader(AUDIT), run[0].key)))
        await asyncio.sleep(2)  # the end has been told
        assert not watching.done()
        if comes:
            await it.history.store.append([step_ends])
        changes = await watching
        assert now() - started_at < (5 if comes else 15)
        seen = {event.event_id for change in changes for event in change.events}
        assert seen == {event.event_id for event in (run if comes else [*begin, execution_ends])}
        assert changes[-1].execution.status is ExecutionStatus.COMPLETED
