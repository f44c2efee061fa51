"""The Transfer API in every account and region, one method per operation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from transfer_gateway.aws.account_calls import AccountCalls
from transfer_gateway.aws.decode import decode_execution, decode_listed_executions, next_token
from transfer_gateway.aws.decode_workflow import decode_listed_workflows, decode_workflow
from transfer_gateway.aws.errors import Service

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_gateway.aws.assumed_roles import SessionCache
    from transfer_gateway.aws.client import TransferClients
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.execution import Execution, ExecutionSummary
    from transfer_gateway.domain.identity import ExecutionKey, Region, Target, WorkflowKey
    from transfer_gateway.domain.workflow import Workflow, WorkflowSummary
    from transfer_gateway.telemetry import AwsCalls


class Transfer:
    """Calls to Transfer, each signed with the account's session.

    Every method raises AccessDenied, RoleNotAssumable, Throttled, UpstreamUnavailable or BadUserInput. A list returns
    one page and the token of the next, None after the last.
    """

    def __init__(
        self, clients: TransferClients, sessions: SessionCache, calls: AwsCalls, now: Callable[[], float]
    ) -> None:
        """`now`: seconds since 1970, by which answers are dated."""
        self._sessions = sessions
        self._aws = AccountCalls(Service.TRANSFER, clients, sessions, calls)
        self._now = now

    def _observed_at(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

    def is_prepared(self, account: Account, region: Region) -> bool:
        """Whether the session for the next call is available."""
        return self._sessions.has(account, region)

    async def prepare(self, account: Account, region: Region) -> None:
        """Get the session for the next call. Raises: RoleNotAssumable, Throttled, UpstreamUnavailable."""
        await self._sessions.get(account, region)

    async def describe_execution(self, account: Account, key: ExecutionKey) -> Execution:
        """An execution in progress. Also raises ExecutionNotFound. Source: DescribeExecution."""
        return await self._aws.call(
            "DescribeExecution",
            account,
            key,
            lambda answer: decode_execution(answer, key, observed_at=self._observed_at()),
            WorkflowId=key.workflow_id,
            ExecutionId=key.execution_id,
        )

    async def list_executions(
        self, account: Account, key: WorkflowKey, token: str | None
    ) -> tuple[list[ExecutionSummary], str | None]:
        """A workflow's executions in progress. Also raises WorkflowNotFound. Source: ListExecutions."""
        return await self._aws.call(
            "ListExecutions",
            account,
            key,
            lambda answer: (
                decode_listed_executions(answer, key, observed_at=self._observed_at()),
                next_token(answer),
            ),
            WorkflowId=key.workflow_id,
            **page(token),
        )

    async def list_workflows(
        self, account: Account, target: Target, token: str | None
    ) -> tuple[list[WorkflowSummary], str | None]:
        """A target's workflows. Source: ListWorkflows."""
        return await self._aws.call(
            "ListWorkflows",
            account,
            target,
            lambda answer: (
                decode_listed_workflows(answer, target, observed_at=self._observed_at()),
                next_token(answer),
            ),
            **page(token),
        )

    async def describe_workflow(self, account: Account, key: WorkflowKey) -> Workflow:
        """A workflow's definition. Also raises WorkflowNotFound. Source: DescribeWorkflow."""
        return await self._aws.call(
            "DescribeWorkflow",
            account,
            key,
            lambda answer: decode_workflow(answer, key, observed_at=self._observed_at()),
            WorkflowId=key.workflow_id,
        )


def page(token: str | None) -> dict[str, Any]:
    """The parameters of a page, of the largest size that AWS allows."""
    return {"MaxResults": 1000} | ({"NextToken": token} if token else {})
