"""Events and AWS's answers as JSON and back. What a database's text can't hold, JSON escapes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from transfer_gateway.domain.event import EventKind, ExecutionEvent, Upload
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
    Source,
    Step,
    StepError,
    StepErrorType,
    StepRef,
    StepType,
    UserDetails,
)
from transfer_gateway.domain.identity import ExecutionId, ExecutionKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from transfer_gateway.domain.identity import WorkflowKey

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND, _MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)
# What reading JSON raises that another version has written, or somebody else.
UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
_MAX_NAME = 256  # characters; up to four bytes each


def to_ms(time: datetime) -> int:
    return (time - _EPOCH) // _MILLISECOND


def from_ms(time_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=time_ms)


def dump(value: object) -> str:
    """As JSON. Lone surrogates, which orjson refuses, are escaped."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return json.dumps(value, separators=(",", ":"))


def load(text: str) -> Any:  # noqa: ANN401  JSON
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # lone surrogates
        return json.loads(text)


def described(error: Exception) -> str:
    """One of UNREADABLE, for the log."""
    return f"{type(error).__name__}: {error}"[:200]


def plain(text: str | None, max_characters: int = 1000) -> str | None:
    """For a column: cut, and without what neither database's text can hold."""
    if text is None:
        return None
    text = text[:max_characters]
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def short(text: str | None) -> str | None:
    """As `plain`, for a column that has an index: PostgreSQL's take rows of 2,704 bytes. AWS's names are shorter."""
    return plain(text, _MAX_NAME)


def event_body(event: ExecutionEvent) -> str:
    """What the other columns don't have of an event. Its kind and the step's type follow from AWS's spellings."""
    upload, error = event.upload, event.error
    body: dict[str, object] = {
        "observed_at": to_ms(event.observed_at),
        "source": event.source,
        "kind": event.raw_kind,
    }
    if event.raw_step_type is not None:
        body["step_type"] = event.raw_step_type
    if event.step_name is not None:
        body["step"] = event.step_name
    if event.file_location is not None:
        body["file"] = file_json(event.file_location)
    if error is not None:
        body["error"] = (error.raw_type, error.message)
    if upload is not None:
        body["upload"] = (upload.user_name, upload.server_id, upload.session_id)
    if event.details is not None:
        body["details"] = event.details
    return dump(body)


def event_from(key: ExecutionKey, event_id: str, occurred_at_ms: int, body: str) -> ExecutionEvent:
    read = load(body)
    raw_step_type, file, error = read.get("step_type"), read.get("file"), read.get("error")
    upload = read.get("upload")
    return ExecutionEvent(
        key=key,
        event_id=event_id,
        occurred_at=from_ms(occurred_at_ms),
        observed_at=from_ms(read["observed_at"]),
        source=Source(read["source"]),
        kind=EventKind(read["kind"]),
        raw_kind=read["kind"],
        step_type=None if raw_step_type is None else StepType(raw_step_type),
        raw_step_type=raw_step_type,
        step_name=read.get("step"),
        file_location=None if file is None else file_from(file),
        error=None if error is None else _error_from(error),
        upload=None if upload is None else Upload(*upload),
        details=read.get("details"),
    )


def file_json(file: FileLocation) -> dict[str, Sequence[str | None]]:
    s3, efs = file.s3_file_location, file.efs_file_location
    located: dict[str, Sequence[str | None]] = {}
    if s3 is not None:
        located["s3"] = (s3.bucket, s3.key, s3.version_id, s3.etag)
    if efs is not None:
        located["efs"] = (efs.file_system_id, efs.path)
    return located


def file_from(located: dict[str, list[str | None]]) -> FileLocation:
    s3, efs = located.get("s3"), located.get("efs")
    return FileLocation(
        None if s3 is None else S3FileLocation(*s3), None if efs is None else EfsFileLocation(*efs)
    )


def _error_from(error: Sequence[str]) -> StepError:
    raw_type, message = error
    return StepError(StepErrorType(raw_type), raw_type, message)


def observed_json(execution: Execution) -> str:
    """AWS's answer, without what only the history adds."""
    return dump(_observed(execution))


def _observed(execution: Execution) -> dict[str, object]:
    file, metadata, profile = (
        execution.initial_file_location,
        execution.service_metadata,
        execution.posix_profile,
    )
    logging, results = execution.logging_configuration, execution.results
    return {
        "observed_at_us": (execution.observed_at - _EPOCH) // _MICROSECOND,
        "aws_request_id": execution.aws_request_id,
        "file": None if file is None else file_json(file),
        "user": None if metadata is None else _user(metadata.user_details),
        "role": execution.execution_role,
        "logging": None if logging is None else (logging.logging_role, logging.log_group_name),
        "posix": None if profile is None else (profile.uid, profile.gid, profile.secondary_gids),
        "status": execution.raw_status,
        "results": None if results is None else (_steps(results.steps), _steps(results.on_exception_steps)),
    }


def listed_json(executions: Iterable[ExecutionSummary]) -> str:
    """AWS's list of what a workflow has in progress."""
    return dump([(row.key.execution_id, _observed(row.without_details())) for row in executions])


def listed_from(workflow: WorkflowKey, text: str) -> tuple[ExecutionSummary, ...]:
    listed = []
    for execution_id, read in load(text):
        execution = _observed_from(ExecutionKey(*workflow, str.__new__(ExecutionId, execution_id)), read)
        listed.append(
            ExecutionSummary(
                key=execution.key,
                initial_file_location=execution.initial_file_location,
                service_metadata=execution.service_metadata,
                status=execution.status,
                raw_status=execution.raw_status,
                observed_at=execution.observed_at,
            )
        )
    return tuple(listed)


def _user(user: UserDetails) -> tuple[str, str, str | None]:
    return user.user_name, user.server_id, user.session_id


def _steps(steps: Sequence[Step] | None) -> list[object] | None:
    if steps is None:
        return None
    return [
        (
            step.raw_step_type,
            step.outputs,
            None if step.error is None else (step.error.raw_type, step.error.message),
        )
        for step in steps
    ]


def observed_from(key: ExecutionKey, text: str) -> Execution:
    return _observed_from(key, load(text))


def _observed_from(key: ExecutionKey, read: dict[str, Any]) -> Execution:
    file, user, logging, posix = read["file"], read["user"], read["logging"], read["posix"]
    status, results = read["status"], read["results"]
    return Execution(
        key=key,
        initial_file_location=None if file is None else file_from(file),
        service_metadata=None if user is None else ServiceMetadata(UserDetails(*user)),
        execution_role=read["role"],
        logging_configuration=None if logging is None else LoggingConfiguration(*logging),
        posix_profile=None if posix is None else _posix_from(*posix),
        status=None if status is None else ExecutionStatus(status),
        raw_status=status,
        results=None
        if results is None
        else ExecutionResults(
            _steps_from(key.workflow, results[0], on_exception=False),
            _steps_from(key.workflow, results[1], on_exception=True),
        ),
        observed_at=_EPOCH + timedelta(microseconds=read["observed_at_us"]),
        aws_request_id=read["aws_request_id"],
    )


def _posix_from(uid: int, gid: int, secondary_gids: list[int] | None) -> PosixProfile:
    return PosixProfile(uid, gid, None if secondary_gids is None else tuple(secondary_gids))


def _steps_from(
    workflow: WorkflowKey, steps: list[Any] | None, *, on_exception: bool
) -> tuple[Step, ...] | None:
    if steps is None:
        return None
    return tuple(
        Step(
            ref=StepRef(workflow, on_exception, position),
            step_type=None if raw_type is None else StepType(raw_type),
            raw_step_type=raw_type,
            outputs=outputs,
            error=None if error is None else _error_from(error),
        )
        for position, (raw_type, outputs, error) in enumerate(steps)
    )
