"""Executions and their events, made up."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING
from uuid import UUID

from transfer_gateway.domain.event import EventKind, ExecutionEvent, Upload
from transfer_gateway.domain.execution import (
    Execution,
    ExecutionResults,
    ExecutionStatus,
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
from transfer_gateway.domain.identity import AccountId, ExecutionId, ExecutionKey, Region, WorkflowId

if TYPE_CHECKING:
    from transfer_gateway.history.store import HistoryStore

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
_NUMBERS = count(1)


def new_key(account: str = "111111111111", region: str = "eu-west-1") -> ExecutionKey:
    return ExecutionKey(
        AccountId(account),
        Region(region),
        WorkflowId("w-1a2b3c4d5e6f7a8b9"),
        ExecutionId(str(UUID(int=next(_NUMBERS)))),
    )


def file(name: str) -> FileLocation:
    return FileLocation(S3FileLocation("inbox", name, None, "etag"), None)


def event(
    key: ExecutionKey,
    kind: EventKind | str,
    at_ms: int,
    event_id: int | str,
    step: str | None = None,
    *,
    name: str = "a.csv",
    upload: Upload | None = None,
) -> ExecutionEvent:
    kind = kind if isinstance(kind, EventKind) else EventKind(kind)
    failed = kind is EventKind.STEP_ERRORED
    return ExecutionEvent(
        key=key,
        event_id=f"{event_id:056d}" if isinstance(event_id, int) else event_id,
        occurred_at=START + timedelta(milliseconds=at_ms),
        observed_at=START + timedelta(milliseconds=at_ms + 1500),
        source=Source.LOG,
        kind=kind,
        raw_kind=kind.value,
        step_type=StepType.COPY if step else None,
        raw_step_type="COPY" if step else None,
        step_name=step,
        file_location=file(name),
        error=StepError(StepErrorType.NOT_FOUND, "NOT_FOUND", f"no {step} at {at_ms}") if failed else None,
        upload=upload or Upload("ada", "s-0123456789abcdef0", "session-1"),
        details="{}",
    )


def a_run(
    key: ExecutionKey, *, start_ms: int = 0, first_id: int = 0, fails: bool = False
) -> list[ExecutionEvent]:
    """Eight events of one execution: three steps, of which the last may fail."""
    kinds: list[tuple[EventKind, str | None]] = [(EventKind.EXECUTION_STARTED, None)]
    for step in ("copy", "tag", "delete"):
        end = EventKind.STEP_ERRORED if fails and step == "delete" else EventKind.STEP_COMPLETED
        kinds += [(EventKind.STEP_STARTED, step), (end, step)]
    kinds.append((EventKind.EXECUTION_ERRORED if fails else EventKind.EXECUTION_COMPLETED, None))
    return [
        event(key, kind, start_ms + 10 * at, first_id + at, step) for at, (kind, step) in enumerate(kinds)
    ]


def new_run(account: str = "111111111111", *, first_id: int = 0) -> list[ExecutionEvent]:
    """As `a_run`, of an execution that starts now: what is older than a store keeps may be deleted at any time."""
    start_ms = round((time.time() - START.timestamp()) * 1000)
    return a_run(new_key(account), start_ms=start_ms, first_id=first_id)


def observed(key: ExecutionKey, at_ms: float = 0, status: str = "IN_PROGRESS") -> Execution:
    return Execution(
        key=key,
        initial_file_location=file("a.csv"),
        service_metadata=ServiceMetadata(UserDetails("ada", "s-0123456789abcdef0", None)),
        execution_role="arn:aws:iam::111111111111:role/workflow",
        logging_configuration=LoggingConfiguration(None, "/aws/transfer/s-0123456789abcdef0"),
        posix_profile=PosixProfile(4294967295, 0, (1, 2)),
        status=ExecutionStatus(status),
        raw_status=status,
        results=ExecutionResults(
            (
                Step(
                    StepRef(key.workflow, on_exception=False, position=0), StepType.COPY, "COPY", "{}", None
                ),
                Step(
                    StepRef(key.workflow, on_exception=False, position=1),
                    StepType.UNRECOGNIZED,
                    "NEWER",
                    None,
                    StepError(StepErrorType.TIMEOUT, "TIMEOUT", "too late"),
                ),
            ),
            None,
        ),
        observed_at=START + timedelta(milliseconds=at_ms),
        aws_request_id="request-1",
    )


async def events_in_order(store: HistoryStore, key: ExecutionKey) -> list[ExecutionEvent]:
    """An execution's events in the order in which they were stored."""
    _, row = await store.feed.known(key, as_of_ms=0)
    assert row is not None
    return list(row.events)
