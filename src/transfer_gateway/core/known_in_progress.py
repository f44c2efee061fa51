"""All executions in progress as the history knows them, in pages, in the order of AWS's lists.

Nobody waits for a target that hangs, and AWS is not asked for each viewer. What no log tells of is kept current by
lists.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from heapq import nsmallest
from typing import TYPE_CHECKING

from transfer_gateway.core.fanout import outcomes
from transfer_gateway.core.paging import check_first
from transfer_gateway.core.search import execution_of
from transfer_gateway.core.sized_lru import SizedLru
from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.domain.execution import Source
from transfer_gateway.domain.page import MAX_FAILURES_LISTED, Entry, Page, TargetFailure, limited
from transfer_gateway.domain.search import SearchFilter

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from transfer_gateway.core.aws_operations import AwsOperations
    from transfer_gateway.core.clock import Clock
    from transfer_gateway.core.cursors import Cursors
    from transfer_gateway.core.followers import Followers
    from transfer_gateway.core.running_lists import ListFailure, RunningLists
    from transfer_gateway.core.search import Search
    from transfer_gateway.core.search_input import Span
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey, Target
    from transfer_gateway.domain.page import ExecutionFilter
    from transfer_gateway.domain.scope import Scope
    from transfer_gateway.history.store import HistoryStore

_DETAILS_MAX_AGE_S = 1.0
_WATCHED_EVERY_S, _WATCHED_CACHED = 10.0, 256  # to go through the gaps of 40,000 targets takes 30 ms
_MAX_READ = 1000  # rows at a time


class KnownInProgress:
    """Pages of what is known to be in progress."""

    def __init__(
        self,
        store: HistoryStore,
        followers: Followers,
        lists: RunningLists,
        *,
        search: Search,
        operations: AwsOperations,
        clock: Clock,
        cursors: Cursors[ExecutionKey | Target],
    ) -> None:
        self._store, self._followers, self._lists = store, followers, lists
        self._watched: SizedLru[Hashable, float] = SizedLru(_WATCHED_CACHED)
        self._search, self._operations, self._now, self._cursors = search, operations, clock.now, cursors

    async def page(
        self,
        scope: Scope,
        wanted: ExecutionFilter,
        *,
        first: int,
        after: str | None,
        with_details: bool,
        with_results: bool,
        max_age_s: float | None,
        deadline: float,
        caller: str,
    ) -> Page[Execution]:
        """As `InProgress.page`. Only what is older than `max_age_s` is waited for; None: nothing is.

        `with_details`: with the fields that only DescribeExecution returns; `with_results`: with the steps. Each costs
        a call for the executions of the page that the history lacks them for.

        Raises: BadUserInput for a bad `first` or `after`; UpstreamUnavailable, if the store can't be read, or
        takes no writes that are needed.
        """
        check_first(first)
        position = self._cursors.read(after) if after is not None else None
        is_anywhere = not wanted.account_ids and not wanted.regions

        def is_wanted(target: Target) -> bool:
            return (is_anywhere or wanted.matches_target(target)) and scope.accounts.cover(target)

        unknown = {
            target: workflows
            for target, workflows in self._followers.unknown(max_age_s=max_age_s).items()
            if is_wanted(target) and (workflows is None or any(map(wanted.matches_workflow, workflows)))
        }
        is_cold = None in unknown.values() and not any(
            is_wanted(target) for target in self._followers.targets if unknown.get(target, ()) is not None
        )
        late = await self._lists.look(unknown, max_age_s=max_age_s, is_cold=is_cold, deadline=deadline)
        self._lists.check_stored(late)
        failures = self._failures(late)
        found, rest = await self._read(
            scope, wanted, position, count=first + 1, deadline=deadline, caller=caller
        )
        has_next = len(found) > first or rest is not None
        entries = await self._entries(
            list(map(self._confirmed, found[:first])),
            scope,
            with_details=with_details,
            with_results=with_results,
            deadline=deadline,
        )
        end = None if rest is None or len(found) > first else partial(self._cursors.write, rest)
        return Page(entries, failures, has_next, end)

    def watch(self, span: Span, wanted: SearchFilter) -> None:
        """Have listed what no log tells of, for a minute, where a search may show it as in progress. Never waits."""
        if not wanted.may_run:
            return
        key = span.scope.version, span.account_ids, span.regions, wanted.workflow_ids
        now = self._now()
        if now - (self._watched.get(key) or 0.0) < _WATCHED_EVERY_S:
            return
        self._watched.put(key, now)
        workflow_ids = frozenset(wanted.workflow_ids)
        self._lists.watch(
            {
                target: workflows
                for target, workflows in self._followers.unknown().items()
                if (span.is_everything or span.has(target))
                and span.scope.accounts.cover(target)
                and (not workflow_ids or workflows is None or not workflow_ids.isdisjoint(workflows))
            }
        )

    def _failures(self, late: Sequence[Target]) -> tuple[TargetFailure, ...]:
        """Why these are not current, in order. Only those that are named are looked at: there may be 40,000."""
        named = [self._lists.failure_of(target) for target in nsmallest(MAX_FAILURES_LISTED, late)]
        return limited(map(_failure, named), omitted=len(late) - len(named))

    async def _read(
        self,
        scope: Scope,
        wanted: ExecutionFilter,
        position: ExecutionKey | Target | None,
        *,
        count: int,
        deadline: float,
        caller: str,
    ) -> tuple[list[Execution], ExecutionKey | Target | None]:
        """So many executions, or all; and where to go on, if the deadline came first."""
        running = SearchFilter(
            account_ids=wanted.account_ids,
            regions=wanted.regions,
            workflow_ids=wanted.workflow_ids,
            statuses=wanted.statuses,
            server_ids=() if wanted.server_id is None else (wanted.server_id,),
            user_names=() if wanted.user_name is None else (wanted.user_name,),
            session_ids=() if wanted.session_id is None else (wanted.session_id,),
            running=True,
        )
        visible = self._search.scope_of(scope)
        loop = asyncio.get_running_loop()
        found: list[Execution] = []
        while len(found) < count:
            now = self._now()
            rows = await self._store.running(
                visible,
                running,
                after=position,
                first=min(_MAX_READ, count),
                as_of_ms=int(now * 1000),
                caller=caller,
            )
            executions = map(execution_of, rows)
            # Of what is hidden, no filter tells.
            found += (execution for execution in executions if wanted.matches(scope.redact(execution)))
            if len(rows) < min(_MAX_READ, count):
                return found, None
            position = rows[-1].key
            if loop.time() >= deadline:
                return found, position
        return found[:count], None

    def _confirmed(self, execution: Execution) -> Execution:
        """With when the log, or AWS's list, was read that still had it in progress."""
        target = execution.key.target
        if Source.LOG in execution.recorded_by:
            follower = self._followers.of(target)
            read_at = None if follower is None else follower.complete_until
        else:
            read_at = self._lists.listed_at(target)
        if read_at is None or read_at <= execution.observed_at.timestamp():
            return execution
        return replace(execution, observed_at=datetime.fromtimestamp(read_at, UTC))

    async def _entries(
        self,
        found: Sequence[Execution],
        scope: Scope,
        *,
        with_details: bool,
        with_results: bool,
        deadline: float,
    ) -> tuple[Entry[Execution], ...]:
        lacking = [
            execution.key
            for execution in found
            if (with_details and not execution.has_details)
            or (with_results and Source.LOG not in execution.recorded_by)
        ]
        described = await outcomes(lacking, lambda key: self._describe(key, deadline))
        entries = []
        for execution in found:
            cursor = partial(self._cursors.write, execution.key)
            answer = described.get(execution.key)
            if isinstance(answer, GatewayError):
                entries.append(Entry(scope.redact(execution), cursor, missing=answer))
            else:
                entries.append(Entry(scope.redact(answer or execution), cursor))
        return tuple(entries)

    async def _describe(self, key: ExecutionKey, deadline: float) -> Execution:
        return await self._operations.executions.get(key, max_age_s=_DETAILS_MAX_AGE_S, deadline=deadline)


def _failure(failure: ListFailure) -> TargetFailure:
    success = failure.last_success
    at = None if success is None else datetime.fromtimestamp(success, UTC)
    return TargetFailure(failure.target, failure.error, last_success_at=at)
