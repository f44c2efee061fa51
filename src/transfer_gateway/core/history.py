"""What became of executions that AWS has forgotten: the record, or why there is none.

Never a guess: what ended is never said to be in progress, and what is unknown is never said not to exist.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from transfer_gateway.core.answer_sizes import execution_bytes
from transfer_gateway.core.known import Known, groups_of, is_covered, is_whole, readers_in_use
from transfer_gateway.core.log_reader import LATE_S
from transfer_gateway.core.log_search import LogSearch
from transfer_gateway.core.sized_lru import SizedLru
from transfer_gateway.core.snapshot_cache import SharedCall, Snapshots
from transfer_gateway.core.verdicts import UNKNOWN, absent, unlogged, unreadable
from transfer_gateway.domain.errors import (
    BadUserInput,
    ExecutionNotFound,
    NotFoundReason,
    UpstreamUnavailable,
)
from transfer_gateway.domain.event import EventPosition
from transfer_gateway.domain.execution import Source
from transfer_gateway.domain.merge import from_last_answer, from_record, with_record
from transfer_gateway.domain.page import EventPage
from transfer_gateway.domain.record import record_of
from transfer_gateway.history.values import ALL_TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transfer_gateway.core.clock import Clock
    from transfer_gateway.core.cursors import Cursors
    from transfer_gateway.core.follower import Follower
    from transfer_gateway.core.followers import Followers
    from transfer_gateway.core.log_calls import LogCalls
    from transfer_gateway.core.log_reader import LogReader
    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionId, ExecutionKey, WorkflowId
    from transfer_gateway.domain.record import Record
    from transfer_gateway.history.store import HistoryStore
    from transfer_gateway.shared_tasks import SharedTasks

ENDING_FOR_S = 75.0  # after AWS has forgotten an execution: AWS documents no limit for entries to arrive
_MIN_LAG_S, _MAX_LAG_S = 1.0, 3.0  # how long an entry may take that nobody waited for yet
_RECORDS_WITHIN_S = 0.5  # a store that hangs must not hold up what runs
_GRACE_S = 0.5  # of the deadline, for the answer
_FORGOTTEN_CACHED = 50_000
_ENDED_CACHED, _ENDED_BYTES = 5000, 4000


class History:
    """The history of all targets."""

    def __init__(
        self,
        store: HistoryStore,
        followers: Followers,
        calls: LogCalls,
        *,
        shared_tasks: SharedTasks,
        clock: Clock,
        cursors: Cursors[EventPosition],
        waiting: Callable[[ExecutionKey], Execution | None],
        request_timeout_s: float,
    ) -> None:
        """`waiting`: AWS's last answer about an execution, if it has not been stored yet."""
        self._cursors, self._waiting = cursors, waiting
        self.store, self.followers = store, followers
        self._now = clock.now
        self._request_timeout_s = request_timeout_s
        self.forgotten: Snapshots[ExecutionKey, Execution] = Snapshots(
            self._fetch,
            shared_tasks,
            clock,
            size_of=execution_bytes,
            max_entries=_ENDED_CACHED,
            max_bytes=_ENDED_CACHED * _ENDED_BYTES,
        )
        self._forgotten_at: SizedLru[ExecutionKey, float] = SizedLru(_FORGOTTEN_CACHED)
        self._search = LogSearch(calls, store, clock)
        self._settled: SizedLru[ExecutionKey, Execution] = SizedLru(
            _ENDED_CACHED * _ENDED_BYTES, execution_bytes
        )

    async def add_records(self, executions: Sequence[Execution]) -> list[Execution]:
        """The executions; those in progress with what their records add, if the store can be read at once."""
        in_progress = [execution.key for execution in executions if Source.AWS in execution.recorded_by]
        if not in_progress:
            return list(executions)
        try:
            async with asyncio.timeout(_RECORDS_WITHIN_S):
                stored = await self.store.records(in_progress)
        except (UpstreamUnavailable, TimeoutError):
            return list(executions)
        return [
            with_record(execution, record_of(known.events))
            if (known := stored.get(execution.key)) is not None and known.events
            else execution
            for execution in executions
        ]

    async def find(
        self,
        execution_id: ExecutionId,
        workflow_id: WorkflowId | None,
        is_wanted: Callable[[ExecutionKey], bool],
    ) -> ExecutionKey | None:
        """Where an execution ran, if that is known and wanted. Raises: UpstreamUnavailable, by the store."""
        found = await self.store.find(execution_id, workflow_id=workflow_id, targets=ALL_TARGETS)
        return next(filter(is_wanted, found), None)

    async def event(self, key: ExecutionKey, event_id: str) -> ExecutionEvent | None:
        """Raises: UpstreamUnavailable, by the store."""
        stored = (await self.store.records([key])).get(key)
        events = stored.events if stored is not None else ()
        return next((event for event in events if event.event_id == event_id), None)

    async def events(self, key: ExecutionKey, first: int, after: str | None) -> EventPage:
        """A page of an execution's events. Raises: BadUserInput; UpstreamUnavailable, by the store."""
        last = None if after is None else self._cursors.read(after)
        if last is not None and last.key != key:
            raise BadUserInput.of("after", "must be a cursor of this execution's events.")
        stored = (await self.store.records([key])).get(key)
        events = record_of(stored.events).events if stored is not None and stored.events else ()
        start = 0 if last is None else _after(events, last)
        page = events[start : start + first]
        return EventPage(
            tuple((self._cursors.write(EventPosition.of(event)), event) for event in page),
            has_next=start + first < len(events),
        )

    def ended(self, key: ExecutionKey) -> Execution | None:
        """An execution whose end was recalled lately, and whose record never changes again."""
        return self._settled.get(key)

    async def recorded(self, key: ExecutionKey) -> Execution | None:
        """An execution whose end is recorded, as AWS can't say otherwise. None: it is not, or can't be read now."""
        try:
            async with asyncio.timeout(_RECORDS_WITHIN_S):
                known = await self._stored(key)
        except (UpstreamUnavailable, TimeoutError):
            return None
        follower = self.followers.of(key.target)
        return (
            self._told(known, self._now(), follower)
            if known is not None and is_whole(known, follower)
            else None
        )

    async def _fetch(self, key: ExecutionKey, shared: SharedCall[Execution]) -> Execution:
        shared.sent(self._now())
        deadline = asyncio.get_running_loop().time() + self._request_timeout_s
        return await self.recall(key, ExecutionNotFound.of(key), deadline=deadline)

    async def recall(self, key: ExecutionKey, forgotten: ExecutionNotFound, *, deadline: float) -> Execution:
        """An execution that AWS has forgotten; `forgotten` is AWS's answer.

        Raises: ExecutionNotFound with a reason and a remedy; UpstreamUnavailable if the store can't be read.
        """
        forgotten_at = self._forgotten_at.get(key)
        if forgotten_at is None:
            forgotten_at = self._now()
            self._forgotten_at.put(key, forgotten_at)
        known = await self._stored(key)
        follower = self.followers.of(key.target)
        if known is not None and is_whole(known, follower):
            return self._told(known, forgotten_at, follower)
        if follower is None:  # removed from the configuration a moment ago
            raise forgotten
        try:
            async with asyncio.timeout_at(deadline - _GRACE_S):
                known = await self._from_log(key, follower, forgotten, forgotten_at, deadline - _GRACE_S)
        except TimeoutError:
            if known is None:
                raise forgotten.because(
                    NotFoundReason.LOG_UNREADABLE,
                    f"{UNKNOWN} The log of {key.target.label} could not be read before the request's deadline.",
                ) from None
        return self._told(known, forgotten_at, follower)

    async def _from_log(
        self,
        key: ExecutionKey,
        follower: Follower,
        forgotten: ExecutionNotFound,
        forgotten_at: float,
        deadline: float,
    ) -> Known:
        """As `recall`, after reading the log anew. Raises: TimeoutError at the deadline, too."""
        await follower.catch_up()
        known = await self._stored(key)
        if known is not None and is_covered(known, key, follower):
            return known
        try:
            readers = self._readers_of(key, follower, forgotten)
            if known is None:
                lag_s = min(_MAX_LAG_S, max(_MIN_LAG_S, *(reader.lag_s for reader in readers)))
                if (wait_s := forgotten_at + lag_s - self._now()) > 0:
                    await asyncio.sleep(wait_s)
                    await follower.catch_up()
                    known = await self._stored(key)
                readers = self._readers_of(key, follower, forgotten)
            for reader in readers:
                if known is None or not known.is_covered_by(reader):
                    await self._search.search(key, reader, forgotten, deadline, late_too=known is None)
        except (ExecutionNotFound, UpstreamUnavailable):
            known = known or await self._stored(key)
            if known is None:
                raise
            return known
        known = await self._stored(key)
        if known is None:
            raise absent(key, readers, follower, forgotten)
        return known

    async def _stored(self, key: ExecutionKey) -> Known | None:
        """What is known by now, AWS's answers that wait for the store included. Raises: UpstreamUnavailable."""
        stored = (await self.store.records([key])).get(key)
        waiting = self._waiting(key)
        if stored is None and waiting is None:
            return None
        events = stored.events if stored is not None else ()
        observed = stored.observed if stored is not None else None
        return Known(record_of(events) if events else None, waiting or observed)

    def _told(self, known: Known, forgotten_at: float, follower: Follower | None) -> Execution:
        """The execution. If its end is not in the log, it may come, for a while, or as long as that can't be read."""
        now = self._now()
        key = known.key
        may_come = follower is None or follower.sources is None or bool(groups_of(key, follower))
        ending = may_come and (
            now - forgotten_at < ENDING_FOR_S or (follower is not None and follower.has_problem)
        )
        observed_at = datetime.fromtimestamp(now, UTC)
        if known.record is None:
            assert known.observed is not None  # noqa: S101  what is known is one or the other
            return from_last_answer(known.observed, observed_at=observed_at, ending=ending)
        execution = from_record(known.record, known.observed, observed_at=observed_at, ending=ending)
        if follower is not None and self._is_settled(known.record, known, follower):
            self._settled.put(key, execution)
        return execution

    def _is_settled(self, record: Record, known: Known, follower: Follower) -> bool:
        """Whether no further entry will be found: all that may arrive has, and was looked for."""
        if record.ended_at is None:
            return False
        complete_at = record.ended_at + timedelta(seconds=LATE_S)
        readers = readers_in_use(record.key, follower)
        return bool(readers) and all(
            reader.progress.read_until > complete_at
            and (known.is_covered_by(reader) or self._search.has_searched(record.key, reader, complete_at))
            for reader in readers
        )

    def _readers_of(
        self, key: ExecutionKey, follower: Follower, forgotten: ExecutionNotFound
    ) -> list[LogReader]:
        """The logs that would have the execution. Raises: ExecutionNotFound, if there are none or one can't be read."""
        sources = follower.sources
        if sources is None:
            raise unreadable(key.target, follower.problem_of(), forgotten)
        groups = groups_of(key, follower)
        if not groups:
            raise unlogged(key, sources, forgotten)
        for group in groups:
            if group not in follower.readers or follower.problem_of(group) is not None:
                raise unreadable(key.target, follower.problem_of(group), forgotten)
        return [follower.readers[group] for group in groups]


def _after(events: Sequence[ExecutionEvent], last: EventPosition) -> int:
    """The index after that event, or after its copy from another log, or else where it was."""
    for at, event in enumerate(events):
        if event.event_id == last.event_id:
            return at + 1
    start = bisect_left(events, last.occurred_at, key=lambda event: event.occurred_at)
    for at in range(start, len(events)):
        position = EventPosition.of(events[at])
        if position.occurred_at > last.occurred_at:
            break
        if position.about == last.about:
            return at + 1
    return start
