"""One execution from AWS's answer and from its record.

AWS's answer wins for the status; the record adds names, times, files and reasons. What only AWS's answer has (role,
POSIX profile, log group, outputs) is kept from the last one.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from transfer_gateway.domain.execution import (
    Execution,
    ExecutionResults,
    ExecutionStatus,
    ServiceMetadata,
    Source,
    Step,
    StepRef,
    UserDetails,
)

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.event import Upload
    from transfer_gateway.domain.identity import ExecutionKey, WorkflowKey
    from transfer_gateway.domain.record import Record, RecordedStep


def with_record(execution: Execution, record: Record) -> Execution:
    """An execution in progress with what its record adds. AWS's answer wins wherever it has a value."""
    return replace(
        execution,
        initial_file_location=execution.initial_file_location or record.initial_file_location,
        service_metadata=execution.service_metadata or _service_metadata(record.upload),
        results=_results(execution.results, record, execution.key.workflow),
        started_at=record.started_at,
        recorded_by=(*execution.recorded_by, Source.LOG),
    )


def from_record(
    record: Record, last_answer: Execution | None, *, observed_at: datetime, ending: bool
) -> Execution:
    """An execution that AWS has forgotten. `last_answer`: AWS's last one; `ending`: its end may yet be logged."""
    known = (
        from_last_answer(last_answer, observed_at=observed_at, ending=ending)
        if last_answer is not None
        else _nothing_but(record.key, observed_at)
    )
    status = record.status or known.status
    return replace(
        known,
        initial_file_location=known.initial_file_location or record.initial_file_location,
        service_metadata=known.service_metadata or _service_metadata(record.upload),
        status=status,
        raw_status=None if status is None else status.value,
        results=_results(known.results, record, record.key.workflow),
        started_at=record.started_at,
        ended_at=record.ended_at,
        ending=ending and status is None,
        recorded_by=(Source.LOG, *known.recorded_by),
    )


def from_last_answer(last_answer: Execution, *, observed_at: datetime, ending: bool) -> Execution:
    """An execution that AWS has forgotten and that no log tells of: how it ended is not recorded.

    AWS's answers may tell the end, if one was asked for in time.
    """
    has_ended = last_answer.has_ended
    return replace(
        last_answer,
        status=last_answer.status if has_ended else None,
        raw_status=last_answer.raw_status if has_ended else None,
        observed_at=observed_at,
        aws_request_id=None,
        ending=ending and not has_ended,
        recorded_by=(Source.OBSERVED,),
    )


def in_progress(
    record: Record | None,
    last_answer: Execution | None,
    status: ExecutionStatus,
    *,
    observed_at: datetime,
) -> Execution:
    """An execution in progress, from what is known without asking AWS. One of the first two must be there."""
    if record is not None:
        known = from_record(record, last_answer, observed_at=observed_at, ending=False)
    else:
        assert last_answer is not None  # noqa: S101  as documented
        known = from_last_answer(last_answer, observed_at=observed_at, ending=False)
    return replace(
        known,
        status=status,
        raw_status=status.value,
        results=known.results or ExecutionResults(None, None),
    )


def _nothing_but(key: ExecutionKey, observed_at: datetime) -> Execution:
    return Execution(
        key=key,
        initial_file_location=None,
        service_metadata=None,
        execution_role=None,
        logging_configuration=None,
        posix_profile=None,
        status=None,
        raw_status=None,
        results=None,
        observed_at=observed_at,
        recorded_by=(),
    )


def _service_metadata(upload: Upload | None) -> ServiceMetadata | None:
    """None unless the log has the user and the server, which AWS's answers always have."""
    if upload is None or upload.user_name is None or upload.server_id is None:
        return None
    return ServiceMetadata(UserDetails(upload.user_name, upload.server_id, upload.session_id))


def _results(
    results: ExecutionResults | None, record: Record, workflow: WorkflowKey
) -> ExecutionResults | None:
    answered = results or ExecutionResults(None, None)
    steps = _steps(answered.steps, record.steps, workflow, on_exception=False)
    on_exception = _steps(answered.on_exception_steps, record.on_exception_steps, workflow, on_exception=True)
    if results is None and steps is None and on_exception is None:
        return None
    return ExecutionResults(steps, on_exception)


def _steps(
    answered: tuple[Step, ...] | None,
    recorded: tuple[RecordedStep, ...],
    workflow: WorkflowKey,
    *,
    on_exception: bool,
) -> tuple[Step, ...] | None:
    """AWS's results and the recorded steps, both of which are in the order in which the steps ran."""
    if answered is None and not recorded:
        return None
    return tuple(
        _step(answer, logged, StepRef(workflow, on_exception, position))
        for position, (answer, logged) in enumerate(zip_longest(answered or (), recorded))
    )


def _step(answer: Step | None, logged: RecordedStep | None, ref: StepRef) -> Step:
    if logged is None or (answer is not None and answer.raw_step_type not in {None, logged.raw_step_type}):
        assert answer is not None  # noqa: S101  one of the two is there
        return answer
    if answer is None:
        return Step(
            ref,
            logged.step_type,
            logged.raw_step_type,
            logged.outputs,
            logged.error,
            logged.name,
            logged.started_at,
            logged.ended_at,
            logged.file_location,
        )
    return replace(
        answer,
        outputs=answer.outputs if answer.outputs is not None else logged.outputs,
        error=answer.error or logged.error,
        name=logged.name,
        started_at=logged.started_at,
        ended_at=logged.ended_at,
        file_location=logged.file_location,
    )
