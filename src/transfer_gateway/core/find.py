"""Finding an execution by its id alone: AWS's answer needs the account, the region and the workflow too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cachetools import LRUCache

from transfer_gateway.core.fanout import outcomes
from transfer_gateway.domain.errors import ExecutionNotFound, GatewayError, WorkflowNotFound
from transfer_gateway.domain.identity import ExecutionKey
from transfer_gateway.domain.page import Found, TargetFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer_gateway.core.lookups import Lookups
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionId, Target, WorkflowId

_MAX_AGE_S = 1.0
_WORKFLOWS_MAX_AGE_S = 30.0
_REMEMBERED = 50_000


class Finder:
    """Looks where the execution was seen before, then everywhere at once."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._seen: LRUCache[ExecutionId, ExecutionKey] = LRUCache(_REMEMBERED)

    def saw(self, key: ExecutionKey) -> None:
        """Remember where an execution is."""
        self._seen[key.execution_id] = key

    async def find(
        self,
        execution_id: ExecutionId,
        workflow_id: WorkflowId | None,
        targets: Sequence[Target],
        *,
        deadline: float,
    ) -> Found:
        """The execution as soon as any target has it; else which targets could not be asked, and why."""
        seen = self._seen.get(execution_id)
        if seen is not None and seen.target in targets and workflow_id in (None, seen.workflow_id):
            outcome = (await outcomes([seen], lambda key: self._describe(key, deadline)))[seen]
            if not isinstance(outcome, GatewayError):
                return Found(outcome, targets_asked=1, failures=())
        searches = {
            asyncio.create_task(self._search(target, execution_id, workflow_id, deadline)): target
            for target in targets
        }
        try:
            return await self._first(searches)
        finally:
            for search in searches:
                search.cancel()
            if searches:
                await asyncio.wait(searches)

    async def _first(self, searches: dict[asyncio.Task[Execution | GatewayError | None], Target]) -> Found:
        for search in asyncio.as_completed(searches):
            outcome = await search
            if outcome is not None and not isinstance(outcome, GatewayError):
                self.saw(outcome.key)
                return Found(outcome, len(searches), failures=())
        return Found(
            None,
            len(searches),
            tuple(
                TargetFailure(target, outcome)
                for search, target in searches.items()
                if isinstance(outcome := search.result(), GatewayError)
            ),
        )

    async def _search(
        self, target: Target, execution_id: ExecutionId, workflow_id: WorkflowId | None, deadline: float
    ) -> Execution | GatewayError | None:
        """The execution, None when the target certainly doesn't have it, or why that isn't certain."""
        try:
            workflow_ids = (
                [workflow_id] if workflow_id is not None else await self._workflow_ids(target, deadline)
            )
        except GatewayError as error:
            return error
        keys = [
            ExecutionKey(target.account_id, target.region, workflow, execution_id)
            for workflow in workflow_ids
        ]
        asked = await outcomes(keys, lambda key: self._describe(key, deadline))
        failure: GatewayError | None = None
        for outcome in asked.values():
            if not isinstance(outcome, GatewayError):
                return outcome
            if not isinstance(outcome, ExecutionNotFound | WorkflowNotFound):
                failure = outcome
        return failure

    async def _workflow_ids(self, target: Target, deadline: float) -> list[WorkflowId]:
        workflows = await self._lookups.workflows.get(
            target, max_age_s=_WORKFLOWS_MAX_AGE_S, deadline=deadline
        )
        return [workflow.key.workflow_id for workflow in workflows]

    async def _describe(self, key: ExecutionKey, deadline: float) -> Execution:
        return await self._lookups.executions.get(key, max_age_s=_MAX_AGE_S, deadline=deadline)
