"""Reading one log group: what is new, what comes late, the past, and what the store has lost. The store is real."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

import sqlite_file
from driven_time import DrivenTime
from history_events import a_run, event, new_key
from transfer_gateway.core.clock import Clock
from transfer_gateway.core.log_reader import LogReader
from transfer_gateway.domain.errors import UpstreamUnavailable
from transfer_gateway.domain.event import EventKind
from transfer_gateway.domain.log_page import LogPage
from transfer_gateway.history.store import HistoryStore, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Container, Sequence
    from pathlib import Path

    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.history import GroupProgress

pytestmark = pytest.mark.driven_time
STARTS_AT = datetime(2026, 3, 2, tzinfo=UTC)
KEY = new_key()
GROUP = "/aws/transfer/s-0123456789abcdef0"


def now() -> datetime:
    return STARTS_AT + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass
class Log:
    """A log group of entries, each with the time at which it can be read. `asked`: the times that were read."""

    entries: list[tuple[ExecutionEvent, datetime]] = field(default_factory=list)
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)
    page_size: int = 1000
    empty_pages: int = 0
    problem: UpstreamUnavailable | None = None

    def write(self, ago_s: float = 0, late_s: float = 0) -> ExecutionEvent:
        """An entry of `ago_s` before now, which can be read `late_s` later."""
        at = now() - timedelta(seconds=ago_s)
        since = datetime(2026, 3, 1, 12, tzinfo=UTC)
        entry = event(
            KEY, EventKind.STEP_STARTED, int((at - since).total_seconds() * 1000), len(self.entries), "copy"
        )
        self.entries.append((entry, at + timedelta(seconds=late_s)))
        return entry

    async def read(
        self, start: datetime, end: datetime, *, newest_first: bool, token: str | None, skip: Container[str]
    ) -> LogPage:
        if self.problem is not None:
            raise self.problem
        first, empties = (0, 0) if token is None else map(int, token.split("/"))
        if token is None:
            self.asked.append((start, end))
        await asyncio.sleep(0.05)
        if empties < self.empty_pages:
            return LogPage((), 0, 0, (), None, f"{first}/{empties + 1}")
        found = sorted(
            (one for one, readable in self.entries if readable <= now() and start <= one.occurred_at <= end),
            key=lambda one: one.occurred_at,
            reverse=newest_first,
        )
        page = found[first : first + self.page_size]
        last = first + self.page_size >= len(found)
        events = tuple(one for one in page if one.event_id not in skip)
        return LogPage(events, len(page), 0, (), 0.0, None if last else f"{first + self.page_size}/0")


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[HistoryStore]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, DrivenTime)
    async with open_store(f"sqlite:///{path}/history.db", timeout_s=60) as store:
        running = store._operations._running
        loop.is_busy = lambda: bool(running)
        yield store
        loop.is_busy = lambda: True
    loop.is_busy = lambda: False


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[HistoryStore]:
    async with opened(tmp_path) as store:
        yield store


def reader_of(
    log: Log, store: HistoryStore, progress: GroupProgress | None = None, *, hours: float = 24
) -> LogReader:
    clock = Clock(monotonic=asyncio.get_running_loop().time, wall=lambda: now().timestamp())
    return LogReader(
        KEY.target, GROUP, log.read, store, clock, backfill=timedelta(hours=hours), progress=progress
    )


async def ids(store: HistoryStore) -> set[str]:
    stored = (await store.records([KEY])).get(KEY)
    return {one.event_id for one in stored.events} if stored else set()


def ids_of(entries: Sequence[ExecutionEvent]) -> set[str]:
    return {entry.event_id for entry in entries}


async def backfill(reader: LogReader) -> int:
    """Returns: how many windows it took."""
    windows = 0
    while not reader.progress.backfilled:
        await reader.read_past()
        windows += 1
    return windows


async def follow(reader: LogReader, for_s: float, every_s: float = 2.0) -> None:
    end = now() + timedelta(seconds=for_s)
    while now() < end:
        await reader.read_new()
        await asyncio.sleep(every_s)


@pytest.mark.parametrize(("late_s", "within_s"), [(0.5, 4), (8, 12), (29, 42), (100, 400), (590, 900)])
async def test_late_entries_are_found(store: HistoryStore, late_s: float, within_s: float) -> None:
    """By the next reads' overlap, within 10 s by a longer one; later ones by the sweep every five minutes."""
    log = Log()
    reader = reader_of(log, store)
    await follow(reader, 20)
    entry = log.write(late_s=late_s)
    await follow(reader, within_s)
    assert await ids(store) == {entry.event_id}


async def test_reads_overlap_by_as_much_as_entries_came_late(store: HistoryStore) -> None:
    """So the second entry that is so late is found within ten seconds, not by the next sweep."""
    log = Log()
    reader = reader_of(log, store)
    await follow(reader, 20)
    log.write(late_s=50)
    await follow(reader, 400)
    entry = log.write(late_s=50)
    await follow(reader, 62)
    assert entry.event_id in await ids(store)


async def test_an_entry_is_read_again_but_not_new_again(store: HistoryStore) -> None:
    log = Log()
    reader = reader_of(log, store)
    log.write()
    assert len(await reader.read_new()) == 1
    assert await reader.read_new() == []


async def test_the_past_is_read_newest_first_in_growing_windows(store: HistoryStore) -> None:
    """15 minutes, an hour, four hours …, as far as configured and no further."""
    log = Log()
    wanted = [log.write(ago_s=ago_s) for ago_s in (60, 3600, 80_000)]
    log.write(ago_s=90_000)
    reader = reader_of(log, store)
    await reader.read_new()
    log.asked.clear()
    assert await backfill(reader) <= 5
    spans = [(end - start).total_seconds() / 60 for start, end in log.asked]
    assert spans[:3] == [15, 60, 240]
    assert [start for start, _ in log.asked][:-1] == [end for _, end in log.asked][1:]
    assert await ids(store) == ids_of(wanted)


@pytest.mark.thorough
async def test_windows_of_the_past_take_few_pages(store: HistoryStore) -> None:
    """So that they don't hold up what is new."""
    log = Log(page_size=2)
    entries = [log.write(ago_s=number * 200) for number in range(400)]
    reader = reader_of(log, store)
    await reader.read_new()
    slowest = 0.0
    while not reader.progress.backfilled:
        started_at = now()
        await reader.read_past()
        slowest = max(slowest, (now() - started_at).total_seconds())
    assert slowest < 0.05 * 15  # a page takes 0.05 s
    assert await ids(store) == ids_of(entries)


async def test_empty_pages_are_followed_to_their_end(store: HistoryStore) -> None:
    log = Log(page_size=1, empty_pages=5)
    entries = [log.write(ago_s=number) for number in range(4)]
    await reader_of(log, store).read_new()
    assert await ids(store) == ids_of(entries)


async def test_endless_pages_are_an_error_and_nothing_is_skipped(store: HistoryStore) -> None:
    """The checkpoint stays where it was, so that the same time is read again."""
    log = Log()
    reader = reader_of(log, store)
    await reader.read_new()
    before = reader.progress
    log.empty_pages = 1_000_000
    await asyncio.sleep(30)
    entry = log.write(ago_s=25)
    with pytest.raises(UpstreamUnavailable, match="don't end"):
        await reader.read_new()
    assert reader.progress == before
    assert (await store.progress(KEY.target))[GROUP] == before
    log.empty_pages = 0
    await reader.read_new()
    assert await ids(store) == {entry.event_id}


@pytest.mark.parametrize("down_for_s", [1, 60, 500, 1000, 50_000])
@pytest.mark.variants(keep=2)
async def test_a_restart_goes_on_from_the_checkpoint(tmp_path: Path, down_for_s: float) -> None:
    """A short gap is read at once, a longer one newest first; what is complete before it is not read again."""
    log = Log()
    async with opened(tmp_path) as store:
        reader = reader_of(log, store)
        await reader.read_new()
        await backfill(reader)
        late = log.write(late_s=40)
        await reader.read_new()
        checkpoint = reader.progress.read_until
    await asyncio.sleep(down_for_s)
    missed = [log.write(ago_s=down_for_s * part) for part in (0.9, 0.5, 0.01)]
    async with opened(tmp_path) as store:
        log.asked.clear()
        reader = reader_of(log, store, (await store.progress(KEY.target))[GROUP])
        await reader.read_new()
        if down_for_s > 10_000:
            assert await ids(store) == {missed[-1].event_id}
        await backfill(reader)
        await follow(reader, 400)
        assert await ids(store) == ids_of([late, *missed])
        assert reader.progress.complete_since <= STARTS_AT - timedelta(hours=24)
        assert min(start for start, _ in log.asked) >= checkpoint - timedelta(hours=1)


async def test_a_restart_during_the_back_fill_goes_on_with_it(tmp_path: Path) -> None:
    """However long the gap, and however often."""
    log = Log()
    async with opened(tmp_path) as store:
        entries = [log.write(ago_s=ago_s) for ago_s in (100, 5000, 70_000)]
        reader = reader_of(log, store)
        await reader.read_new()
        await reader.read_past()
    for down_for_s in (5, 2000, 4000):
        await asyncio.sleep(down_for_s)
        async with opened(tmp_path) as store:
            reader = reader_of(log, store, (await store.progress(KEY.target))[GROUP])
            await reader.read_new()
            await reader.read_past()
    async with opened(tmp_path) as store:
        reader = reader_of(log, store, (await store.progress(KEY.target))[GROUP])
        await backfill(reader)
        assert await ids(store) == ids_of(entries)


async def test_who_does_not_read_a_log_knows_how_far_back_it_is_read(store: HistoryStore) -> None:
    """Each replica counts the hours from its own first look: that of the one that reads counts."""
    log = Log()
    watching = reader_of(log, store)
    await watching.read_new()
    await asyncio.sleep(5)  # in which another one takes the log over
    reading = reader_of(log, store)
    await reading.read_new()
    await backfill(reading)
    watching.adopt(reading.state)
    assert watching.progress.backfilled


async def test_a_log_that_could_not_be_read_for_hours_is_read_newest_first(store: HistoryStore) -> None:
    log = Log()
    reader = reader_of(log, store)
    await reader.read_new()
    await backfill(reader)
    log.problem = UpstreamUnavailable("AWS is down.")
    for _ in range(100):
        with pytest.raises(UpstreamUnavailable):
            await reader.read_new()
        await asyncio.sleep(60)
    missed = [log.write(ago_s=ago_s) for ago_s in (5900, 3000, 5)]
    log.problem = None
    log.asked.clear()
    await reader.read_new()
    assert await ids(store) == {missed[-1].event_id}
    await backfill(reader)
    assert await ids(store) == ids_of(missed)
    assert min(start for start, _ in log.asked) > now() - timedelta(seconds=6100 + 1800)


async def test_what_the_store_did_not_take_is_read_again(store: HistoryStore, tmp_path: Path) -> None:
    log = Log()
    reader = reader_of(log, store)
    await reader.read_new()
    before = reader.progress
    entry = log.write(late_s=0)
    await sqlite_file.execute(tmp_path / "history.db", "ALTER TABLE history_log_groups RENAME TO gone")
    with pytest.raises(UpstreamUnavailable, match="history store failed"):
        await reader.read_new()
    assert reader.progress == before
    await sqlite_file.execute(tmp_path / "history.db", "ALTER TABLE gone RENAME TO history_log_groups")
    await asyncio.sleep(300)
    await reader.read_new()
    assert await ids(store) == {entry.event_id}


@pytest.mark.parametrize("had", ["nothing", "the-beginning"])
@pytest.mark.parametrize("reads", ["what-is-new", "the-past"])
async def test_a_store_that_lost_what_was_saved_gets_it_again(tmp_path: Path, had: str, reads: str) -> None:
    """Noticed by the next append: its checkpoint would cover what the store does not have any more."""
    log = Log()
    async with opened(tmp_path) as store:
        entries = [log.write(ago_s=50_000)]
        reader = reader_of(log, store)
        await reader.read_new()
        await reader.read_past()
        await asyncio.sleep(60)
        before = (await store.progress(KEY.target))[GROUP]
        for _ in range(5):
            entries.append(log.write())
            await reader.read_new()
            await asyncio.sleep(600)
        generation = store.generation
        async with store._operations.database.writer.begin() as connection:
            await connection.exec_driver_sql("DELETE FROM history_events")
            await connection.exec_driver_sql("DELETE FROM history_executions")
            await connection.exec_driver_sql("DELETE FROM history_log_groups")
        if had == "the-beginning":
            await store.append([], before)
        await (reader.read_new() if reads == "what-is-new" else reader.read_past())
        assert store.generation > generation
        await reader.read_new()
        stored = (await store.progress(KEY.target))[GROUP]
        known = await ids(store)
        covered = [entry for entry in entries if entry.occurred_at >= stored.complete_since]
        assert ids_of(covered) <= known
        await backfill(reader)
        assert await ids(store) == ids_of(entries)


async def test_running_executions_keep_it_active_until_they_end(store: HistoryStore) -> None:
    log = Log()
    reader = reader_of(log, store)
    assert not reader.is_active(0)
    *before, end = a_run(KEY, start_ms=12 * 3_600_000)
    reader._note(before)
    assert reader.is_active(0)
    reader._note([end])
    assert not reader.is_active(0)
