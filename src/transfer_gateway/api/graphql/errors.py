"""Failures in GraphQL, in both forms: as data for typed clients, and in `errors[]`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, cast

import strawberry
from graphql import GraphQLError, GraphQLSyntaxError, ValueNode
from strawberry.types.execution import PreExecutionError
from strawberry.utils.str_converters import to_camel_case

from transfer_gateway.api.errors import (
    TABLE,
    extensions_of,
    log_failure,
    log_fault,
    not_found_reason,
    remedy_of,
    retry_after_s,
)
from transfer_gateway.api.graphql.declare import declare_enum
from transfer_gateway.api.graphql.types import Execution
from transfer_gateway.api.graphql.workflows import Workflow
from transfer_gateway.domain.errors import BadUserInput, ErrorCode, GatewayError, NotFoundReason
from transfer_gateway.domain.identity import AccountId, Region  # noqa: TC001  Strawberry reads the annotations
from transfer_gateway.domain.text import shortened
from transfer_gateway.telemetry import current_request

if TYPE_CHECKING:
    from strawberry.http import GraphQLHTTPResponse
    from strawberry.types.execution import ExecutionResult

_USE_TARGET = "Use `target {{ {0} }}`: this one conflicts with `{0}` of an execution or workflow."
_NOT_NONE = "not to be None."
# graphql-core's frame around the message of a scalar's rule, which repeats the value in Python's words.
_FOREIGN_VALUE = re.compile(
    r"(|Variable .{1,300}?: )Expected value of type '[^']*', but encountered error '", re.DOTALL
)
_MAX_CHARACTERS = 500  # of a message, which may quote any name or value of the request

declare_enum(
    ErrorCode,
    "What went wrong. Codes are never renamed.",
    EXECUTION_NOT_FOUND="AWS has no such execution in progress, and the history has no record of it.",
    WORKFLOW_NOT_FOUND="AWS has no such workflow.",
    SERVER_NOT_FOUND="AWS has no such server. In `errors[]` only.",
    LOG_GROUP_NOT_FOUND="CloudWatch Logs has no such log group. In `errors[]` only.",
    ACCOUNT_NOT_AVAILABLE="The account or region is not configured, or not visible to you.",
    ACCESS_DENIED="AWS denied the call.",
    ROLE_NOT_ASSUMABLE="The gateway's role in that account could not be assumed.",
    THROTTLED="A limit was reached: AWS's or the gateway's.",
    UPSTREAM_UNAVAILABLE="AWS failed, was unreachable, or sent an unusable response.",
    DEADLINE_EXCEEDED="The request's deadline passed.",
    BAD_USER_INPUT="The request is invalid; the message names the field and the rule. In `errors[]` only.",
    UNAUTHENTICATED="Credentials are missing or invalid. In `errors[]` only.",
    FORBIDDEN="The caller is not allowed to do this. In `errors[]` only.",
    AUDIT_LOG_UNAVAILABLE="The audit log can't be written, so requests are rejected. In `errors[]` only.",
    HISTORY_OFF="The history is switched off, which this field needs. In `errors[]` only.",
    INTERNAL_SERVER_ERROR="An internal error. In `errors[]` only.",
)


declare_enum(
    NotFoundReason,
    "Why the gateway has no record of an execution that AWS doesn't have in progress.",
    NEVER_EXISTED="There never was one: its log has no entry of it, and keeps all entries.",
    EXPIRED="Unknown: it never existed, or it ended before the log's oldest entry.",
    NOT_LOGGED="Unknown: its workflow logs nothing.",
    LOG_UNREADABLE="Unknown: its log can't be read at present.",
    HISTORY_OFF="Unknown: the history is switched off, or AWS's view alone was asked for.",
)


@strawberry.type(description="The account that an error is about, and the region if it is about one.")
class ErrorTarget:
    account_id: AccountId = strawberry.field(description="The account.")
    region: Region | None = strawberry.field(description="The region.")


@strawberry.interface(description="A failure returned as data. Each implementing type describes its cause.")
class Error:
    code: ErrorCode = strawberry.field(description="Machine-readable code: match on this.")
    message: str = strawberry.field(description="Human-readable description.")
    retryable: bool = strawberry.field(description="Whether a retry of the same request can succeed.")
    retry_after: float | None = strawberry.field(description="Seconds to wait before a retry, if known.")
    target: ErrorTarget | None = strawberry.field(description="The account and region concerned, if any.")
    account_id: AccountId | None = strawberry.field(
        description="The account concerned.", deprecation_reason=_USE_TARGET.format("accountId")
    )
    region: Region | None = strawberry.field(
        description="The region concerned.", deprecation_reason=_USE_TARGET.format("region")
    )
    aws_request_id: str | None = strawberry.field(description="AWS request ID, for AWS Support.")


@strawberry.type(
    description="AWS has no such execution in progress, and the history has no record of it. `reason` says why: only "
    "NEVER_EXISTED means that there never was one."
)
class ExecutionNotFound(Error):
    reason: NotFoundReason = strawberry.field(description="Why there is no record of it.")
    remedy: str | None = strawberry.field(description="What an operator can change, if anything.")


@strawberry.type(description="AWS has no such workflow.")
class WorkflowNotFound(Error):
    pass


@strawberry.type(
    description="The account or region is not configured, or not visible to you. AWS was not called."
)
class AccountNotAvailable(Error):
    pass


@strawberry.type(description="AWS denied the call: the gateway's role lacks a permission in that account.")
class AccessDenied(Error):
    pass


@strawberry.type(description="The gateway's role in that account could not be assumed.")
class RoleNotAssumable(Error):
    pass


@strawberry.type(description="A limit was reached: AWS's, or the gateway's for that account and region.")
class Throttled(Error):
    pass


@strawberry.type(description="AWS failed, was unreachable, or sent an unusable response.")
class UpstreamUnavailable(Error):
    pass


@strawberry.type(description="The request's deadline passed before AWS answered.")
class DeadlineExceeded(Error):
    pass


_TYPES = {
    cls.__name__: cls
    for cls in (
        ExecutionNotFound,
        WorkflowNotFound,
        AccountNotAvailable,
        AccessDenied,
        RoleNotAssumable,
        Throttled,
        UpstreamUnavailable,
        DeadlineExceeded,
    )
}

ExecutionOrError = Annotated[
    Execution
    | ExecutionNotFound
    | AccountNotAvailable
    | AccessDenied
    | RoleNotAssumable
    | Throttled
    | UpstreamUnavailable
    | DeadlineExceeded,
    strawberry.union("ExecutionOrError", description="An execution, or an error."),
]

WorkflowOrError = Annotated[
    Workflow
    | WorkflowNotFound
    | AccountNotAvailable
    | AccessDenied
    | RoleNotAssumable
    | Throttled
    | UpstreamUnavailable
    | DeadlineExceeded,
    strawberry.union("WorkflowOrError", description="A workflow, or an error."),
]


def to_data(error: GatewayError) -> Error:
    """The error as an object of its type. Raises the error itself if it has none."""
    name = TABLE[error.code].graphql_type
    if name is None:
        raise error
    return _data(error, _TYPES[name])


def to_item(error: GatewayError) -> Error:
    """The error as an object, always: raising it would fail the list's other items too."""
    return _data(error, _TYPES.get(TABLE[error.code].graphql_type or "", UpstreamUnavailable))


def _data(error: GatewayError, kind: type[Error]) -> Error:
    log_failure(error)
    account_id = cast("AccountId | None", error.account_id)
    region = cast("Region | None", error.region)
    return kind(
        code=error.code,
        message=error.message,
        retryable=TABLE[error.code].retryable,
        retry_after=retry_after_s(error),
        target=None if account_id is None else ErrorTarget(account_id=account_id, region=region),
        account_id=account_id,
        region=region,
        aws_request_id=error.aws_request_id,
        **_reason_of(error),
    )


def _reason_of(error: GatewayError) -> dict[str, Any]:
    """The fields that only ExecutionNotFound has."""
    reason, remedy = not_found_reason(error)
    return {} if reason is None else {"reason": reason, "remedy": remedy}


def to_answer(result: ExecutionResult, request_id: str) -> GraphQLHTTPResponse:
    """An operation's response; without `data` if it was not started. Source: GraphQL, Response Format."""
    if not result.errors:
        return {"data": result.data}
    errors = to_errors(result, request_id)
    if (request := current_request()) is not None:
        request.code = errors[0]["extensions"]["code"]
    if result.data is None and not any("path" in error for error in errors):
        return {"errors": list(errors)}
    return {"data": result.data, "errors": list(errors)}


def to_extensions(error: GatewayError) -> dict[str, Any]:
    """A failure's `extensions`, without unknown values."""
    extensions = {
        "code": error.code,
        "retryable": TABLE[error.code].retryable,
        "retryAfter": retry_after_s(error),
        "accountId": error.account_id,
        "region": error.region,
        "awsRequestId": error.aws_request_id,
        "reason": not_found_reason(error)[0],
        "remedy": remedy_of(error),
    }
    return {name: value for name, value in extensions.items() if value is not None}


def to_errors(result: ExecutionResult, request_id: str) -> list[dict[str, Any]]:
    """A response's `errors[]`. Errors other than GatewayErrors and errors in the document are masked.

    A failure shared by many fields, such as the steps of one workflow, is logged once.
    """
    logged: set[object] = set()
    return [
        _formatted(error, _extensions(error, result, request_id, logged)) for error in result.errors or ()
    ]


def _is_about_input(error: GraphQLError) -> bool:
    """Whether the error is about an argument's value, such as null from a variable with a default."""
    return any(isinstance(node, ValueNode) for node in error.nodes or ())


def _formatted(error: GraphQLError, extensions: dict[str, Any]) -> dict[str, Any]:
    message, cause = error.message, _origin(error)
    if extensions["code"] == ErrorCode.INTERNAL_SERVER_ERROR:
        message = "Internal server error."
    elif isinstance(cause, BadUserInput) and cause.field is not None:
        message = cause.message_with(to_camel_case)
    elif isinstance(cause, BadUserInput) and (before := _FOREIGN_VALUE.match(message)):
        message = f"{before[1]}{cause.message}"
    elif message.endswith(_NOT_NONE):  # graphql-core's message about a literal or a variable in an argument
        message = f"{message.removesuffix(_NOT_NONE)}not to be null."
    formatted: dict[str, Any] = {"message": shortened(message, _MAX_CHARACTERS)}
    if error.locations:
        formatted["locations"] = [location.formatted for location in error.locations]
    if error.path:
        formatted["path"] = error.path
    return formatted | {"extensions": extensions}


def _origin(error: GraphQLError) -> BaseException:
    cause: BaseException = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    return cause


def _extensions(
    error: GraphQLError, result: ExecutionResult, request_id: str, logged: set[object]
) -> dict[str, Any]:
    cause = _origin(error)
    if isinstance(cause, GatewayError) and cause.code != ErrorCode.INTERNAL_SERVER_ERROR:
        extensions = to_extensions(cause)
        if (failure := (cause.message, *extensions.values())) not in logged:
            logged.add(failure)
            log_failure(cause)
        return extensions
    if isinstance(cause, GraphQLSyntaxError):
        return extensions_of("GRAPHQL_PARSE_FAILED")
    if isinstance(cause, GraphQLError) and isinstance(result, PreExecutionError):
        return extensions_of("GRAPHQL_VALIDATION_FAILED")
    if isinstance(cause, GraphQLError) and (error.path is None or _is_about_input(cause)):
        return extensions_of(ErrorCode.BAD_USER_INPUT)
    log_fault(cause)
    return extensions_of(ErrorCode.INTERNAL_SERVER_ERROR) | {"requestId": request_id}
