"""Result types of fields that span many targets, and the conversion of the core's pages to them."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  Strawberry reads the annotations
from typing import TYPE_CHECKING, Any, cast

import strawberry
from strawberry.utils.str_converters import to_camel_case

from transfer_gateway.api.graphql.errors import Error, to_item
from transfer_gateway.api.graphql.nodes import PageInfo
from transfer_gateway.api.graphql.servers import Server  # noqa: TC001  as below
from transfer_gateway.api.graphql.types import Execution  # noqa: TC001  as below
from transfer_gateway.api.graphql.workflows import Workflow  # noqa: TC001  as below
from transfer_gateway.domain import page
from transfer_gateway.domain.execution import ExecutionStatus  # noqa: TC001  Strawberry reads the annotations
from transfer_gateway.domain.identity import AccountId, Region, WorkflowId  # noqa: TC001  as above

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transfer_gateway.domain import execution, server, workflow

# Fields that only DescribeExecution or DescribeWorkflow returns; AWS's lists have the rest.
EXECUTION_DETAILS = frozenset({"executionRole", "loggingConfiguration", "posixProfile"})
EXECUTION_RESULTS = frozenset({"results"})  # as above; the log has them, too
WORKFLOW_DETAILS = frozenset({"steps", "onExceptionSteps", "tags", "structuredLogDestinations"})


@strawberry.type(
    description="A target (account and region) that could not be read, or only in part, and why."
)
class TargetFailure:
    account_id: AccountId = strawberry.field(description="The account.")
    region: Region = strawberry.field(description="The region.")
    error: Error = strawberry.field(description="The error.")
    last_success_at: datetime | None = strawberry.field(
        description="When it was current. Null if never, or if AWS was asked for this request alone."
    )


@strawberry.type(description="The execution, if found, and how far the search got.")
class FindExecutionResult:
    execution: Execution | None = strawberry.field(
        description="Null if no target has it in progress and the history doesn't know it. Conclusive only if "
        "`targetFailures` is empty; with `inProgressOnly`, and without a history, it says nothing of what has ended."
    )
    targets_asked: int = strawberry.field(
        description="Number of targets that AWS was asked about: pairs of account and region. The history answers for "
        "the others."
    )
    target_failures: list[TargetFailure] = strawberry.field(
        description="Targets that may have it, or may have had it: those that could not be searched, and those of "
        "whose ended executions some are unknown. EXECUTION_NOT_FOUND says by its `reason` why: NOT_LOGGED, "
        "LOG_UNREADABLE or EXPIRED. Empty if it was found."
    )


@strawberry.type(
    description="A filter on a field that a policy hides from you: where it is hidden, the filter matched nothing, "
    "whatever there is."
)
class HiddenFilter:
    filter_field: str = strawberry.field(description="The filter's field, such as `fileName`.")
    hidden_field: str = strawberry.field(description="The hidden field, such as `initialFileLocation`.")
    targets: int = strawberry.field(description="In how many of the accounts and regions it is hidden.")


@strawberry.type(description="One item of the list.")
class ExecutionEdge:
    cursor: str = strawberry.field(description="Cursor of this execution: pass it as `after`.")
    node: Execution = strawberry.field(description="The execution.")
    details_error: Error | None = strawberry.field(
        description="Why selected fields that AWS's list operations omit are null. "
        "Most often the execution has just finished."
    )


@strawberry.type(
    description="Executions in progress, in a stable order: account, region, workflow, execution."
)
class ExecutionConnection:
    edges: list[ExecutionEdge] = strawberry.field(description="The executions of this page.")
    page_info: PageInfo = strawberry.field(description="Position of this page in the list.")
    target_failures: list[TargetFailure] = strawberry.field(
        description="Accounts and regions whose executions are missing from this page, and why."
    )
    hidden_filters: list[HiddenFilter] = strawberry.field(
        description="Filters that matched nothing in some accounts and regions, because you may not see the field."
    )


@strawberry.type(description="One item of the list.")
class WorkflowEdge:
    cursor: str = strawberry.field(description="Cursor of this workflow: pass it as `after`.")
    node: Workflow = strawberry.field(description="The workflow.")
    details_error: Error | None = strawberry.field(
        description="Why selected fields that AWS's list operations omit are null."
    )


@strawberry.type(description="Workflows, in a stable order: account, region, workflow.")
class WorkflowConnection:
    edges: list[WorkflowEdge] = strawberry.field(description="The workflows of this page.")
    page_info: PageInfo = strawberry.field(description="Position of this page in the list.")
    target_failures: list[TargetFailure] = strawberry.field(
        description="Accounts and regions whose workflows are missing from this page, and why."
    )


@strawberry.type(description="One item of the list.")
class ServerEdge:
    cursor: str = strawberry.field(description="Cursor of this server: pass it as `after`.")
    node: Server = strawberry.field(description="The server.")


@strawberry.type(description="Servers, in a stable order: account, region, server.")
class ServerConnection:
    edges: list[ServerEdge] = strawberry.field(description="The servers of this page.")
    page_info: PageInfo = strawberry.field(description="Position of this page in the list.")
    target_failures: list[TargetFailure] = strawberry.field(
        description="Accounts and regions whose servers are missing from this page, and why."
    )


@strawberry.input(
    description="Selects servers that match every given field. A list matches any of its values."
)
class ServerFilter:
    account_ids: list[AccountId] | None = strawberry.field(default=None, description="In these accounts.")
    regions: list[Region] | None = strawberry.field(default=None, description="In these regions.")

    def to_domain(self) -> page.TargetFilter:
        return page.TargetFilter(account_ids=tuple(self.account_ids or ()), regions=tuple(self.regions or ()))


@strawberry.input(
    description="Selects workflows that match every given field. A list matches any of its values."
)
class WorkflowFilter:
    account_ids: list[AccountId] | None = strawberry.field(default=None, description="In these accounts.")
    regions: list[Region] | None = strawberry.field(default=None, description="In these regions.")

    def to_domain(self) -> page.TargetFilter:
        return page.TargetFilter(account_ids=tuple(self.account_ids or ()), regions=tuple(self.regions or ()))


@strawberry.input(
    description="Selects executions that match every given field. A list matches any of its values."
)
class ExecutionFilter:
    account_ids: list[AccountId] | None = strawberry.field(default=None, description="In these accounts.")
    regions: list[Region] | None = strawberry.field(default=None, description="In these regions.")
    workflow_ids: list[WorkflowId] | None = strawberry.field(default=None, description="Of these workflows.")
    statuses: list[ExecutionStatus] | None = strawberry.field(
        default=None, description="With these statuses."
    )
    server_id: str | None = strawberry.field(default=None, description="Uploaded to this server.")
    user_name: str | None = strawberry.field(default=None, description="Uploaded by this user.")
    session_id: str | None = strawberry.field(default=None, description="Uploaded in this session.")
    bucket: str | None = strawberry.field(default=None, description="Files in this S3 bucket.")
    key_prefix: str | None = strawberry.field(
        default=None, description="Files whose S3 key starts with this."
    )
    file_system_id: str | None = strawberry.field(default=None, description="Files on this EFS file system.")
    path_prefix: str | None = strawberry.field(
        default=None, description="Files whose EFS path starts with this."
    )

    def to_domain(self) -> page.ExecutionFilter:
        return page.ExecutionFilter(
            account_ids=tuple(self.account_ids or ()),
            regions=tuple(self.regions or ()),
            workflow_ids=tuple(self.workflow_ids or ()),
            statuses=tuple(self.statuses or ()),
            server_id=self.server_id,
            user_name=self.user_name,
            session_id=self.session_id,
            bucket=self.bucket,
            key_prefix=self.key_prefix,
            file_system_id=self.file_system_id,
            path_prefix=self.path_prefix,
        )


def to_execution_connection(found: page.Page[execution.Execution], *, continued: bool) -> ExecutionConnection:
    edges = [
        ExecutionEdge(
            cursor=entry.cursor,
            node=cast("Execution", entry.node),  # the value is a domain object
            details_error=to_item(entry.missing) if entry.missing else None,
        )
        for entry in found.entries
    ]
    return ExecutionConnection(
        edges=edges,
        page_info=_page_info(found, continued=continued),
        target_failures=_failures(found.failures),
        hidden_filters=to_hidden_filters(found.hidden_filters),
    )


def to_hidden_filters(found: Iterable[page.HiddenFilter]) -> list[HiddenFilter]:
    return [
        HiddenFilter(
            filter_field=to_camel_case(each.filter_field),
            hidden_field=each.hidden_field,
            targets=each.targets,
        )
        for each in found
    ]


def to_workflow_connection(found: page.Page[workflow.Workflow], *, continued: bool) -> WorkflowConnection:
    edges = [
        WorkflowEdge(
            cursor=entry.cursor,
            node=cast("Workflow", entry.node),  # as above
            details_error=to_item(entry.missing) if entry.missing else None,
        )
        for entry in found.entries
    ]
    return WorkflowConnection(
        edges=edges,
        page_info=_page_info(found, continued=continued),
        target_failures=_failures(found.failures),
    )


def to_server_connection(found: page.Page[server.Server], *, continued: bool) -> ServerConnection:
    edges = [
        ServerEdge(cursor=entry.cursor, node=cast("Server", entry.node))  # as above
        for entry in found.entries
    ]
    return ServerConnection(
        edges=edges,
        page_info=_page_info(found, continued=continued),
        target_failures=_failures(found.failures),
    )


def _page_info(found: page.Page[Any], *, continued: bool) -> PageInfo:
    return PageInfo(
        has_next_page=found.has_next,
        has_previous_page=continued,
        start_cursor=found.entries[0].cursor if found.entries else None,
        end_cursor=found.end_cursor,
    )


def to_find_result(found: page.FindResult) -> FindExecutionResult:
    return FindExecutionResult(
        execution=cast("Execution | None", found.execution),  # the value is a domain object
        targets_asked=found.targets_asked,
        target_failures=_failures(found.failures),
    )


def _failures(failures: Iterable[page.TargetFailure]) -> list[TargetFailure]:
    return [
        TargetFailure(
            account_id=failure.target.account_id,
            region=failure.target.region,
            error=to_item(failure.error),
            last_success_at=failure.last_success_at,
        )
        for failure in failures
    ]


def wants_any(details: frozenset[str], selected: Iterable[Any]) -> bool:
    """Whether a selection of connections contains any of these fields of a node. `selected` is Strawberry's."""
    return any(
        node.name in details
        for connection in selected
        for edge in _below(connection, "edges")
        for nodes in _below(edge, "node")
        for node in subfields(nodes)
    )


def _below(field: Any, name: str) -> list[Any]:  # noqa: ANN401  as above
    return [inner for inner in subfields(field) if inner.name == name]


def subfields(field: Any) -> list[Any]:  # noqa: ANN401  as above
    """The direct subfields, including those in fragments, which have a type condition."""
    found: list[Any] = []
    for inner in field.selections:
        if _is_left_out(inner):
            continue
        found += subfields(inner) if hasattr(inner, "type_condition") else [inner]
    return found


def _is_left_out(selection: Any) -> bool:  # noqa: ANN401  as above
    """Whether `@skip` or `@include` excludes it. Strawberry has replaced variables by their values."""
    directives = selection.directives
    return bool(directives.get("skip", {}).get("if")) or not directives.get("include", {}).get("if", True)
