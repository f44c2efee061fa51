"""Keeps current what is in progress where no log tells of it: by AWS's lists, while somebody looks."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transfer_gateway.backoff import Backoff, jittered
from transfer_gateway.core.fanout import outcomes
from transfer_gateway.core.sized_lru import SizedLru
from transfer_gateway.domain.errors import (
    DeadlineExceeded,
    GatewayError,
    StoreUnavailable,
    UpstreamUnavailable,
    WorkflowNotFound,
)
from transfer_gateway.domain.identity import WorkflowKey
from transfer_gateway.domain.search import SearchFilter, SearchOrder
from transfer_gateway.fair_limiter import FairLimiter
from transfer_gateway.history import SearchScope
from transfer_gateway.telemetry import gauge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from transfer_gateway.core.aws_operations import AwsOperations
    from transfer_gateway.core.clock import Clock
    from transfer_gateway.core.fleet import Fleet
    from transfer_gateway.domain.execution import Execution, ExecutionSummary
    from transfer_gateway.domain.identity import ExecutionKey, Target, WorkflowId
    from transfer_gateway.history.store import HistoryStore
    from transfer_gateway.shared_tasks import SharedTasks

_EVERY_S, _LOOKED_FOR_S = 2.0, 60.0
_OTHERS_MAX_AGE_S = 0.9 * _EVERY_S
_RETRY = Backoff(_EVERY_S, 60.0)
_FIRST_WAIT_S = 1.0  # of a request, for targets that have not been listed lately
_COLD_WAIT_S = 3.0  # of a request, for the first of its targets: until then it has nothing to show
_MAX_TARGETS = 2000  # listed at a time; each takes a task and 2 KB
_AT_ONCE, _SLOW_S = 64, 1.0
_REMEMBERED = 10_000  # times of last success; each takes 200 bytes
_LISTS_PER_S = 100.0  # with more targets than that allows every two seconds, each is listed less often
_WORKFLOWS_MAX_AGE_S = 60.0
_GRACE_S = 0.5  # of the deadline, for the answer
_BATCH = 200
_SIGN_EVERY_S = 600.0  # how often an execution that goes on is stored again
_MAX_OPEN = 1000  # executions of a target that are looked through when it is listed for the first time


@dataclass(frozen=True, slots=True)
class ListFailure:
    """Why a target is not current. `last_success`: when it was, in seconds since 1970."""

    target: Target
    error: GatewayError
    last_success: float | None


@dataclass(slots=True)
class _Listed:
    """`workflows`: None: all of the target's. `running`: when each was stored, with its status; None: not yet."""

    workflows: frozenset[WorkflowId] | None
    started_at: float
    looked_at: float
    oldest: float = -math.inf  # that somebody takes
    running: dict[ExecutionKey, tuple[float, str | None]] | None = None
    error: GatewayError | None = None
    listed_at: float | None = None
    failed_at: float | None = None
    attempted: asyncio.Event = field(default_factory=asyncio.Event)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def is_current(self, oldest: float) -> bool:
        """Whether it was listed since then, or that failed."""
        return any(at is not None and at >= oldest for at in (self.listed_at, self.failed_at))


class RunningLists:
    """One task for each target that somebody looks at."""

    def __init__(
        self,
        operations: AwsOperations,
        store: HistoryStore,
        shared_tasks: SharedTasks,
        clock: Clock,
        *,
        fleet: Fleet,
        request_timeout_s: float,
    ) -> None:
        self._fleet = fleet
        self._operations, self._store, self._tasks, self._now = operations, store, shared_tasks, clock.now
        self._request_timeout_s = request_timeout_s
        self._listed: dict[Target, _Listed] = {}
        self._last_success: SizedLru[Target, float] = SizedLru(
            _REMEMBERED
        )  # of those that are no longer listed
        self._limiter = FairLimiter(_AT_ONCE, slow_s=_SLOW_S)
        self._attempted = asyncio.Event()  # of any target
        self._searching = asyncio.Lock()  # the store carries few searches at once, which are the callers'

    async def look(
        self,
        targets: Mapping[Target, frozenset[WorkflowId] | None],
        *,
        max_age_s: float | None,
        is_cold: bool = False,
        deadline: float,
    ) -> list[Target]:
        """List these targets from now on, and for a minute: these workflows of each; None: all.

        Waits up to a second for those that are new; with `is_cold`, as nothing else is known, up to three for the first
        one; with `max_age_s` until the deadline for all that are older.
        Returns: those that are not current, in no order; `failure_of` says why.
        """
        now = self._now()
        oldest = -math.inf if max_age_s is None else now - max_age_s
        looked: list[_Listed] = []
        waiting: list[_Listed] = []
        for target, workflows in targets.items():
            listed = self._look_at(target, workflows, now)
            if listed is None:
                continue
            looked.append(listed)
            listed.oldest = max(listed.oldest, oldest)
            if not listed.is_current(oldest) and (
                max_age_s is not None or now - listed.started_at < _FIRST_WAIT_S
            ):
                listed.wake.set()
                waiting.append(listed)
        until = deadline - _GRACE_S
        with suppress(TimeoutError):
            if max_age_s is None:
                if is_cold:
                    await self._wait_for_one(looked, until, now)
                until = min(until, asyncio.get_running_loop().time() + _FIRST_WAIT_S)
            async with asyncio.timeout_at(until):
                for listed in waiting:
                    while not listed.is_current(oldest):
                        await listed.attempted.wait()
        return [target for target in targets if not self._is_current(target)]

    async def _wait_for_one(self, looked: Sequence[_Listed], until: float, now: float) -> None:
        """On a machine that has just started, all take long, but for failures. Raises: TimeoutError."""
        if not looked:
            return
        left_s = max(listed.started_at for listed in looked) + _COLD_WAIT_S - now
        async with asyncio.timeout_at(min(until, asyncio.get_running_loop().time() + left_s)):
            while not (
                any(listed.listed_at is not None for listed in looked)
                or all(listed.is_current(-math.inf) for listed in looked)
            ):
                await self._attempted.wait()

    def watch(self, targets: Mapping[Target, frozenset[WorkflowId] | None]) -> None:
        """As `look`, without waiting."""
        now = self._now()
        for target, workflows in targets.items():
            self._look_at(target, workflows, now)

    def listed_at(self, target: Target) -> float | None:
        """When it was listed last, in seconds since 1970."""
        listed = self._listed.get(target)
        return None if listed is None else listed.listed_at

    def _look_at(self, target: Target, workflows: frozenset[WorkflowId] | None, now: float) -> _Listed | None:
        """None: too many are listed already."""
        listed = self._listed.get(target) or self._start(target, workflows)
        if listed is None:
            return None
        if listed.workflows != workflows:
            listed.workflows, listed.running = workflows, None
        listed.looked_at = now
        return listed

    def keep_only(self, targets: set[Target]) -> None:
        """Forget targets that are no longer configured."""
        for target in self._listed.keys() - targets:
            self._listed.pop(target).looked_at = -math.inf

    def _start(self, target: Target, workflows: frozenset[WorkflowId] | None) -> _Listed | None:
        """None: too many are listed already."""
        if len(self._listed) >= _MAX_TARGETS:
            return None
        listed = self._listed[target] = _Listed(workflows, now := self._now(), now)
        self._tasks.start(self._keep(target, listed), name=f"list {target.label}")
        return listed

    def _is_current(self, target: Target) -> bool:
        listed = self._listed.get(target)
        return listed is not None and listed.error is None and listed.listed_at is not None

    def problem_of(self, target: Target) -> GatewayError | None:
        """Why its last list failed, if somebody looks at it."""
        listed = self._listed.get(target)
        return None if listed is None else listed.error

    def failure_of(self, target: Target) -> ListFailure:
        """Why the target is not current."""
        listed = self._listed.get(target)
        if listed is None:
            message = f"At most {_MAX_TARGETS:,} targets whose log can't be read are listed at a time."
            error = UpstreamUnavailable(message, account_id=target.account_id, region=target.region)
            return ListFailure(target, error, self._last_success.get(target))
        last_success = self._last_success.get(target) if listed.listed_at is None else listed.listed_at
        if listed.error is not None:
            return ListFailure(target, listed.error, last_success)
        message = f"The executions in progress of {target.label} have not been listed yet."
        late = DeadlineExceeded(message, account_id=target.account_id, region=target.region)
        return ListFailure(target, late, last_success)

    def check_stored(self, late: Iterable[Target]) -> None:
        """Raises: StoreUnavailable, if some of these are not current only because the store takes no writes."""
        for target in late:
            listed = self._listed.get(target)
            if listed is not None and isinstance(listed.error, StoreUnavailable):
                raise listed.error.copy()

    async def _keep(self, target: Target, listed: _Listed) -> None:
        """List the target again and again, until nobody has looked for a minute."""
        failures = 0
        try:
            while self._now() - listed.looked_at < _LOOKED_FOR_S:
                try:
                    async with self._limiter.slot(target):
                        await self._list(target, listed)
                    failures, listed.error = 0, None
                except GatewayError as error:
                    failures, listed.error, listed.failed_at = failures + 1, error.copy(), self._now()
                listed.attempted.set()
                self._attempted.set()
                listed.attempted, self._attempted = asyncio.Event(), asyncio.Event()  # of the next attempt
                with suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY.after(failures) if failures else self._pause_s()):
                        await listed.wake.wait()
                listed.wake.clear()
        finally:
            if self._listed.get(target) is listed:
                del self._listed[target]
            if listed.listed_at is not None:
                self._last_success.put(target, listed.listed_at)

    def _pause_s(self) -> float:
        return jittered(max(_EVERY_S, len(self._listed) / _LISTS_PER_S))

    async def _list(self, target: Target, listed: _Listed) -> None:
        """Store what AWS's lists show. Raises: GatewayError, also if only some of the workflows could be listed."""
        wanted = listed.workflows
        # With other replicas that list it, too, each takes what one of them has asked.
        max_age_s = 0.0 if self._fleet.is_alone else _OTHERS_MAX_AGE_S
        seen_at = max((started_at := self._now()) - max_age_s, listed.oldest)
        workflows = wanted
        deadline = asyncio.get_running_loop().time() + self._request_timeout_s
        if workflows is None:
            known = await self._operations.workflows.get(
                target, max_age_s=_WORKFLOWS_MAX_AGE_S, deadline=deadline
            )
            workflows = frozenset(workflow.key.workflow_id for workflow in known)
        answers = await outcomes(
            [WorkflowKey(*target, workflow_id) for workflow_id in sorted(workflows)],
            lambda key: self._operations.running.get(
                key, max_age_s=max(0.0, self._now() - seen_at), deadline=deadline
            ),
        )
        failed = {key: it for key, it in answers.items() if isinstance(it, GatewayError)}
        gone = {key for key, error in failed.items() if isinstance(error, WorkflowNotFound)}
        shown = {row.key: row for it in answers.values() if not isinstance(it, GatewayError) for row in it}
        listed_workflows = answers.keys() - failed.keys() | gone
        running = listed.running if listed.workflows == wanted else None
        if running is None:
            running = await self._open(target, workflows)
        await self._store_what_runs(running, shown, started_at)
        ended = [key for key in running if key.workflow in listed_workflows and key not in shown]
        if ended:
            await self._store.forget(ended, seen_before=datetime.fromtimestamp(seen_at, UTC))
        for key in ended:
            del running[key]
        if listed.workflows == wanted:
            listed.running = running
        for workflow, error in failed.items():
            if workflow not in gone:
                raise error
        if wanted is None or (listed.workflows is not None and listed.workflows <= wanted):
            listed.listed_at = seen_at
        else:  # somebody looks for others by now
            listed.wake.set()

    async def _open(
        self, target: Target, workflows: frozenset[WorkflowId]
    ) -> dict[ExecutionKey, tuple[float, str | None]]:
        """What the store has as running, from before."""
        if not workflows:
            return {}
        async with self._searching:
            found = await self._store.search(
                SearchScope.of({frozenset(): [target]}),
                SearchFilter(workflow_ids=tuple(workflows), running=True),
                SearchOrder.NEWEST_FIRST,
                first=_MAX_OPEN,
                as_of_ms=int(self._now() * 1000),
            )
        return {row.key: (-math.inf, None) for row in found.rows}

    async def _store_what_runs(
        self,
        running: dict[ExecutionKey, tuple[float, str | None]],
        shown: Mapping[ExecutionKey, ExecutionSummary],
        now: float,
    ) -> None:
        """What is new or has changed, and now and then what goes on. What DescribeExecution told of it is kept."""
        never = (-math.inf, None)
        due = [
            row
            for key, row in shown.items()
            if now - (known := running.get(key, never))[0] > _SIGN_EVERY_S or known[1] != row.raw_status
        ]
        for at in range(0, len(due), _BATCH):
            batch = due[at : at + _BATCH]
            stored = await self._store.records([row.key for row in batch])
            seen = {key: it.observed for key, it in stored.items() if it.observed is not None}
            await self._store.observe([_merged(row, seen.get(row.key)) for row in batch])
            running |= {row.key: (now, row.raw_status) for row in batch}

    def collect(self) -> Iterator[Metric]:
        yield gauge(
            "history_listed_targets",
            "Targets whose executions in progress are listed, as no log tells of all of them.",
            values=len(self._listed),
        )


def _merged(row: ExecutionSummary, seen: Execution | None) -> Execution:
    if seen is None:
        return row.without_details()
    return replace(seen, status=row.status, raw_status=row.raw_status, observed_at=row.observed_at)
