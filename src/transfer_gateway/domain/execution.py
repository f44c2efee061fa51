"""A workflow execution as returned by AWS, field by field.

`None`: AWS omitted the member. Enums are forward-compatible: values that AWS adds later become UNRECOGNIZED, and the
`raw_` field next to each has AWS's own value.
Source: `DescribedExecution` in botocore's Transfer model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Self, TypeAlias

from transfer_gateway.domain.step_failures import explain

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.identity import (
        AccountId,
        ExecutionId,
        ExecutionKey,
        Region,
        WorkflowId,
        WorkflowKey,
    )
    from transfer_gateway.domain.step_failures import Explanation

# When AWS's answer arrived, and AWS's id of the call: no two answers have the same.
Version: TypeAlias = "tuple[datetime, str | None]"


class AwsEnum(StrEnum):
    """A forward-compatible enum of AWS's values. Each has UNRECOGNIZED for values that AWS adds later."""

    @classmethod
    def _missing_(cls, _value: object) -> Self:
        return cls["UNRECOGNIZED"]


class ExecutionStatus(AwsEnum):
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    EXCEPTION = "EXCEPTION"
    HANDLING_EXCEPTION = "HANDLING_EXCEPTION"
    UNRECOGNIZED = "UNRECOGNIZED"


class StepType(AwsEnum):
    COPY = "COPY"
    CUSTOM = "CUSTOM"
    TAG = "TAG"
    DELETE = "DELETE"
    DECRYPT = "DECRYPT"
    UNRECOGNIZED = "UNRECOGNIZED"


class StepErrorType(AwsEnum):
    PERMISSION_DENIED = "PERMISSION_DENIED"
    CUSTOM_STEP_FAILED = "CUSTOM_STEP_FAILED"
    THROTTLED = "THROTTLED"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    NOT_FOUND = "NOT_FOUND"
    BAD_REQUEST = "BAD_REQUEST"
    TIMEOUT = "TIMEOUT"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"
    UNRECOGNIZED = "UNRECOGNIZED"


class Source(StrEnum):
    """Where something is known from: AWS's answer to this request, the log, or an earlier answer of AWS."""

    AWS = "AWS"
    LOG = "LOG"
    OBSERVED = "OBSERVED"


@dataclass(frozen=True, slots=True)
class S3FileLocation:
    bucket: str | None
    key: str | None
    version_id: str | None
    etag: str | None


@dataclass(frozen=True, slots=True)
class EfsFileLocation:
    file_system_id: str | None
    path: str | None


@dataclass(frozen=True, slots=True)
class FileLocation:
    """Where the file was when the execution started."""

    s3_file_location: S3FileLocation | None
    efs_file_location: EfsFileLocation | None


@dataclass(frozen=True, slots=True)
class UserDetails:
    user_name: str
    server_id: str
    session_id: str | None


@dataclass(frozen=True, slots=True)
class ServiceMetadata:
    user_details: UserDetails


@dataclass(frozen=True, slots=True)
class LoggingConfiguration:
    logging_role: str | None
    log_group_name: str | None


@dataclass(frozen=True, slots=True)
class PosixProfile:
    """POSIX ids on EFS: 0…4294967295, more than a signed 32-bit integer holds."""

    uid: int
    gid: int
    secondary_gids: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class StepError:
    """Why a workflow step failed. This is data, not an error of the request."""

    type: StepErrorType
    raw_type: str
    message: str


@dataclass(frozen=True, slots=True)
class StepRef:
    """Identifies a workflow's step: its zero-based position among the steps or the on-exception steps.

    AWS's results do not name the steps; only the position links a result to its definition.
    """

    workflow: WorkflowKey
    on_exception: bool
    position: int


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one step. `ref` follows from the execution's key, so it is excluded from `repr`.

    Only the history has the name, the times and the file.
    """

    ref: StepRef = field(repr=False)
    step_type: StepType | None
    raw_step_type: str | None
    outputs: str | None
    error: StepError | None
    name: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    file_location: FileLocation | None = None

    @property
    def duration_s(self) -> float | None:
        return _seconds_between(self.started_at, self.ended_at)

    @property
    def explanation(self) -> Explanation | None:
        return None if self.error is None else explain(self.error.type, self.step_type)


@dataclass(frozen=True, slots=True)
class ExecutionResults:
    steps: tuple[Step, ...] | None
    on_exception_steps: tuple[Step, ...] | None


@dataclass(frozen=True, slots=True)
class ExecutionSummary:
    """A listed execution, without the details that only DescribeExecution returns.

    `observed_at`: when AWS's response arrived, UTC. Source: `ListedExecution`.
    """

    key: ExecutionKey
    initial_file_location: FileLocation | None
    service_metadata: ServiceMetadata | None
    status: ExecutionStatus | None
    raw_status: str | None
    observed_at: datetime

    def without_details(self) -> Execution:
        """As an `Execution` whose details are None."""
        return Execution(
            key=self.key,
            initial_file_location=self.initial_file_location,
            service_metadata=self.service_metadata,
            status=self.status,
            raw_status=self.raw_status,
            observed_at=self.observed_at,
            execution_role=None,
            logging_configuration=None,
            posix_profile=None,
            results=None,
        )


@dataclass(frozen=True, slots=True)
class Execution:
    """A described execution. `observed_at`: when AWS's response arrived, UTC.

    Only the history has the times. `ending`: AWS has forgotten it, and its end is not in the log yet.
    """

    key: ExecutionKey
    initial_file_location: FileLocation | None
    service_metadata: ServiceMetadata | None
    execution_role: str | None
    logging_configuration: LoggingConfiguration | None
    posix_profile: PosixProfile | None
    status: ExecutionStatus | None
    raw_status: str | None
    results: ExecutionResults | None
    observed_at: datetime
    # Of the DescribeExecution call.
    aws_request_id: str | None = field(default=None, repr=False, compare=False)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ending: bool = False
    recorded_by: tuple[Source, ...] = (Source.AWS,)

    @property
    def duration_s(self) -> float | None:
        return _seconds_between(self.started_at, self.ended_at)

    @property
    def has_ended(self) -> bool:
        """Whether AWS said so, or the log."""
        return self.status in {ExecutionStatus.COMPLETED, ExecutionStatus.EXCEPTION}

    @property
    def steps_done(self) -> int | None:
        """How many of the workflow's steps have succeeded; None: unknown. AWS lists a step when it has ended."""
        if self.results is None:
            return None
        return sum(
            step.error is None
            and (step.ended_at is not None or step.started_at is None or step.outputs is not None)
            for step in self.results.steps or ()
        )

    @property
    def failed_step(self) -> Step | None:
        """The first step that failed; None: none has, or it is unknown."""
        if self.results is None:
            return None
        steps = (*(self.results.steps or ()), *(self.results.on_exception_steps or ()))
        return next((step for step in steps if step.error is not None), None)

    @property
    def has_details(self) -> bool:
        """Whether it has what only DescribeExecution tells."""
        details = (self.execution_role, self.logging_configuration, self.posix_profile)
        return any(detail is not None for detail in details)

    @property
    def version(self) -> Version:
        """Which of AWS's answers this is, in every process that has it."""
        return self.observed_at, self.aws_request_id

    @property
    def id(self) -> str:
        return str(self.key)

    @property
    def account_id(self) -> AccountId:
        return self.key.account_id

    @property
    def region(self) -> Region:
        return self.key.region

    @property
    def workflow_id(self) -> WorkflowId:
        return self.key.workflow_id

    @property
    def execution_id(self) -> ExecutionId:
        return self.key.execution_id


def _seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """None also if the end is before the start: the log's times are those of several machines."""
    return None if start is None or end is None or end < start else (end - start).total_seconds()
