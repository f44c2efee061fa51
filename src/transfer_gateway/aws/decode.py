"""Decodes executions from wire dicts, and has what decoding shares: `decode_workflow`, `decode_server`, `decode_log`.

Only these modules use AWS's keys. The JSON is parsed already, without members that the model doesn't have.
If a member that the model requires is missing, the whole response is rejected, since our schema guarantees that field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from transfer_gateway.domain.errors import BadUserInput
from transfer_gateway.domain.execution import (
    EfsFileLocation,
    Execution,
    ExecutionResults,
    ExecutionStatus,
    ExecutionSummary,
    FileLocation,
    LoggingConfiguration,
    PosixProfile,
    S3FileLocation,
    ServiceMetadata,
    Step,
    StepError,
    StepErrorType,
    StepRef,
    StepType,
    UserDetails,
)
from transfer_gateway.domain.identity import ExecutionId, ExecutionKey, Identifier
from transfer_gateway.domain.workflow import Tag

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.identity import WorkflowKey

Id = TypeVar("Id", bound=Identifier)
Wire = dict[str, Any]


class MismatchedAnswer(Exception):
    """AWS's response is about a different object; the argument is the member that shows it."""


class IncompleteAnswer(Exception):
    """AWS's response lacks a member that its model requires; the argument is the member's name."""

    def __init__(self, member: str, aws_request_id: str | None = None) -> None:
        super().__init__(member)
        self.aws_request_id = aws_request_id


def decode_execution(answer: Wire, key: ExecutionKey, observed_at: datetime) -> Execution:
    """Decode DescribeExecution. Raises: IncompleteAnswer, MismatchedAnswer. Source: `DescribeExecutionResponse`."""
    wire = required(answer, "Execution")
    check_same(required(answer, "WorkflowId"), key.workflow_id, "WorkflowId")
    # Optional in the model. AWS ids are case-insensitive, and the response may use another case than the request.
    if (actual := wire.get("ExecutionId")) is not None and actual != key.execution_id:
        check_same(actual.lower(), key.execution_id.lower(), "ExecutionId")
    status = wire.get("Status")
    return Execution(
        key=key,
        initial_file_location=_file_location(wire.get("InitialFileLocation")),
        service_metadata=_service_metadata(wire.get("ServiceMetadata")),
        execution_role=wire.get("ExecutionRole"),
        logging_configuration=_logging_configuration(wire.get("LoggingConfiguration")),
        posix_profile=_posix_profile(wire.get("PosixProfile")),
        status=ExecutionStatus(status) if status is not None else None,
        raw_status=status,
        results=_results(wire.get("Results"), key.workflow),
        observed_at=observed_at,
        aws_request_id=request_id(answer),
    )


def request_id(answer: Wire) -> str | None:
    """AWS's id of the call, for AWS Support and CloudTrail."""
    found = answer.get("ResponseMetadata", {}).get("RequestId")
    return found if isinstance(found, str) else None


def decode_listed_executions(answer: Wire, key: WorkflowKey, observed_at: datetime) -> list[ExecutionSummary]:
    """Decode a page of ListExecutions. Raises: IncompleteAnswer, MismatchedAnswer. Source: `ListExecutionsResponse`."""
    check_same(required(answer, "WorkflowId"), key.workflow_id, "WorkflowId")
    summaries = []
    for wire in required(answer, "Executions"):
        execution_id = identifier(ExecutionId, wire, "ExecutionId")
        status = wire.get("Status")
        summaries.append(
            ExecutionSummary(
                key=ExecutionKey(key.account_id, key.region, key.workflow_id, execution_id),
                initial_file_location=_file_location(wire.get("InitialFileLocation")),
                service_metadata=_service_metadata(wire.get("ServiceMetadata")),
                status=ExecutionStatus(status) if status is not None else None,
                raw_status=status,
                observed_at=observed_at,
            )
        )
    return summaries


def next_token(answer: Wire) -> str | None:
    """The token of the list's next page; None after the last."""
    return answer.get("NextToken")


def required(wire: Wire, member: str) -> Any:  # noqa: ANN401  any wire value
    """A required member. Raises: IncompleteAnswer."""
    value = wire.get(member)
    if value is None:
        raise IncompleteAnswer(member)
    return value


def check_same(actual: str, expected: str, member: str) -> None:
    """Raises: MismatchedAnswer."""
    if actual != expected:
        raise MismatchedAnswer(member)


def identifier(kind: type[Id], wire: Wire, member: str) -> Id:
    """A required, well-formed id. Raises: IncompleteAnswer."""
    try:
        return kind(required(wire, member))
    except BadUserInput as error:  # the response violates AWS's own pattern
        raise IncompleteAnswer(f"a well-formed {member}") from error


def tags(wire: list[Wire] | None) -> tuple[Tag, ...] | None:
    if wire is None:
        return None
    return tuple(Tag(key=required(tag, "Key"), value=required(tag, "Value")) for tag in wire)


def _file_location(wire: Wire | None) -> FileLocation | None:
    if wire is None:
        return None
    s3 = wire.get("S3FileLocation")
    return FileLocation(
        s3_file_location=None
        if s3 is None
        else S3FileLocation(
            bucket=s3.get("Bucket"), key=s3.get("Key"), version_id=s3.get("VersionId"), etag=s3.get("Etag")
        ),
        efs_file_location=efs_file_location(wire.get("EfsFileLocation")),
    )


def efs_file_location(wire: Wire | None) -> EfsFileLocation | None:
    if wire is None:
        return None
    return EfsFileLocation(file_system_id=wire.get("FileSystemId"), path=wire.get("Path"))


def _service_metadata(wire: Wire | None) -> ServiceMetadata | None:
    if wire is None:
        return None
    user = required(wire, "UserDetails")
    return ServiceMetadata(
        UserDetails(
            user_name=required(user, "UserName"),
            server_id=required(user, "ServerId"),
            session_id=user.get("SessionId"),
        )
    )


def _logging_configuration(wire: Wire | None) -> LoggingConfiguration | None:
    if wire is None:
        return None
    return LoggingConfiguration(logging_role=wire.get("LoggingRole"), log_group_name=wire.get("LogGroupName"))


def _posix_profile(wire: Wire | None) -> PosixProfile | None:
    if wire is None:
        return None
    secondary = wire.get("SecondaryGids")
    return PosixProfile(
        uid=required(wire, "Uid"),
        gid=required(wire, "Gid"),
        secondary_gids=None if secondary is None else tuple(secondary),
    )


def _results(wire: Wire | None, workflow: WorkflowKey) -> ExecutionResults | None:
    if wire is None:
        return None
    return ExecutionResults(
        steps=_steps(wire.get("Steps"), workflow, on_exception=False),
        on_exception_steps=_steps(wire.get("OnExceptionSteps"), workflow, on_exception=True),
    )


def _steps(wire: list[Wire] | None, workflow: WorkflowKey, *, on_exception: bool) -> tuple[Step, ...] | None:
    if wire is None:
        return None
    return tuple(_step(step, StepRef(workflow, on_exception, at)) for at, step in enumerate(wire))


def _step(wire: Wire, ref: StepRef) -> Step:
    step_type, error = wire.get("StepType"), wire.get("Error")
    return Step(
        ref=ref,
        step_type=StepType(step_type) if step_type is not None else None,
        raw_step_type=step_type,
        outputs=wire.get("Outputs"),
        error=None if error is None else _step_error(error),
    )


def _step_error(wire: Wire) -> StepError:
    raw_type: str = required(wire, "Type")
    return StepError(type=StepErrorType(raw_type), raw_type=raw_type, message=required(wire, "Message"))
