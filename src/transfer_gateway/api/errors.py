"""THE table: what each error code is to callers. A code that is missing here fails at import."""

from __future__ import annotations

from dataclasses import dataclass

from transfer_gateway.domain.errors import ErrorCode, GatewayError
from transfer_gateway.telemetry import get_logger

_log = get_logger(__name__)

# What callers cause by asking: no news for an operator.
_EVERYDAY = {
    ErrorCode.EXECUTION_NOT_FOUND,
    ErrorCode.WORKFLOW_NOT_FOUND,
    ErrorCode.ACCOUNT_NOT_AVAILABLE,
    ErrorCode.BAD_USER_INPUT,
}


@dataclass(frozen=True, slots=True)
class Outward:
    """`graphql_type` None: the code comes in `errors[]` only. `retryable`: the same request may succeed later."""

    graphql_type: str | None
    http_status: int
    retryable: bool


TABLE: dict[ErrorCode, Outward] = {
    ErrorCode.EXECUTION_NOT_FOUND: Outward("ExecutionNotFound", 404, retryable=False),
    ErrorCode.WORKFLOW_NOT_FOUND: Outward("WorkflowNotFound", 404, retryable=False),
    ErrorCode.ACCOUNT_NOT_AVAILABLE: Outward("AccountNotAvailable", 404, retryable=False),
    ErrorCode.ACCESS_DENIED: Outward("AccessDenied", 502, retryable=False),
    ErrorCode.ROLE_NOT_ASSUMABLE: Outward("RoleNotAssumable", 502, retryable=False),
    ErrorCode.THROTTLED: Outward("Throttled", 429, retryable=True),
    ErrorCode.UPSTREAM_UNAVAILABLE: Outward("UpstreamUnavailable", 502, retryable=True),
    ErrorCode.DEADLINE_EXCEEDED: Outward("DeadlineExceeded", 504, retryable=True),
    ErrorCode.BAD_USER_INPUT: Outward(None, 400, retryable=False),
    ErrorCode.UNAUTHENTICATED: Outward(None, 401, retryable=False),
    ErrorCode.FORBIDDEN: Outward(None, 403, retryable=False),
    ErrorCode.INTERNAL_SERVER_ERROR: Outward(None, 500, retryable=False),
}

_missing = [code for code in ErrorCode if code not in TABLE]
if _missing:
    raise RuntimeError(f"no row for {', '.join(_missing)}")


def log_failure(error: GatewayError) -> None:
    """Log a failure as it leaves through a door, with what AWS said and callers don't see."""
    log = _log.debug if error.code in _EVERYDAY else _log.warning
    log(
        "lookup_failed",
        code=error.code,
        account=error.account_id,
        region=error.region,
        aws_request_id=error.aws_request_id,
        detail=error.detail or error.message,
    )


def log_fault(error: BaseException | None) -> None:
    """Log a fault of our own, with its trace: callers get the request's id instead."""
    _log.error("internal_fault", exc_info=error)
