"""Protobuf to domain. Validates ids; errors name the field's path in the request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from transfer_api.v1 import execution_pb2
from transfer_gateway.domain import page
from transfer_gateway.domain.errors import BadUserInput
from transfer_gateway.domain.execution import ExecutionStatus
from transfer_gateway.domain.identity import (
    AccountId,
    ExecutionId,
    ExecutionKey,
    Identifier,
    Region,
    WorkflowId,
    WorkflowKey,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.descriptor import EnumDescriptor
    from google.protobuf.duration_pb2 import Duration

    from transfer_api.v1 import execution_service_pb2, workflow_pb2

I = TypeVar("I", bound=Identifier)  # noqa: E741  an identifier
D = TypeVar("D", float, None)


def identifier(kind: type[I], text: str, field: str) -> I:
    """Raises: BadUserInput, naming the field."""
    try:
        return kind(text)
    except BadUserInput as error:
        raise BadUserInput.of(field, error.message.removeprefix(f"{kind.__name__} ")) from error


def identifiers(kind: type[I], texts: Iterable[str], field: str) -> tuple[I, ...]:
    return tuple(identifier(kind, text, f"{field}[{index}]") for index, text in enumerate(texts))


def execution_key(key: execution_pb2.ExecutionKey, field: str) -> ExecutionKey:
    return ExecutionKey(
        identifier(AccountId, key.account_id, f"{field}.account_id"),
        identifier(Region, key.region, f"{field}.region"),
        identifier(WorkflowId, key.workflow_id, f"{field}.workflow_id"),
        identifier(ExecutionId, key.execution_id, f"{field}.execution_id"),
    )


def indexed_execution_key(indexed: tuple[int, execution_pb2.ExecutionKey]) -> ExecutionKey:
    """One of `keys`, with its index."""
    index, key = indexed
    return execution_key(key, f"keys[{index}]")


def workflow_key(key: workflow_pb2.WorkflowKey, field: str) -> WorkflowKey:
    return WorkflowKey(
        identifier(AccountId, key.account_id, f"{field}.account_id"),
        identifier(Region, key.region, f"{field}.region"),
        identifier(WorkflowId, key.workflow_id, f"{field}.workflow_id"),
    )


def target_filter(
    message: execution_service_pb2.WorkflowFilter | execution_service_pb2.ServerFilter,
) -> page.TargetFilter:
    return page.TargetFilter(
        account_ids=identifiers(AccountId, message.account_ids, "filter.account_ids"),
        regions=identifiers(Region, message.regions, "filter.regions"),
    )


def require(request: Any, field: str) -> None:  # noqa: ANN401  any message that has the field
    """Raises: BadUserInput."""
    if not request.HasField(field):
        raise BadUserInput.of(field, "is required.")


def max_age_s(request: Any, default_s: D) -> float | D:  # noqa: ANN401  any message that has one
    return _seconds(request.max_age) if request.HasField("max_age") else default_s


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def execution_filter(message: execution_service_pb2.ExecutionFilter) -> page.ExecutionFilter:
    return page.ExecutionFilter(
        account_ids=identifiers(AccountId, message.account_ids, "filter.account_ids"),
        regions=identifiers(Region, message.regions, "filter.regions"),
        workflow_ids=identifiers(WorkflowId, message.workflow_ids, "filter.workflow_ids"),
        statuses=tuple(_status(number, index) for index, number in enumerate(message.statuses)),
        **{field.name: text for field, text in message.ListFields() if field.has_presence},
    )


def _status(number: int, index: int) -> ExecutionStatus:
    return ExecutionStatus(
        enum_name(execution_pb2.ExecutionStatus.DESCRIPTOR, number, f"filter.statuses[{index}]")
    )


def enum_name(kind: EnumDescriptor, number: int, field: str) -> str:
    """A value's name without its prefix. Raises: BadUserInput for unknown numbers, which Protobuf keeps, and 0."""
    known = kind.values_by_number.get(number)
    if known is None or number == 0:
        raise BadUserInput.of(field, f"must be of {kind.name}, other than UNSPECIFIED; got {number}.")
    unspecified: str = kind.values_by_number[0].name
    return known.name.removeprefix(unspecified.removesuffix("UNSPECIFIED"))
