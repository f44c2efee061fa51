"""Finds an execution by its id alone, although AWS needs the account, the region and the workflow too."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, TypeAlias

from transfer_gateway.core.fanout import outcomes_as_completed
from transfer_gateway.core.sized_lru import SizedLru
from transfer_gateway.domain.errors import ExecutionNotFound, GatewayError, WorkflowNotFound
from transfer_gateway.domain.identity import ExecutionKey
from transfer_gateway.domain.page import FindResult, limit_failures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from transfer_gateway.core.aws_operations import AwsOperations
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionId, Target, WorkflowId

_MAX_AGE_S = 1.0
_WORKFLOWS_MAX_AGE_S = 30.0
_CACHED = 50_000
_HEAD_START_S = 0.5  # for the target where it was last seen, which usually has it

_GRACE_S = 0.1  # for calls that report at the deadline why they had to wait

_SeenLookup: TypeAlias = "asyncio.Task[Execution | None]"


class Finder:
    """Looks first in the target where the execution was last seen, then in all targets."""

    def __init__(self, operations: AwsOperations) -> None:
        self._operations = operations
        self._seen: SizedLru[ExecutionId, ExecutionKey] = SizedLru(_CACHED)

    def remember(self, key: ExecutionKey) -> None:
        """Remember the target of an execution."""
        self._seen.put(key.execution_id, key)

    def seen(self, execution_id: ExecutionId) -> ExecutionKey | None:
        """Where it was last seen."""
        return self._seen.get(execution_id)

    async def find(
        self,
        execution_id: ExecutionId,
        workflow_id: WorkflowId | None,
        targets: Mapping[Target, frozenset[WorkflowId] | None],
        *,
        deadline: float,
    ) -> FindResult:
        """The execution as soon as any target returns it; otherwise the targets that could not be searched, and why.

        `targets`: where to search, each with the workflows to ask for; None: all of its workflows.
        """
        seen = self._seen.get(execution_id)
        if seen is not None and (seen.target not in targets or workflow_id not in {None, seen.workflow_id}):
            seen = None
        seen_lookup: _SeenLookup | None = None
        try:
            if seen is not None:
                seen_lookup = asyncio.create_task(self._look(seen, deadline))
                await asyncio.wait([seen_lookup], timeout=_HEAD_START_S)
                if seen_lookup.done():
                    outcome, seen_lookup = seen_lookup.result(), None
                    if outcome is not None:
                        return FindResult(outcome, targets_asked=1, failures=())
            return await self._everywhere(execution_id, workflow_id, targets, seen_lookup, deadline)
        finally:
            if seen_lookup is not None:
                seen_lookup.cancel()
                await asyncio.wait([seen_lookup])

    async def _everywhere(
        self,
        execution_id: ExecutionId,
        workflow_id: WorkflowId | None,
        targets: Mapping[Target, frozenset[WorkflowId] | None],
        seen_lookup: _SeenLookup | None,
        deadline: float,
    ) -> FindResult:
        """Search all targets concurrently, while `seen_lookup` continues and may finish first."""

        async def search(target: Target | None) -> Execution | GatewayError | None:
            if target is None:
                return await seen_lookup if seen_lookup is not None else None
            only = targets[target] if workflow_id is None else [workflow_id]
            if only is not None:
                return await self._search_in(only, target, execution_id, deadline)
            return await self._search(target, execution_id, deadline)

        outcomes: dict[Target, GatewayError | None] = {}
        with suppress(TimeoutError):
            async with (
                asyncio.timeout_at(deadline + _GRACE_S),
                aclosing(outcomes_as_completed([None, *targets], search, until=deadline)) as completed,
            ):
                async for target, outcome in completed:
                    if outcome is not None and not isinstance(outcome, GatewayError):
                        self.remember(outcome.key)
                        return FindResult(outcome, len(targets), failures=())
                    if target is not None:
                        outcomes[target] = outcome
        failed = (
            (target, outcomes.get(target))
            for target in targets
            if target not in outcomes or outcomes[target] is not None
        )
        return FindResult(None, len(targets), limit_failures(failed))

    async def _look(self, key: ExecutionKey, deadline: float) -> Execution | None:
        """The execution, or None. The search of that target reports any failure."""
        try:
            return await self._describe(key, deadline)
        except GatewayError:
            return None

    async def _search(
        self, target: Target, execution_id: ExecutionId, deadline: float
    ) -> Execution | GatewayError | None:
        """The execution, None if the target certainly doesn't have it, or the error that leaves it open."""
        started = self._operations.now()
        try:
            known = await self._workflow_ids(target, _WORKFLOWS_MAX_AGE_S, deadline)
            outcome = await self._search_in(known, target, execution_id, deadline)
            if outcome is not None and not isinstance(outcome, GatewayError):
                return outcome
            # It may run in a workflow created after that list. A list requested since `started` is fresh enough.
            current = await self._workflow_ids(target, self._operations.now() - started, deadline)
        except GatewayError as error:
            return error
        new = [workflow for workflow in current if workflow not in known]
        return await self._search_in(new, target, execution_id, deadline) or outcome

    async def _search_in(
        self, workflow_ids: Iterable[WorkflowId], target: Target, execution_id: ExecutionId, deadline: float
    ) -> Execution | GatewayError | None:
        """As `_search`, in these workflows; the first one that has it ends the search."""
        keys = [
            ExecutionKey(target.account_id, target.region, workflow, execution_id)
            for workflow in workflow_ids
        ]
        failure: GatewayError | None = None
        completed = outcomes_as_completed(keys, lambda key: self._describe(key, deadline))
        async with aclosing(completed):
            async for _, outcome in completed:
                if not isinstance(outcome, GatewayError):
                    return outcome
                if not isinstance(outcome, ExecutionNotFound | WorkflowNotFound):
                    failure = outcome
        return failure

    async def _workflow_ids(self, target: Target, max_age_s: float, deadline: float) -> list[WorkflowId]:
        workflows = await self._operations.workflows.get(target, max_age_s=max_age_s, deadline=deadline)
        return [workflow.key.workflow_id for workflow in workflows]

    async def _describe(self, key: ExecutionKey, deadline: float) -> Execution:
        return await self._operations.executions.get(key, max_age_s=_MAX_AGE_S, deadline=deadline)
