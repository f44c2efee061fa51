"""Searches and coverage in the schema, and the caller."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  Strawberry reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, cast

import strawberry

from transfer_gateway.api.graphql.declare import declare_enum
from transfer_gateway.api.graphql.errors import Error, to_item
from transfer_gateway.api.graphql.nodes import Account, PageInfo
from transfer_gateway.api.graphql.pages import HiddenFilter, subfields, to_hidden_filters
from transfer_gateway.api.graphql.servers import Server  # noqa: TC001  as above
from transfer_gateway.api.graphql.types import Execution  # noqa: TC001  as above
from transfer_gateway.domain import coverage, page, search
from transfer_gateway.domain.coverage import CoverageGap
from transfer_gateway.domain.execution import ExecutionStatus, StepErrorType  # noqa: TC001  as above
from transfer_gateway.domain.identity import AccountId, ExecutionId, Region, WorkflowId  # noqa: TC001  as above
from transfer_gateway.domain.search import SearchOrder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transfer_gateway.domain import caller

declare_enum(
    SearchOrder,
    "Order of a search's results.",
    NEWEST_FIRST="By the start, latest first.",
    OLDEST_FIRST="By the start, earliest first.",
    LONGEST_FIRST="By the duration, longest first. What is in progress lasts until the first page was read.",
)
declare_enum(
    CoverageGap,
    "Why executions of an account and region may be missing from the history.",
    UNREADABLE="Its logs can't be read at present: `problem` says why.",
    BEING_READ="Its logs are still being read for the first time: more will be found.",
    NOT_LOGGED="Some of its workflows don't log their executions.",
)


@strawberry.type(description="How much of the history of an account and region is known.")
class TargetCoverage:
    account: Account = strawberry.field(description="The account.")
    region: Region = strawberry.field(description="The region.")
    server: Server | None = strawberry.field(
        description="The server that logs nothing, if that is the gap. The first one, if there are several."
    )
    since: datetime | None = strawberry.field(
        description="Everything in its logs is known from here on. Null if nothing has been read."
    )
    complete_until: datetime | None = strawberry.field(
        description="Everything in its logs is known until here."
    )
    gap: CoverageGap | None = strawberry.field(
        description="Why executions may be missing. Null if none are, from `since` on."
    )
    unlogged_workflows: int = strawberry.field(
        description="How many of its workflows don't log all executions."
    )
    problem: Error | None = strawberry.field(
        description="Why its logs can't be read at present or, if the gap is NOT_LOGGED, AWS's lists of what is in "
        "progress."
    )
    remedy: str | None = strawberry.field(description="What an operator can do about the gap.")


@strawberry.type(description="Numbers of targets: pairs of account and region.")
class CoverageSummary:
    covered: int = strawberry.field(description="Those without a gap.")
    with_gap: int = strawberry.field(description="Those with one.")
    total: int = strawberry.field(description="All.")


@strawberry.type(description="One item of the list.")
class TargetCoverageEdge:
    cursor: str = strawberry.field(description="Cursor of this target: pass it as `after`.")
    node: TargetCoverage = strawberry.field(description="The target's coverage.")


@strawberry.type(description="Coverage of accounts and regions, in a stable order: account, region.")
class TargetCoverageConnection:
    edges: list[TargetCoverageEdge] = strawberry.field(description="The targets of this page.")
    page_info: PageInfo = strawberry.field(description="Position of this page in the list.")
    summary: CoverageSummary = strawberry.field(
        description="Numbers of all targets that match the filter's accounts and regions."
    )


@strawberry.type(description="How many of the executions that match have a status.")
class StatusCount:
    status: ExecutionStatus | None = strawberry.field(
        description="The status. Null: they have ended, and how is not recorded."
    )
    count: int = strawberry.field(description="How many.")


@strawberry.type(description="How many executions match, by status.")
class StatusCounts:
    counts: list[StatusCount] = strawberry.field(description="The statuses that any of them have.")
    total: int = strawberry.field(description="How many match.")
    is_exact: bool = strawberry.field(
        description="Whether these are all of them. If not, there are at least so many: 10,000 are counted."
    )


@strawberry.type(description="One item of the list.")
class ExecutionSearchEdge:
    cursor: str = strawberry.field(description="Cursor of this execution: pass it as `after` or `before`.")
    node: Execution = strawberry.field(description="The execution.")


@strawberry.type(description="Executions in progress and ended, in the order asked for.")
class ExecutionSearchConnection:
    edges: list[ExecutionSearchEdge] = strawberry.field(description="The executions of this page.")
    page_info: PageInfo = strawberry.field(description="Position of this page in the list.")
    counts_by_status: StatusCounts | None = strawberry.field(
        description="How many executions match in all. Counted only if selected."
    )
    coverage: list[TargetCoverage] = strawberry.field(
        description="How complete the answer is: what is known of the accounts and regions that it is about. At most "
        "100, those with a gap first; the root field `coverage` lists all."
    )
    coverage_summary: CoverageSummary = strawberry.field(
        description="Of how many accounts and regions the answer may lack something."
    )
    changes_cursor: str | None = strawberry.field(
        description="Pass it as `after` to `executionsChanged` to be told of everything that happens after this answer."
    )
    hidden_filters: list[HiddenFilter] = strawberry.field(
        description="Filters that matched nothing in some accounts and regions, because you may not see the field."
    )


@strawberry.type(description="You, as the gateway sees you.")
class Viewer:
    name: str = strawberry.field(
        description="Your name in the audit log: the token's subject, or the client certificate's name."
    )
    expires_at: datetime | None = strawberry.field(
        description="Until when your token is valid. Null without one."
    )
    hidden_fields: list[str] = strawberry.field(
        description="Fields that a policy hides from you, in some accounts and regions or in all."
    )
    accounts: list[Account] = strawberry.field(description="The accounts you may see, in configured order.")


@strawberry.input(
    name="AccountTag", description="A tag of an account in the accounts file or the organization."
)
class AccountTagInput:
    key: str = strawberry.field(description="The tag's key.")
    value: str = strawberry.field(description="The tag's value.")


@strawberry.input(
    description="Selects executions, in progress and ended, that match every given field. A list matches any of its "
    "values, at most 100."
)
class SearchFilter:
    account_ids: list[AccountId] | None = strawberry.field(default=None, description="In these accounts.")
    account_aliases: list[str] | None = strawberry.field(
        default=None, description="In accounts with one of these aliases, in any case."
    )
    account_tags: list[AccountTagInput] | None = strawberry.field(
        default=None,
        description="In accounts with these tags. Several values of one key are alternatives; of several keys all "
        "must match.",
    )
    regions: list[Region] | None = strawberry.field(default=None, description="In these regions.")
    workflow_ids: list[WorkflowId] | None = strawberry.field(default=None, description="Of these workflows.")
    execution_ids: list[ExecutionId] | None = strawberry.field(default=None, description="With these IDs.")
    server_ids: list[str] | None = strawberry.field(default=None, description="Uploaded to these servers.")
    user_names: list[str] | None = strawberry.field(default=None, description="Uploaded by these users.")
    session_ids: list[str] | None = strawberry.field(default=None, description="Uploaded in these sessions.")
    statuses: list[ExecutionStatus] | None = strawberry.field(
        default=None, description="With these statuses."
    )
    error_types: list[StepErrorType] | None = strawberry.field(
        default=None, description="In which a step failed with one of these types."
    )
    text: str | None = strawberry.field(
        default=None,
        description="Any part of the file's name or path, the user's name or an ID, in any case: 1 to 256 characters.",
    )
    file_name: str | None = strawberry.field(
        default=None,
        description="Any part of the file's name or path, on S3 or EFS, in any case: 1 to 256 characters.",
    )
    started_after: datetime | None = strawberry.field(
        default=None, description="Started at this time or later."
    )
    started_before: datetime | None = strawberry.field(
        default=None, description="Started at this time or earlier."
    )
    ended_after: datetime | None = strawberry.field(default=None, description="Ended at this time or later.")
    ended_before: datetime | None = strawberry.field(
        default=None, description="Ended at this time or earlier."
    )
    min_duration_s: float | None = strawberry.field(
        default=None, description="Lasted this many seconds or more. What is in progress lasts until now."
    )
    max_duration_s: float | None = strawberry.field(
        default=None, description="Lasted this many seconds or less. What is in progress lasts until now."
    )
    running: bool | None = strawberry.field(
        default=None, description="True: only those in progress. False: only those that have ended."
    )
    result_unknown: bool | None = strawberry.field(
        default=None,
        description="True: only those that have ended with no record of how. False: none of these.",
    )

    def to_domain(self) -> search.SearchInput:
        return search.SearchInput(
            account_ids=tuple(self.account_ids or ()),
            account_aliases=tuple(self.account_aliases or ()),
            account_tags=tuple(search.AccountTag(tag.key, tag.value) for tag in self.account_tags or ()),
            regions=tuple(self.regions or ()),
            workflow_ids=tuple(self.workflow_ids or ()),
            execution_ids=tuple(self.execution_ids or ()),
            server_ids=tuple(self.server_ids or ()),
            user_names=tuple(self.user_names or ()),
            session_ids=tuple(self.session_ids or ()),
            statuses=tuple(self.statuses or ()),
            error_types=tuple(self.error_types or ()),
            text=self.text,
            file_name=self.file_name,
            started_after=self.started_after,
            started_before=self.started_before,
            ended_after=self.ended_after,
            ended_before=self.ended_before,
            min_duration_s=self.min_duration_s,
            max_duration_s=self.max_duration_s,
            running=self.running,
            result_unknown=self.result_unknown,
        )


@strawberry.input(
    description="Selects accounts and regions that match every given field. A list matches any of its values."
)
class CoverageFilter:
    account_ids: list[AccountId] | None = strawberry.field(default=None, description="These accounts.")
    regions: list[Region] | None = strawberry.field(default=None, description="These regions.")
    gaps_only: bool | None = strawberry.field(default=None, description="Only those with a gap.")

    def to_domain(self) -> page.TargetFilter:
        return page.TargetFilter(account_ids=tuple(self.account_ids or ()), regions=tuple(self.regions or ()))


Filter = Annotated[SearchFilter, strawberry.argument(description="Which executions. `{}`: all.")]
Order = Annotated[SearchOrder | None, strawberry.argument(description="Their order.")]


def to_search_connection(found: search.FoundPage) -> ExecutionSearchConnection:
    edges = [
        ExecutionSearchEdge(cursor=entry.cursor, node=cast("Execution", entry.node))  # a domain object
        for entry in found.entries
    ]
    return ExecutionSearchConnection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=found.has_next,
            has_previous_page=found.has_previous,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        counts_by_status=None if found.counts is None else _counts(found.counts),
        coverage=[_coverage(each) for each in found.coverage.targets] if found.coverage else [],
        coverage_summary=cast(
            "CoverageSummary", found.coverage and found.coverage.summary
        ),  # only if selected
        changes_cursor=found.changes_cursor,
        hidden_filters=to_hidden_filters(found.hidden_filters),
    )


def to_coverage_connection(
    found: page.Page[coverage.TargetCoverage], summary: coverage.CoverageSummary, *, continued: bool
) -> TargetCoverageConnection:
    edges = [TargetCoverageEdge(cursor=entry.cursor, node=_coverage(entry.node)) for entry in found.entries]
    return TargetCoverageConnection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=found.has_next,
            has_previous_page=continued,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        summary=cast("CoverageSummary", summary),  # the value is a domain object
    )


def to_viewer(viewer: caller.Viewer) -> Viewer:
    return Viewer(
        name=viewer.name,
        expires_at=viewer.expires_at,
        hidden_fields=list(viewer.hidden_fields),
        accounts=cast("list[Account]", list(viewer.visible_accounts)),  # as above
    )


def selects(names: str, selected: Iterable[Any]) -> bool:
    """Whether a selection of connections contains one of these fields. `selected` is Strawberry's."""
    return any(field.name in names.split() for connection in selected for field in subfields(connection))


def _counts(found: search.StatusCounts) -> StatusCounts:
    return StatusCounts(
        counts=[StatusCount(status=status, count=count) for status, count in found.by_status()],
        total=found.total,
        is_exact=found.is_exact,
    )


def _coverage(found: coverage.TargetCoverage) -> TargetCoverage:
    return TargetCoverage(
        account=cast("Account", found.account),  # as above
        region=found.region,
        server=cast("Server | None", found.server),  # as above
        since=found.since,
        complete_until=found.complete_until,
        gap=found.gap,
        unlogged_workflows=found.unlogged_workflows,
        problem=to_item(found.problem) if found.problem else None,
        remedy=found.remedy,
    )
