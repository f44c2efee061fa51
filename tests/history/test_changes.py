"""What has changed in the history since a position: in the order of commits, nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from history_events import a_run, new_key, observed
from postgres import both_databases
from transfer_gateway.domain.execution import ExecutionStatus
from transfer_gateway.domain.identity import Region, Target
from transfer_gateway.domain.search import SearchFilter
from transfer_gateway.history import SearchScope
from transfer_gateway.history.store import HistoryStore, open_store
from transfer_gateway.history.values import SearchIn

if TYPE_CHECKING:
    from collections.abc import Container

    from transfer_gateway.domain.change import ChangePosition
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.history.values import ChangeRow

NOW_MS = 1_772_366_400_000


class Everything:
    def __contains__(self, _key: object) -> bool:
        return True


EVERYTHING = Everything()


async def since(
    store: HistoryStore,
    position: ChangePosition,
    only: SearchIn | ExecutionKey | Container[ExecutionKey] = EVERYTHING,
    first: int = 1000,
) -> list[ChangeRow]:
    """All pages."""
    found: list[ChangeRow] = []
    while True:
        page = await store.feed.after(position, only, first=first, as_of_ms=NOW_MS)
        found += page.rows
        if not page.has_more:
            assert page.until == (await store.feed.state()).newest
            return found
        assert page.until > position
        position = page.until


@both_databases
@pytest.mark.parametrize("first", [1, 3, 1000])
@pytest.mark.variants(keep=1)
async def test_events_come_in_the_order_in_which_they_were_stored(store: HistoryStore, first: int) -> None:
    start = (await store.feed.state()).newest
    one, two = a_run(new_key()), a_run(new_key())
    for events in (one[4:], two[:2], one[:4], two):
        await store.append(events)
    found = await since(store, start, first=first)
    told = [event for row in found for event in row.events]
    assert told == [*one[4:], *two[:2], *one[:4], *two[2:]]
    assert [row.position for row in found] == sorted({row.position for row in found})
    for row in found:
        told = told[len(row.events) :]
        rest = await since(store, row.position, first=first)
        assert [event for each in rest for event in each.events] == told


async def test_a_change_has_the_execution_as_it_is_now(store: HistoryStore) -> None:
    start = (await store.feed.state()).newest
    run = a_run(new_key())
    await store.append(run[:2])
    await store.append(a_run(new_key())[:1])
    await store.append(run[2:])
    first, _, second = await since(store, start)
    assert first.stored == second.stored
    assert list(second.stored.events) == run
    assert second.status is ExecutionStatus.COMPLETED


async def test_a_change_says_whether_more_of_an_ended_execution_follows(store: HistoryStore) -> None:
    """Its status tells of what follows: whoever took it for the end would miss that."""
    start = (await store.feed.state()).newest
    run = a_run(new_key())
    for events in (run[:2], a_run(new_key())[:1], run[2:]):
        await store.append(events)
    for first in (1, 1000):
        changes = [row for row in await since(store, start, first=first) if row.key == run[0].key]
        assert [row.has_later for row in changes] == [True] * (len(changes) - 1) + [False]


async def test_an_answer_of_aws_is_a_change_if_it_says_something_else(store: HistoryStore) -> None:
    start = (await store.feed.state()).newest
    answer = observed(new_key())
    await store.observe([answer])
    (first,) = await since(store, start)
    assert first.events == ()
    later = answer.observed_at + timedelta(seconds=2)
    await store.observe([replace(answer, observed_at=later, aws_request_id="another")])
    assert await since(store, first.position) == []
    failed = replace(
        answer,
        observed_at=later + timedelta(seconds=2),
        status=ExecutionStatus.HANDLING_EXCEPTION,
        raw_status="HANDLING_EXCEPTION",
    )
    await store.observe([failed])
    (second,) = await since(store, first.position)
    assert second.stored.observed == failed
    assert second.position > first.position
    await store.observe([answer])  # an older one
    assert await since(store, second.position) == []
    await store.forget([answer.key], seen_before=failed.observed_at + timedelta(seconds=1))
    (third,) = await since(store, second.position)
    assert (third.key, third.status) == (answer.key, None)


async def test_the_changes_of_one_execution(store: HistoryStore) -> None:
    start = (await store.feed.state()).newest
    run, other = a_run(new_key()), a_run(new_key())
    key = run[0].key
    assert await since(store, start, key) == []
    await store.append([*run[:3], *other])
    (first,) = await since(store, start, key)
    assert list(first.events) == run[:3]
    await store.append(run[3:])
    await store.observe([observed(key)])
    (second,) = await since(store, first.position, key)
    assert list(second.events) == run[3:]
    assert await since(store, second.position, key) == []


async def test_only_what_matches_or_is_watched(store: HistoryStore) -> None:
    start = (await store.feed.state()).newest
    runs = [a_run(new_key("111111111111")), a_run(new_key("222222222222"))]
    for run in runs:
        await store.append(run)
    (of_one,) = await since(store, start, {runs[1][0].key})
    assert list(of_one.events) == runs[1]
    scope = SearchScope.of({frozenset(): [Target(runs[0][0].key.account_id, Region(runs[0][0].key.region))]})
    (visible,) = await since(store, start, SearchIn(scope, SearchFilter()))
    assert list(visible.events) == runs[0]
    nothing = SearchFilter(text="no file has that name")
    assert await since(store, start, SearchIn(scope, nothing)) == []


@pytest.mark.thorough
async def test_writers_at_once_number_in_the_order_of_commits(url: str) -> None:
    """A reader that follows them misses nothing, although each of them writes from a connection of its own."""
    async with open_store(url, timeout_s=30) as reader, open_store(url, timeout_s=30) as other:
        runs = [a_run(new_key()) for _ in range(60)]
        start = position = (await reader.feed.state()).newest
        done = asyncio.Event()
        followed: list[str] = []

        async def write(store: HistoryStore, part: list[list[object]]) -> None:
            for run in part:
                await store.append(run[:3])  # type: ignore[arg-type]
                await store.append(run[3:])  # type: ignore[arg-type]

        async def follow() -> None:
            nonlocal position
            while True:
                ended = done.is_set()
                page = await reader.feed.after(position, EVERYTHING, first=50, as_of_ms=NOW_MS)
                followed.extend(event.event_id for row in page.rows for event in row.events)
                position = page.until
                if ended and not page.has_more:
                    return
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow())
            async with asyncio.TaskGroup() as writers:
                for store, part in ((reader, runs[::2]), (other, runs[1::2])):
                    writers.create_task(write(store, part))  # type: ignore[arg-type]
            done.set()
            await following
        everything = [event.event_id for row in await since(reader, start) for event in row.events]
        assert followed == everything
        assert sorted(everything) == sorted(event.event_id for run in runs for event in run)


async def test_what_retention_deletes_is_known(url: str) -> None:
    async with open_store(url, timeout_s=30, retention_days=1) as store:
        before = await store.feed.state()
        await store.append(a_run(new_key()))
        await store.observe([observed(new_key())])
        newest = (await store.feed.state()).newest
        assert await store.prune() == 2
        after = await store.feed.state()
        assert (after.newest, after.missed) == (newest, newest)
        assert before.missed < after.missed


async def test_another_history_has_another_identity(store: HistoryStore) -> None:
    async with open_store("sqlite://") as other:
        assert (await other.feed.state()).newest.history != (await store.feed.state()).newest.history
