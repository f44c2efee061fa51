"""Finding an execution by its id alone: AWS's answer needs the account, the region and the workflow too."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, TypeAlias

from transfer_gateway.core.fanout import outcomes_as_they_come
from transfer_gateway.core.sized_lru import SizedLru
from transfer_gateway.domain.errors import ExecutionNotFound, GatewayError, WorkflowNotFound
from transfer_gateway.domain.identity import ExecutionKey
from transfer_gateway.domain.page import FindResult, limit_failures

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from transfer_gateway.core.lookups import Lookups
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionId, Target, WorkflowId

_MAX_AGE_S = 1.0
_WORKFLOWS_MAX_AGE_S = 30.0
_REMEMBERED = 50_000
_HEAD_START_S = 0.5  # of the target where it was seen: most often that one answers, and is all that is asked

_LAST_WORDS_S = 0.1  # for those that say at the deadline what they have waited for

_Looking: TypeAlias = "asyncio.Task[Execution | None]"


class Finder:
    """Looks where the execution was seen before and, unless it is there at once, everywhere."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._seen: SizedLru[ExecutionId, ExecutionKey] = SizedLru(_REMEMBERED)

    def saw(self, key: ExecutionKey) -> None:
        """Remember where an execution is."""
        self._seen.put(key.execution_id, key)

    async def find(
        self,
        execution_id: ExecutionId,
        workflow_id: WorkflowId | None,
        targets: Sequence[Target],
        *,
        deadline: float,
    ) -> FindResult:
        """The execution as soon as any target has it; else which targets could not be asked, and why."""
        seen = self._seen.get(execution_id)
        if seen is not None and (seen.target not in targets or workflow_id not in {None, seen.workflow_id}):
            seen = None
        looking: _Looking | None = None
        try:
            if seen is not None:
                looking = asyncio.create_task(self._look(seen, deadline))
                await asyncio.wait([looking], timeout=_HEAD_START_S)
                if looking.done():
                    outcome, looking = looking.result(), None
                    if outcome is not None:
                        return FindResult(outcome, targets_asked=1, failures=())
            return await self._everywhere(execution_id, workflow_id, targets, looking, deadline)
        finally:
            if looking is not None:
                looking.cancel()
                await asyncio.wait([looking])

    async def _everywhere(
        self,
        execution_id: ExecutionId,
        workflow_id: WorkflowId | None,
        targets: Sequence[Target],
        looking: _Looking | None,
        deadline: float,
    ) -> FindResult:
        """As many targets at a time as a fan-out has under way; `looking` goes on meanwhile, and may be first."""

        async def ask(target: Target | None) -> Execution | GatewayError | None:
            if target is None:
                return await looking if looking is not None else None
            return await self._search(target, execution_id, workflow_id, deadline)

        outcomes: dict[Target, GatewayError | None] = {}
        with suppress(TimeoutError):
            async with (
                asyncio.timeout_at(deadline + _LAST_WORDS_S),
                aclosing(outcomes_as_they_come([None, *targets], ask, until=deadline)) as coming,
            ):
                async for target, outcome in coming:
                    if outcome is not None and not isinstance(outcome, GatewayError):
                        self.saw(outcome.key)
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
        """The execution if it is there; why it isn't is for the search of that target to say."""
        try:
            return await self._describe(key, deadline)
        except GatewayError:
            return None

    async def _search(
        self, target: Target, execution_id: ExecutionId, workflow_id: WorkflowId | None, deadline: float
    ) -> Execution | GatewayError | None:
        """The execution, None when the target certainly doesn't have it, or why that isn't certain."""
        if workflow_id is not None:
            return await self._search_in([workflow_id], target, execution_id, deadline)
        began = self._lookups.now()
        try:
            known = await self._workflow_ids(target, _WORKFLOWS_MAX_AGE_S, deadline)
            outcome = await self._search_in(known, target, execution_id, deadline)
            if outcome is not None and not isinstance(outcome, GatewayError):
                return outcome
            # It may run in a workflow that is younger than the list. One made since `began` is here already.
            now = await self._workflow_ids(target, self._lookups.now() - began, deadline)
        except GatewayError as error:
            return error
        new = [workflow for workflow in now if workflow not in known]
        return await self._search_in(new, target, execution_id, deadline) or outcome

    async def _search_in(
        self, workflow_ids: Iterable[WorkflowId], target: Target, execution_id: ExecutionId, deadline: float
    ) -> Execution | GatewayError | None:
        """The same for some of its workflows; the first that has it ends the search."""
        keys = [
            ExecutionKey(target.account_id, target.region, workflow, execution_id)
            for workflow in workflow_ids
        ]
        failure: GatewayError | None = None
        coming = outcomes_as_they_come(keys, lambda key: self._describe(key, deadline))
        async with aclosing(coming):
            async for _, outcome in coming:
                if not isinstance(outcome, GatewayError):
                    return outcome
                if not isinstance(outcome, ExecutionNotFound | WorkflowNotFound):
                    failure = outcome
        return failure

    async def _workflow_ids(self, target: Target, max_age_s: float, deadline: float) -> list[WorkflowId]:
        workflows = await self._lookups.workflows.get(target, max_age_s=max_age_s, deadline=deadline)
        return [workflow.key.workflow_id for workflow in workflows]

    async def _describe(self, key: ExecutionKey, deadline: float) -> Execution:
        return await self._lookups.executions.get(key, max_age_s=_MAX_AGE_S, deadline=deadline)
