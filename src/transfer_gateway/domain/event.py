"""What happened to an execution: the entries of its log, and what AWS's answers showed.

`None`: the entry lacks the member. Any member but the type may be missing.
Source: the workflow entries that Transfer writes to CloudWatch Logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer_gateway.domain.execution import AwsEnum

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.execution import FileLocation, Source, StepError, StepType
    from transfer_gateway.domain.identity import ExecutionKey


class EventKind(AwsEnum):
    """AWS's type of the entry."""

    EXECUTION_STARTED = "ExecutionStarted"
    STEP_STARTED = "StepStarted"
    STEP_COMPLETED = "StepCompleted"
    STEP_ERRORED = "StepErrored"
    EXECUTION_COMPLETED = "ExecutionCompleted"
    EXECUTION_ERRORED = "ExecutionErrored"
    EXECUTION_THROTTLED = "ExecutionThrottled"
    UNRECOGNIZED = "UNRECOGNIZED"


ENDS = frozenset({EventKind.EXECUTION_COMPLETED, EventKind.EXECUTION_ERRORED})  # nothing else is an end


@dataclass(frozen=True, slots=True)
class Upload:
    """The session that uploaded the file."""

    user_name: str | None
    server_id: str | None
    session_id: str | None


@dataclass(frozen=True, slots=True)
class ExecutionEvent:
    """One entry of an execution's log.

    `event_id`: CloudWatch's, unique within the account and region. `occurred_at`: the entry's time, UTC, in
    milliseconds. `observed_at`: when CloudWatch received it. `details`: the entry's own, as JSON.
    """

    key: ExecutionKey
    event_id: str
    occurred_at: datetime
    observed_at: datetime
    source: Source
    kind: EventKind
    raw_kind: str
    step_type: StepType | None = None
    raw_step_type: str | None = None
    step_name: str | None = None
    file_location: FileLocation | None = None
    error: StepError | None = None
    upload: Upload | None = None
    details: str | None = None

    @property
    def content(self) -> tuple[ExecutionKey, str, str | None, str | None, datetime]:
        """What two entries about the same thing have in common: two logs of one execution repeat each other."""
        return self.key, self.raw_kind, self.raw_step_type, self.step_name, self.occurred_at
