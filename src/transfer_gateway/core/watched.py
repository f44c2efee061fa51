"""Keeps current what somebody watches: the follower of its target reads often, and AWS is asked where no log tells.

However many watch, an execution costs one DescribeExecution every two seconds at most, and nothing once nobody does.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transfer_gateway.backoff import Backoff, jittered
from transfer_gateway.domain.coverage import CoverageGap
from transfer_gateway.domain.errors import ExecutionNotFound, GatewayError
from transfer_gateway.telemetry import gauge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.core.aws_operations import AwsOperations
    from transfer_gateway.core.clock import Clock
    from transfer_gateway.core.fleet import Fleet
    from transfer_gateway.core.followers import Followers
    from transfer_gateway.domain.identity import ExecutionKey, Target
    from transfer_gateway.history.store import HistoryStore
    from transfer_gateway.shared_tasks import SharedTasks

_MAX_RETRY_S = 60.0
_FORGET = 2  # times: an answer may have waited for the store the first time


@dataclass(slots=True)
class _Watched:
    """`is_recorded`: the log has some of it, so it will have the rest."""

    task: asyncio.Task[None]
    is_recorded: bool
    watchers: int = 0


class Watched:
    """One task for each execution that is watched, for all who watch it."""

    def __init__(
        self,
        operations: AwsOperations,
        followers: Followers,
        store: HistoryStore,
        shared_tasks: SharedTasks,
        clock: Clock,
        *,
        fleet: Fleet,
        interval_s: float,
        call_timeout_s: float,
    ) -> None:
        """`interval_s`: between calls for an execution that no log tells of."""
        self._operations, self._followers, self._store = operations, followers, store
        self._tasks, self._now, self._fleet = shared_tasks, clock.now, fleet
        self._interval_s, self._call_timeout_s = interval_s, call_timeout_s
        self._retry = Backoff(interval_s, max(interval_s, _MAX_RETRY_S))
        self._watched: dict[ExecutionKey, _Watched] = {}

    @contextmanager
    def watching(self, key: ExecutionKey, *, is_recorded: bool) -> Iterator[None]:
        """Keep an execution current meanwhile. `is_recorded`: the log has some of it."""
        watched = self._watched.get(key)
        if watched is None:
            task = self._tasks.start(self._keep(key), name=f"watch {key}")
            watched = self._watched[key] = _Watched(task, is_recorded)
        watched.watchers += 1
        try:
            yield
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                watched.task.cancel()
                del self._watched[key]

    def follow(self, targets: Iterable[Target]) -> None:
        """Read the logs of these often for a while."""
        for target in targets:
            follower = self._followers.of(target)
            if follower is not None:
                follower.watch()

    async def _keep(self, key: ExecutionKey) -> None:
        failures = forgotten = 0
        while forgotten < _FORGET:
            pause_s = jittered(self._interval_s, 0.95, 1.0)
            self.follow([key.target])
            if self._is_untold(key):
                try:
                    forgotten += await self._is_forgotten(key)
                    failures = 0
                except GatewayError as error:
                    failures += 1
                    pause_s = max(self._retry.after(failures), error.retry_after_s or 0.0)
            await asyncio.sleep(pause_s)

    def may_be_logged(self, key: ExecutionKey) -> bool:
        """Whether its log may yet tell of its end."""
        follower = self._followers.of(key.target)
        if follower is None or follower.gap is not CoverageGap.NOT_LOGGED:
            return follower is not None
        workflows = follower.unknown_workflows
        return workflows is not None and key.workflow_id not in workflows

    def _is_untold(self, key: ExecutionKey) -> bool:
        """Whether its log does not tell of it, as far as is known."""
        follower = self._followers.of(key.target)
        if follower is None:
            return False
        match follower.gap:
            case None:
                return False
            case CoverageGap.UNREADABLE:
                return True
            case _:
                if self._watched[key].is_recorded:
                    return False
                workflows = follower.unknown_workflows
                return workflows is None or key.workflow_id in workflows

    async def _is_forgotten(self, key: ExecutionKey) -> bool:
        """Ask AWS, whose answer is stored; that AWS has forgotten the execution, too. Raises: GatewayError."""
        asked_at = self._now()
        deadline = asyncio.get_running_loop().time() + self._call_timeout_s
        try:
            # With others that watch it, too, each takes what one of them has asked.
            max_age_s = self._interval_s * (0.5 if self._fleet.is_alone else 0.9)
            await self._operations.executions.get(key, max_age_s=max_age_s, deadline=deadline)
        except ExecutionNotFound:
            await self._store.forget([key], seen_before=datetime.fromtimestamp(asked_at, UTC))
            return True
        return False

    def collect(self) -> Iterator[Metric]:
        yield gauge("live_watched_executions", "Executions that are watched.", values=len(self._watched))
