"""Tells subscribers what changes, in the order in which the history recorded it: nothing lost, nothing twice.

The store is read once for all who watch single executions, and once for all who watch the same filter within the same
scope. A subscriber first gets what came after its position from the store. One that reads slowly has a short queue;
when that is full, it gets the rest from the store, too. So memory is bounded, and a restart loses nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transfer_gateway.core.search import execution_of
from transfer_gateway.domain.change import ExecutionChange
from transfer_gateway.domain.errors import BadUserInput, DeadlineExceeded, GatewayError, Throttled, UpstreamUnavailable
from transfer_gateway.domain.identity import ExecutionKey
from transfer_gateway.history.values import SearchIn
from transfer_gateway.telemetry import counter, gauge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from prometheus_client.core import Metric

    from transfer_gateway.core.clock import Clock
    from transfer_gateway.domain.change import ChangePosition
    from transfer_gateway.history.store import HistoryStore
    from transfer_gateway.history.values import ChangeRow
    from transfer_gateway.shared_tasks import SharedTasks

_POLL_S = 1.0  # other replicas' changes are found by then, at the latest
_GATHER_S = 0.1  # between two reads of the store
_PAGE = 200
_QUEUED = 64  # changes of a subscriber that does not read; all who wait for one share it
_MAX_FEEDS = 200  # different filters and scopes, each of which is a query a second
_RETRY_S = 1.0


class Live:
    """All subscribers of this process."""

    def __init__(self, store: HistoryStore, shared_tasks: SharedTasks, clock: Clock, *, max_subscribers: int) -> None:
        self._store, self._tasks, self._now = store, shared_tasks, clock.now
        self._max_subscribers = max_subscribers
        self._by_execution = _Feed(self, None)
        self._by_filter: dict[tuple[object, ...], _Feed] = {}
        self.committed = asyncio.Event()
        self._subscribers = 0
        self._counts = {"delivered": 0, "resumed": 0, "overflowed": 0}
        store.on_commit = self.committed.set

    async def position(self, after: ChangePosition | None, *, field: str = "after") -> ChangePosition:
        """Where to begin: after that position; None: with what is committed from now on.

        Raises: BadUserInput for a position of another history, or of one that was restored, or from before what
        retention has deleted; UpstreamUnavailable.
        """
        state = await self._store.feed.state()
        if after is None:
            return state.newest
        if after.history != state.newest.history or after.event > state.newest.event or after.answer > state.newest.answer:
            raise BadUserInput.of(field, "is a cursor of another history: subscribe without it.")
        if after.event < state.deleted.event or after.answer < state.deleted.answer:
            raise BadUserInput.of(field, "is older than what the history keeps: subscribe without it.")
        return after

    async def changes(
        self, only: SearchIn | ExecutionKey, position: ChangePosition, *, shared_as: tuple[object, ...] = ()
    ) -> AsyncIterator[ExecutionChange]:
        """What changes after a position, without end. `shared_as`: equal for equal filters and scopes.

        Raises: Throttled, if there are too many; BadUserInput.
        """
        with self._subscribed(only, shared_as) as subscriber:
            async for row in subscriber.rows(position):
                self._counts["delivered"] += 1
                yield ExecutionChange(
                    row.position,
                    row.key,
                    execution_of(row, datetime.fromtimestamp(self._now(), UTC)),
                    row.events,
                )

    @contextmanager
    def _subscribed(self, only: SearchIn | ExecutionKey, shared_as: tuple[object, ...]) -> Iterator[_Subscriber]:
        if self._subscribers >= self._max_subscribers:
            raise Throttled.because(f"At most {self._max_subscribers:,} subscriptions are open at a time.")
        feed = self._by_execution if isinstance(only, ExecutionKey) else self._feed(only, shared_as)
        subscriber = _Subscriber(self, only)
        self._subscribers += 1
        feed.add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers -= 1
            feed.remove(subscriber)
            if feed.is_idle and not isinstance(only, ExecutionKey):
                self._by_filter.pop(shared_as, None)

    def _feed(self, only: SearchIn, shared_as: tuple[object, ...]) -> _Feed:
        feed = self._by_filter.get(shared_as)
        if feed is None:
            if len(self._by_filter) >= _MAX_FEEDS:
                raise Throttled.because(f"At most {_MAX_FEEDS} different filters are watched at a time.")
            feed = self._by_filter[shared_as] = _Feed(self, only)
        return feed
