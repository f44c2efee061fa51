"""A page of a log group: what its entries tell of executions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.event import ExecutionEvent, Upload
    from transfer_gateway.domain.identity import WorkflowId
    from transfer_gateway.domain.log_group import LogGroupKey


class DropReason(StrEnum):
    """Why AWS started no execution for a file."""

    THROTTLED = "THROTTLED"  # more than AWS allows at once
    NOT_STARTED = (
        "NOT_STARTED"  # "Service failure on starting workflow": it, or its role, was changed a moment ago
    )


@dataclass(frozen=True, slots=True)
class DroppedExecution:
    """A file that arrived, and that no execution will process. The entry doesn't name it, but perhaps the session.

    `event_id`, `occurred_at` and `observed_at` as in `ExecutionEvent`. `text`: AWS's, if the entry is no JSON.
    """

    group: LogGroupKey
    event_id: str
    occurred_at: datetime
    observed_at: datetime
    reason: DropReason
    workflow_id: WorkflowId | None = None
    upload: Upload | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of entries. It may have none, and still a next one: only `token` None is the end.

    `entries`: how many CloudWatch returned, those of no workflow included. `unreadable`: how many seem to be of a
    workflow, but can't be read. `newest_lag_s`: the longest that a workflow's took to arrive, in seconds; None: there
    are none.
    """

    events: tuple[ExecutionEvent, ...]
    entries: int
    unreadable: int
    dropped: tuple[DroppedExecution, ...]
    newest_lag_s: float | None
    token: str | None
    unreadable_ids: tuple[str, ...] = ()
