"""Searches, coverage and the caller: protobuf to domain, and back."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from transfer_api.v1 import execution_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_gateway.api.rpc import parse
from transfer_gateway.api.rpc.convert import timestamp, to_account, to_server
from transfer_gateway.api.rpc.errors import to_error
from transfer_gateway.core.search_use_cases import DEFAULT_SEARCH_PAGE
from transfer_gateway.domain.errors import BadUserInput
from transfer_gateway.domain.execution import ExecutionStatus, StepErrorType
from transfer_gateway.domain.identity import AccountId, ExecutionId, Region, WorkflowId
from transfer_gateway.domain.page import HiddenFilter, TargetFilter
from transfer_gateway.domain.search import AccountTag, SearchInput, SearchOrder, Window

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp

    from transfer_gateway.domain import coverage, search
    from transfer_gateway.domain.caller import Viewer

_TIMES = ("started_after", "started_before", "ended_after", "ended_before")
_PLAIN = ("text", "file_name", "min_duration_s", "max_duration_s", "running", "result_unknown")


def search_input(message: pb.SearchFilter) -> SearchInput:
    """Raises: BadUserInput."""
    return SearchInput(
        account_ids=parse.identifiers(AccountId, message.account_ids, "filter.account_ids"),
        account_aliases=tuple(message.account_aliases),
        account_tags=tuple(AccountTag(tag.key, tag.value) for tag in message.account_tags),
        regions=parse.identifiers(Region, message.regions, "filter.regions"),
        workflow_ids=parse.identifiers(WorkflowId, message.workflow_ids, "filter.workflow_ids"),
        execution_ids=parse.identifiers(ExecutionId, message.execution_ids, "filter.execution_ids"),
        server_ids=tuple(message.server_ids),
        user_names=tuple(message.user_names),
        session_ids=tuple(message.session_ids),
        statuses=tuple(
            ExecutionStatus(parse.enum_name(execution_pb2.ExecutionStatus.DESCRIPTOR, number, place))
            for place, number in _indexed("filter.statuses", message.statuses)
        ),
        error_types=tuple(
            StepErrorType(parse.enum_name(execution_pb2.StepErrorType.DESCRIPTOR, number, place))
            for place, number in _indexed("filter.error_types", message.error_types)
        ),
        **{name: getattr(message, name) for name in _PLAIN if message.HasField(name)},  # type: ignore[arg-type]  # a field of a name in a list
        **{name: _time(message, name) for name in _TIMES if message.HasField(name)},  # type: ignore[arg-type]  # as above
    )


def search_order(number: int) -> SearchOrder:
    """Raises: BadUserInput."""
    if number == pb.SEARCH_ORDER_UNSPECIFIED:
        return SearchOrder.NEWEST_FIRST
    return SearchOrder(parse.enum_name(pb.SearchOrder.DESCRIPTOR, number, "order_by"))


def window(request: pb.SearchExecutionsRequest) -> Window:
    size = request.page_size if request.HasField("page_size") else None
    token = request.page_token if request.HasField("page_token") else None
    if not request.backwards:
        return Window(first=size, after=token)
    return Window(last=DEFAULT_SEARCH_PAGE if size is None else size, before=token)


def coverage_filter(message: pb.CoverageFilter) -> TargetFilter:
    """Raises: BadUserInput."""
    return TargetFilter(
        account_ids=parse.identifiers(AccountId, message.account_ids, "filter.account_ids"),
        regions=parse.identifiers(Region, message.regions, "filter.regions"),
    )


def to_search_response(
    page: search.FoundPage, executions: list[execution_pb2.Execution]
) -> pb.SearchExecutionsResponse:
    return pb.SearchExecutionsResponse(
        executions=executions,
        next_page_token=page.entries[-1].cursor if page.has_next and page.entries else None,
        previous_page_token=page.entries[0].cursor if page.has_previous and page.entries else None,
        counts_by_status=None if page.counts is None else _counts(page.counts),
        coverage=[to_coverage(each) for each in page.coverage.targets] if page.coverage else (),
        coverage_summary=to_summary(page.coverage.summary) if page.coverage else None,
        hidden_filters=to_hidden_filters(page.hidden_filters),
        changes_cursor=page.changes_cursor,
    )


def to_hidden_filters(found: Iterable[HiddenFilter]) -> list[pb.HiddenFilter]:
    return [
        pb.HiddenFilter(filter_field=each.filter_field, hidden_field=each.hidden_field, targets=each.targets)
        for each in found
    ]


def to_coverage(found: coverage.TargetCoverage) -> pb.TargetCoverage:
    return pb.TargetCoverage(
        account=to_account(found.account),
        region=found.region,
        server=None if found.server is None else to_server(found.server, found.account),
        since=_timestamp(found.since),
        complete_until=_timestamp(found.complete_until),
        gap=None if found.gap is None else pb.CoverageGap.Value(f"COVERAGE_GAP_{found.gap}"),
        unlogged_workflows=found.unlogged_workflows,
        problem=None if found.problem is None else to_error(found.problem),
        remedy=found.remedy,
    )


def to_summary(found: coverage.CoverageSummary) -> pb.CoverageSummary:
    return pb.CoverageSummary(covered=found.covered, with_gap=found.with_gap, total=found.total)


def to_viewer(viewer: Viewer) -> pb.Viewer:
    return pb.Viewer(
        name=viewer.name,
        expires_at=_timestamp(viewer.expires_at),
        hidden_fields=viewer.hidden_fields,
        accounts=[to_account(account) for account in viewer.visible_accounts],
    )


def _counts(found: search.StatusCounts) -> pb.StatusCounts:
    return pb.StatusCounts(
        counts=[
            pb.StatusCount(
                status=None
                if status is None
                else execution_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{status}"),
                count=count,
            )
            for status, count in found.by_status()
        ],
        total=found.total,
        is_exact=found.is_exact,
    )


def _indexed(field: str, numbers: Iterable[int]) -> list[tuple[str, int]]:
    return [(f"{field}[{index}]", number) for index, number in enumerate(numbers)]


def _time(message: pb.SearchFilter, name: str) -> datetime:
    try:
        at: datetime = getattr(message, name).ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise BadUserInput.of(f"filter.{name}", "must be a time from year 1 to 9999.") from error
    return at


def _timestamp(at: datetime | None) -> Timestamp | None:
    return None if at is None else timestamp(at)
