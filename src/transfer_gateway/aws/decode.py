"""Wire dict → domain: the only PascalCase keys in the codebase.

botocore has parsed the JSON; members it doesn't know are already gone. A member that its model requires
and AWS left out makes the whole answer unusable, since callers are promised that field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transfer_gateway.domain.execution import (
    EfsFileLocation,
    Execution,
    ExecutionResults,
    ExecutionStatus,
    FileLocation,
    LoggingConfiguration,
    PosixProfile,
    S3FileLocation,
    ServiceMetadata,
    Step,
    StepError,
    StepErrorType,
    StepType,
    UserDetails,
)

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.identity import ExecutionKey

Wire = dict[str, Any]


class IncompleteAnswer(Exception):
    """AWS's answer lacks a member that its model requires; the argument is that member's name."""


def decode_execution(answer: Wire, key: ExecutionKey, observed_at: datetime) -> Execution:
    """DescribeExecution's answer. Raises: IncompleteAnswer. Source: `DescribeExecutionResponse`."""
    wire = _required(answer, "Execution")
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
        results=_results(wire.get("Results")),
        observed_at=observed_at,
    )


def _required(wire: Wire, member: str) -> Any:  # noqa: ANN401  whatever AWS sent
    value = wire.get(member)
    if value is None:
        raise IncompleteAnswer(member)
    return value


def _file_location(wire: Wire | None) -> FileLocation | None:
    if wire is None:
        return None
    s3, efs = wire.get("S3FileLocation"), wire.get("EfsFileLocation")
    return FileLocation(
        s3_file_location=None
        if s3 is None
        else S3FileLocation(
            bucket=s3.get("Bucket"), key=s3.get("Key"), version_id=s3.get("VersionId"), etag=s3.get("Etag")
        ),
        efs_file_location=None
        if efs is None
        else EfsFileLocation(file_system_id=efs.get("FileSystemId"), path=efs.get("Path")),
    )


def _service_metadata(wire: Wire | None) -> ServiceMetadata | None:
    if wire is None:
        return None
    user = _required(wire, "UserDetails")
    return ServiceMetadata(
        UserDetails(
            user_name=_required(user, "UserName"),
            server_id=_required(user, "ServerId"),
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
        uid=_required(wire, "Uid"),
        gid=_required(wire, "Gid"),
        secondary_gids=None if secondary is None else tuple(secondary),
    )


def _results(wire: Wire | None) -> ExecutionResults | None:
    if wire is None:
        return None
    return ExecutionResults(
        steps=_steps(wire.get("Steps")), on_exception_steps=_steps(wire.get("OnExceptionSteps"))
    )


def _steps(wire: list[Wire] | None) -> tuple[Step, ...] | None:
    return None if wire is None else tuple(_step(step) for step in wire)


def _step(wire: Wire) -> Step:
    step_type, error = wire.get("StepType"), wire.get("Error")
    return Step(
        step_type=StepType(step_type) if step_type is not None else None,
        raw_step_type=step_type,
        outputs=wire.get("Outputs"),
        error=None if error is None else _step_error(error),
    )


def _step_error(wire: Wire) -> StepError:
    raw_type: str = _required(wire, "Type")
    return StepError(type=StepErrorType(raw_type), raw_type=raw_type, message=_required(wire, "Message"))
