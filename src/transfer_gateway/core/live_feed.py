"""Reads changes from the store, once for all who subscribe to the same, and hands them to each subscription's queue."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from transfer_gateway.core.search import execution_of
from transfer_gateway.domain.change import ExecutionChange
from transfer_gateway.domain.errors import BadUserInput, DeadlineExceeded, GatewayError, UpstreamUnavailable
from transfer_gateway.domain.identity import ExecutionKey
from transfer_gateway.history.values import ChangeRows

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Container

    from transfer_gateway.domain.change import ChangePosition
    from transfer_gateway.history.values import ChangeRow, SearchIn

_QUEUED = 64  # changes of a subscriber that does not read; all who wait for one share it
RETRY_S = 1.0


class Source(Protocol):
    """Where feeds read from."""

    committed: asyncio.Event  # the next time

    async def newest(self) -> ChangePosition:
        """Raises: UpstreamUnavailable."""
        ...

    async def read(
        self, position: ChangePosition, only: SearchIn | ExecutionKey | Container[ExecutionKey]
    ) -> ChangeRows:
        """Raises: BadUserInput; UpstreamUnavailable, DeadlineExceeded."""
        ...

    async def until_due(self, committed: asyncio.Event, *, is_filter: bool) -> None:
        """Wait until the next read."""
        ...

    def note_overflow(self) -> None: ...


class Feed:
    """Reads while there are subscriptions, for all of them. `only` None: those to single executions."""

    def __init__(self, source: Source, only: SearchIn | None) -> None:
        self._source, self._only = source, only
        self._subscriptions: set[Subscription] = set()
        self._by_key: dict[ExecutionKey, set[Subscription]] = {}
        self._is_lost = False
        self.started = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        return not self._subscriptions

    def add(self, subscription: Subscription) -> None:
        self._subscriptions.add(subscription)
        if isinstance(subscription.only, ExecutionKey):
            self._by_key.setdefault(subscription.only, set()).add(subscription)

    def remove(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
        if isinstance(subscription.only, ExecutionKey):
            watching = self._by_key[subscription.only]
            watching.discard(subscription)
            if not watching:
                del self._by_key[subscription.only]

    async def run(self) -> None:
        """Read until cancelled; while the store can't be read, everybody waits. Begun again, it goes on."""
        position: ChangePosition | None = None
        while True:
            committed = self._source.committed
            try:
                if position is None:
                    position = await self._source.newest()
                    self.started.set()
                    for subscription in self._subscriptions:
                        subscription.fall_behind() if self._is_lost else subscription.tick()
                    self._is_lost = False
                page = await self._source.read(position, self._by_key if self._only is None else self._only)
            except (
                BadUserInput
            ):  # the store is another one, or has lost what comes next: each is told by its own read
                position = None
                self.lose()
                await asyncio.sleep(RETRY_S)
                continue
            except GatewayError:  # logged by the store
                await asyncio.sleep(RETRY_S)
                continue
            for row in page.rows:
                self._put(row)
            position = page.until
            if not page.has_more:
                await self._source.until_due(committed, is_filter=self._only is not None)

    def lose(self) -> None:
        """Where this was is unknown: each subscription reads on from where it is itself."""
        self._is_lost = True
        self.started.clear()
        for subscription in self._subscriptions:
            subscription.fall_behind()

    def _put(self, row: ChangeRow) -> None:
        subscriptions = self._subscriptions if self._only is not None else self._by_key.get(row.key, ())
        if subscriptions:
            change = change_of(row)
            for subscription in subscriptions:
                subscription.put(row, change)


class Subscription:
    """A short queue of changes, which all subscribers share, and the way to the store past it."""

    def __init__(self, source: Source, feed: Feed, only: SearchIn | ExecutionKey) -> None:
        self._source, self._feed, self.only = source, feed, only
        self._queue: deque[tuple[ChangeRow, ExecutionChange]] = deque()
        self._behind = False
        self._wake = asyncio.Event()

    async def begun(self) -> None:
        """Wait until what is committed from now on reaches the queue."""
        await self._feed.started.wait()

    def tick(self) -> None:
        self._wake.set()

    def put(self, row: ChangeRow, change: ExecutionChange) -> None:
        if self._behind:
            return  # it will be read from the store
        if len(self._queue) == _QUEUED:
            self._source.note_overflow()
            self.fall_behind()
        else:
            self._queue.append((row, change))
            self._wake.set()

    def fall_behind(self) -> None:
        self._queue.clear()
        self._behind = True
        self._wake.set()

    def _next(self, position: ChangePosition) -> ExecutionChange | None:
        """What of the queue comes after the position; None: nothing."""
        while self._queue and not self._behind:
            row, change = self._queue.popleft()
            if (new := row.after(position)) is not None:
                until = position.including(new.position)
                if new is row and until == change.position:
                    return change
                return replace(change_of(new), position=until)
        return None

    async def _catch_up(self, position: ChangePosition) -> ChangeRows:
        """Read from the store; what can't be read is empty, after a moment. Raises: BadUserInput."""
        self._behind = False  # what is put from now on may be read twice, and is told by its position
        try:
            page = await self._source.read(position, self.only)
        except (UpstreamUnavailable, DeadlineExceeded):
            await asyncio.sleep(RETRY_S)
            page = ChangeRows((), position, has_more=True)
        self._behind |= page.has_more
        return page

    async def changes(
        self, position: ChangePosition, *, is_current: bool = False
    ) -> AsyncGenerator[ExecutionChange | None]:
        """What changes after a position, without end; None: nothing has for some seconds, or the store can't be read.

        `is_current`: the position is that of a read after this subscription had `begun`.

        Raises: BadUserInput, as `FeedState.check`.
        """
        while not self._feed.started.is_set():
            await self._wake.wait()
            self._wake.clear()
            yield None
        self._behind |= not is_current
        while True:
            self._wake.clear()
            if self._behind:
                page = await self._catch_up(position)
                for row in page.rows:
                    yield change_of(row)
                if page.until == position:
                    yield None
                position = page.until
                continue
            while (queued := self._next(position)) is not None:
                position = queued.position
                yield queued
            if not self._behind:
                await self._wake.wait()
                if not self._queue and not self._behind:
                    yield None


def change_of(row: ChangeRow) -> ExecutionChange:
    events = tuple(
        sorted(row.events, key=lambda event: event.occurred_at)
    )  # those of one read, by their time
    return ExecutionChange(row.position, row.key, execution_of(row), events, has_later=row.has_later)
