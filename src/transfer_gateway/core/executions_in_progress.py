"""All executions in progress, in pages, ordered by account, region and workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_gateway.core.fanout import outcomes
from transfer_gateway.core.paging import Pager
from transfer_gateway.domain.errors import GatewayError, WorkflowNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer_gateway.core.aws_operations import AwsOperations
    from transfer_gateway.core.cursors import Cursors
    from transfer_gateway.core.paging import Row
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey, Target
    from transfer_gateway.domain.page import ExecutionFilter, Page
    from transfer_gateway.domain.scope import Scope

_MAX_AGE_S = 1.0  # of the lists of executions
_WORKFLOWS_MAX_AGE_S = 5.0  # executions of a new workflow may be missing from the list for that long


class InProgress:
    """Pages of executions in progress."""

    def __init__(self, operations: AwsOperations, cursors: Cursors[ExecutionKey | Target]) -> None:
        self._operations = operations
        self._pager: Pager[ExecutionKey, Execution] = Pager(cursors, self._describe)

    async def page(
        self,
        targets: Sequence[Target],
        wanted: ExecutionFilter,
        scope: Scope,
        *,
        first: int,
        after: str | None,
        with_details: bool,
        deadline: float,
    ) -> Page[Execution]:
        """The `first` executions after a cursor; `with_details` adds the fields that only DescribeExecution returns.

        Fields that the scope hides are removed before filtering, so that a filter cannot reveal them.

        Raises: BadUserInput for a bad `first` or `after`. Failed targets are part of the page.
        """
        return await self._pager.page(
            filter(wanted.matches_target, targets),
            lambda target: self._in_target(target, wanted, scope, deadline),
            first=first,
            after=after,
            with_details=with_details,
            deadline=deadline,
            redact=scope.redact,
        )

    async def _in_target(
        self, target: Target, wanted: ExecutionFilter, scope: Scope, deadline: float
    ) -> tuple[list[Row[ExecutionKey, Execution]], list[GatewayError]]:
        """A target's matching executions, and the failures of its workflows."""
        workflows = await self._operations.workflows.get(
            target, max_age_s=_WORKFLOWS_MAX_AGE_S, deadline=deadline
        )
        listed = await outcomes(
            [workflow.key for workflow in workflows if wanted.matches_workflow(workflow.key.workflow_id)],
            lambda key: self._operations.running.get(key, max_age_s=_MAX_AGE_S, deadline=deadline),
        )
        rows: list[Row[ExecutionKey, Execution]] = [
            row
            for outcome in listed.values()
            if not isinstance(outcome, GatewayError)
            for row in map(scope.redact, outcome)
            if wanted.matches(row)
        ]
        failed = [
            outcome
            for outcome in listed.values()
            # A workflow that was just deleted has no executions.
            if isinstance(outcome, GatewayError) and not isinstance(outcome, WorkflowNotFound)
        ]
        return rows, failed

    async def _describe(self, key: ExecutionKey, deadline: float) -> Execution:
        return await self._operations.executions.get(key, max_age_s=_MAX_AGE_S, deadline=deadline)
