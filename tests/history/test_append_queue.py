"""Which appends share a transaction, and what of it stays in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from history_events import event, new_key
from transfer_gateway.domain.event import EventKind
from transfer_gateway.history.append import LockedExecution, RunningExecutions
from transfer_gateway.history.append_queue import MAX_TRANSACTION, Append, AppendQueue
from transfer_gateway.shared_tasks import SharedTasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

pytestmark = pytest.mark.made_up_time
WRITING_S = 1.0


class Written:
    """What was written, and when it was begun. Writing takes a second."""

    def __init__(self, tasks: SharedTasks) -> None:
        self.queue = AppendQueue(self._write, tasks)
        self.begun: list[tuple[float, Sequence[Append]]] = []

    async def _write(self, appends: Sequence[Append]) -> None:
        self.begun.append((asyncio.get_running_loop().time(), appends))
        await asyncio.sleep(WRITING_S)


@pytest.fixture
async def written() -> AsyncIterator[Written]:
    async with SharedTasks() as tasks:
        yield Written(tasks)


def appends(count: int, events: int = 1) -> list[Append]:
    one = event(new_key(), EventKind.STEP_STARTED, 0, 1, "copy")
    return [Append([one] * events) for _ in range(count)]


async def test_an_append_that_comes_alone_waits_for_nothing(written: Written) -> None:
    alone = appends(3)
    for append in alone:
        await written.queue.put(append)
    assert [batch for _, batch in written.begun] == [[append] for append in alone]
    assert written.begun[2][0] - written.begun[0][0] == pytest.approx(2 * WRITING_S, abs=0.01)


async def test_appends_that_come_while_one_is_written_wait_for_more(written: Written) -> None:
    first, second, third = appends(3)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(written.queue.put(first))
        await asyncio.sleep(WRITING_S / 2)
        tasks.create_task(written.queue.put(second))
        await asyncio.sleep(WRITING_S / 2 + 0.2)
        tasks.create_task(written.queue.put(third))
    assert [batch for _, batch in written.begun] == [[first], [second, third]]
    assert written.begun[1][0] - written.begun[0][0] == pytest.approx(WRITING_S + 0.25, abs=0.01)


async def test_a_full_transaction_does_not_wait(written: Written) -> None:
    async with asyncio.TaskGroup() as tasks:
        for append in appends(4, MAX_TRANSACTION // 2):
            tasks.create_task(written.queue.put(append))
    assert [len(batch) for _, batch in written.begun] == [2, 2]
    assert written.begun[1][0] - written.begun[0][0] == pytest.approx(WRITING_S, abs=0.01)


def kept(running: RunningExecutions, execution: LockedExecution, event_count: int = 1000) -> bool:
    """Whether the events are in memory, which stay there."""
    taken = running.take(execution.key, execution.id, event_count)
    running.keep([] if taken is None else [taken])
    return taken is not None


def locked(id_: int, *kinds: EventKind) -> LockedExecution:
    execution = LockedExecution(new_key(), id_, 0, ())
    for at, kind in enumerate(kinds):
        execution.add(event(execution.key, kind, at, at, "copy"))
    return execution


def test_events_of_executions_are_kept_until_they_end_within_a_bound() -> None:
    running = RunningExecutions()
    executions = [locked(at, *[EventKind.STEP_STARTED] * 1000) for at in range(25)]
    for execution in executions:
        running.keep([execution])
    assert [kept(running, execution) for execution in executions] == [False] * 5 + [True] * 20
    ended = executions[-1]
    ended.add(event(ended.key, EventKind.EXECUTION_COMPLETED, 1000, 1000))
    assert running.take(ended.key, ended.id, 1001) is ended
    running.keep([ended, executions[0]])
    assert [kept(running, execution) for execution in executions] == [True] + [False] * 4 + [True] * 19 + [
        False
    ]


@pytest.mark.parametrize(("id_", "event_count"), [(1, 3), (1, 1), (2, 2)])
def test_events_are_read_again_if_the_row_has_others(id_: int, event_count: int) -> None:
    """Another replica has added some, or the execution was deleted and came again."""
    running = RunningExecutions()
    execution = locked(1, EventKind.EXECUTION_STARTED, EventKind.STEP_STARTED)
    running.keep([execution])
    assert running.take(execution.key, id_, event_count) is None
    assert running.take(execution.key, 1, 2) is None  # it is not tried again
