"""Tells subscribers what changes, in the order in which the history recorded it: nothing lost, nothing twice.

The store is read once for all who watch single executions, and once for all who watch the same filter within the same
scope (`live_feed.py`). A subscriber first gets what came after its position from the store. One that reads slowly has a
short queue; when that is full, it gets the rest from the store, too. So memory is bounded, and a restart loses nothing.
Source: docs/decisions/0016-live.md.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from itertools import cycle
from typing import TYPE_CHECKING

from transfer_gateway.core.cursors import Cursors
from transfer_gateway.core.live_feed import RETRY_S, Feed, Subscription, change_of
from transfer_gateway.core.search import execution_of
from transfer_gateway.domain.change import ChangePosition, ExecutionChange
from transfer_gateway.domain.errors import BadUserInput, DeadlineExceeded, Throttled, UpstreamUnavailable
from transfer_gateway.domain.identity import ExecutionKey
from transfer_gateway.domain.search import SearchOrder
from transfer_gateway.history.values import OF_ANOTHER_HISTORY
from transfer_gateway.shared_tasks import restarted
from transfer_gateway.telemetry import counter, gauge, get_logger
from transfer_gateway.telemetry.metrics import Durations

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Container, Iterator
    from datetime import datetime

    from prometheus_client.core import Metric

    from transfer_gateway.core.clock import Clock
    from transfer_gateway.history.store import HistoryStore
    from transfer_gateway.history.values import ChangeRows, FeedState, SearchIn

    _Reading = asyncio.Task[FeedState | UpstreamUnavailable]
    from transfer_gateway.shared_tasks import SharedTasks

_log = get_logger(__name__)
_POLL_S = 1.0  # other replicas' changes are found by then, at the latest
_GATHER_S, _GATHER_FILTER_S = 0.1, 0.3  # between two reads of the store; a filter's take longer
_PAGE, _LISTED = 200, 100
_FEEDS_AT_FULL_RATE = 10
_MAX_FEEDS = 200  # different filters and scopes, each of which is a query a second
_READS = 4  # of single executions at a time, so that thousands of subscribers that come back wait here for the store
_TICK_S = 3.0  # a subscriber for which nothing changes is judged again
_TICKS = 30  # parts of all subscriptions
_LAG_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Live:
    """All subscriptions of this process."""

    def __init__(
        self, store: HistoryStore, shared_tasks: SharedTasks, clock: Clock, *, max_subscriptions: int
    ) -> None:
        self._store, self._tasks, self._now = store, shared_tasks, clock.now
        self._max_subscriptions = max_subscriptions
        self._cursors: Cursors[ChangePosition] | None = (
            None  # signed with the store's secret, once that is known
        )
        self._feeds: dict[tuple[object, ...] | None, tuple[Feed, asyncio.Task[None]]] = {}
        self._subscriptions: tuple[set[Subscription], ...] = tuple(set() for _ in range(_TICKS))
        self._reading: _Reading | None = None
        self._next_state: _Reading | None = None
        self._begun = 0
        self._ticking: asyncio.Task[None] | None = None
        self._reads, self._listing = asyncio.Semaphore(_READS), asyncio.Semaphore(1)
        self.committed = asyncio.Event()
        self.delivered = self.overflows = self.resumes = 0
        self._lag = Durations(
            "delivery", "From an event's time to its delivery to a subscriber.", (), _LAG_BUCKETS_S
        )
        store.on_commit = self._note_commit

    @property
    def subscriptions(self) -> int:
        """How many are open."""
        return sum(map(len, self._subscriptions))

    async def begin(self, after: str | None) -> ChangePosition | None:
        """A cursor's position, which the next read checks; None without a cursor. Call it before `write_cursor`.

        Raises: BadUserInput; UpstreamUnavailable.
        """
        for cursors in (self._cursors, None):
            if cursors is None:
                secret = (await self._state()).secret
                cursors = Cursors(secret, of="changes", parse=ChangePosition.parse)  # noqa: PLW2901  the store's
                self._cursors = cursors
            if after is None:
                return None
            with suppress(BadUserInput):  # the store may be a new one
                position = cursors.read(after)
                self.resumes += 1
                return position
        raise BadUserInput.of("after", OF_ANOTHER_HISTORY)

    def write_cursor(self, position: ChangePosition) -> str:
        """The cursor that goes on after a position."""
        assert self._cursors is not None  # noqa: S101  as documented
        return self._cursors.write(position)

    async def now(self, deadline: float) -> str:
        """The cursor after all that is committed. Raises: UpstreamUnavailable, DeadlineExceeded."""
        async with until(deadline):
            await self.begin(None)
            return self.write_cursor(await self.newest())

    async def newest(self) -> ChangePosition:
        """After all that is committed. Raises: UpstreamUnavailable."""
        return (await self._state()).newest

    async def _state(self) -> FeedState:
        """Read after this was called, once for all who wait for the next read. Raises: UpstreamUnavailable."""
        if self._next_state is None:
            self._next_state = self._tasks.start(self._read_state(self._reading), name="live state")
        outcome = await asyncio.shield(self._next_state)
        if isinstance(outcome, UpstreamUnavailable):
            raise outcome.copy()
        return outcome

    async def _read_state(self, before: _Reading | None) -> FeedState | UpstreamUnavailable:
        if before is not None:
            await asyncio.wait({before})
        self._reading, self._next_state = self._next_state, None
        try:
            return await self._store.feed.state()
        except UpstreamUnavailable as error:
            return error

    async def known(
        self, key: ExecutionKey, *, told: ChangePosition | None = None
    ) -> tuple[ChangePosition, ExecutionChange | None]:
        """The newest position, and what is known of an execution by then; None: it is not stored.

        With all its events, or those that come after `told`.

        Raises: UpstreamUnavailable.
        """
        async with self._reads:
            newest, row = await self._store.feed.known(key, as_of_ms=int(self._now() * 1000))
        if row is not None and told is not None and row.events:
            row = row.after(told) or replace(row, events=(), seqs=())
        return newest, None if row is None else change_of(row)

    async def new(self, key: ExecutionKey, position: ChangePosition) -> ExecutionChange | None:
        """What is new of an execution since a position. Raises: as `read`."""
        return next(map(change_of, (await self.read(position, key)).rows), None)

    async def read(
        self, position: ChangePosition, only: SearchIn | ExecutionKey | Container[ExecutionKey]
    ) -> ChangeRows:
        """Raises: BadUserInput, as `FeedState.check`; UpstreamUnavailable, DeadlineExceeded."""
        if not isinstance(only, ExecutionKey):
            return await self._store.feed.after(position, only, first=_PAGE, as_of_ms=int(self._now() * 1000))
        async with self._reads:
            return await self._store.feed.after(position, only, first=_PAGE, as_of_ms=int(self._now() * 1000))

    async def running(
        self, of: SearchIn, position: ChangePosition, *, caller: str
    ) -> AsyncGenerator[ExecutionChange | None]:
        """The executions in progress that match, newest first, after those that are `listed`.

        None: the store can't be read at present.
        """
        running = replace(of.wanted, running=True)
        while True:
            try:
                async with self._listing:
                    found = await self._store.search(
                        of.scope,
                        running,
                        SearchOrder.NEWEST_FIRST,
                        first=_LISTED,
                        position=position.listed,
                        as_of_ms=int(self._now() * 1000),
                        caller=caller,
                    )
            except (UpstreamUnavailable, DeadlineExceeded):
                yield None
                await asyncio.sleep(RETRY_S)
                continue
            for row in found.rows:
                position = position._replace(listed=row.position)
                yield ExecutionChange(position, row.key, execution_of(row), ())
            if not found.has_more:
                return

    @contextmanager
    def subscription(
        self, only: SearchIn | ExecutionKey, *, shared_as: tuple[object, ...] = (), is_new: bool = True
    ) -> Iterator[Subscription]:
        """A subscription to what matches, or to one execution. `shared_as`: equal for equal filters and scopes.

        Raises: Throttled, if there are too many; unless it is not `is_new`, but goes on.
        """
        if is_new and self.subscriptions >= self._max_subscriptions:
            raise Throttled(f"At most {self._max_subscriptions:,} subscriptions are open at a time.")
        feed_key = None if isinstance(only, ExecutionKey) else shared_as
        feed = self._feed(feed_key, None if isinstance(only, ExecutionKey) else only, is_new=is_new)
        subscription = Subscription(self, feed, only)
        self._begun += 1
        part = self._subscriptions[self._begun % _TICKS]
        part.add(subscription)
        feed.add(subscription)
        if self._ticking is None:
            self._ticking = self._tasks.start(self._tick(), name="live ticks")
        try:
            yield subscription
        finally:
            part.remove(subscription)
            feed.remove(subscription)
            if feed.is_idle:
                self._feeds.pop(feed_key)[1].cancel()
            if not self.subscriptions:
                self._ticking.cancel()
                self._ticking = None

    def _feed(self, key: tuple[object, ...] | None, only: SearchIn | None, *, is_new: bool) -> Feed:
        """Raises: Throttled."""
        if key not in self._feeds:
            if is_new and key is not None and len(self._feeds) >= _MAX_FEEDS:
                raise Throttled(f"At most {_MAX_FEEDS} different filters are watched at a time.")
            feed = Feed(self, only)
            self._feeds[key] = feed, self._tasks.start(_run(feed), name="live changes")
        return self._feeds[key][0]

    async def _tick(self) -> None:
        """A part of the subscriptions after the other: all at once would keep the loop from its work."""
        for part in cycle(self._subscriptions):
            await asyncio.sleep(_TICK_S / _TICKS)
            for subscription in part:
                subscription.tick()

    def _note_commit(self) -> None:
        self.committed.set()
        self.committed = asyncio.Event()

    async def until_due(self, committed: asyncio.Event, *, is_filter: bool) -> None:
        """Something was committed here, or may have been elsewhere. With many feeds, each reads less often."""
        gather_s = _GATHER_FILTER_S if is_filter else _GATHER_S
        gather_s *= 1 + len(self._feeds) / _FEEDS_AT_FULL_RATE
        await asyncio.sleep(gather_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, _POLL_S - gather_s)):
                await committed.wait()

    def note_overflow(self) -> None:
        """A subscriber fell behind."""
        self.overflows += 1

    def age_s(self, at: datetime | None) -> float:
        """How long ago that was; None: for ever."""
        return math.inf if at is None else self._now() - at.timestamp()

    def note_delivery(self, change: ExecutionChange) -> None:
        """A subscriber gets this."""
        self.delivered += 1
        if change.events:
            self._lag.observe((), max(0.0, self.age_s(change.events[-1].occurred_at)))

    def collect(self) -> Iterator[Metric]:
        yield gauge("live_subscribers", "Open subscriptions.", values=self.subscriptions)
        yield gauge(
            "live_feeds",
            "Reads of the store that subscriptions share: one for single executions, one for each filter and scope.",
            values=len(self._feeds),
        )
        yield counter("live_delivered_changes", "Changes delivered to subscribers.", values=self.delivered)
        yield counter(
            "live_overflows",
            "Times that a subscriber fell behind and was given changes from the store.",
            values=self.overflows,
        )
        yield counter("live_resumes", "Subscriptions that went on from a cursor.", values=self.resumes)
        yield from self._lag.collect()


@asynccontextmanager
async def until(deadline: float) -> AsyncIterator[None]:
    """A limit for reads of the store, by the loop's time. Raises: DeadlineExceeded."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError:
        message = "The history did not answer before the request's deadline; try again."
        raise DeadlineExceeded(message, retry_after_s=RETRY_S) from None


async def _run(feed: Feed) -> None:
    def on_fault() -> None:
        _log.exception("live_feed_failed", effect="its subscriptions read on by themselves")
        feed.lose()

    await restarted(feed.run, on_fault=on_fault, after_s=RETRY_S)
