"""The followers of all targets: one task for each that this replica follows, as accounts and replicas come and go."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from transfer_gateway.core.follow_rate import FollowRate
from transfer_gateway.core.follower import Follower
from transfer_gateway.core.shared_following import SHARE_EVERY_S, SharedFollowing
from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.shared_tasks import restarted
from transfer_gateway.telemetry import counter, gauge, get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, KeysView, Mapping

    from prometheus_client.core import Metric

    from transfer_gateway.core.clock import Clock
    from transfer_gateway.core.fleet import Fleet
    from transfer_gateway.core.follower import FollowerOptions
    from transfer_gateway.core.log_calls import LogCalls
    from transfer_gateway.domain.account import Accounts
    from transfer_gateway.domain.coverage import Coverage, CoverageGap
    from transfer_gateway.domain.identity import Target, WorkflowId
    from transfer_gateway.history.store import HistoryStore
    from transfer_gateway.shared_tasks import SharedTasks

_log = get_logger(__name__)

_RESTART_S = 5.0
_SLICE = 500  # targets between two chances for others to use the event loop


class Followers:
    """Their tasks are shared tasks, which end with the service."""

    def __init__(
        self,
        calls: LogCalls,
        store: HistoryStore,
        shared_tasks: SharedTasks,
        clock: Clock,
        *,
        options: FollowerOptions,
        fleet: Fleet,
    ) -> None:
        self._calls, self._store, self._tasks, self._clock = calls, store, shared_tasks, clock
        self._options, self._fleet = options, fleet
        self._followers: dict[Target, Follower] = {}
        # Where something may be missing: executions in progress of which workflows; None: of any.
        self.gaps: dict[Target, frozenset[WorkflowId] | None] = {}
        self.gaps_version = 0
        self.reasons_version = 0  # of why something may be missing, too
        self._reasons: dict[Target, tuple[CoverageGap | None, object]] = {}
        # Where executions that ended long ago may be missing: the log has entries that have not been read.
        self._partial: set[Target] = set()
        self._running: dict[Target, asyncio.Task[None]] = {}  # those that this replica follows
        self._rate = FollowRate(interval_s=options.interval_s, max_reads_per_s=options.max_reads_per_s)
        self._shared = SharedFollowing(fleet, store, self._followers, self._running, clock)
        self._assigned = asyncio.Event()  # who else lives is known
        self._members_changed = asyncio.Event()
        fleet.on_change(self._members_changed.set)

    def follow(self, accounts: Accounts) -> None:
        """Follow the targets of these accounts, and no others."""
        targets = set(accounts.targets())
        for target in self._followers.keys() - targets:
            self._leave(target)
            self._shared.forget(target)
            del self._followers[target]
            self.gaps.pop(target, None)
            self._reasons.pop(target, None)
            self._partial.discard(target)
        for target in targets - self._followers.keys():
            follower = Follower(
                target,
                self._calls,
                self._store,
                self._clock,
                options=self._options,
                rate=self._rate,
                on_judged=self._judge,
            )
            self._followers[target] = follower
            self._judge(follower)
            if self._assigned.is_set():
                self._assign(target)
        self._rate.targets = len(self._running)
        self.gaps_version += 1
        self._calls.keep_only(targets)

    async def run(self) -> None:
        """Follow what is this replica's to follow, until cancelled."""
        await restarted(self._follow, on_fault=lambda: _log.exception("following_failed"), after_s=_RESTART_S)

    async def _follow(self) -> None:
        await self._fleet.beat()
        self._assigned.set()
        while True:
            self._members_changed.clear()
            for at, target in enumerate(list(self._followers)):
                self._assign(target)
                if at % _SLICE == _SLICE - 1:
                    await asyncio.sleep(0)
            self._rate.targets = len(self._running)
            while not self._members_changed.is_set():
                with suppress(GatewayError):  # logged
                    await self._shared.share()
                with suppress(TimeoutError):
                    async with asyncio.timeout(SHARE_EVERY_S):
                        await self._members_changed.wait()

    def _assign(self, target: Target) -> None:
        """To this replica, or to another."""
        if not self._fleet.owns(target):
            self._leave(target)
        elif target not in self._running and (follower := self._followers.get(target)) is not None:
            self._running[target] = self._tasks.start(self._run(follower), name=f"follow {target.label}")

    def _leave(self, target: Target) -> None:
        if (task := self._running.pop(target, None)) is not None:
            task.cancel()
            self._rate.forget(target)

    def of(self, target: Target) -> Follower | None:
        """None if the target is not configured any more."""
        return self._followers.get(target)

    @property
    def targets(self) -> KeysView[Target]:
        return self._followers.keys()

    def unknown(self, *, max_age_s: float | None = None) -> Mapping[Target, frozenset[WorkflowId] | None]:
        """The targets whose executions in progress are not all known: in which workflows; None: in any.

        `max_age_s`: with those that have not been read for so long; None: it doesn't matter.
        """
        if max_age_s is None:
            return self.gaps
        since = self._clock.now() - max_age_s
        return self.gaps | {
            target: None
            for target, follower in self._followers.items()
            if follower.complete_until is None or follower.complete_until < since
        }

    def doubtful(self, workflow_id: WorkflowId | None) -> Iterable[Target]:
        """The targets that may have had an execution that is not known, of any workflow or of this one."""
        if self._store.known_kept_since is not None:
            return self._followers
        return self._partial.union(
            target
            for target, workflows in self.gaps.items()
            if workflows is None or workflow_id is None or workflow_id in workflows
        )

    def coverage(self) -> Iterator[Coverage]:
        """Of each target."""
        for follower in list(self._followers.values()):
            yield follower.coverage

    def _judge(self, follower: Follower) -> None:
        """Keep `gaps` current: to ask 40,000 followers takes 60 ms."""
        target = follower.target
        if self._followers.get(target) is not follower:
            return
        if follower.is_whole:
            self._partial.discard(target)
        else:
            self._partial.add(target)
        reason = follower.gap, None if follower.sources is None else follower.sources.unlogged
        if self._reasons.get(target) != reason:
            self._reasons[target] = reason
            self.reasons_version += 1
        self._shared.note(target)
        had_gap, has_gap = target in self.gaps, follower.gap is not None
        if has_gap:
            self.gaps[target] = follower.unknown_workflows
        elif had_gap:
            del self.gaps[target]
        self.gaps_version += had_gap is not has_gap

    @staticmethod
    async def _run(follower: Follower) -> None:
        def on_fault() -> None:
            _log.exception(
                "follower_failed", account=follower.target.account_id, region=follower.target.region
            )

        await restarted(follower.run, on_fault=on_fault, after_s=_RESTART_S)

    def collect(self) -> Iterator[Metric]:
        labels = ("account", "region")
        since: dict[tuple[str, ...], float] = {}
        age: dict[tuple[str, ...], float] = {}
        lag: dict[tuple[str, ...], float] = {}
        unlogged: dict[tuple[str, ...], float] = {}
        problems: dict[tuple[str, ...], float] = {}
        unreadable = 0
        now = self._clock.now()
        for target in list(self._running):  # of others, others tell
            follower = self._followers[target]
            coverage = follower.coverage
            if coverage.since is not None and coverage.complete_until is not None:
                since[target] = coverage.since.timestamp()
                age[target] = max(0.0, now - coverage.complete_until.timestamp())
            if follower.readers:
                lag[target] = max(reader.lag_s for reader in follower.readers.values())
            unreadable += sum(reader.unreadable for reader in follower.readers.values())
            if coverage.unlogged:
                unlogged[target] = coverage.unlogged
            if coverage.problem is not None:
                problems[*target, coverage.problem.code.value] = 1
        yield gauge(
            "history_complete_since_timestamp_seconds", "Start of a target's complete history.", labels, since
        )
        yield gauge(
            "history_age_seconds", "Time since a target's logs were last read completely.", labels, age
        )
        yield gauge(
            "history_ingestion_lag_seconds",
            "Largest delay between an entry's time and its arrival in the log.",
            labels,
            lag,
        )
        yield gauge("history_unlogged_workflows", "Workflows that log nothing, by target.", labels, unlogged)
        yield gauge(
            "history_problem",
            "1 for each target whose logs can't be read at present.",
            (*labels, "code"),
            problems,
        )
        yield counter(
            "history_unreadable_entries", "Log entries that could not be parsed.", values=unreadable
        )
