"""Lists that come in pages, and what is missing from them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from transfer_gateway.domain.errors import DeadlineExceeded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transfer_gateway.domain.errors import GatewayError
    from transfer_gateway.domain.execution import Execution, ExecutionStatus, ExecutionSummary
    from transfer_gateway.domain.identity import AccountId, Region, Target, WorkflowId

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class TargetFailure:
    """Why a target, or a part of it, is missing from an answer."""

    target: Target
    error: GatewayError
    unnamed: int = 0  # others that failed too, where this is the last that is named


MAX_FAILURES_NAMED = (
    1000  # 10,000 accounts in 4 regions would be 10 MB of an answer, and 3 s of the event loop
)


def named(failed: Iterable[tuple[Target, GatewayError | None]]) -> tuple[TargetFailure, ...]:
    """The first 1,000; the last of them says how many more there are. None: no answer by the deadline."""
    coming = iter(failed)
    first = [
        TargetFailure(target, error or DeadlineExceeded.of(target))
        for target, error in islice(coming, MAX_FAILURES_NAMED)
    ]
    if more := sum(1 for _ in coming):
        last = first.pop()
        error = last.error.again()
        error.message += f" {more} more targets failed, which are not named."
        first.append(TargetFailure(last.target, error, more))
    return tuple(first)


@dataclass(frozen=True, slots=True)
class TargetFilter:
    """Which accounts and regions are wanted. Empty tuples match all."""

    account_ids: tuple[AccountId, ...] = ()
    regions: tuple[Region, ...] = ()

    def wants_target(self, target: Target) -> bool:
        return target.account_id in (self.account_ids or (target.account_id,)) and target.region in (
            self.regions or (target.region,)
        )


@dataclass(frozen=True, slots=True)
class ExecutionFilter(TargetFilter):
    """Which executions are wanted: those that match every member that is set. Empty tuples match all."""

    workflow_ids: tuple[WorkflowId, ...] = ()
    statuses: tuple[ExecutionStatus, ...] = ()
    server_id: str | None = None
    user_name: str | None = None
    session_id: str | None = None
    bucket: str | None = None
    key_prefix: str | None = None
    file_system_id: str | None = None
    path_prefix: str | None = None

    def wants_workflow(self, workflow_id: WorkflowId) -> bool:
        return workflow_id in (self.workflow_ids or (workflow_id,))

    def wants(self, execution: ExecutionSummary) -> bool:
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
            and (self.key_prefix is None or (s3 is not None and _begins(s3.key, self.key_prefix)))
            and (
                self.file_system_id is None or (efs is not None and efs.file_system_id == self.file_system_id)
            )
            and (self.path_prefix is None or (efs is not None and _begins(efs.path, self.path_prefix)))
        )


def _begins(text: str | None, prefix: str) -> bool:
    return text is not None and text.startswith(prefix)


@dataclass(frozen=True, slots=True)
class Entry(Generic[V]):
    """One entry of a page. `missing` says why its details are not there although they were wanted."""

    node: V
    cursor: str
    missing: GatewayError | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[V]):
    """A page in the order of the keys. `failures` are of the targets between its first and last place, as `named`."""

    entries: tuple[Entry[V], ...]
    failures: tuple[TargetFailure, ...]
    has_next: bool


@dataclass(frozen=True, slots=True)
class Found:
    """Where an execution was looked for, and the execution if it was there. `failures` as `named`."""

    execution: Execution | None
    targets_asked: int
    failures: tuple[TargetFailure, ...]
