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
from transfer_gateway.api.graphql.types import Execution, ExecutionKeyInput
from transfer_gateway.api.graphql.workflows import WorkflowKeyInput
from transfer_gateway.core.use_cases import DEFAULT_MAX_AGE_S, DEFAULT_PAGE
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
    ) -> FindExecutionResult:
        context = info.context
        return to_find_result(
            await context.reader.find(
                execution_id,
                workflow_id,
                account_ids,
                regions,
                deadline=context.deadline,
                in_progress_only=bool(in_progress_only),
            )
        )

    @strawberry.field(
        description="All executions in progress, paginated. Fields that AWS's list operations omit cost one more "
        "AWS call per execution of the page, and only if selected. Executions of a workflow created in the last "
        "five seconds may be missing."
    )
    async def in_progress_executions(
        self,
        info: Info,
        filter: Annotated[  # noqa: A002  the contract's name
            ExecutionFilter | None, strawberry.argument(description="Filter. Default: all.")
        ] = None,
        first: _First = DEFAULT_PAGE,
        after: _After = None,
    ) -> ExecutionConnection:
        context = info.context
        found = await context.reader.in_progress(
            (filter or ExecutionFilter()).to_domain(),
            first=DEFAULT_PAGE if first is None else first,
            after=after,
            with_details=wants_any(EXECUTION_DETAILS, info.selected_fields),
            deadline=context.deadline,
        )
        return to_execution_connection(found, continued=after is not None)

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
        return _QuietSchema(query=Query, config=config, extensions=[DisableValidation])
    schema = strawberry.Schema(query=Query, config=config)
    call_directly(schema)
    return schema
