"""The Transfer API of every account and region, one method an operation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from botocore import xform_name

from transfer_gateway.aws.client import signed_with
from transfer_gateway.aws.decode import (
    IncompleteAnswer,
    OtherAnswer,
    decode_execution,
    decode_listed_executions,
    next_token,
    request_id,
)
from transfer_gateway.aws.decode_workflow import decode_listed_workflows, decode_workflow
from transfer_gateway.aws.errors import Call, Service, SessionNoLongerGood, SessionOver, foreign_errors
from transfer_gateway.aws.receiving import AnswerRefused
from transfer_gateway.domain.errors import UpstreamUnavailable
from transfer_gateway.domain.identity import ExecutionKey, WorkflowKey
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_gateway.aws.assumed_roles import AssumedRoleSession, SessionCache
    from transfer_gateway.aws.client import TransferClients
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.execution import Execution, ExecutionSummary
    from transfer_gateway.domain.identity import Region, Target
    from transfer_gateway.domain.workflow import Workflow, WorkflowSummary
    from transfer_gateway.telemetry import AwsCalls

T = TypeVar("T")
_log = get_logger(__name__)


class Transfer:
    """Calls to Transfer, each signed with the session of the account that it is about.

    Every method raises AccessDenied, RoleNotAssumable, Throttled, UpstreamUnavailable or BadUserInput; a list
    gives one page and the token of the next, None after the last.
    """

    def __init__(self, clients: TransferClients, sessions: SessionCache, calls: AwsCalls) -> None:
        self._clients = clients
        self._sessions = sessions
        self._calls = calls

    def is_prepared(self, account: Account, region: Region) -> bool:
        """Whether the session that the next call needs is there already."""
        return self._sessions.has(account, region)

    async def prepare(self, account: Account, region: Region) -> None:
        """Get the session ready that the next call needs. Raises: RoleNotAssumable, Throttled, UpstreamUnavailable."""
        await self._sessions.get(account, region)

    async def describe_execution(self, account: Account, key: ExecutionKey) -> Execution:
        """An execution in progress. Raises: ExecutionNotFound too. Source: DescribeExecution."""
        return await self._ask(
            "DescribeExecution",
            account,
            key,
            lambda answer: decode_execution(answer, key, observed_at=datetime.now(UTC)),
            WorkflowId=key.workflow_id,
            ExecutionId=key.execution_id,
        )

    async def list_executions(
        self, account: Account, key: WorkflowKey, token: str | None
    ) -> tuple[list[ExecutionSummary], str | None]:
        """A workflow's executions in progress. Raises: WorkflowNotFound too. Source: ListExecutions."""
        return await self._ask(
            "ListExecutions",
            account,
            key,
            lambda answer: (
                decode_listed_executions(answer, key, observed_at=datetime.now(UTC)),
                next_token(answer),
            ),
            WorkflowId=key.workflow_id,
            **_page(token),
        )

    async def list_workflows(
        self, account: Account, target: Target, token: str | None
    ) -> tuple[list[WorkflowSummary], str | None]:
        """A target's workflows. Source: ListWorkflows."""
        return await self._ask(
            "ListWorkflows",
            account,
            target,
            lambda answer: (
                decode_listed_workflows(answer, target, observed_at=datetime.now(UTC)),
                next_token(answer),
            ),
            **_page(token),
        )

    async def describe_workflow(self, account: Account, key: WorkflowKey) -> Workflow:
        """A workflow's definition. Raises: WorkflowNotFound too. Source: DescribeWorkflow."""
        return await self._ask(
            "DescribeWorkflow",
            account,
            key,
            lambda answer: decode_workflow(answer, key, observed_at=datetime.now(UTC)),
            WorkflowId=key.workflow_id,
        )

    async def _ask(
        self,
        operation: str,
        account: Account,
        about: ExecutionKey | WorkflowKey | Target,
        decode: Callable[[Any], T],
        **asked: Any,  # noqa: ANN401  wire values
    ) -> T:
        """Ask with the account's session; when AWS no longer takes that one, once more with another."""
        region = about.region
        session = await self._sessions.get(account, region)
        try:
            return await self._ask_once(operation, account, session, about, decode=decode, asked=asked)
        except SessionNoLongerGood as error:
            if account.role_arn is None:
                raise
            if not isinstance(error, SessionOver) and self._sessions.is_regional(account, region, session):
                raise self._sessions.refuse(account, region, error) from error
            self._sessions.drop(account, session)
        session = await self._sessions.get(account, region)
        try:
            return await self._ask_once(operation, account, session, about, decode=decode, asked=asked)
        except SessionOver as error:  # revoked, both of them: that says nothing of the next
            self._sessions.drop(account, session)
            raise self._sessions.refuse(account, region, _for_now(error)) from error
        except SessionNoLongerGood as error:
            raise self._sessions.refuse(account, region, error) from error

    async def _ask_once(
        self,
        operation: str,
        account: Account,
        session: AssumedRoleSession,
        about: ExecutionKey | WorkflowKey | Target,
        *,
        decode: Callable[[Any], T],
        asked: dict[str, Any],
    ) -> T:
        key = about if isinstance(about, ExecutionKey | WorkflowKey) else None
        call = Call(Service.TRANSFER, operation, about.account_id, about.region, key)
        method = getattr(self._clients[about.region], xform_name(operation))
        with self._calls.watch(call.action, call.account_id, call.region) as seen, foreign_errors(call):
            try:
                with signed_with(session.credentials):
                    answer: dict[str, Any] = await method(**asked)
                seen.request_id = request_id(answer)
                if about.region not in session.accepted_in:
                    self._sessions.accept(account, about.region, session)
                return decode(answer)
            except IncompleteAnswer as error:
                seen.request_id = seen.request_id or error.aws_request_id
                raise UpstreamUnavailable(
                    f"AWS's answer to transfer:{operation} lacks the required {error.args[0]}.",
                    account_id=call.account_id,
                    region=call.region,
                    aws_request_id=seen.request_id,
                ) from error
            except OtherAnswer as error:
                raise _other_answer(call, error, seen.request_id) from error


def _for_now(error: SessionOver) -> UpstreamUnavailable:
    return UpstreamUnavailable(
        error.message,
        account_id=error.account_id,
        region=error.region,
        aws_request_id=error.aws_request_id,
        detail=error.detail,
    )


def _other_answer(call: Call, error: OtherAnswer, aws_request_id: str | None) -> UpstreamUnavailable:
    _log.error(
        "aws_answered_about_another",
        action=call.action,
        account=call.account_id,
        region=call.region,
        member=error.args[0],
        aws_request_id=aws_request_id,
    )
    refused = AnswerRefused(f"is about something else than was asked, by its {error.args[0]}", aws_request_id)
    return call.refused(refused)


def _page(token: str | None) -> dict[str, Any]:
    """The largest pages there are, and which one."""
    return {"MaxResults": 1000} | ({"NextToken": token} if token else {})
