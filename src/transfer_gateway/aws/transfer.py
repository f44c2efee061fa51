"""The Transfer API of every account and region, one method an operation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from transfer_gateway.aws.client import signed_with
from transfer_gateway.aws.decode import IncompleteAnswer, decode_execution
from transfer_gateway.aws.errors import Call, Service, SessionNoLongerGood, foreign_errors
from transfer_gateway.domain.errors import UpstreamUnavailable
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from transfer_gateway.aws.client import TransferClients
    from transfer_gateway.aws.credentials import AssumedRoleSession, SessionCache
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey

_log = get_logger(__name__)


class Transfer:
    """Calls to Transfer, each signed with the session of the account that it is about."""

    def __init__(self, clients: TransferClients, sessions: SessionCache) -> None:
        self._clients = clients
        self._sessions = sessions

    async def describe_execution(self, account: Account, key: ExecutionKey) -> Execution:
        """An execution in progress, as AWS knows it now.

        Raises: ExecutionNotFound, AccessDenied, RoleNotAssumable, Throttled, UpstreamUnavailable,
        BadUserInput. Source: Transfer DescribeExecution.
        """
        session = await self._sessions.get(account, key.region)
        try:
            return await self._describe_execution(session, key)
        except SessionNoLongerGood as error:
            if account.role_arn is None:
                raise
            _log.info("session_refused", account=account.id, region=key.region, detail=error.detail)
        session = await self._sessions.replace(account, key.region, session)
        try:
            return await self._describe_execution(session, key)
        except SessionNoLongerGood as error:
            self._sessions.refuse(account, session, error)
            raise

    async def _describe_execution(self, session: AssumedRoleSession, key: ExecutionKey) -> Execution:
        call = Call(Service.TRANSFER, "DescribeExecution", key.account_id, key.region, key)
        with (
            foreign_errors(call),
            signed_with(session.credentials),
        ):
            answer: dict[str, Any] = await self._clients[key.region].describe_execution(
                WorkflowId=key.workflow_id, ExecutionId=key.execution_id
            )
        try:
            return decode_execution(answer, key, observed_at=datetime.now(UTC))
        except (
            IncompleteAnswer
        ) as error:  # also a truncated body: aiobotocore calls it a success without members
            raise UpstreamUnavailable(
                f"AWS answered transfer:DescribeExecution without {error.args[0]}, which it always sends.",
                account_id=key.account_id,
                region=key.region,
                aws_request_id=answer.get("ResponseMetadata", {}).get("RequestId"),
            ) from error
