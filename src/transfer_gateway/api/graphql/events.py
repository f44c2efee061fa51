"""The events of an execution in the schema."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  Strawberry reads the annotations
from typing import TYPE_CHECKING, cast

import strawberry

from transfer_gateway.api.graphql.declare import declare_enum, domain_type
from transfer_gateway.api.graphql.files import FileLocation, StepError  # noqa: TC001  as above
from transfer_gateway.api.graphql.nodes import Node, PageInfo
from transfer_gateway.domain import event
from transfer_gateway.domain.event import EventKind
from transfer_gateway.domain.execution import Source, StepType

if TYPE_CHECKING:
    from transfer_gateway.domain.page import EventPage

declare_enum(
    Source,
    "What something is known from.",
    AWS="AWS's answer.",
    LOG="The log in CloudWatch Logs.",
    OBSERVED="An earlier answer of AWS.",
)
declare_enum(
    EventKind,
    "What happened. `rawKind` has AWS's own name.",
    EXECUTION_STARTED="The execution started.",
    STEP_STARTED="A step started.",
    STEP_COMPLETED="A step succeeded.",
    STEP_ERRORED="A step failed: `error` says why.",
    EXECUTION_COMPLETED="The execution ended; all its steps have succeeded.",
    EXECUTION_ERRORED="The execution ended; a step has failed.",
    EXECUTION_THROTTLED="The execution was dropped: too many started at once.",
)


@domain_type(event.ExecutionEvent, "One entry of an execution's log.")
class ExecutionEvent(Node):
    id: strawberry.ID = strawberry.field(description="Global id: the execution's, and the event's own.")
    occurred_at: datetime = strawberry.field(description="When it happened.")
    observed_at: datetime = strawberry.field(description="When CloudWatch Logs received the entry.")
    source: Source = strawberry.field(description="What it is known from.")
    kind: EventKind = strawberry.field(description="What happened.")
    raw_kind: str = strawberry.field(description="What happened, as AWS spells it.")
    step_type: StepType | None = strawberry.field(description="Type of the step, if it is about one.")
    raw_step_type: str | None = strawberry.field(description="Type of the step, as AWS spells it.")
    step_name: str | None = strawberry.field(description="Name of the step.")
    file_location: FileLocation | None = strawberry.field(description="The file that it is about.")
    error: StepError | None = strawberry.field(description="Why the step failed.")
    details: str | None = strawberry.field(description="AWS's own details, as JSON.")


@strawberry.type(description="One event of the list.")
class ExecutionEventEdge:
    cursor: str = strawberry.field(description="Cursor of this event: pass it as `after`.")
    node: ExecutionEvent = strawberry.field(description="The event.")


@strawberry.type(description="Events of one execution, in the order in which they happened.")
class ExecutionEventConnection:
    edges: list[ExecutionEventEdge] = strawberry.field(description="The events of this page.")
    page_info: PageInfo = strawberry.field(description="Position of this page in the list.")


def to_event_connection(found: EventPage, *, continued: bool) -> ExecutionEventConnection:
    edges = [
        ExecutionEventEdge(cursor=cursor, node=cast("ExecutionEvent", node))  # the value is a domain object
        for cursor, node in found.entries
    ]
    return ExecutionEventConnection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=found.has_next,
            has_previous_page=continued,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
    )
