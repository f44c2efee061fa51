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

import json
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_gateway.domain.identity import AccountId, ExecutionKey, Region, Target, WorkflowKey


_JSON = json.JSONEncoder(ensure_ascii=False, default=str)
_QUOTED_CHARACTERS = 80


def quote(value: object) -> str:
    """A caller's value in messages: as JSON, cut after 80 characters."""
    text = ""
    # Piece by piece: of a large value only the beginning is encoded.
    for piece in _JSON.iterencode(value[:_QUOTED_CHARACTERS] if isinstance(value, str) else value):
        text += piece
        if len(text) > _QUOTED_CHARACTERS:
            return text[: _QUOTED_CHARACTERS - 1] + "…"
    return text


class ErrorCode(StrEnum):
    """The catalogue's codes: what callers may match on. A code is never renamed."""

    EXECUTION_NOT_FOUND = "EXECUTION_NOT_FOUND"
    WORKFLOW_NOT_FOUND = "WORKFLOW_NOT_FOUND"
    ACCOUNT_NOT_AVAILABLE = "ACCOUNT_NOT_AVAILABLE"
    ACCESS_DENIED = "ACCESS_DENIED"
    ROLE_NOT_ASSUMABLE = "ROLE_NOT_ASSUMABLE"
    THROTTLED = "THROTTLED"
    UPSTREAM_UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    AUDIT_LOG_UNAVAILABLE = "AUDIT_LOG_UNAVAILABLE"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


class GatewayError(Exception):
    """A failure that a caller may see.

    `message` is written for the caller. `detail` is for the operator's log alone: it may hold what AWS
    said word for word, role ARNs included. `retry_after_s` is seconds from now, where AWS or we know it.
    `resource` is the global id of what is not there.
    """

    code: ClassVar[ErrorCode]

    def __init__(
        self,
        message: str,
        *,
        account_id: AccountId | None = None,
        region: Region | None = None,
        aws_request_id: str | None = None,
        retry_after_s: float | None = None,
        detail: str | None = None,
        resource: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.account_id = account_id
        self.region = region
        self.aws_request_id = aws_request_id
        self.retry_after_s = retry_after_s
        self.detail = detail
        self.resource = resource

    def again(self, *, region: Region | None = None, retry_after_s: float | None = None) -> Self:
        """The same failure for another caller, who asked about `region`.

        A new object each time: an exception that is raised twice collects both traces.
        """
        return type(self)(
            self.message,
            account_id=self.account_id,
            region=region or self.region,
            aws_request_id=self.aws_request_id,
            retry_after_s=self.retry_after_s if retry_after_s is None else retry_after_s,
            detail=self.detail,
            resource=self.resource,
        )


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
            f"The gateway's own limit for {target.place} leaves no room within the request's time.",
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
            f"AWS had not answered for {target.place} when the request's time was up.",
            account_id=target.account_id,
            region=target.region,
        )


class BadUserInput(GatewayError, ValueError):
    """Also a ValueError, so that pydantic reports it at its place in a file.

    `field` is what is wrong, where the message begins with its name: each door has its own spelling of it.
    """

    code = ErrorCode.BAD_USER_INPUT
    field: str | None = None

    @classmethod
    def of(cls, field: str, rule: str) -> BadUserInput:
        error = cls(f"{field} {rule}")
        error.field = field
        return error

    def spelled(self, spell: Callable[[str], str]) -> str:
        """The message with the field's name as a door spells it."""
        return self.message if self.field is None else spell(self.field) + self.message[len(self.field) :]


class Unauthenticated(GatewayError):
    code = ErrorCode.UNAUTHENTICATED


class Forbidden(GatewayError):
    code = ErrorCode.FORBIDDEN


class AuditLogUnavailable(GatewayError):
    """Nothing is told of which the audit log can't say so."""

    code = ErrorCode.AUDIT_LOG_UNAVAILABLE

    @classmethod
    def because(cls, detail: str) -> AuditLogUnavailable:
        return cls("The audit log can't be written, and nothing is answered without it.", detail=detail)


class InternalServerError(GatewayError):
    code = ErrorCode.INTERNAL_SERVER_ERROR
