"""An execution's record does not depend on how its events arrived."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from transfer_gateway.domain.event import EventKind, ExecutionEvent
from transfer_gateway.domain.execution import ExecutionStatus, Source, StepError, StepErrorType, StepType
from transfer_gateway.domain.identity import ExecutionKey
from transfer_gateway.domain.merge import from_record
from transfer_gateway.domain.record import Record, record_of

KEY = ExecutionKey.parse("111111111111/eu-west-1/w-1a2b3c4d5e6f7a8b9/3f2b1c4d-5e6f-4a8b-9c0d-1e2f3a4b5c6d")
START = datetime(2026, 11, 29, 12, tzinfo=UTC)
FAILED = StepError(StepErrorType.TIMEOUT, "TIMEOUT", "took too long")


def event(
    kind: EventKind, at_ms: int, number: int, step: str | None = None, **more: object
) -> ExecutionEvent:
    occurred = START + timedelta(milliseconds=at_ms)
    return ExecutionEvent(
        KEY,
        f"{number:030}",
        occurred,
        occurred,
        Source.LOG,
        kind,
        kind.value,
        step_type=StepType.COPY if step else None,
        raw_step_type="COPY" if step else None,
        step_name=step,
        **more,  # type: ignore[arg-type]  # the test's
    )


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[ExecutionEvent], list[tuple[str, int, int]], bool]:
    """The events of an execution, its steps with their start and end, and whether one failed."""
    at, number = 0, 0
    events = [event(EventKind.EXECUTION_STARTED, 0, 0)]
    steps: list[tuple[str, int, int]] = []
    fails = draw(st.booleans())
    count = draw(st.integers(1, 6))
    for position in range(count):
        name = draw(st.sampled_from(["same", f"step-{position}"]))
        begun = at = at + draw(st.integers(0, 3))
        at += draw(st.integers(0, 3))
        if steps and steps[-1] == (name, begun, at):
            at += 1  # two steps of one name in one millisecond can't be told apart
        failed = fails and position == count // 2
        number += 2
        events.append(event(EventKind.STEP_STARTED, begun, number, name))
        events.append(
            event(EventKind.STEP_ERRORED, at, number + 1, name, error=FAILED)
            if failed
            else event(EventKind.STEP_COMPLETED, at, number + 1, name)
        )
        steps.append((name, begun, at))
        at += 1 if name == "same" else 0
    events.append(
        event(EventKind.EXECUTION_ERRORED if fails else EventKind.EXECUTION_COMPLETED, at, number + 2)
    )
    return events, steps, fails


def times(record: Record) -> list[tuple[str | None, int, int]]:
    millisecond = timedelta(milliseconds=1)
    return [
        (step.name, (step.started_at - START) // millisecond, (step.ended_at - START) // millisecond)
        for step in (*record.steps, *record.on_exception_steps)
        if step.started_at and step.ended_at
    ]


@given(runs(), st.randoms(use_true_random=False))
def test_order_and_repetitions_of_events_change_nothing(
    run: tuple[list[ExecutionEvent], list[tuple[str, int, int]], bool], random: Random
) -> None:
    """Shuffled, and partly written twice by a second log with ids of its own."""
    events, steps, fails = run
    again = [
        event(
            one.kind,
            (one.occurred_at - START) // timedelta(milliseconds=1),
            900 + at,
            one.step_name,
            error=one.error,
        )
        for at, one in enumerate(events)
        if random.random() < 0.5
    ]
    arrived = events + again
    random.shuffle(arrived)
    record = record_of(arrived)
    assert times(record) == steps
    assert record.status is (ExecutionStatus.EXCEPTION if fails else ExecutionStatus.COMPLETED)
    assert (record.error is not None) is fails
    assert record.started_at == START
    assert record.ended_at == max(one.occurred_at for one in events)
    assert [one.kind for one in record.events] == [one.kind for one in record_of(events).events]


def test_a_second_log_that_is_milliseconds_behind_adds_no_steps() -> None:
    log = [
        event(EventKind.EXECUTION_STARTED, 0, 0),
        event(EventKind.STEP_STARTED, 10, 1, "a"),
        event(EventKind.STEP_COMPLETED, 500, 2, "a"),
        event(EventKind.STEP_STARTED, 510, 3, "b"),
        event(EventKind.STEP_COMPLETED, 900, 4, "b"),
        event(EventKind.EXECUTION_COMPLETED, 910, 5),
    ]
    behind = [
        event(one.kind, (one.occurred_at - START) // timedelta(milliseconds=1) + 3, 50 + at, one.step_name)
        for at, one in enumerate(log)
    ]
    assert times(record_of(log + behind)) == times(record_of(log))
    assert len(record_of(log + behind).events) == len(log)


def test_an_end_before_the_start_makes_no_duration() -> None:
    """Clocks of several machines date them. The times are shown as they were logged."""
    record = record_of(
        [
            event(EventKind.EXECUTION_STARTED, 700, 0),
            event(EventKind.STEP_STARTED, 700, 1, "a"),
            event(EventKind.STEP_COMPLETED, 10, 2, "a"),
            event(EventKind.EXECUTION_COMPLETED, 0, 3),
        ]
    )
    execution = from_record(record, None, observed_at=START, ending=False)
    assert execution.started_at is not None
    assert execution.ended_at is not None
    assert execution.ended_at < execution.started_at
    assert execution.duration_s is None


def test_a_running_execution_has_no_end_and_an_open_step() -> None:
    record = record_of([event(EventKind.EXECUTION_STARTED, 0, 0), event(EventKind.STEP_STARTED, 5, 1, "a")])
    assert record.status is None
    assert record.ended_at is None
    assert [(step.name, step.ended_at) for step in record.steps] == [("a", None)]


def test_a_step_whose_start_was_not_logged_has_its_end() -> None:
    record = record_of([event(EventKind.STEP_ERRORED, 5, 1, "a", error=FAILED)])
    assert [(step.started_at, step.error) for step in record.steps] == [(None, FAILED)]


def test_steps_after_the_first_failure_are_on_exception_steps() -> None:
    record = record_of(
        [
            event(EventKind.STEP_STARTED, 0, 0, "a"),
            event(EventKind.STEP_ERRORED, 1, 1, "a", error=FAILED),
            event(EventKind.STEP_STARTED, 2, 2, "b"),
            event(EventKind.STEP_COMPLETED, 3, 3, "b"),
        ]
    )
    assert ([step.name for step in record.steps], [step.name for step in record.on_exception_steps]) == (
        ["a"],
        ["b"],
    )
