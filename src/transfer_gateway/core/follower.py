"""Keeps one target's history current: finds out where its workflows log, and reads those logs.

Each target has its own task, rate and problems, so a target that hangs or is denied costs the others nothing.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from transfer_gateway.backoff import Backoff, jittered
from transfer_gateway.core.fanout import outcomes
from transfer_gateway.core.follow_rate import MAX_IDLE_S, Demand
from transfer_gateway.core.follower_state import FollowerState, Work
from transfer_gateway.core.log_reader import LogReader, ReadPage
from transfer_gateway.domain.coverage import Coverage, CoverageGap
from transfer_gateway.domain.errors import GatewayError, LogGroupNotFound
from transfer_gateway.domain.identity import WorkflowKey
from transfer_gateway.history import LogMechanism, WorkflowLog
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container

    from transfer_gateway.core.clock import Clock
    from transfer_gateway.core.follow_rate import FollowRate
    from transfer_gateway.core.log_calls import LogCalls
    from transfer_gateway.domain.identity import Target, WorkflowId
    from transfer_gateway.domain.log_page import LogPage
    from transfer_gateway.domain.log_sources import LogSources
    from transfer_gateway.history import GroupProgress
    from transfer_gateway.history.store import HistoryStore

_log = get_logger(__name__)

_ACTIVE_FOR_S = 30.0  # after an event
_ASKED_FOR_S = 60.0  # after a question
WATCHED_FOR_S = 30.0  # after the last sign of whoever watches
_STAGGER_S = 2.0
_IDLE_GROWTH = 1.5
_FOLLOWED_FOR = timedelta(days=2)  # a group of a workflow or server that was deleted
_RETRY = Backoff(2.0, 60.0)
_CALLS_AT_ONCE = 2  # as pacing allows: the last of many logs would time out waiting


@dataclass(frozen=True, slots=True)
class FollowerOptions:
    """`interval_s`: between reads of a log in which something happens. `backfill`: how much of the past to read.

    `max_reads_per_s`: of all logs together; see `FollowRate`.
    """

    interval_s: float
    backfill: timedelta
    max_reads_per_s: float


@dataclass(slots=True)
class _Problem:
    """Why something failed, how often in a row, and when to try again, in the clock's time."""

    error: GatewayError
    failures: int
    retry_at: float


class Follower:
    """One target's follower. `run` it in a task of its own, unless another replica follows the target."""

    def __init__(
        self,
        target: Target,
        calls: LogCalls,
        store: HistoryStore,
        clock: Clock,
        *,
        options: FollowerOptions,
        rate: FollowRate,
        on_judged: Callable[[Follower], None] = lambda _: None,
    ) -> None:
        """`on_judged`: called whenever `gap` may have changed."""
        self.target = target
        self.sources: LogSources | None = None
        self.logs: list[WorkflowLog] = []
        self.readers: dict[str, LogReader] = {}
        self._calls, self._store, self._clock, self._options = calls, store, clock, options
        self._rate, self._on_judged = rate, on_judged
        self._problems: dict[Work, _Problem] = {}
        self._sources_at = self._asked_at = self._watched_at = -1e9
        self._lookup_at: float | None = (
            None  # its turn to find out where the target logs, in the clock's time
        )
        self._past_at = 0.0  # when its past may be read again, in the loop's time
        self._idle_s = options.interval_s
        self._wake = asyncio.Event()
        self._reading = asyncio.Lock()
        self._turns = asyncio.Semaphore(_CALLS_AT_ONCE)
        self._generation = store.generation
        self.reads = 0

    async def run(self) -> None:
        """Follow until cancelled."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(jittered(_STAGGER_S, 0.0, 1.0))  # so that targets don't read in step
        while True:
            started_at = loop.time()
            self._wake.clear()
            async with self._reading:
                await self._read()
            due = started_at + self._pause_s()
            while (past_due := await self._read_past()) < due and await self._has_slept_until(past_due):
                pass
            await self._has_slept_until(due)

    async def catch_up(self) -> None:
        """Read what is new now, because somebody asks. Problems are in `problem_of`."""
        self._asked_at = self._clock.now()
        before = self.reads
        async with self._reading:
            if self.reads == before:  # nobody has read while this waited
                await self._read(is_asked=True)
        self._wake.set()

    def watch(self) -> None:
        """Read at the short interval for a while, because somebody waits for what happens."""
        was_active = self.is_active
        self._watched_at = self._clock.now()
        if not was_active:
            self._wake.set()

    @property
    def state(self) -> FollowerState:
        """What is to be known of the target elsewhere. `sources` and `logs` are apart from it."""
        groups = {group: reader.state for group, reader in self.readers.items()}
        problems = {work: problem.error for work, problem in self._problems.items()}
        return FollowerState(self._sources_at, groups, problems)

    def adopt(self, state: FollowerState, sources: LogSources | None, logs: list[WorkflowLog]) -> None:
        """Know what the replica knows that follows the target. To read on from there is possible at any time."""
        self.sources, self.logs, self._sources_at = sources, logs, state.sources_at
        for group, told in state.groups.items():
            if (reader := self.readers.get(group)) is None:
                reader = self.readers[group] = self._new_reader(group, told.progress)
            reader.adopt(told)
        for group in self.readers.keys() - state.groups.keys():
            del self.readers[group]
        retry_at = self._clock.now() + _RETRY.after(1)
        self._problems = {work: _Problem(error, 1, retry_at) for work, error in state.problems.items()}
        self._on_judged(self)

    @property
    def is_informed(self) -> bool:
        """Whether it is known where the target logs, or why not."""
        return self._sources_at >= 0 or bool(self._problems)

    @property
    def is_watched(self) -> bool:
        return self._clock.now() - self._watched_at < WATCHED_FOR_S

    def problem_of(self, group: str | None = None) -> GatewayError | None:
        """Why the group, or where the target logs, could not be read last."""
        problem = self._problems.get(Work(group))
        return None if problem is None else problem.error

    @property
    def has_problem(self) -> bool:
        """Whether what is new, or where it is logged, could not be read last."""
        return any(not work.past for work in self._problems)

    @property
    def coverage(self) -> Coverage:
        readers = [reader for reader in self.readers.values() if not self._awaits_first_entry(reader.group)]
        problem = self._problem
        unlogged = len(self.sources.unlogged) if self.sources else 0
        if not readers or self._sources_at < 0:
            return Coverage(self.target, None, None, problem, unlogged)
        since = max(reader.progress.complete_since for reader in readers)
        kept_since = self._store.known_kept_since
        return Coverage(
            self.target,
            since if kept_since is None else max(since, kept_since),
            min(reader.progress.read_until for reader in readers),
            problem,
            unlogged,
        )

    @property
    def unknown_workflows(self) -> frozenset[WorkflowId] | None:
        """The workflows whose executions in progress may be missing from the history; None: those of any.

        An execution may be missing until its start has been read, too: see `complete_until`.
        """
        if self.sources is None or self.gap in {CoverageGap.UNREADABLE, CoverageGap.BEING_READ}:
            return None
        return frozenset(unlogged.workflow_id for unlogged in self.sources.unlogged)

    @property
    def complete_until(self) -> float | None:
        """Until when all of its logs have been read, in seconds since 1970; None: not at all."""
        read = [
            reader.progress.read_until.timestamp()
            for reader in self.readers.values()
            if not self._awaits_first_entry(reader.group)
        ]
        return min(read, default=None if self.sources is None else self._sources_at)

    @property
    def is_whole(self) -> bool:
        """Whether all that its logs ever got has been read."""
        return self.sources is not None and all(
            reader.is_whole or self._awaits_first_entry(reader.group) for reader in self.readers.values()
        )

    @property
    def gap(self) -> CoverageGap | None:
        """Why executions may be missing, the worst reason first; None: all that its logs have is known."""
        if self._problems and self._problem is not None:
            return CoverageGap.UNREADABLE
        if self.sources is None or any(
            not reader.progress.backfilled and not self._awaits_first_entry(reader.group)
            for reader in self.readers.values()
        ):
            return CoverageGap.BEING_READ
        return CoverageGap.NOT_LOGGED if self.sources.unlogged else None

    @property
    def _problem(self) -> GatewayError | None:
        return next(
            (it.error for work, it in self._problems.items() if not self._awaits_first_entry(work.group)),
            None,
        )

    def _awaits_first_entry(self, group: str | None) -> bool:
        """Whether the group is missing because it is a server's: AWS makes it when there is something to log."""
        if group is None or self.sources is None or not isinstance(self.problem_of(group), LogGroupNotFound):
            return False
        source = self.sources.groups.get(group)
        return source is not None and source.server_id is not None

    @property
    def is_active(self) -> bool:
        """Whether it reads at the short interval."""
        return (
            self._is_asked
            or self.is_watched
            or any(reader.is_active(_ACTIVE_FOR_S) for reader in self.readers.values())
        )

    @property
    def _is_asked(self) -> bool:
        return self._clock.now() - self._asked_at < _ASKED_FOR_S

    async def _has_slept_until(self, until: float) -> bool:
        """Returns: False if it was woken before, because somebody asks."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._wake.wait()
                return False
        return True

    async def _read(self, *, is_asked: bool = False) -> None:
        """Where to read, now and then, and what is new there."""
        self.reads += 1
        if self._generation != (generation := self._store.generation):
            self._sources_at = -1e9
            self._generation = generation
            self._problems.clear()  # those of the store are gone
        if self._has_lookup_due(is_asked=is_asked):
            self._lookup_at = None
            await self._try(Work(), self._find_sources)
        verify = self._is_asked  # what the answer rests on
        async with asyncio.TaskGroup() as tasks:  # few, of which two read at once
            for group, reader in self.readers.items():
                tasks.create_task(self._try(Work(group), partial(reader.read_new, verify=verify)))

    def _has_lookup_due(self, *, is_asked: bool) -> bool:
        """Whether to find out where the target logs: when it is its turn; at once for a question, if it is unknown."""
        now, problem = self._clock.now(), self._problems.get(Work())
        if now - self._sources_at < self._rate.lookup_every_s or (problem and now < problem.retry_at):
            return False
        if is_asked and self._sources_at < 0:
            return True
        if self._lookup_at is None:
            self._lookup_at = self._rate.next_lookup(now, is_first=self._sources_at < 0)
        return now >= self._lookup_at

    async def _read_past(self) -> float:
        """Read a window of each log's past, if it is due. Returns: when the next is; infinity: nothing is left."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._past_at:
            left = False
            for reader in self._readers_of_past():
                left |= await self._try(Work(reader.group, past=True), reader.read_past)
            if not left:
                return math.inf
            self._past_at = loop.time() + jittered(self._rate.past_s, 1.0, 1.1)
        return self._past_at if self._readers_of_past() else math.inf

    def _readers_of_past(self) -> list[LogReader]:
        return [
            reader
            for reader in self.readers.values()
            if not reader.progress.backfilled and Work(reader.group) not in self._problems
        ]

    async def _try(self, work: Work, read: Callable[[], Awaitable[object]]) -> bool:
        """Unless it failed a moment ago. Returns: whether it worked."""
        before = self._problems.get(work)
        if before is not None and self._clock.now() < before.retry_at:
            return False
        try:
            return await self._tried(work, read, before)
        finally:
            self._on_judged(self)

    async def _tried(
        self, work: Work, read: Callable[[], Awaitable[object]], before: _Problem | None
    ) -> bool:
        try:
            await read()
        except GatewayError as error:
            failures = before.failures + 1 if before else 1
            retry_at = self._clock.now() + max(_RETRY.after(failures), error.retry_after_s or 0.0)
            self._problems[work] = _Problem(error.copy(), failures, retry_at)
            if before is None or before.error.code is not error.code:
                log = _log.info if self._awaits_first_entry(work.group) else _log.warning
                log(
                    "log_not_read",
                    account=self.target.account_id,
                    region=self.target.region,
                    group=work.group,
                    code=error.code,
                    detail=error.detail or error.message,
                )
            return False
        self._problems.pop(work, None)
        return True

    async def _find_sources(self) -> None:
        """Which groups to read: those of today's workflows and servers, and those seen in the last days.

        Go on from what the store has, which may be less than what was saved if it was restored from a backup.
        """
        found = await self._calls.find_sources(self.target)
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        logs = _workflow_logs(self.target, found, now)
        self.logs, progress = await self._store.note_workflow_logs(self.target, logs)
        await self._store.know_kept_since()
        groups = found.groups.keys() | {
            log.group for log in self.logs if log.group is not None and now - log.last_seen_at < _FOLLOWED_FOR
        }
        for group in groups:
            reader = self.readers.get(group)
            if reader is None:
                self.readers[group] = self._new_reader(group, progress.get(group))
            else:
                reader.check(progress.get(group))
        for group in self.readers.keys() - groups:
            del self.readers[group]
            self._problems = {work: it for work, it in self._problems.items() if work.group != group}
        self.sources, self._sources_at = found, self._clock.now()
        await outcomes(self.readers.values(), self._describe)

    def _new_reader(self, group: str, progress: GroupProgress | None) -> LogReader:
        return LogReader(
            self.target,
            group,
            self._page_reader(group),
            self._store,
            self._clock,
            backfill=self._options.backfill,
            progress=progress,
        )

    async def _describe(self, reader: LogReader) -> None:
        """Without the permission, how long the group keeps entries stays unknown."""
        async with self._turns:
            reader.described = await self._calls.describe_group(self.target, reader.group)

    def _page_reader(self, group: str) -> ReadPage:
        async def read_page(
            start: datetime, end: datetime, *, newest_first: bool, token: str | None, skip: Container[str]
        ) -> LogPage:
            async with self._turns:
                return await self._calls.read(
                    self.target, group, start, end, newest_first=newest_first, token=token, skip=skip
                )

        return read_page

    def _pause_s(self) -> float:
        """Short while something happens or somebody asks, then longer."""
        logs, past, is_active = len(self.readers), len(self._readers_of_past()), self.is_active
        self._rate.count(self.target, Demand(logs, 0, past) if is_active else Demand(0, logs, past))
        if not logs and self._sources_at < 0:
            problem = self._problems.get(Work())
            at = self._lookup_at if self._lookup_at is not None else problem.retry_at if problem else 0.0
            return max(self._options.interval_s, at - self._clock.now())
        if is_active or self._sources_at < 0:
            self._idle_s = self._options.interval_s
        else:
            self._idle_s = min(MAX_IDLE_S, self._idle_s * _IDLE_GROWTH)
        # One that is quiet for a moment is read no more often than those that are not.
        least_s = self._rate.active_s if is_active else max(self._rate.active_s, self._rate.idle_s)
        return max(jittered(self._idle_s, 0.9, 1.0), jittered(least_s, 0.95, 1.05))


def _workflow_logs(target: Target, sources: LogSources, now: datetime) -> list[WorkflowLog]:
    """Where each workflow logs, to be remembered when it has been deleted."""
    return [
        WorkflowLog(
            WorkflowKey(*target, workflow_id),
            None if source.server_id is None else str(source.server_id),
            name,
            LogMechanism.WORKFLOW,
            now,
        )
        for name, source in sources.groups.items()
        for workflow_id in source.workflow_ids
    ] + [
        WorkflowLog(WorkflowKey(*target, workflow_id), str(source.server_id), name, LogMechanism.SERVER, now)
        for name, source in sources.groups.items()
        if source.server_id is not None
        for workflow_id in sources.by_server
    ]
