"""What goes into the store and comes out of it, beside the domain's own values. Times are UTC, in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import AccountId, Region, Target, WorkflowKey


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """What has been read of a log group: everything between `complete_since` and `read_until`.

    `backfill_until`: how far back the back-fill is to go; None: nowhere. Saved progress only ever grows: two intervals
    that touch are united; of two with a gap between them, the later one is kept.
    """

    account_id: AccountId
    region: Region
    group: str
    read_until: datetime
    complete_since: datetime
    backfill_until: datetime | None = None

    @property
    def backfilled(self) -> bool:
        return self.backfill_until is None or self.complete_since <= self.backfill_until

    def extended(self, complete_since: datetime, read_until: datetime) -> GroupProgress:
        """With what was read between these times, which touches it."""
        return GroupProgress(
            self.account_id,
            self.region,
            self.group,
            max(self.read_until, read_until),
            min(self.complete_since, complete_since),
            self.backfill_until,
        )

    def united(self, other: GroupProgress) -> GroupProgress:
        """The progress of both, as the store merges them."""
        earlier, later = sorted((self, other), key=lambda progress: progress.read_until)
        if earlier.read_until < later.complete_since:
            return later
        goals = [goal for goal in (self.backfill_until, other.backfill_until) if goal is not None]
        return replace(
            later,
            complete_since=min(self.complete_since, other.complete_since),
            backfill_until=min(goals, default=None),
        )


@dataclass(frozen=True, slots=True)
class StoredExecution:
    """What is stored of an execution: its events, at most 1,100, by time; and AWS's last answer about it, if any."""

    events: tuple[ExecutionEvent, ...]
    observed: Execution | None


class ProgressLost(Exception):
    """The store has less than what was saved: it is another one, or an older copy."""


class LogMechanism(StrEnum):
    """Why a workflow's executions are logged: by its own destinations, or by the logging role of its server."""

    WORKFLOW = "WORKFLOW"
    SERVER = "SERVER"


@dataclass(frozen=True, slots=True)
class WorkflowLog:
    """One log group of one workflow's executions on one server.

    `server_id` None: no server runs the workflow. `group` and `mechanism` None: nothing is logged there.
    """

    workflow: WorkflowKey
    server_id: str | None
    group: str | None
    mechanism: LogMechanism | None
    last_seen_at: datetime


class Targets:
    """The accounts and regions that a query may tell of. Make it once for each scope: it takes 23 bytes a target."""

    __slots__ = ("listed",)

    def __init__(self, targets: Iterable[Target] | None) -> None:
        """None: all."""
        self.listed = (
            None if targets is None else f" {' '.join(f'{account}/{region}' for account, region in targets)} "
        )


ALL_TARGETS = Targets(None)
