"""All errors that a request can fail with.

    GatewayError
    ├── ExecutionNotFound      AWS has no such execution in progress
    ├── WorkflowNotFound       AWS has no such workflow
    ├── ServerNotFound         AWS has no such server
    ├── LogGroupNotFound       CloudWatch Logs has no such log group
    ├── AccountNotAvailable    not configured, or not visible to the caller
    ├── AccessDenied           AWS denied the call with the assumed role
    ├── RoleNotAssumable       STS denied AssumeRole
    ├── Throttled              AWS's rate limit, or our own for the target
    ├── UpstreamUnavailable    AWS failed, was unreachable, or sent an invalid response
    │   └── StoreUnavailable   the history store can't be read, or takes no writes
    ├── DeadlineExceeded       the request's deadline passed
    ├── BadUserInput           invalid request; a retry does not help
    ├── Unauthenticated        missing or invalid credentials
    ├── Forbidden              the caller lacks permission
    ├── AuditLogUnavailable    the audit log can't be written
    ├── HistoryOff             there is no history to search
    └── InternalServerError    a bug

`api/errors.py` maps each to its GraphQL type, HTTP status and gRPC status.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Self, TypeAlias

from transfer_gateway.domain.gateway_error import BadUserInput, ErrorCode, GatewayError, quote
from transfer_gateway.domain.identity import ExecutionKey, WorkflowKey
from transfer_gateway.domain.log_group import LogGroupKey
from transfer_gateway.domain.server import ServerKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transfer_gateway.domain.identity import AccountId, Region, Target

__all__ = [
    "AccessDenied",
    "AccountNotAvailable",
    "AuditLogUnavailable",
    "BadUserInput",
    "DeadlineExceeded",
    "ErrorCode",
    "ExecutionNotFound",
    "Forbidden",
    "GatewayError",
    "HistoryOff",
    "InternalServerError",
    "Key",
    "LogGroupNotFound",
    "NotFoundReason",
    "RoleNotAssumable",
    "ServerNotFound",
    "StoreUnavailable",
    "Throttled",
    "Unauthenticated",
    "UpstreamUnavailable",
    "WorkflowNotFound",
    "not_found",
    "quote",
]

Key: TypeAlias = ExecutionKey | WorkflowKey | ServerKey | LogGroupKey  # what AWS may not have


class NotFoundReason(StrEnum):
    """Why neither AWS nor the history has an execution."""

    NEVER_EXISTED = "NEVER_EXISTED"
    EXPIRED = "EXPIRED"
    NOT_LOGGED = "NOT_LOGGED"
    LOG_UNREADABLE = "LOG_UNREADABLE"
    HISTORY_OFF = "HISTORY_OFF"


class ExecutionNotFound(GatewayError):
    """AWS has no such execution in progress. It does not distinguish finished executions from unknown ones.

    `reason`: why the history doesn't have it either; None: it was not asked. `remedy`: what an operator can change.
    `unnamed`: message and remedy without the servers and log groups that the others name; None: they name none.
    """

    code = ErrorCode.EXECUTION_NOT_FOUND
    reason: NotFoundReason | None = None
    remedy: str | None = None
    unnamed: tuple[str, str | None] | None = None

    def because(
        self,
        reason: NotFoundReason,
        message: str,
        remedy: str | None = None,
        *,
        unnamed: tuple[str, str | None] | None = None,
    ) -> ExecutionNotFound:
        """The same error with the reason."""
        error = self.copy()
        error.message, error.reason, error.remedy, error.unnamed = message, reason, remedy, unnamed
        return error

    def without_names(self) -> ExecutionNotFound:
        """For callers who may not see servers or log groups. Operators see them in the log, as `detail`."""
        if self.unnamed is None:
            return self
        error = self.copy()
        error.detail = self.detail or self.message
        (error.message, error.remedy), error.unnamed = self.unnamed, None
        return error

    def copy(self, *, region: str | None = None, retry_after_s: float | None = None) -> Self:
        copied = super().copy(region=region, retry_after_s=retry_after_s)
        copied.reason, copied.remedy, copied.unnamed = self.reason, self.remedy, self.unnamed
        return copied

    @classmethod
    def of(cls, key: ExecutionKey, *, aws_request_id: str | None = None) -> ExecutionNotFound:
        return cls(
            f"AWS has no execution {key.execution_id} of workflow {key.workflow_id} in progress. "
            "AWS gives details of in-progress executions only, so it may have finished.",
            account_id=key.account_id,
            region=key.region,
            aws_request_id=aws_request_id,
            resource=str(key),
        )


class WorkflowNotFound(GatewayError):
    code = ErrorCode.WORKFLOW_NOT_FOUND

    @classmethod
    def of(cls, key: WorkflowKey, *, aws_request_id: str | None = None) -> WorkflowNotFound:
        return cls(
            f"AWS has no workflow {key.workflow_id} in {key.target.label}.",
            account_id=key.account_id,
            region=key.region,
            aws_request_id=aws_request_id,
            resource=str(key),
        )


class ServerNotFound(GatewayError):
    code = ErrorCode.SERVER_NOT_FOUND

    @classmethod
    def of(cls, key: ServerKey, *, aws_request_id: str | None = None) -> ServerNotFound:
        return cls(
            f"AWS has no server {key.server_id} in {key.target.label}.",
            account_id=key.account_id,
            region=key.region,
            aws_request_id=aws_request_id,
            resource=str(key),
        )


class LogGroupNotFound(GatewayError):
    """Says nothing of the server or workflow that logs there: nothing may have been logged yet, or it was deleted."""

    code = ErrorCode.LOG_GROUP_NOT_FOUND

    @classmethod
    def of(cls, key: LogGroupKey, *, aws_request_id: str | None = None) -> LogGroupNotFound:
        return cls(
            f"CloudWatch Logs has no log group {key.name} in {key.target.label}.",
            account_id=key.account_id,
            region=key.region,
            aws_request_id=aws_request_id,
            resource=str(key),
        )


def not_found(key: Key, *, aws_request_id: str | None = None) -> GatewayError:
    """The error for AWS's one code for all of them."""
    match key:
        case ExecutionKey():
            return ExecutionNotFound.of(key, aws_request_id=aws_request_id)
        case WorkflowKey():
            return WorkflowNotFound.of(key, aws_request_id=aws_request_id)
        case ServerKey():
            return ServerNotFound.of(key, aws_request_id=aws_request_id)
        case LogGroupKey():
            return LogGroupNotFound.of(key, aws_request_id=aws_request_id)


class AccountNotAvailable(GatewayError):
    """Not configured, region not enabled, or not visible to this caller. Deliberately not distinguished."""

    code = ErrorCode.ACCOUNT_NOT_AVAILABLE

    @classmethod
    def elsewhere(cls, account_id: AccountId, regions: Iterable[Region]) -> AccountNotAvailable:
        """For an account that the caller may see, but in none of these regions."""
        return cls(
            f"Account {account_id} is not available in {', '.join(sorted(regions))}, only in other regions: not "
            "configured there, or not visible to you there.",
            account_id=account_id,
            resource=account_id,
        )

    @classmethod
    def of(cls, account_id: AccountId, region: Region | None = None) -> AccountNotAvailable:
        where = f"Account {account_id}" + (f" in region {region}" if region else "")
        return cls(
            f"{where} is not available: not configured here, or not visible to you.",
            account_id=account_id,
            region=region,
            resource=account_id,
        )


class AccessDenied(GatewayError):
    code = ErrorCode.ACCESS_DENIED


class RoleNotAssumable(GatewayError):
    code = ErrorCode.ROLE_NOT_ASSUMABLE


class Throttled(GatewayError):
    code = ErrorCode.THROTTLED

    @classmethod
    def by_gateway(cls, target: Target, *, retry_after_s: float) -> Throttled:
        """Our own limit for the target, not AWS's."""
        return cls(
            f"The gateway's own limit for {target.label} allows no call before the request's deadline.",
            account_id=target.account_id,
            region=target.region,
            retry_after_s=retry_after_s,
        )


class UpstreamUnavailable(GatewayError):
    code = ErrorCode.UPSTREAM_UNAVAILABLE


class StoreUnavailable(UpstreamUnavailable):
    """The history store's, not AWS's."""


class DeadlineExceeded(GatewayError):
    code = ErrorCode.DEADLINE_EXCEEDED

    @classmethod
    def of(cls, target: Target) -> DeadlineExceeded:
        return cls(
            f"AWS did not answer for {target.label} before the request's deadline.",
            account_id=target.account_id,
            region=target.region,
        )


class Unauthenticated(GatewayError):
    code = ErrorCode.UNAUTHENTICATED


class Forbidden(GatewayError):
    code = ErrorCode.FORBIDDEN


class AuditLogUnavailable(GatewayError):
    """The gateway discloses nothing that it can't record in the audit log."""

    code = ErrorCode.AUDIT_LOG_UNAVAILABLE

    @classmethod
    def because(cls, detail: str) -> AuditLogUnavailable:
        return cls("The audit log can't be written, so the request was refused.", detail=detail)


class HistoryOff(GatewayError):
    """The operator has switched the history off, which all searches need."""

    code = ErrorCode.HISTORY_OFF
    remedy = "Ask the operator to switch the history on: TRANSFER_GATEWAY_HISTORY_URL."

    @classmethod
    def now(cls) -> HistoryOff:
        return cls(f"The history is switched off, and what it would know can't be searched. {cls.remedy}")


class InternalServerError(GatewayError):
    code = ErrorCode.INTERNAL_SERVER_ERROR
