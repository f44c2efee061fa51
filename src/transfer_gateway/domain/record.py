"""An execution's record: what its events tell, in whatever order and however often they arrived."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from transfer_gateway.domain.event import ENDS, EventKind
from transfer_gateway.domain.execution import ExecutionStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from transfer_gateway.domain.event import ExecutionEvent, Upload
    from transfer_gateway.domain.execution import FileLocation, StepError, StepType
    from transfer_gateway.domain.identity import ExecutionKey

    StepRun = tuple[ExecutionEvent, ExecutionEvent | None]  # its first event, and its end

_STATUS = {
    EventKind.EXECUTION_COMPLETED: ExecutionStatus.COMPLETED,
    EventKind.EXECUTION_ERRORED: ExecutionStatus.EXCEPTION,
}
_STEP_ENDS = frozenset({EventKind.STEP_COMPLETED, EventKind.STEP_ERRORED})
_STEPS = _STEP_ENDS | {EventKind.STEP_STARTED}
_RANKS = dict.fromkeys(EventKind, 3) | {
    EventKind.EXECUTION_STARTED: 0,
    EventKind.STEP_STARTED: 1,
    EventKind.STEP_COMPLETED: 2,
    EventKind.STEP_ERRORED: 2,
    EventKind.EXECUTION_COMPLETED: 4,
    EventKind.EXECUTION_ERRORED: 4,
}  # of events with the same time


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One run of a step. `outputs`: AWS's, as JSON. A step whose start or end was not logged lacks that time."""

    step_type: StepType | None
    raw_step_type: str | None
    name: str | None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    file_location: FileLocation | None = None
    outputs: str | None = None
    error: StepError | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What the events of one execution tell.

    `status`: COMPLETED or EXCEPTION after the end, None before. `error`: the first step's that failed; the steps after
    it are `on_exception_steps`. Times are UTC.
    """

    key: ExecutionKey
    events: tuple[ExecutionEvent, ...]  # in order, without repetitions
    status: ExecutionStatus | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    initial_file_location: FileLocation | None = None
    upload: Upload | None = None
    runs: tuple[StepRun, ...] = ()
    error: StepError | None = None

    @property
    def steps(self) -> tuple[RecordedStep, ...]:
        return tuple(_step(*run) for run in self.runs[: self._nominal])

    @property
    def on_exception_steps(self) -> tuple[RecordedStep, ...]:
        return tuple(_step(*run) for run in self.runs[self._nominal :])

    @property
    def _nominal(self) -> int:
        """How many runs there are up to the step that failed."""
        failed = next((at for at, (_, end) in enumerate(self.runs) if _error_of(end) is not None), None)
        return len(self.runs) if failed is None else failed + 1

    @property
    def last_event_at(self) -> datetime:
        return self.events[-1].occurred_at


def record_of(events: Iterable[ExecutionEvent]) -> Record:
    """The record that the events of one execution tell. It does not depend on their order.

    Two logs of one execution repeat each other, with other ids and perhaps other milliseconds: a step that has started
    does not start again, what has ended does not end again. Raises: ValueError without events.
    """
    ordered = in_order(events)
    first = ordered[0]
    started = next((event for event in ordered if event.kind is EventKind.EXECUTION_STARTED), None)
    ended = next((event for event in ordered if event.kind in ENDS), None)
    runs, kept = _runs(ordered)
    files = (event.file_location for event in (started, *ordered) if event is not None)
    return Record(
        key=first.key,
        events=tuple(
            event
            for event in kept
            if (event.kind is not EventKind.EXECUTION_STARTED or event is started)
            and (event.kind not in ENDS or event is ended)
        ),
        status=None if ended is None else _STATUS[ended.kind],
        started_at=None if started is None else started.occurred_at,
        ended_at=None if ended is None else ended.occurred_at,
        initial_file_location=next((file for file in files if file is not None), None),
        upload=next((event.upload for event in ordered if event.upload is not None), None),
        runs=tuple(runs),
        error=next((error for _, end in runs if (error := _error_of(end)) is not None), None),
    )


def in_order(events: Iterable[ExecutionEvent]) -> list[ExecutionEvent]:
    """By time. At the same time: the start, the end of the step that runs, further steps, the end."""
    distinct: dict[tuple[object, ...], ExecutionEvent] = {}
    for event in events:
        if distinct.setdefault(event.content, event).event_id > event.event_id:
            distinct[event.content] = event
    if not distinct:
        raise ValueError("no events")
    waiting = sorted(
        distinct.values(), key=lambda event: (event.occurred_at, _RANKS[event.kind], event.event_id)
    )
    ordered: list[ExecutionEvent] = []
    running: tuple[str | None, str | None] | None = None
    for _, same_time in groupby(waiting, key=lambda event: event.occurred_at):
        together = list(same_time)
        while together:
            event = together[0] if len(together) == 1 else _next_of(together, running)
            together.remove(event)
            ordered.append(event)
            if event.kind is EventKind.STEP_STARTED:
                running = _step_of(event)
            elif event.kind in _STEP_ENDS:
                running = None
    return ordered


def _next_of(
    together: Sequence[ExecutionEvent], running: tuple[str | None, str | None] | None
) -> ExecutionEvent:
    """The next of events with the same time, which are in the order of their ranks."""
    if running is not None and together[0].kind is not EventKind.EXECUTION_STARTED:
        for event in together:
            if event.kind in _STEP_ENDS and _step_of(event) == running:
                return event
    return together[0]


def _step_of(event: ExecutionEvent) -> tuple[str | None, str | None]:
    return event.raw_step_type, event.step_name


def _runs(ordered: Sequence[ExecutionEvent]) -> tuple[list[StepRun], list[ExecutionEvent]]:
    """The runs of steps in order, and the events without those that repeat another."""
    runs: list[StepRun] = []
    kept: list[ExecutionEvent] = []
    for event in ordered:
        if event.kind in _STEPS:
            first, end = runs[-1] if runs else (None, None)
            is_same = first is not None and _step_of(first) == _step_of(event)
            is_open = is_same and end is None
            if event.kind is EventKind.STEP_STARTED:
                if is_open:
                    continue
                runs.append((event, None))
            elif first is not None and is_open:
                runs[-1] = first, event
            elif is_same:
                continue
            else:  # its start was not logged
                runs.append((event, event))
        kept.append(event)
    return runs, kept


def _error_of(end: ExecutionEvent | None) -> StepError | None:
    return None if end is None else end.error


def _step(first: ExecutionEvent, end: ExecutionEvent | None) -> RecordedStep:
    return RecordedStep(
        first.step_type,
        first.raw_step_type,
        first.step_name,
        None if first is end else first.occurred_at,
        None if end is None else end.occurred_at,
        first.file_location,
        None if end is None else end.details,
        None if end is None else end.error,
    )
