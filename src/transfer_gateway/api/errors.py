"""The only table that maps error codes to responses. A missing code fails at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transfer_gateway.domain.errors import (
    ErrorCode,
    ExecutionNotFound,
    GatewayError,
    HistoryOff,
    NotFoundReason,
)
from transfer_gateway.telemetry import EXPECTED_CODES, current_request, get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ErrorMapping:
    """How a code is returned to callers.

    `graphql_type` None: only in `errors[]`. `retryable`: the same request may succeed later; `wait_s` is the default
    delay if the error has none.
    """

    graphql_type: str | None
    http_status: int
    grpc_status: str
    retryable: bool
    wait_s: float | None = None


TABLE: dict[ErrorCode, ErrorMapping] = {
    ErrorCode.EXECUTION_NOT_FOUND: ErrorMapping("ExecutionNotFound", 404, "NOT_FOUND", retryable=False),
    ErrorCode.WORKFLOW_NOT_FOUND: ErrorMapping("WorkflowNotFound", 404, "NOT_FOUND", retryable=False),
    ErrorCode.SERVER_NOT_FOUND: ErrorMapping(None, 404, "NOT_FOUND", retryable=False),
    ErrorCode.LOG_GROUP_NOT_FOUND: ErrorMapping(None, 404, "NOT_FOUND", retryable=False),
    ErrorCode.ACCOUNT_NOT_AVAILABLE: ErrorMapping("AccountNotAvailable", 404, "NOT_FOUND", retryable=False),
    ErrorCode.ACCESS_DENIED: ErrorMapping("AccessDenied", 502, "FAILED_PRECONDITION", retryable=False),
    ErrorCode.ROLE_NOT_ASSUMABLE: ErrorMapping(
        "RoleNotAssumable", 502, "FAILED_PRECONDITION", retryable=False
    ),
    ErrorCode.THROTTLED: ErrorMapping("Throttled", 429, "RESOURCE_EXHAUSTED", retryable=True, wait_s=1.0),
    ErrorCode.UPSTREAM_UNAVAILABLE: ErrorMapping(
        "UpstreamUnavailable", 502, "UNAVAILABLE", retryable=True, wait_s=1.0
    ),
    ErrorCode.DEADLINE_EXCEEDED: ErrorMapping("DeadlineExceeded", 504, "DEADLINE_EXCEEDED", retryable=True),
    ErrorCode.BAD_USER_INPUT: ErrorMapping(None, 400, "INVALID_ARGUMENT", retryable=False),
    ErrorCode.UNAUTHENTICATED: ErrorMapping(None, 401, "UNAUTHENTICATED", retryable=False),
    ErrorCode.FORBIDDEN: ErrorMapping(None, 403, "PERMISSION_DENIED", retryable=False),
    ErrorCode.AUDIT_LOG_UNAVAILABLE: ErrorMapping(None, 503, "UNAVAILABLE", retryable=True, wait_s=1.0),
    ErrorCode.HISTORY_OFF: ErrorMapping(None, 501, "FAILED_PRECONDITION", retryable=False),
    ErrorCode.INTERNAL_SERVER_ERROR: ErrorMapping(None, 500, "INTERNAL", retryable=False),
}

_missing = [code for code in ErrorCode if code not in TABLE]
if _missing:
    raise RuntimeError(f"error codes missing in TABLE: {', '.join(_missing)}")


def extensions_of(code: str) -> dict[str, Any]:
    """The `extensions` of any failure with that code. Codes that are not in the table are not retryable."""
    row = TABLE.get(code)  # type: ignore[call-overload]  # a code is a str
    extensions = {"code": code, "retryable": row is not None and row.retryable}
    return extensions if row is None or row.wait_s is None else extensions | {"retryAfter": row.wait_s}


def retry_after_s(error: GatewayError) -> float | None:
    """Seconds to wait before retrying; None if unknown."""
    return TABLE[error.code].wait_s if error.retry_after_s is None else error.retry_after_s


def not_found_reason(error: GatewayError) -> tuple[NotFoundReason | None, str | None]:
    """Why there is no record of an execution that was not found, and the remedy; None for other errors."""
    if not isinstance(error, ExecutionNotFound):
        return None, None
    return error.reason or NotFoundReason.HISTORY_OFF, error.remedy


def remedy_of(error: GatewayError) -> str | None:
    """What an operator can change, if the error tells."""
    return error.remedy if isinstance(error, HistoryOff) else not_found_reason(error)[1]


def log_failure(error: GatewayError) -> None:
    """Count and log a failure that is returned to the caller, with AWS's message, which callers do not see.

    Only the first few failures of each code in a request are logged.
    """
    if (request := current_request()) is not None and not request.failed(error.code):
        return
    log = _log.debug if error.code in EXPECTED_CODES else _log.warning
    log(
        "lookup_failed",
        code=error.code,
        account=error.account_id,
        region=error.region,
        aws_request_id=error.aws_request_id,
        detail=error.detail or error.message,
    )


def log_fault(error: BaseException | None) -> None:
    """The same for a bug, with its stack trace. Callers get only the request id."""
    if (request := current_request()) is not None and not request.failed(ErrorCode.INTERNAL_SERVER_ERROR):
        return
    _log.error("internal_fault", exc_info=error)
