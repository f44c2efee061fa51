"""Custom scalars: times, Long, and the ids, which the domain's types validate."""

from __future__ import annotations

from datetime import datetime
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


def _parse_time(value: object) -> datetime:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:  # without a zone, it would mean different times to different people
        raise BadUserInput(
            f"DateTime must be ISO 8601 with a time zone, such as 2026-01-31T12:00:00Z; got {quote(value)}."
        )
    return at


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
    datetime: strawberry.scalar(
        name="DateTime",
        description="A time as ISO 8601, with its time zone, such as `2026-01-31T12:00:00Z`.",
        serialize=datetime.isoformat,
        parse_value=_parse_time,
    ),
    Long: strawberry.scalar(
        name="Long",
        description="A 64-bit integer. POSIX IDs go up to 4294967295, beyond GraphQL's Int.",
        serialize=int,
        parse_value=_parse_long,
    ),
}
