"""Errors in gRPC: as a call's status with details, or as data in a response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from transfer_api.v1 import error_pb2
from transfer_gateway.api.errors import TABLE, log_failure, not_found_reason, remedy_of, retry_after_s
from transfer_gateway.domain.errors import BadUserInput, ErrorCode, GatewayError
from transfer_gateway.telemetry import current_request

if TYPE_CHECKING:
    from collections.abc import Container

    from google.protobuf.message import Message

DOMAIN = "transfer-gateway"
_STATUS = {code: grpc.StatusCode[row.grpc_status] for code, row in TABLE.items()}
_FIELDS = {
    "first": "page_size",
    "last": "page_size",
    "after": "page_token",
    "before": "page_token",
}  # gRPC's names for GraphQL's (Relay's) arguments, unless the request has a field of that name


def to_duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def to_error(error: GatewayError) -> error_pb2.Error:
    """The error as data."""
    log_failure(error)
    wait_s, (reason, remedy) = retry_after_s(error), not_found_reason(error)
    return error_pb2.Error(
        code=error_pb2.ErrorCode.Value(f"ERROR_CODE_{error.code}"),
        message=_message(error),
        retryable=TABLE[error.code].retryable,
        retry_after=None if wait_s is None else to_duration(wait_s),
        account_id=error.account_id,
        region=error.region,
        aws_request_id=error.aws_request_id,
        reason=None if reason is None else error_pb2.NotFoundReason.Value(f"NOT_FOUND_REASON_{reason}"),
        remedy=remedy,
    )


def to_status(
    error: GatewayError, request_id: str, fields: Container[str] = ()
) -> tuple[grpc.StatusCode, str, Any]:
    """The error as a call's status: code, message, and metadata with the details. `fields`: of the call's request.

    Source: google/rpc/error_details.proto, and `grpc-status-details-bin` as all gRPC libraries read it.
    """
    if (request := current_request()) is not None:
        request.code = error.code
    code = _STATUS[error.code]
    message = _message(error, fields)
    metadata = {
        "retryable": str(TABLE[error.code].retryable).lower(),
        "accountId": error.account_id,
        "region": error.region,
        "awsRequestId": error.aws_request_id,
        "requestId": request_id,
        "notFoundReason": not_found_reason(error)[0],
        "remedy": remedy_of(error),
    }
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.code,
            domain=DOMAIN,
            metadata={name: value for name, value in metadata.items() if value is not None},
        )
    ]
    if error.resource is not None:
        details.append(
            error_details_pb2.ResourceInfo(
                resource_type=error.code.removesuffix("_NOT_FOUND").removesuffix("_NOT_AVAILABLE").lower(),
                resource_name=error.resource,
                description=message,
            )
        )
    if (wait_s := retry_after_s(error)) is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=to_duration(wait_s)))
    if error.code is ErrorCode.BAD_USER_INPUT:
        field = error.field if isinstance(error, BadUserInput) else None
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_spell(field, fields) if field else None, description=message
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    return code, message, _metadata(code, message, details)


def unimplemented(message: str) -> tuple[grpc.StatusCode, str, Any]:
    """Status for an unknown method. Not one of the error codes, like HTTP's 404 for an unknown path."""
    code = grpc.StatusCode.UNIMPLEMENTED
    if (request := current_request()) is not None:
        request.code = code.name
    info = error_details_pb2.ErrorInfo(reason=code.name, domain=DOMAIN, metadata={"retryable": "false"})
    return code, message, _metadata(code, message, [info])


def _metadata(code: grpc.StatusCode, message: str, details: list[Message]) -> Any:  # noqa: ANN401  types-grpcio lacks pairs of str and bytes
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return rpc_status.to_status(status).trailing_metadata


def _message(error: GatewayError, fields: Container[str] = ()) -> str:
    if not isinstance(error, BadUserInput):
        return error.message
    return error.message_with(lambda field: _spell(field, fields))


def _spell(field: str, fields: Container[str]) -> str:
    return field if field in fields else _FIELDS.get(field, field)
