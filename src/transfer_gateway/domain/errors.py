"""Every way in which a request can fail, as one tree.

    GatewayError
    ├── ExecutionNotFound      AWS knows no such execution in progress
    ├── WorkflowNotFound       AWS knows no such workflow
    ├── AccountNotAvailable    not configured, or not for this caller
    ├── AccessDenied           AWS refused the call with the assumed role
    ├── RoleNotAssumable       STS refused the role
    ├── Throttled              AWS's limit, or our own for that target
    ├── UpstreamUnavailable    AWS failed, could not be reached, or answered garbage
    ├── DeadlineExceeded       the request's time is up
    ├── BadUserInput           the caller sent something that no retry will mend
    ├── Unauthenticated        no caller, or one that can't be trusted
    ├── Forbidden              a known caller without the right
    ├── AuditLogUnavailable    what is asked could not be written to the audit log
    └── InternalServerError    our own fault

What each becomes at a door (a GraphQL type, an HTTP or gRPC status) is said once, in `api/errors.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_gateway.domain.gateway_error import BadUserInput, ErrorCode, GatewayError

if TYPE_CHECKING:
    from transfer_gateway.domain.identity import AccountId, ExecutionKey, Region, Target, WorkflowKey

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
    "InternalServerError",
    "RoleNotAssumable",
    "Throttled",
    "Unauthenticated",
    "UpstreamUnavailable",
    "WorkflowNotFound",
]


class ExecutionNotFound(GatewayError):
    """AWS has no such execution in progress. It doesn't tell a finished one from one that never was."""

    code = ErrorCode.EXECUTION_NOT_FOUND

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
            f"AWS has no workflow {key.workflow_id} in {key.target.place}.",
            account_id=key.account_id,
            region=key.region,
            aws_request_id=aws_request_id,
            resource=str(key),
        )


class AccountNotAvailable(GatewayError):
    """Not configured, region not enabled, or not visible to this caller: one answer, on purpose."""

    code = ErrorCode.ACCOUNT_NOT_AVAILABLE

    @classmethod
    def of(cls, account_id: AccountId, region: Region | None = None) -> AccountNotAvailable:
        place = f"Account {account_id}" + (f" in region {region}" if region else "")
        return cls(
            f"{place} is not available: not configured here, or not visible to you.",
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
            f"The gateway's own limit for {target.place} allows no call before the request's deadline.",
            account_id=target.account_id,
            region=target.region,
            retry_after_s=retry_after_s,
        )


class UpstreamUnavailable(GatewayError):
    code = ErrorCode.UPSTREAM_UNAVAILABLE


class DeadlineExceeded(GatewayError):
    code = ErrorCode.DEADLINE_EXCEEDED

    @classmethod
    def of(cls, target: Target) -> DeadlineExceeded:
        return cls(
            f"AWS did not answer for {target.place} before the request's deadline.",
            account_id=target.account_id,
            region=target.region,
        )


class Unauthenticated(GatewayError):
    code = ErrorCode.UNAUTHENTICATED


class Forbidden(GatewayError):
    code = ErrorCode.FORBIDDEN


class AuditLogUnavailable(GatewayError):
    """Nothing is told of which the audit log can't say so."""

    code = ErrorCode.AUDIT_LOG_UNAVAILABLE

    @classmethod
    def because(cls, detail: str) -> AuditLogUnavailable:
        return cls("The audit log can't be written, so the request was refused.", detail=detail)


class InternalServerError(GatewayError):
    code = ErrorCode.INTERNAL_SERVER_ERROR
