"""Custom scalars: Long, and the ids, which the domain's types validate."""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType

import strawberry

from transfer_gateway.domain.errors import BadUserInput, quote
from transfer_gateway.domain.identity import AccountId, ExecutionId, Identifier, Region, WorkflowId

if TYPE_CHECKING:
    from strawberry.types.scalar import ScalarDefinition

Long = NewType("Long", int)
_LONG = range(-(2**63), 2**63)


def _parse_long(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in _LONG:
        raise BadUserInput(f"Long must be a whole number of 64 bits; got {quote(value)}.")
    return value


def _identifier(kind: type[Identifier], what: str) -> ScalarDefinition:
    return strawberry.scalar(
        name=kind.__name__,
        description=f"{what}, matching `{kind.PATTERN.pattern}`, such as `{kind.EXAMPLE}`.",
        serialize=str,
        parse_value=kind,
    )


SCALARS: dict[object, ScalarDefinition] = {
    AccountId: _identifier(AccountId, "An AWS account's id"),
    Region: _identifier(Region, "An AWS region's code"),
    WorkflowId: _identifier(WorkflowId, "The id of a Transfer Family workflow"),
    ExecutionId: _identifier(ExecutionId, "The id of a workflow's execution"),
    Long: strawberry.scalar(
        name="Long",
        description="A 64-bit integer. POSIX IDs go up to 4294967295, beyond GraphQL's Int.",
        serialize=int,
        parse_value=_parse_long,
    ),
}
