"""What the faults do that are AWS's own errors, or that change a response's content."""

import uuid

from botocore.model import ListShape

from transfer_emulator import corrupt_responses
from transfer_emulator.calls import Call
from transfer_emulator.errors import (
    INTERNAL,
    THROTTLED,
    UNAVAILABLE,
    AwsError,
    Failure,
    expired_token,
    no_log_group,
    not_authorized,
)
from transfer_emulator.faults import Fault, FaultKind
from transfer_emulator.model import Operation
from transfer_emulator.response_shaper import Wire

_TOKEN_MEMBERS = ("NextToken", "nextToken")
_TOKEN_FAULTS = {FaultKind.REPEATED_TOKEN, FaultKind.FRESH_TOKENS, FaultKind.EMPTY_PAGES}
_RESOURCES = {"ListServers": "server/*", "DescribeServer": "server/*", "FilterLogEvents": "log-group:*"}


def raise_error_fault(fault: Fault, call: Call, caller_arn: str, role_arn: str) -> None:
    """Raises: AwsError for faults that are AWS errors. `role_arn`: the role to assume, for AssumeRole."""
    match fault.kind:
        case FaultKind.THROTTLE:
            raise AwsError(THROTTLED, "Rate exceeded")
        case FaultKind.REVOKED:
            raise expired_token()
        case FaultKind.DENY:
            raise _denial(call, caller_arn, role_arn)
        case FaultKind.SERVER_ERROR:
            failure = UNAVAILABLE if fault.status == UNAVAILABLE.json_status else INTERNAL
            raise AwsError(failure, fault.message or "The service could not complete the request")
        case FaultKind.ERROR:
            raise AwsError(Failure.of(fault.code or "", fault.status or 400), fault.message)
        case FaultKind.NO_LOG_GROUP if call.operation == "FilterLogEvents":
            raise no_log_group()


def _denial(call: Call, caller_arn: str, role_arn: str) -> AwsError:
    if call.operation == "AssumeRole":
        return not_authorized(caller_arn, "sts:AssumeRole", role_arn or "*")
    action = f"{call.service}:{call.operation}"
    named = _RESOURCES.get(call.operation, "workflow/*")
    resource = f"arn:aws:{call.service}:{call.region}:{call.account_id}:{named}"
    return not_authorized(
        caller_arn, action, resource, f" because no identity-based policy allows the {action} action"
    )


def changes_tokens(faults: list[Fault]) -> bool:
    return any(fault.kind in _TOKEN_FAULTS for fault in faults)


def without_tokens(parameters: Wire) -> Wire:
    return {name: value for name, value in parameters.items() if name not in _TOKEN_MEMBERS}


def apply_content_fault(fault: Fault, operation: Operation, wire: Wire) -> Wire:
    """Apply a fault that changes the response's content."""
    changed: object = wire
    match fault.kind:
        case FaultKind.UNKNOWN_ENUM:
            changed = corrupt_responses.with_unknown_enums(operation.output_shape, wire)
        case FaultKind.UNKNOWN_MEMBER:
            changed = corrupt_responses.with_unknown_members(operation.output_shape, wire)
        case FaultKind.MANY_STEPS:
            changed = corrupt_responses.with_many_steps(wire)
        case FaultKind.OTHER_ANSWER:
            changed = corrupt_responses.with_other_ids(wire)
        case kind if kind in _TOKEN_FAULTS:
            changed = _with_other_token(kind, operation, wire)
    return changed if isinstance(changed, dict) else wire


def _with_other_token(kind: FaultKind, operation: Operation, wire: Wire) -> Wire:
    members = operation.output_shape.members
    for name in _TOKEN_MEMBERS:
        if name in members:
            wire = wire | {name: "again" if kind is FaultKind.REPEATED_TOKEN else str(uuid.uuid4())}
            if kind is FaultKind.EMPTY_PAGES:
                lists = (key for key, member in members.items() if isinstance(member, ListShape))
                wire |= {key: [] for key in lists}
    return wire
