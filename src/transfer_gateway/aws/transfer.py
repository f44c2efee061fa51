"""The Transfer API in every account and region, one method per operation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from botocore import xform_name

from transfer_gateway.aws.client import signed_with
from transfer_gateway.aws.decode import (
    IncompleteAnswer,
    MismatchedAnswer,
    decode_execution,
    decode_listed_executions,
    next_token,
    request_id,
)
from transfer_gateway.aws.decode_workflow import decode_listed_workflows, decode_workflow
from transfer_gateway.aws.errors import Call, Service, SessionExpired, SessionRejected, foreign_errors
from transfer_gateway.aws.receiving import AnswerRejected
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
    """Calls to Transfer, each signed with the account's session.

    Every method raises AccessDenied, RoleNotAssumable, Throttled, UpstreamUnavailable or BadUserInput. A list returns
    one page and the token of the next, None after the last.
    """

    def __init__(self, clients: TransferClients, sessions: SessionCache, calls: AwsCalls) -> None:
        self._clients = clients
        self._sessions = sessions
        self._calls = calls

    def is_prepared(self, account: Account, region: Region) -> bool:
        """Whether the session for the next call is available."""
        return self._sessions.has(account, region)

    async def prepare(self, account: Account, region: Region) -> None:
        """Get the session for the next call. Raises: RoleNotAssumable, Throttled, UpstreamUnavailable."""
        await self._sessions.get(account, region)

    async def describe_execution(self, account: Account, key: ExecutionKey) -> Execution:
        """An execution in progress. Also raises ExecutionNotFound. Source: DescribeExecution."""
        return await self._call(
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
        """A workflow's executions in progress. Also raises WorkflowNotFound. Source: ListExecutions."""
        return await self._call(
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
        return await self._call(
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
        """A workflow's definition. Also raises WorkflowNotFound. Source: DescribeWorkflow."""
        return await self._call(
            "DescribeWorkflow",
            account,
            key,
            lambda answer: decode_workflow(answer, key, observed_at=datetime.now(UTC)),
            WorkflowId=key.workflow_id,
        )

    async def _call(
        self,
        operation: str,
        account: Account,
        subject: ExecutionKey | WorkflowKey | Target,
        decode: Callable[[Any], T],
        **params: Any,  # noqa: ANN401  wire values
    ) -> T:
        """Call with the account's session; if AWS no longer accepts it, retry once with a new one."""
        region = subject.region
        session = await self._sessions.get(account, region)
        try:
            return await self._call_once(operation, account, session, subject, decode=decode, params=params)
        except SessionRejected as error:
            if account.role_arn is None:
                raise
            if not isinstance(error, SessionExpired) and self._sessions.is_regional(account, region, session):
                raise self._sessions.reject(account, region, error) from error
            self._sessions.drop(account, session)
        session = await self._sessions.get(account, region)
        try:
            return await self._call_once(operation, account, session, subject, decode=decode, params=params)
        except SessionExpired as error:  # both were revoked; the next session may be valid
            self._sessions.drop(account, session)
            raise self._sessions.reject(account, region, _as_unavailable(error)) from error
        except SessionRejected as error:
            raise self._sessions.reject(account, region, error) from error

    async def _call_once(
        self,
        operation: str,
        account: Account,
        session: AssumedRoleSession,
        subject: ExecutionKey | WorkflowKey | Target,
        *,
        decode: Callable[[Any], T],
        params: dict[str, Any],
    ) -> T:
        key = subject if isinstance(subject, ExecutionKey | WorkflowKey) else None
        call = Call(Service.TRANSFER, operation, subject.account_id, subject.region, key)
        method = getattr(self._clients[subject.region], xform_name(operation))
        with self._calls.watch(call.action, call.account_id, call.region) as seen, foreign_errors(call):
            try:
                with signed_with(session.credentials):
                    answer: dict[str, Any] = await method(**params)
                seen.request_id = request_id(answer)
                if subject.region not in session.accepted_in:
                    self._sessions.accept(account, subject.region, session)
                return decode(answer)
            except IncompleteAnswer as error:
                seen.request_id = seen.request_id or error.aws_request_id
                raise UpstreamUnavailable(
                    f"AWS's answer to transfer:{operation} lacks the required {error.args[0]}.",
                    account_id=call.account_id,
                    region=call.region,
                    aws_request_id=seen.request_id,
                ) from error
            except MismatchedAnswer as error:
                raise _mismatched(call, error, seen.request_id) from error


def _as_unavailable(error: SessionExpired) -> UpstreamUnavailable:
    return UpstreamUnavailable(
        error.message,
        account_id=error.account_id,
        region=error.region,
        aws_request_id=error.aws_request_id,
        detail=error.detail,
    )


def _mismatched(call: Call, error: MismatchedAnswer, aws_request_id: str | None) -> UpstreamUnavailable:
    _log.error(
        "aws_response_mismatch",
        action=call.action,
        account=call.account_id,
        region=call.region,
        member=error.args[0],
        aws_request_id=aws_request_id,
    )
    rejected = AnswerRejected(f"is about a different object, by its {error.args[0]}", aws_request_id)
    return call.rejected(rejected)


def _page(token: str | None) -> dict[str, Any]:
    """The parameters of a page, of the largest size that AWS allows."""
    return {"MaxResults": 1000} | ({"NextToken": token} if token else {})
