"""What truly happened: uploads, the executions that they started, and their steps with times.

Times are seconds since 1970 in whole milliseconds, as those of log events. All of it is fixed when an upload is
created; what AWS shows of it depends on the time only.
"""

from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from transfer_emulator.response_shaper import Wire
from transfer_emulator.sample_data import Resources, StoredFile


class Outcome(StrEnum):
    """What an upload led to. Only the first two have an execution id."""

    EXECUTED = "EXECUTED"
    NOTHING_RAN = "NOTHING_RAN"  # an execution that failed before its first step
    THROTTLED = "THROTTLED"  # AWS dropped the execution
    SERVICE_FAILURE = "SERVICE_FAILURE"  # AWS could not start the workflow
    EMPTY_FILE = "EMPTY_FILE"  # a file of 0 bytes starts no workflow


class Mechanism(StrEnum):
    """Who writes log entries, and of what."""

    WORKFLOW = "workflow"  # executions, by the workflow's StructuredLogDestinations
    SERVER = "server"  # executions, by the server's LoggingRole
    SESSIONS = "sessions"  # sessions, by either of the server's settings


class Destination(NamedTuple):
    """A log group that an upload's entries are written to."""

    group_name: str
    mechanism: Mechanism


class Step(NamedTuple):
    """A step that ran. `file`: its input. `error`: type and message."""

    step_type: str
    name: str
    started_at: float
    ended_at: float
    file: StoredFile
    outputs: str
    error: tuple[str, str] | None
    is_handler: bool  # an on-exception step

    def wire(self) -> Wire:
        """As in DescribeExecution's results."""
        result: Wire = {"StepType": self.step_type, "Outputs": self.outputs}
        if self.error is not None:
            result["Error"] = {"Type": self.error[0], "Message": self.error[1]}
        return result


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file and its execution, from start to end.

    `started_at`, `ended_at`: of the execution, if there is one. `ends_at`: when AWS's API forgets it, which
    may be before or after the end's log entry can be read.
    """

    resources: Resources
    workflow_id: str
    server_id: str
    user_name: str
    session_id: str
    file: StoredFile
    size_bytes: int
    is_partial: bool
    outcome: Outcome
    key: str  # unique
    destinations: tuple[Destination, ...]
    connected_at: float
    started_at: float
    ended_at: float
    ends_at: float
    steps: tuple[Step, ...]

    @property
    def execution_id(self) -> str:
        """The execution's id; "" if none was started."""
        return self.key if self.outcome in {Outcome.EXECUTED, Outcome.NOTHING_RAN} else ""

    @property
    def is_failed(self) -> bool:
        return self.outcome is Outcome.NOTHING_RAN or any(step.error for step in self.steps)

    def is_in_progress(self, now: float) -> bool:
        """Whether AWS's API knows it."""
        return bool(self.execution_id) and self.started_at <= now < self.ends_at

    def wire(self, now: float) -> Wire:
        """As returned by DescribeExecution at `now`, while it is in progress."""
        done = self.steps[: bisect_right(self.steps, now, key=lambda step: step.ended_at)]
        steps = [step.wire() for step in done if not step.is_handler]
        handled = [step.wire() for step in done if step.is_handler]
        # The model does not allow an empty list of steps.
        results = ({"Steps": steps} if steps else {}) | ({"OnExceptionSteps": handled} if handled else {})
        constant = self.resources.described(
            self.execution_id,
            self.file,
            {"UserName": self.user_name, "ServerId": self.server_id, "SessionId": self.session_id},
            self._logging(),
        )
        return {**constant, "Status": self._status_in_progress(done), "Results": results}

    def told(self, now: float) -> Wire:
        """What has happened until `now`, as JSON."""
        ended = now >= self.ended_at and bool(self.execution_id)
        started = [step for step in self.steps if step.started_at <= now]
        done = tuple(step for step in started if step.ended_at <= now)
        status = self._status_in_progress(done)
        if ended:
            status = "EXCEPTION" if self.is_failed else "COMPLETED"
        return {
            "account_id": self.resources.account_id,
            "region": self.resources.region,
            "workflow_id": self.workflow_id,
            "execution_id": self.execution_id or None,
            "outcome": self.outcome,
            "status": status if self.execution_id else None,
            "in_progress": self.is_in_progress(now),
            "server_id": self.server_id,
            "user_name": self.user_name,
            "session_id": self.session_id,
            "file": self.file.output(),
            "size_bytes": self.size_bytes,
            "is_partial": self.is_partial,
            "log_groups": [name for name, mechanism in self.destinations if mechanism != Mechanism.SESSIONS],
            "started_at": self.started_at if self.execution_id else None,
            "ended_at": self.ended_at if ended else None,
            "steps": [
                {
                    "step_type": step.step_type,
                    "name": step.name,
                    "is_handler": step.is_handler,
                    "file": step.file.output(),
                    "started_at": step.started_at,
                    "ended_at": step.ended_at if step.ended_at <= now else None,
                    "error": _error(step) if step.ended_at <= now else None,
                }
                for step in started
            ],
        }

    def _logging(self) -> Wire:
        """LoggingConfiguration."""
        by = {mechanism: name for name, mechanism in self.destinations}
        if Mechanism.SERVER in by:
            return self.resources.logging_by_role(self.server_id)
        return {"LogGroupName": by[Mechanism.WORKFLOW]} if Mechanism.WORKFLOW in by else {}

    def _status_in_progress(self, done: tuple[Step, ...]) -> str:
        return "HANDLING_EXCEPTION" if any(step.error for step in done) else "IN_PROGRESS"


def _error(step: Step) -> Wire | None:
    return None if step.error is None else {"type": step.error[0], "message": step.error[1]}
