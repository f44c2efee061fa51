"""Where the next page of an execution's events begins."""

from __future__ import annotations

from dataclasses import replace

from history_events import event
from transfer_gateway.core.history import _after
from transfer_gateway.domain.event import EventKind, EventPosition
from transfer_gateway.domain.identity import ExecutionKey


def test_the_next_page_begins_after_an_events_copy_with_another_id() -> None:
    key = ExecutionKey.parse(
        "111111111111/eu-west-1/w-27199f8dac6f318ec/348691e1-8042-c733-b0cd-3d5e3cb98e75"
    )
    started = event(key, EventKind.STEP_STARTED, 5, 7, "archive")
    events = [started, event(key, EventKind.STEP_COMPLETED, 5, 8, "archive")]
    copies = [replace(each, event_id=f"copy-{number}") for number, each in enumerate(events)]
    for number, each in enumerate(events):
        position = EventPosition.parse(str(EventPosition.of(each)))
        assert _after(events, position) == _after(copies, position) == number + 1
    assert _after(copies[1:], EventPosition.of(started)) == 0
