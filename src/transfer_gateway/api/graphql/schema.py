"""The schema's root fields. Only these have resolvers; below them are plain attributes."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import strawberry
from graphql import GraphQLError  # noqa: TC002  as above
from strawberry.extensions import DisableValidation
from strawberry.schema.config import StrawberryConfig

from transfer_gateway.api.graphql.declare import Info  # noqa: TC001  Strawberry reads the annotations
from transfer_gateway.api.graphql.direct import call_directly
from transfer_gateway.api.graphql.errors import ExecutionOrError, WorkflowOrError, to_data, to_item
from transfer_gateway.api.graphql.nodes import Account, Node
from transfer_gateway.api.graphql.pages import (
    EXECUTION_DETAILS,
    EXECUTION_RESULTS,
    WORKFLOW_DETAILS,
    ExecutionConnection,
    ExecutionFilter,
    FindExecutionResult,
    ServerConnection,
    ServerFilter,
    WorkflowConnection,
    WorkflowFilter,
    to_execution_connection,
    to_find_result,
    to_server_connection,
    to_workflow_connection,
    wants_any,
)
from transfer_gateway.api.graphql.scalars import SCALARS
from transfer_gateway.api.graphql.search import (
    CoverageFilter,
    ExecutionSearchConnection,
    Filter,
    Order,
    TargetCoverageConnection,
    Viewer,
    selects,
    to_coverage_connection,
    to_search_connection,
    to_viewer,
)
from transfer_gateway.api.graphql.subscriptions import Subscription
from transfer_gateway.api.graphql.types import Execution, ExecutionKeyInput
from transfer_gateway.api.graphql.workflows import WorkflowKeyInput
from transfer_gateway.core.find_use_cases import DEFAULT_MAX_AGE_S, DEFAULT_PAGE
from transfer_gateway.core.workflow_use_cases import DEFAULT_WORKFLOW_MAX_AGE_S
from transfer_gateway.domain.errors import BadUserInput, GatewayError
from transfer_gateway.domain.identity import (
    AccountId,
    ExecutionId,
    ExecutionKey,
    Region,
    WorkflowId,
    WorkflowKey,
)
from transfer_gateway.domain.search import SearchOrder, Window
from transfer_gateway.domain.server import ServerKey

_Key = Annotated[ExecutionKeyInput, strawberry.argument(description="Which execution.")]
_WorkflowKey = Annotated[WorkflowKeyInput, strawberry.argument(description="Which workflow.")]
_MaxAge = Annotated[
    float | None,
    strawberry.argument(
        description="Maximum age of AWS's answer, in seconds. 0: at least as fresh as this request."
    ),
]
_InProgressOnly = Annotated[
    bool | None,
    strawberry.argument(description="AWS's view alone: an execution that has ended is not found."),
]
_First = Annotated[int | None, strawberry.argument(description="Page size: 1 to 1,000.")]
_After = Annotated[str | None, strawberry.argument(description="Cursor to continue after.")]


def _seconds(max_age: float | None, default_s: float = DEFAULT_MAX_AGE_S) -> float:
    return default_s if max_age is None else max_age


@strawberry.type(description="All queries.")
class Query:
    @strawberry.field(
        description="An execution, in progress or ended. Null on failure, with the code in `errors[].extensions`.",
        graphql_type=Execution | None,
    )
    async def execution(
        self,
        info: Info,
        key: _Key,
        max_age: _MaxAge = DEFAULT_MAX_AGE_S,
        in_progress_only: _InProgressOnly = False,  # noqa: FBT002  an argument of the schema
    ) -> Any:  # noqa: ANN401  a domain execution
        context = info.context
        return await context.reader.describe(
            key.to_key(),
            max_age_s=_seconds(max_age),
            deadline=context.deadline,
            in_progress_only=bool(in_progress_only),
        )

    @strawberry.field(
        description="An execution, in progress or ended, or an error as data.",
        graphql_type=ExecutionOrError,
    )
    async def execution_or_error(
        self,
        info: Info,
        key: _Key,
        max_age: _MaxAge = DEFAULT_MAX_AGE_S,
        in_progress_only: _InProgressOnly = False,  # noqa: FBT002  an argument of the schema
    ) -> Any:  # noqa: ANN401  as above, or an Error
        context = info.context
        try:
            return await context.reader.describe(
                key.to_key(),
                max_age_s=_seconds(max_age),
                deadline=context.deadline,
                in_progress_only=bool(in_progress_only),
            )
        except GatewayError as error:
            return to_data(error)

    @strawberry.field(
        description="Up to 1,000 executions, in the order of the keys. "
        "A failure affects only its own key. Duplicate keys are looked up once.",
        graphql_type=list[ExecutionOrError],
    )
    async def executions(
        self,
        info: Info,
        keys: Annotated[list[ExecutionKeyInput], strawberry.argument(description="Which executions.")],
        max_age: _MaxAge = DEFAULT_MAX_AGE_S,
        in_progress_only: _InProgressOnly = False,  # noqa: FBT002  an argument of the schema
    ) -> Any:  # noqa: ANN401  domain executions and Errors
        context = info.context
        found = await context.reader.describe_all(
            [key.to_key() for key in keys],
            max_age_s=_seconds(max_age),
            deadline=context.deadline,
            in_progress_only=bool(in_progress_only),
        )
        return [to_item(outcome) if isinstance(outcome, GatewayError) else outcome for outcome in found]

    @strawberry.field(
        description="Finds an execution by its ID, with or without its workflow: first in the history and where it was "
        "last seen, then in all accounts and regions at once. Answers as soon as it is found."
    )
    async def find_execution(  # noqa: PLR0917  a query's arguments are all named
        self,
        info: Info,
        execution_id: Annotated[ExecutionId, strawberry.argument(description="The execution.")],
        workflow_id: Annotated[
            WorkflowId | None,
            strawberry.argument(
                description="Its workflow, if known: one AWS call per target instead of several."
            ),
        ] = None,
        account_ids: Annotated[
            list[AccountId] | None, strawberry.argument(description="Search only these accounts.")
        ] = None,
        regions: Annotated[
            list[Region] | None, strawberry.argument(description="Search only these regions.")
        ] = None,
        in_progress_only: _InProgressOnly = False,  # noqa: FBT002  an argument of the schema
        max_age: Annotated[
            float | None,
            strawberry.argument(
                description="Also ask AWS about targets whose logs have not been read for so many seconds. 0: about "
                "all. Default: only about what the history may lack."
            ),
        ] = None,
    ) -> FindExecutionResult:
        context = info.context
        return to_find_result(
            await context.reader.find(
                execution_id,
                workflow_id,
                account_ids,
                regions,
                deadline=context.deadline,
                max_age_s=max_age,
                in_progress_only=bool(in_progress_only),
            )
        )

    @strawberry.field(
        description="All executions in progress, paginated: as the history knows them, without AWS calls, or as AWS "
        "lists them. Fields that only DescribeExecution has cost one AWS call per execution of the page whose log does "
        "not tell them, and only if selected. `targetFailures` names what is not current."
    )
    async def in_progress_executions(
        self,
        info: Info,
        filter: Annotated[  # noqa: A002  the contract's name
            ExecutionFilter | None, strawberry.argument(description="Filter. Default: all.")
        ] = None,
        first: _First = DEFAULT_PAGE,
        after: _After = None,
        max_age: Annotated[
            float | None,
            strawberry.argument(
                description="Maximum age of what is known, in seconds; older parts are read anew, until the deadline. "
                "0: ask AWS; pages share lists of the last second. Default: as the history keeps it."
            ),
        ] = None,
    ) -> ExecutionConnection:
        context = info.context
        found = await context.reader.in_progress(
            (filter or ExecutionFilter()).to_domain(),
            first=DEFAULT_PAGE if first is None else first,
            after=after,
            with_details=wants_any(EXECUTION_DETAILS, info.selected_fields),
            with_results=wants_any(EXECUTION_RESULTS, info.selected_fields),
            max_age_s=max_age,
            deadline=context.deadline,
        )
        return to_execution_connection(found, continued=after is not None)

    @strawberry.field(
        description="Searches all executions, in progress and ended, in the history, without waiting for AWS. "
        "`coverage` says how complete the answer is. Pages go forward with `first` and `after`, and back with `last` "
        "and `before`; cursors stay valid while executions come and go, and belong to one order."
    )
    async def search_executions(  # noqa: PLR0917  a query's arguments are all named
        self,
        info: Info,
        filter: Filter,  # noqa: A002  the contract's name
        order_by: Order = SearchOrder.NEWEST_FIRST,
        first: Annotated[
            int | None, strawberry.argument(description="Page size, forward: 1 to 1,000. Default: 50.")
        ] = None,
        after: _After = None,
        last: Annotated[
            int | None, strawberry.argument(description="Page size, backward: 1 to 1,000.")
        ] = None,
        before: Annotated[str | None, strawberry.argument(description="Cursor to end before.")] = None,
    ) -> ExecutionSearchConnection:
        context, selected = info.context, info.selected_fields
        return to_search_connection(
            await context.reader.search(
                filter.to_domain(),
                order_by or SearchOrder.NEWEST_FIRST,
                Window(first=first, after=after, last=last, before=before),
                with_counts=selects("countsByStatus", selected),
                with_coverage=selects("coverage coverageSummary", selected),
                with_changes_cursor=selects("changesCursor", selected),
                deadline=context.deadline,
            )
        )

    @strawberry.field(
        description="How much of the history of each account and region is known, paginated. No AWS call."
    )
    async def coverage(
        self,
        info: Info,
        filter: Annotated[  # noqa: A002  as above
            CoverageFilter | None, strawberry.argument(description="Filter. Default: all.")
        ] = None,
        first: _First = DEFAULT_PAGE,
        after: _After = None,
    ) -> TargetCoverageConnection:
        wanted = filter or CoverageFilter()
        found, summary = info.context.reader.list_coverage(
            wanted.to_domain(),
            gaps_only=bool(wanted.gaps_only),
            first=DEFAULT_PAGE if first is None else first,
            after=after,
        )
        return to_coverage_connection(found, summary, continued=after is not None)

    @strawberry.field(description="You: the caller, as authenticated, and what you may see.")
    async def viewer(self, info: Info) -> Viewer:
        return to_viewer(info.context.reader.get_viewer())

    @strawberry.field(
        description="A workflow's definition, or an error as data.",
        graphql_type=WorkflowOrError,
    )
    async def workflow_or_error(
        self, info: Info, key: _WorkflowKey, max_age: _MaxAge = DEFAULT_WORKFLOW_MAX_AGE_S
    ) -> Any:  # noqa: ANN401  a domain workflow, or an Error
        context = info.context
        try:
            return await context.reader.describe_workflow(
                key.to_key(),
                max_age_s=_seconds(max_age, DEFAULT_WORKFLOW_MAX_AGE_S),
                deadline=context.deadline,
            )
        except GatewayError as error:
            return to_data(error)

    @strawberry.field(
        description="All workflows, paginated. Fields that AWS's list operations omit cost one more AWS call per "
        "workflow of the page, at most every five minutes, and only if selected."
    )
    async def workflows(
        self,
        info: Info,
        filter: Annotated[  # noqa: A002  the contract's name
            WorkflowFilter | None, strawberry.argument(description="Filter. Default: all.")
        ] = None,
        first: _First = DEFAULT_PAGE,
        after: _After = None,
    ) -> WorkflowConnection:
        context = info.context
        found = await context.reader.list_workflows(
            (filter or WorkflowFilter()).to_domain(),
            first=DEFAULT_PAGE if first is None else first,
            after=after,
            with_details=wants_any(WORKFLOW_DETAILS, info.selected_fields),
            deadline=context.deadline,
        )
        return to_workflow_connection(found, continued=after is not None)

    @strawberry.field(
        description="All servers, with their workflows and where they log, paginated. At most one minute old."
    )
    async def servers(
        self,
        info: Info,
        filter: Annotated[  # noqa: A002  as above
            ServerFilter | None, strawberry.argument(description="Filter. Default: all.")
        ] = None,
        first: _First = DEFAULT_PAGE,
        after: _After = None,
    ) -> ServerConnection:
        context = info.context
        found = await context.reader.list_servers(
            (filter or ServerFilter()).to_domain(),
            first=DEFAULT_PAGE if first is None else first,
            after=after,
            deadline=context.deadline,
        )
        return to_server_connection(found, continued=after is not None)

    @strawberry.field(
        description="The accounts you may see, in configured order.", graphql_type=list[Account]
    )
    async def accounts(self, info: Info) -> Any:  # noqa: ANN401  domain accounts
        return info.context.reader.list_accounts()

    @strawberry.field(
        description="The object with this global id: an account, server, workflow, execution or event.",
        graphql_type=Node | None,
    )
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Its global id.")],  # noqa: A002  Relay's name
    ) -> Any:  # noqa: ANN401  a domain object
        reader = info.context.reader
        match id.count("/"):
            case 0:
                return reader.get_account(AccountId(id))
            case 2 if id.rpartition("/")[2].startswith("s-"):
                return await reader.get_server(ServerKey.parse(id), deadline=info.context.deadline)
            case 2:
                return await reader.describe_workflow(
                    WorkflowKey.parse(id),
                    max_age_s=DEFAULT_WORKFLOW_MAX_AGE_S,
                    deadline=info.context.deadline,
                )
            case 3:
                return await reader.describe(
                    ExecutionKey.parse(id), max_age_s=DEFAULT_MAX_AGE_S, deadline=info.context.deadline
                )
            case 4:
                key, _, event_id = id.rpartition("/")
                return await reader.get_event(ExecutionKey.parse(key), event_id)
            case _:
                raise BadUserInput(
                    "id must be accountId, accountId/region/serverId, or "
                    "accountId/region/workflowId[/executionId[/eventId]]."
                )


class _QuietSchema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:  # noqa: ANN401  Strawberry's
        """Does not log: the caller does."""


@cache  # takes 40 ms of CPU, and does not depend on settings
def build_schema(*, direct: bool = True) -> strawberry.Schema:
    """`direct`: execute with graphql-core instead of Strawberry. See `operations.py`."""
    config = StrawberryConfig(scalar_map=SCALARS)
    if not direct:  # our faster rules have validated documents already
        return _QuietSchema(
            query=Query, subscription=Subscription, config=config, extensions=[DisableValidation]
        )
    schema = strawberry.Schema(query=Query, subscription=Subscription, config=config)
    call_directly(schema)
    return schema
