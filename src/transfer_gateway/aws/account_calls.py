"""AWS calls signed with an account's session: renewed when AWS rejects it, recorded, their errors converted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from botocore import xform_name

from transfer_gateway.aws.client import signed_with
from transfer_gateway.aws.decode import IncompleteAnswer, MismatchedAnswer, request_id
from transfer_gateway.aws.errors import Call, SessionExpired, SessionRejected, foreign_errors
from transfer_gateway.aws.receiving import AnswerRejected
from transfer_gateway.domain.errors import UpstreamUnavailable
from transfer_gateway.domain.identity import Target
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_gateway.aws.assumed_roles import AssumedRoleSession, SessionCache
    from transfer_gateway.aws.client import RegionalClients
    from transfer_gateway.aws.errors import Service
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.errors import Key
    from transfer_gateway.telemetry import AwsCalls

T = TypeVar("T")
_log = get_logger(__name__)


class AccountCalls:
    """Calls to one service, each signed with the account's session.

    Calls raise AccessDenied, RoleNotAssumable, Throttled, UpstreamUnavailable or BadUserInput.
    """

    def __init__(
        self, service: Service, clients: RegionalClients, sessions: SessionCache, calls: AwsCalls
    ) -> None:
        self._service = service
        self._clients = clients
        self._sessions = sessions
        self._calls = calls

    async def call(
        self,
        operation: str,
        account: Account,
        subject: Key | Target,
        decode: Callable[[Any], T],
        **params: Any,  # noqa: ANN401  wire values
    ) -> T:
        """Call with the account's session; if AWS no longer accepts it, retry once with a new one.

        A call about a `subject` that is a key also raises that kind's not-found error.
        """
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
        subject: Key | Target,
        *,
        decode: Callable[[Any], T],
        params: dict[str, Any],
    ) -> T:
        key = None if isinstance(subject, Target) else subject
        call = Call(self._service, operation, subject.account_id, subject.region, key)
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
                    f"AWS's answer to {call.action} lacks the required {error.args[0]}.",
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
