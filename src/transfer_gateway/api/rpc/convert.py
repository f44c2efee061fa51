"""Domain to protobuf. Message fields have the same names as domain attributes, so the mapping is automatic.

Each message class is compiled once into a conversion function.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from transfer_api.v1 import account_pb2, execution_pb2, execution_service_pb2, server_pb2, workflow_pb2
from transfer_gateway.api.rpc.errors import to_error
from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.domain.event import EventKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from enum import Enum

    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
    from google.protobuf.message import Message

    from transfer_gateway.core.workflow_use_cases import Definitions
    from transfer_gateway.domain import page
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.server import Server
    from transfer_gateway.domain.workflow import Workflow, WorkflowStep

# Fields that are not part of AWS's response.
_JOINED = {
    ("Execution", "account"),
    ("Workflow", "account"),
    ("Server", "account"),
    ("ExecutionStepResult", "definition"),
    ("ExecutionStepResult", "definition_error"),
}
# Enums whose values are not their names.
_NAMED_OTHERWISE: dict[str, type[Enum]] = {"EventKind": EventKind}


def to_account(account: Account) -> account_pb2.Account:
    return account_pb2.Account(account_id=account.id, alias=account.alias, regions=account.regions)


def to_execution(
    execution: Execution, account: Account | None, definitions: Definitions
) -> execution_pb2.Execution:
    """`definitions`: by step; added to the step's result."""
    message: execution_pb2.Execution = _converter(execution_pb2.Execution.DESCRIPTOR)(execution)
    if account is not None:
        message.account.CopyFrom(to_account(account))
    if definitions and execution.results is not None:
        if (failed := execution.failed_step) is not None:
            _join(message.failed_step, definitions.get(failed.ref))
        for steps, results in (
            (execution.results.steps, message.results.steps),
            (execution.results.on_exception_steps, message.results.on_exception_steps),
        ):
            for step, result in zip(steps or (), results, strict=True):
                _join(result, definitions.get(step.ref))
    return message


def to_workflow(workflow: Workflow, account: Account | None) -> workflow_pb2.Workflow:
    message: workflow_pb2.Workflow = _converter(workflow_pb2.Workflow.DESCRIPTOR)(workflow)
    if account is not None:
        message.account.CopyFrom(to_account(account))
    return message


def to_server(server: Server, account: Account | None) -> server_pb2.Server:
    message: server_pb2.Server = _converter(server_pb2.Server.DESCRIPTOR)(server)
    if account is not None:
        message.account.CopyFrom(to_account(account))
    return message


def to_event(event: ExecutionEvent) -> execution_pb2.ExecutionEvent:
    message: execution_pb2.ExecutionEvent = _converter(execution_pb2.ExecutionEvent.DESCRIPTOR)(event)
    return message


def to_failures(failures: Iterable[page.TargetFailure]) -> list[execution_service_pb2.TargetFailure]:
    return [
        execution_service_pb2.TargetFailure(
            account_id=failure.target.account_id,
            region=failure.target.region,
            error=to_error(failure.error),
            last_success_at=None if failure.last_success_at is None else timestamp(failure.last_success_at),
        )
        for failure in failures
    ]


def _join(result: execution_pb2.ExecutionStepResult, definition: WorkflowStep | GatewayError | None) -> None:
    if isinstance(definition, GatewayError):
        result.definition_error.CopyFrom(to_error(definition))
    elif definition is not None:
        result.definition.CopyFrom(_converter(workflow_pb2.WorkflowStep.DESCRIPTOR)(definition))


@cache
def _converter(descriptor: Descriptor) -> Callable[[Any], Any]:
    message_class = GetMessageClass(descriptor)
    fields = [
        (field.name, _value_converter(field))
        for field in descriptor.fields
        if (descriptor.name, field.name) not in _JOINED
    ]

    def convert(value: object) -> Message:
        return message_class(
            **{
                name: to_field(inner)
                for name, to_field in fields
                if (inner := getattr(value, name)) is not None
            }
        )

    return convert


def _value_converter(field: FieldDescriptor) -> Callable[[Any], Any]:
    one: Callable[[Any], Any]
    if field.enum_type is not None:
        one = _numbers(field.enum_type).__getitem__
    elif field.message_type is None:
        return _unchanged
    elif field.message_type.full_name == Timestamp.DESCRIPTOR.full_name:
        one = timestamp
    else:
        one = _converter(field.message_type)
    return (lambda values: [one(value) for value in values]) if field.is_repeated else one


def _numbers(kind: EnumDescriptor) -> dict[Enum | str, int]:
    """Numbers by the domain's enum value. Protobuf prefixes each value's name with the enum's name."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.name).upper() + "_"
    numbers: dict[Enum | str, int] = {value.name.removeprefix(prefix): value.number for value in kind.values}
    domain = _NAMED_OTHERWISE.get(kind.name)
    return numbers if domain is None else {value: numbers[value.name] for value in domain}


def timestamp(value: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(value)
    return message


def _unchanged(value: object) -> object:
    return value
