"""THE table: what each error code is to callers. A code that is missing here fails at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transfer_gateway.domain.errors import ErrorCode, GatewayError
from transfer_gateway.telemetry import EVERYDAY, current_request, get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ErrorMapping:
    """How a code goes out.

    `graphql_type` None: it comes in `errors[]` only. `retryable`: the same request may succeed later, after
    `wait_s` where neither AWS nor we know better.
    """

    graphql_type: str | None
    http_status: int
    grpc_status: str
    retryable: bool
    wait_s: float | None = None


TABLE: dict[ErrorCode, ErrorMapping] = {
    ErrorCode.EXECUTION_NOT_FOUND: ErrorMapping("ExecutionNotFound", 404, "NOT_FOUND", retryable=False),
    ErrorCode.WORKFLOW_NOT_FOUND: ErrorMapping("WorkflowNotFound", 404, "NOT_FOUND", retryable=False),
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
    ErrorCode.INTERNAL_SERVER_ERROR: ErrorMapping(None, 500, "INTERNAL", retryable=False),
}

_missing = [code for code in ErrorCode if code not in TABLE]
if _missing:
    raise RuntimeError(f"no row for {', '.join(_missing)}")


def extensions_of(code: str) -> dict[str, Any]:
    """What the `extensions` of every failure with that code say. One outside the catalogue is not retryable."""
    row = TABLE.get(code)  # type: ignore[call-overload]  # a code is a str
    told = {"code": code, "retryable": row is not None and row.retryable}
    return told if row is None or row.wait_s is None else told | {"retryAfter": row.wait_s}


def retry_after_s(error: GatewayError) -> float | None:
    """Seconds to wait before the same request may succeed."""
    return TABLE[error.code].wait_s if error.retry_after_s is None else error.retry_after_s


def log_failure(error: GatewayError) -> None:
    """Count a failure as it leaves through a door, and log it, with what AWS said and callers don't see.

    Of each code a request has only its first few logged one by one.
    """
    if (request := current_request()) is not None and not request.failed(error.code):
        return
    log = _log.debug if error.code in EVERYDAY else _log.warning
    log(
        "lookup_failed",
        code=error.code,
        account=error.account_id,
        region=error.region,
        aws_request_id=error.aws_request_id,
        detail=error.detail or error.message,
    )


def log_fault(error: BaseException | None) -> None:
    """The same for a fault of our own, with its trace: callers get the request's id instead."""
    if (request := current_request()) is not None and not request.failed(ErrorCode.INTERNAL_SERVER_ERROR):
        return
    _log.error("internal_fault", exc_info=error)
