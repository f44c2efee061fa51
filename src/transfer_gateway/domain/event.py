"""What happened to an execution: the entries of its log, and what AWS's answers showed.

`None`: the entry lacks the member. Any member but the type may be missing.
Source: the workflow entries that Transfer writes to CloudWatch Logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from transfer_gateway.domain.execution import AwsEnum
from transfer_gateway.domain.gateway_error import BadUserInput
from transfer_gateway.domain.identity import ExecutionKey

if TYPE_CHECKING:
    from transfer_gateway.domain.execution import FileLocation, Source, StepError, StepType


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
    def id(self) -> str:
        """The global id: the execution's, and the event's own."""
        return f"{self.key}/{self.event_id}"

    @property
    def content(self) -> tuple[ExecutionKey, str, str | None, str | None, datetime]:
        """What two entries about the same thing have in common: two logs of one execution repeat each other."""
        return self.key, self.raw_kind, self.raw_step_type, self.step_name, self.occurred_at


class EventPosition(NamedTuple):
    """A place in an execution's events: after this one, or where it was.

    `about`: its kind and step, by which its copy in another log is found.
    """

    key: ExecutionKey
    occurred_at: datetime
    event_id: str
    about: str

    @classmethod
    def of(cls, event: ExecutionEvent) -> EventPosition:
        about = f"{event.raw_kind}/{event.raw_step_type or ''}/{event.step_name or ''}"
        return cls(event.key, event.occurred_at, event.event_id, about)

    @classmethod
    def parse(cls, text: str) -> EventPosition:
        """Parse the string form. Raises: BadUserInput."""
        key, _, rest = text.partition("@")
        milliseconds, _, rest = rest.partition("/")
        event_id, _, about = rest.partition("/")
        if not milliseconds.isdecimal():
            raise BadUserInput("An event's position has the form execution@milliseconds/eventId/about.")
        occurred_at = datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
        return cls(ExecutionKey.parse(key), occurred_at, event_id, about)

    def __str__(self) -> str:
        return f"{self.key}@{round(self.occurred_at.timestamp() * 1000)}/{self.event_id}/{self.about}"
