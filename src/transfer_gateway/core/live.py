"""Tells subscribers what changes, in the order in which the history recorded it: nothing lost, nothing twice.

The store is read once for all who watch single executions, and once for all who watch the same filter within the same
scope. A subscriber first gets what came after its position from the store. One that reads slowly has a short queue;
when that is full, it gets the rest from the store, too. So memory is bounded, and a restart loses nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from transfer_gateway.core.search import execution_of
from transfer_gateway.domain.change import ExecutionChange
from transfer_gateway.domain.errors import (
    DeadlineExceeded,
    GatewayError,
    Throttled,
    UpstreamUnavailable,
)
from transfer_gateway.domain.identity import ExecutionKey
from transfer_gateway.domain.search import SearchOrder
from transfer_gateway.telemetry import counter, gauge
from transfer_gateway.telemetry.metrics import Durations

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Container, Coroutine, Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.core.clock import Clock
    from transfer_gateway.core.cursors import Cursors
    from transfer_gateway.domain.change import ChangePosition
    from transfer_gateway.history.store import HistoryStore
    from transfer_gateway.history.values import ChangeRow, ChangeRows, SearchIn
    from transfer_gateway.shared_tasks import SharedTasks

_POLL_S = 1.0  # other replicas' changes are found by then, at the latest
_GATHER_S = 0.1  # between two reads of the store
_PAGE, _LISTED = 200, 100
_QUEUED = 64  # changes of a subscriber that does not read; all who wait for one share it
_READS_AT_ONCE = 2  # of single executions; the store's other connections are for other requests
_FEEDS_AT_FULL_RATE = 10
_MAX_FEEDS = 200  # different filters and scopes, each of which is a query a second
_RETRY_S = 1.0
TICK_S = 2.0  # a subscriber for which nothing changes is judged again
_LAG_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Live:
    """All subscribers of this process."""

    def __init__(
        self,
        store: HistoryStore,
        shared_tasks: SharedTasks,
        clock: Clock,
        cursors: Cursors[ChangePosition],
        *,
        max_subscribers: int,
    ) -> None:
        self._store, self._tasks, self._now = store, shared_tasks, clock.now
        self.write_cursor = cursors.write
        self._cursors = cursors
        self._max_subscribers = max_subscribers
        self._reading = asyncio.Semaphore(_READS_AT_ONCE)
        self._by_execution = _Feed(self, None)
        self._by_filter: dict[tuple[object, ...], _Feed] = {}
        self.committed = asyncio.Event()  # the next time
        self._subscribers = 0
        self.delivered = self.overflows = self.resumes = 0
        self._lag = Durations(
            "delivery", "From an event's time to its delivery to a subscriber.", (), _LAG_BUCKETS_S
        )
        store.on_commit = self._note_commit

    def read_cursor(self, cursor: str) -> ChangePosition:
        """Where a subscription goes on. Raises: BadUserInput."""
        self.resumes += 1
        return self._cursors.read(cursor)

    async def position(self, after: ChangePosition | None = None) -> ChangePosition:
        """Where to begin: after that position; None: with what is committed from now on.

        Raises: BadUserInput, as `FeedState.check`; UpstreamUnavailable.
        """
        state = await self._store.feed.state()
        if after is None:
            return state.newest
        state.check(after)
        return after

    async def known(self, key: ExecutionKey) -> ExecutionChange | None:
        """What is known of an execution, and all its events; None: it is not stored. Raises: as `read`."""
        async with self._reading:  # when many come back at once, they wait their turn
            row = await self._store.feed.known(key, as_of_ms=int(self._now() * 1000))
        return None if row is None else change_of(row)

    async def read(
        self, position: ChangePosition, only: SearchIn | ExecutionKey | Container[ExecutionKey]
    ) -> ChangeRows:
        """Raises: BadUserInput, as `position`; UpstreamUnavailable, DeadlineExceeded."""
        async with self._reading if isinstance(only, ExecutionKey) else nullcontext():
            return await self._store.feed.after(position, only, first=_PAGE, as_of_ms=int(self._now() * 1000))

    async def running(
        self, of: SearchIn, position: ChangePosition, *, caller: str
    ) -> AsyncGenerator[ExecutionChange]:
        """The executions in progress that match, newest first, after those that are `listed`.

        Raises: UpstreamUnavailable, DeadlineExceeded.
        """
        running = replace(of.wanted, running=True)
        while True:
            found = await self._store.search(
                of.scope,
                running,
                SearchOrder.NEWEST_FIRST,
                first=_LISTED,
                position=position.listed,
                as_of_ms=int(self._now() * 1000),
                caller=caller,
            )
            for row in found.rows:
                position = position._replace(listed=row.position)
                yield ExecutionChange(position, row.key, execution_of(row), ())
            if not found.has_more:
                return

    def _note_commit(self) -> None:
        self.committed.set()
        self.committed = asyncio.Event()

    async def until_due(self, committed: asyncio.Event) -> None:
        """Something was committed here, or may have been elsewhere. With many feeds, each reads less often."""
        gather_s = _GATHER_S * (1 + len(self._by_filter) / _FEEDS_AT_FULL_RATE)
        await asyncio.sleep(gather_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, _POLL_S - gather_s)):
                await committed.wait()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._tasks.start(work, name="read changes")

    async def changes(
        self, only: SearchIn | ExecutionKey, position: ChangePosition, *, shared_as: tuple[object, ...] = ()
    ) -> AsyncGenerator[ExecutionChange | None]:
        """What changes after a position, without end; None: nothing has for two seconds, or the store can't be read.

        `shared_as`: equal for equal filters and scopes. Within `subscription`.

        Raises: Throttled, if there are too many different filters; BadUserInput, as `position`.
        """
        with self._fed(only, position, shared_as) as subscriber:
            async for change in subscriber.changes(position):
                yield change

    def note_delivery(self, change: ExecutionChange) -> None:
        """A subscriber gets this."""
        self.delivered += 1
        if change.events:
            self._lag.observe((), max(0.0, self._now() - change.events[-1].occurred_at.timestamp()))

    @contextmanager
    def subscription(self) -> Iterator[None]:
        """Count a subscription as open meanwhile. Raises: Throttled, if there are too many."""
        if self._subscribers >= self._max_subscribers:
            raise Throttled(f"At most {self._max_subscribers:,} subscriptions are open at a time.")
        self._subscribers += 1
        try:
            yield
        finally:
            self._subscribers -= 1

    @contextmanager
    def _fed(
        self, only: SearchIn | ExecutionKey, position: ChangePosition, shared_as: tuple[object, ...]
    ) -> Iterator[_Subscriber]:
        feed = self._by_execution if isinstance(only, ExecutionKey) else self._feed(only, shared_as)
        subscriber = _Subscriber(self, only)
        feed.add(subscriber, position)
        try:
            yield subscriber
        finally:
            feed.remove(subscriber)
            if feed.is_idle and not isinstance(only, ExecutionKey):
                self._by_filter.pop(shared_as, None)

    def _feed(self, only: SearchIn, shared_as: tuple[object, ...]) -> _Feed:
        feed = self._by_filter.get(shared_as)
        if feed is None:
            if len(self._by_filter) >= _MAX_FEEDS:
                raise Throttled(f"At most {_MAX_FEEDS} different filters are watched at a time.")
            feed = self._by_filter[shared_as] = _Feed(self, only)
        return feed

    def collect(self) -> Iterator[Metric]:
        yield gauge("live_subscribers", "Open subscriptions.", values=self._subscribers)
        yield gauge("live_feeds", "Different filters that are watched.", values=len(self._by_filter))
        yield counter("live_delivered_changes", "Changes delivered to subscribers.", values=self.delivered)
        yield counter(
            "live_overflows",
            "Times that a subscriber fell behind and was given changes from the store.",
            values=self.overflows,
        )
        yield counter("live_resumes", "Subscriptions that went on from a cursor.", values=self.resumes)
        yield from self._lag.collect()


class _Feed:
    """Reads changes from the store while there are subscribers, for all of them. `only` None: of single executions."""

    def __init__(self, live: Live, only: SearchIn | None) -> None:
        self._live, self._only = live, only
        self._subscribers: set[_Subscriber] = set()
        self._by_key: dict[ExecutionKey, set[_Subscriber]] = {}
        self._task: asyncio.Task[None] | None = None
        self._until: ChangePosition | None = None  # what the next read begins after; None: one is being done

    @property
    def is_idle(self) -> bool:
        return not self._subscribers

    def add(self, subscriber: _Subscriber, position: ChangePosition) -> None:
        """One whose position is not before the next read's beginning misses nothing, so it need not read by itself."""
        if self._until is not None and self._until.is_included_in(position):
            subscriber.catch_up()
        self._subscribers.add(subscriber)
        if isinstance(subscriber.only, ExecutionKey):
            self._by_key.setdefault(subscriber.only, set()).add(subscriber)
        if self._task is None:
            self._task = self._live.start(self._run())

    def remove(self, subscriber: _Subscriber) -> None:
        self._subscribers.discard(subscriber)
        if isinstance(subscriber.only, ExecutionKey):
            watching = self._by_key[subscriber.only]
            watching.discard(subscriber)
            if not watching:
                del self._by_key[subscriber.only]
        if self.is_idle and self._task is not None:
            self._task.cancel()
            self._task = self._until = None

    async def _run(self) -> None:
        """What this misses, before the first read and after a failure, subscribers read from the store themselves."""
        position: ChangePosition | None = None
        while True:
            committed, self._until = self._live.committed, None
            try:
                if position is None:
                    position = await self._live.position()
                    for subscriber in self._subscribers:
                        subscriber.fall_behind()
                page = await self._live.read(position, self._by_key if self._only is None else self._only)
            except GatewayError:  # logged by the store
                position = None
                await asyncio.sleep(_RETRY_S)
                continue
            for row in page.rows:
                subscribers = self._by_key.get(row.key, ()) if self._only is None else self._subscribers
                if subscribers:
                    change = change_of(row)
                    for subscriber in subscribers:
                        subscriber.put(row, change)
            position = page.until
            if not page.has_more:
                self._until = position
                await self._live.until_due(committed)


class _Subscriber:
    """A short queue of changes, which all subscribers of an execution share, and the way to the store past it."""

    def __init__(self, live: Live, only: SearchIn | ExecutionKey) -> None:
        self._live, self.only = live, only
        self._queue: deque[tuple[ChangeRow, ExecutionChange]] = deque()
        self._behind = True
        self._wake = asyncio.Event()

    def put(self, row: ChangeRow, change: ExecutionChange) -> None:
        if self._behind:
            return  # it will be read from the store
        if len(self._queue) == _QUEUED:
            self._live.overflows += 1
            self.fall_behind()
        else:
            self._queue.append((row, change))
            self._wake.set()

    def catch_up(self) -> None:
        self._behind = False

    def fall_behind(self) -> None:
        self._queue.clear()
        self._behind = True
        self._wake.set()

    async def changes(self, position: ChangePosition) -> AsyncIterator[ExecutionChange | None]:
        """As `Live.changes`."""
        while True:
            self._wake.clear()
            if self._behind:
                self._behind = False  # what is put from now on may be read twice, and is told by its position
                try:
                    page = await self._live.read(position, self.only)
                except (UpstreamUnavailable, DeadlineExceeded):
                    self._behind = True
                    await asyncio.sleep(_RETRY_S)
                    yield None
                    continue
                self._behind |= page.has_more
                for row in page.rows:
                    yield change_of(row)
                position = page.until
                continue
            while self._queue and not self._behind:
                row, change = self._queue.popleft()
                if (new := row.after(position)) is None:
                    continue
                position = position.including(new.position)
                if new is row and position == change.position:
                    yield change
                else:
                    yield replace(change, position=position, events=new.events, rendered={})
            if not self._behind:
                try:
                    async with asyncio.timeout(TICK_S):
                        await self._wake.wait()
                except TimeoutError:
                    yield None


def change_of(row: ChangeRow) -> ExecutionChange:
    return ExecutionChange(row.position, row.key, execution_of(row), row.events)
