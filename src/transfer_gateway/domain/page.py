"""Pages of lists, their filters and their partial failures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from transfer_gateway.domain.errors import DeadlineExceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from transfer_gateway.domain.errors import GatewayError
    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.execution import Execution, ExecutionStatus, ExecutionSummary
    from transfer_gateway.domain.identity import AccountId, Region, Target, WorkflowId

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class TargetFailure:
    """Why a target, or a part of it, is missing from a response, or not current.

    `last_success_at`: when it was current, UTC; None: never, or only AWS was asked.
    """

    target: Target
    error: GatewayError
    omitted: int = 0  # further failed targets; only on the last failure listed
    last_success_at: datetime | None = None


# All failures of 10,000 accounts in 4 regions would be a 10 MB response and block the event loop for 3 s.
MAX_FAILURES_LISTED = 1000


def limit_failures(failed: Iterable[tuple[Target, GatewayError | None]]) -> tuple[TargetFailure, ...]:
    """At most 1,000 failures; the last one says how many are omitted. An error of None: the deadline passed."""
    return limited(TargetFailure(target, error or DeadlineExceeded.of(target)) for target, error in failed)


def limited(failures: Iterable[TargetFailure], *, omitted: int = 0) -> tuple[TargetFailure, ...]:
    """As `limit_failures`. `omitted`: how many more there are than these."""
    remaining = iter(failures)
    first = list(islice(remaining, MAX_FAILURES_LISTED))
    if more := omitted + sum(1 for _ in remaining):
        last = first.pop()
        error = last.error.copy()
        error.message += f" {more} more targets failed and are not listed."
        first.append(replace(last, error=error, omitted=more))
    return tuple(first)


@dataclass(frozen=True, slots=True)
class TargetFilter:
    """Selects accounts and regions. Empty tuples match all."""

    account_ids: tuple[AccountId, ...] = ()
    regions: tuple[Region, ...] = ()

    def matches_target(self, target: Target) -> bool:
        return target.account_id in (self.account_ids or (target.account_id,)) and target.region in (
            self.regions or (target.region,)
        )


@dataclass(frozen=True, slots=True)
class ExecutionFilter(TargetFilter):
    """Selects executions that match every field that is set. Empty tuples match all."""

    workflow_ids: tuple[WorkflowId, ...] = ()
    statuses: tuple[ExecutionStatus, ...] = ()
    server_id: str | None = None
    user_name: str | None = None
    session_id: str | None = None
    bucket: str | None = None
    key_prefix: str | None = None
    file_system_id: str | None = None
    path_prefix: str | None = None

    def matches_workflow(self, workflow_id: WorkflowId) -> bool:
        return workflow_id in (self.workflow_ids or (workflow_id,))

    def matches(self, execution: ExecutionSummary | Execution) -> bool:
        user = execution.service_metadata.user_details if execution.service_metadata else None
        location = execution.initial_file_location
        s3 = location.s3_file_location if location else None
        efs = location.efs_file_location if location else None
        return (
            (not self.statuses or execution.status in self.statuses)
            and (self.server_id is None or (user is not None and user.server_id == self.server_id))
            and (self.user_name is None or (user is not None and user.user_name == self.user_name))
            and (self.session_id is None or (user is not None and user.session_id == self.session_id))
            and (self.bucket is None or (s3 is not None and s3.bucket == self.bucket))
            and (self.key_prefix is None or (s3 is not None and _starts_with(s3.key, self.key_prefix)))
            and (
                self.file_system_id is None or (efs is not None and efs.file_system_id == self.file_system_id)
            )
            and (self.path_prefix is None or (efs is not None and _starts_with(efs.path, self.path_prefix)))
        )


def _starts_with(text: str | None, prefix: str) -> bool:
    return text is not None and text.startswith(prefix)


@dataclass(frozen=True, slots=True)
class HiddenFilter:
    """A filter that is on a field hidden from the caller, so that it matched nothing in `targets` of the targets."""

    filter_field: str  # as in SearchFilter or ExecutionFilter
    hidden_field: str  # as policies spell it
    targets: int


@dataclass(frozen=True, slots=True)
class Entry(Generic[V]):
    """One entry of a page. `missing`: why the requested details are absent."""

    node: V
    write_cursor: Callable[[], str]  # lazy: signing costs as much as the rest of the entry
    missing: GatewayError | None = None

    @property
    def cursor(self) -> str:
        return self.write_cursor()


@dataclass(frozen=True, slots=True)
class Page(Generic[V]):
    """A page, sorted by key. `failures`: of the targets in the page's range, limited by `limit_failures`.

    `write_end_cursor`: where the next page starts, if that is not after the last entry.
    """

    entries: tuple[Entry[V], ...]
    failures: tuple[TargetFailure, ...]
    has_next: bool
    write_end_cursor: Callable[[], str] | None = None
    hidden_filters: tuple[HiddenFilter, ...] = ()

    @property
    def end_cursor(self) -> str | None:
        """Where the next page starts; None: this page is empty and the last one."""
        if self.write_end_cursor is not None:
            return self.write_end_cursor()
        return self.entries[-1].cursor if self.entries else None


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of an execution's events, in order. Each with its cursor."""

    entries: tuple[tuple[str, ExecutionEvent], ...]
    has_next: bool


@dataclass(frozen=True, slots=True)
class FindResult:
    """An execution, if found, and where it was searched for. `failures`: limited by `limit_failures`."""

    execution: Execution | None
    targets_asked: int
    failures: tuple[TargetFailure, ...]
