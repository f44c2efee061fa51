"""The use cases about workflows and the definitions of steps, limited to the caller's scope."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from transfer_gateway.core.access import Access, bad_max_age
from transfer_gateway.core.fanout import outcomes
from transfer_gateway.core.response_replay import counts_uses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from transfer_gateway.domain.errors import GatewayError
    from transfer_gateway.domain.execution import Execution, StepRef
    from transfer_gateway.domain.identity import WorkflowKey
    from transfer_gateway.domain.page import Page, TargetFilter
    from transfer_gateway.domain.workflow import Workflow, WorkflowStep

Definitions: TypeAlias = "Mapping[StepRef, WorkflowStep | GatewayError | None]"

# AWS creates and deletes workflows but never changes their steps.
_STEPS_MAX_AGE_S = 3600.0
DEFAULT_WORKFLOW_MAX_AGE_S = 300.0


@counts_uses
class WorkflowUseCases(Access):
    """See `Reader`."""

    async def workflow_of(self, execution: Execution, *, deadline: float) -> Workflow:
        """The workflow of an execution that this reader has returned. Raises: GatewayError; WorkflowNotFound.

        Writes one audit event per workflow and request.
        """
        self._take_rows(1)
        workflow = await self._look_up_once(
            "get_workflow",
            self._sources.operations.definitions,
            execution.key.workflow,
            max_age_s=DEFAULT_WORKFLOW_MAX_AGE_S,
            deadline=deadline,
        )
        return self.scope.redact_workflow(workflow)

    async def describe_workflow(self, key: WorkflowKey, *, max_age_s: float, deadline: float) -> Workflow:
        """A workflow's definition. Raises: GatewayError, with account and region."""
        if not max_age_s >= 0:  # so that NaN is refused too
            raise bad_max_age(max_age_s)
        self._take_rows(1)
        workflow = await self._look_up(
            "get_workflow", self._sources.operations.definitions, key, max_age_s=max_age_s, deadline=deadline
        )
        return self.scope.redact_workflow(workflow)

    async def define_step(self, ref: StepRef, *, deadline: float) -> WorkflowStep | None:
        """The definition of a step; None past the definition's end.

        Writes one audit event per workflow and request, however many of its steps are selected.

        Raises: GatewayError, with account and region, if the definition is unavailable.
        """
        definitions = self._sources.operations.definitions
        workflow = await self._look_up_once(
            "get_workflow", definitions, ref.workflow, max_age_s=_STEPS_MAX_AGE_S, deadline=deadline
        )
        return workflow.step_at(ref)

    async def define_steps(self, executions: Iterable[Execution], *, deadline: float) -> Definitions:
        """The definition of every step that has a result, None, or the error."""
        refs = [
            step.ref
            for execution in executions
            if execution.results is not None
            for steps in (execution.results.steps, execution.results.on_exception_steps)
            for step in steps or ()
        ]
        return await outcomes(refs, lambda ref: self.define_step(ref, deadline=deadline))

    async def list_workflows(
        self,
        wanted: TargetFilter,
        *,
        first: int,
        after: str | None,
        with_details: bool,
        deadline: float,
    ) -> Page[Workflow]:
        """A page of all workflows that match. Raises: BadUserInput, Throttled."""
        self._take_rows(0)
        with self._audited_if_cancelled("list_workflows"):
            page = await self._sources.workflows.page(
                self.scope.accounts.targets(),
                wanted,
                first=first,
                after=after,
                with_details=with_details,
                deadline=deadline,
            )
        self._listed("list_workflows", wanted, page)
        return replace(
            page,
            entries=tuple(
                replace(entry, node=self.scope.redact_workflow(entry.node)) for entry in page.entries
            ),
        )
