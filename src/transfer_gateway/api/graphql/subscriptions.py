"""The schema's subscriptions. Each resolver returns the changes of a use case; `Operations` renders them."""

from __future__ import annotations

from collections.abc import AsyncGenerator  # noqa: TC003  Strawberry reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, cast

import strawberry

from transfer_gateway.api.graphql.declare import Info, domain_type
from transfer_gateway.api.graphql.events import ExecutionEvent  # noqa: TC001  as above
from transfer_gateway.api.graphql.search import SearchFilter
from transfer_gateway.api.graphql.types import Execution, ExecutionKeyInput  # noqa: TC001  as above
from transfer_gateway.domain import change

if TYPE_CHECKING:
    from transfer_gateway.api.graphql.context import StreamContext

_After = Annotated[
    str | None,
    strawberry.argument(
        description="Go on after this change: its `cursor`. Over server-sent events, the header `Last-Event-ID` "
        "overrides it."
    ),
]


@domain_type(change.ExecutionChange, "A change of an execution: the execution as it is now, and what is new.")
class ExecutionChange:
    execution: Execution = strawberry.field(description="The execution, as it is known now.")
    events: list[ExecutionEvent] = strawberry.field(
        description="The events that are new, in order. None, if only AWS's answer has changed."
    )

    @strawberry.field(description="Cursor of this change: pass it as `after`, to go on from here.")
    def cursor(self, info: Info) -> str:
        return info.context.reader.cursor_of(cast("change.ExecutionChange", self))


@strawberry.type(
    description="All subscriptions: over WebSocket (graphql-transport-ws), or as server-sent events "
    "(`Accept: text/event-stream`)."
)
class Subscription:
    @strawberry.subscription(
        description="An execution: first what is known of it, with all its events, or what came after the cursor; then "
        "each change, in order. Ends when the execution has ended.",
        graphql_type=ExecutionChange,
    )
    def execution_changed(
        self,
        info: Info,
        key: Annotated[ExecutionKeyInput, strawberry.argument(description="Which execution.")],
        after: _After = None,
    ) -> AsyncGenerator[Any]:  # domain changes, or None: see `LiveUseCases`
        context = cast("StreamContext", info.context)
        return context.reader.watch_execution(
            key.to_key(),
            after=context.last_event_id or after,
            deadline=context.deadline,
            recheck=context.recheck,
        )

    @strawberry.subscription(
        description="Executions that match: first those in progress, newest first, without events, or what came after "
        "the cursor; then each change, in order for each execution. Does not end.",
        graphql_type=ExecutionChange,
    )
    def executions_changed(
        self,
        info: Info,
        filter: Annotated[  # noqa: A002  the contract's name
            SearchFilter | None, strawberry.argument(description="Which executions. Default: all.")
        ] = None,
        after: _After = None,
    ) -> AsyncGenerator[Any]:  # as above
        context = cast("StreamContext", info.context)
        return context.reader.watch_executions(
            (filter or SearchFilter()).to_domain(),
            after=context.last_event_id or after,
            deadline=context.deadline,
            recheck=context.recheck,
        )
