"""Subscribers get what changes, in the order of commits: nothing lost, nothing twice, however slowly they read."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from history_events import a_run, new_key
from postgres import both_databases
from transfer_gateway.core.clock import Clock
from transfer_gateway.core.live import Live
from transfer_gateway.domain.change import ChangePosition
from transfer_gateway.domain.errors import BadUserInput, Throttled
from transfer_gateway.domain.identity import Region, Target
from transfer_gateway.domain.search import SearchFilter
from transfer_gateway.history import SearchScope
from transfer_gateway.history.store import HistoryStore, open_store
from transfer_gateway.history.values import SearchIn
from transfer_gateway.shared_tasks import SharedTasks

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Container

    from transfer_gateway.domain.change import ExecutionChange
    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.history.values import ChangeRows


@asynccontextmanager
async def lively(store: HistoryStore, max_subscriptions: int = 1000) -> AsyncIterator[Live]:
    async with SharedTasks() as tasks:
        yield Live(store, tasks, Clock(monotonic=time.monotonic), max_subscriptions=max_subscriptions)


@asynccontextmanager
async def changes_of(
    live: Live, only: SearchIn | ExecutionKey, position: ChangePosition
) -> AsyncIterator[AsyncGenerator[ExecutionChange | None]]:
    with live.subscription(only, shared_as=(str(only),)) as subscription:
        async with aclosing(subscription.changes(position)) as changes:
            yield changes


class Subscriber:
    """Reads as slowly as it is told to, and comes back with its position when it has been cut off."""

    def __init__(self, live: Live, only: SearchIn | ExecutionKey, start: ChangePosition) -> None:
        self.live, self.only, self.position = live, only, start
        self.told: list[ExecutionEvent] = []

    async def read(self, count: int, pause_s: float = 0.0) -> None:
        """So many events, or a few more."""
        until = len(self.told) + count
        async with changes_of(self.live, self.only, self.position) as changes:
            async for change in changes:
                self.note(change)
                if len(self.told) >= until:
                    return
                await asyncio.sleep(pause_s)  # it reads slowly

    def note(self, change: ExecutionChange | None) -> None:
        if change is None:
            return
        self.told += change.events
        self.position = change.position


async def next_events(changes: AsyncGenerator[ExecutionChange | None]) -> tuple[ExecutionEvent, ...]:
    change = await anext(changes)
    return () if change is None else change.events


@both_databases
async def test_each_gets_what_it_watches_once_and_in_order(store: HistoryStore) -> None:
    """Although one reads slowly, one is cut off again and again, and one comes late."""
    random = Random(5)  # noqa: S311  draws lots
    runs = [a_run(new_key()) for _ in range(40)]
    watched = runs[3]
    scope = SearchScope.of({frozenset(): [Target(watched[0].key.account_id, Region(watched[0].key.region))]})
    everything = SearchIn(scope, SearchFilter())
    async with lively(store) as live:
        start = await live.newest()
        quick, slow, late, one = (
            Subscriber(live, only, start) for only in (everything, everything, everything, watched[0].key)
        )

        async def cut_off() -> None:
            while len(quick.told) < 320:
                await quick.read(min(random.randrange(1, 50), 320 - len(quick.told)))

        async def comes_late() -> None:
            await asyncio.sleep(0.5)  # it comes late
            await late.read(320)

        async def write() -> None:
            waiting = [list(run) for run in runs]
            while waiting:
                run = random.choice(waiting)
                count = random.randrange(1, 4)
                await store.append(run[:count])
                del run[:count]
                if not run:
                    waiting.remove(run)

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(cut_off())
            tasks.create_task(slow.read(320, pause_s=0.02))
            tasks.create_task(comes_late())
            tasks.create_task(one.read(8))
            tasks.create_task(write())
        assert len(quick.told) == 320
        assert slow.told == late.told == quick.told
        assert one.told == [event for event in quick.told if event.key == watched[0].key]
        assert {event.event_id for event in quick.told} == {event.event_id for run in runs for event in run}


@both_databases
@pytest.mark.thorough
async def test_one_that_does_not_read_keeps_few_changes_in_memory(store: HistoryStore) -> None:
    run = a_run(new_key())
    scope = SearchScope.of({frozenset(): [Target(run[0].key.account_id, Region(run[0].key.region))]})
    async with lively(store) as live:
        of_all = SearchIn(scope, SearchFilter())
        async with changes_of(live, of_all, await live.newest()) as changes:
            told: list[ExecutionEvent] = []
            for part in (run[:4], run[4:]):  # it has caught up with what is told to all
                await store.append(part)
                while len(told) < 4 or told[-1] != part[-1]:
                    told += await next_events(changes)
            runs = [a_run(new_key()) for _ in range(500)]
            for at in range(0, 500, 50):
                await store.append([event for each in runs[at : at + 50] for event in each])
                await asyncio.sleep(0.15)  # more than one read of the store
            assert live.overflows == 1
            while len(told) < 501 * 8:
                told += await next_events(changes)
            assert [event.event_id for event in told] == [
                event.event_id for each in (run, *runs) for event in each
            ]


async def test_positions_of_elsewhere_or_too_long_ago_are_refused(url: str) -> None:
    async with open_store(url, timeout_s=30, retention_days=1) as store, lively(store) as live:
        await live.begin(None)
        start, key = await live.newest(), new_key()
        assert await live.begin(live.write_cursor(start)) == start
        for elsewhere in (
            start._replace(history="other"),
            start._replace(event=1),  # it was restored from a copy
        ):
            with pytest.raises(BadUserInput, match="not a cursor of this history"):
                await live.new(key, elsewhere)
        await store.append(a_run(key))
        await store.prune()
        with pytest.raises(BadUserInput, match="older than what the history keeps"):
            await live.new(key, start)


async def test_subscribers_are_limited(store: HistoryStore) -> None:
    async with lively(store, max_subscriptions=1) as live:
        start = await live.newest()
        with (
            live.subscription(new_key()),
            pytest.raises(Throttled, match="At most 1 subscriptions"),
            live.subscription(new_key()),
        ):
            pass
        async with changes_of(live, new_key(), start) as changes:
            assert await anext(changes) is None


async def test_what_was_too_old_when_it_was_stored_is_not_missed(url: str) -> None:
    """An old execution that somebody looks up is stored, and soon deleted again: no cursor is refused for that."""
    async with open_store(url, timeout_s=30, retention_days=1) as store, lively(store) as live:
        await store.append(a_run(new_key(), start_ms=1000))
        await store.prune()
        start, key = await live.newest(), new_key()
        await store.append(a_run(key))
        assert await live.newest() > start
        await store.prune()
        assert await live.new(key, start) is None
        assert await live.newest() > start  # its numbers are not used again


class Faulty(Live):
    """A feed's first read that finds something fails by a fault of ours."""

    faults = 0

    async def read(
        self, position: ChangePosition, only: SearchIn | ExecutionKey | Container[ExecutionKey]
    ) -> ChangeRows:
        page = await super().read(position, only)
        task = asyncio.current_task()
        if page.rows and not self.faults and task is not None and task.get_name() == "live changes":
            self.faults += 1
            raise ValueError("a fault")
        return page


async def test_a_fault_silences_no_subscription(store: HistoryStore) -> None:
    """It is logged, and what was missed is read from the store."""
    run = a_run(new_key())
    scope = SearchScope.of({frozenset(): [Target(run[0].key.account_id, Region(run[0].key.region))]})
    told: list[ExecutionEvent] = []
    with capture_logs() as logs:
        async with SharedTasks() as tasks, asyncio.timeout(60):
            live = Faulty(store, tasks, Clock(monotonic=time.monotonic), max_subscriptions=10)
            async with changes_of(live, SearchIn(scope, SearchFilter()), await live.newest()) as changes:
                while await next_events(changes) != ():
                    pass
                await store.append(run[:4])
                while len(told) < 4:
                    told += await next_events(changes)
                await store.append(run[4:])
                while len(told) < 8:
                    told += await next_events(changes)
    assert told == run
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["live_feed_failed"]
