"""All workflows, in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_gateway.core.paging import Pager

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer_gateway.core.aws_operations import AwsOperations
    from transfer_gateway.core.cursors import Cursors
    from transfer_gateway.core.paging import Row
    from transfer_gateway.domain.errors import GatewayError
    from transfer_gateway.domain.identity import Target, WorkflowKey
    from transfer_gateway.domain.page import Page, TargetFilter
    from transfer_gateway.domain.workflow import Workflow

_MAX_AGE_S = 300.0  # of the definitions in a page
_LIST_MAX_AGE_S = 1.0


class Workflows:
    """Pages of workflows."""

    def __init__(self, operations: AwsOperations, cursors: Cursors[WorkflowKey | Target]) -> None:
        self._operations = operations
        self._pager: Pager[WorkflowKey, Workflow] = Pager(cursors, self._describe)

    async def page(
        self,
        targets: Sequence[Target],
        wanted: TargetFilter,
        *,
        first: int,
        after: str | None,
        with_details: bool,
        deadline: float,
    ) -> Page[Workflow]:
        """The `first` workflows after a cursor; `with_details` adds the fields that only DescribeWorkflow returns.

        Raises: BadUserInput for a bad `first` or `after`. Failed targets are part of the page.
        """
        return await self._pager.page(
            filter(wanted.matches_target, targets),
            lambda target: self._in_target(target, deadline),
            first=first,
            after=after,
            with_details=with_details,
            deadline=deadline,
        )

    async def _in_target(
        self, target: Target, deadline: float
    ) -> tuple[list[Row[WorkflowKey, Workflow]], list[GatewayError]]:
        return [
            *await self._operations.workflows.get(target, max_age_s=_LIST_MAX_AGE_S, deadline=deadline)
        ], []

    async def _describe(self, key: WorkflowKey, deadline: float) -> Workflow:
        return await self._operations.definitions.get(key, max_age_s=_MAX_AGE_S, deadline=deadline)
