"""Which appends share a transaction, and what of it stays in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from history_events import event, new_key
from transfer_gateway.domain.event import EventKind
from transfer_gateway.history.append import RunningExecutions
from transfer_gateway.history.append_queue import MAX_EVENTS, Append, AppendQueue
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
        for append in appends(4, MAX_EVENTS // 2):
            tasks.create_task(written.queue.put(append))
    assert [len(batch) for _, batch in written.begun] == [2, 2]
    assert written.begun[1][0] - written.begun[0][0] == pytest.approx(WRITING_S, abs=0.01)


def test_events_of_executions_are_kept_until_they_end_within_a_bound() -> None:
    running = RunningExecutions()
    keys = [new_key() for _ in range(25)]
    for key in keys:
        running.add([event(key, EventKind.STEP_STARTED, at, at, "copy") for at in range(1000)])
    assert [len(running.events(key)) for key in keys] == [0] * 5 + [1000] * 20
    for _ in range(30):  # as after transactions that failed
        running.add([event(keys[-1], EventKind.STEP_STARTED, at, at, "copy") for at in range(1000)])
    assert [len(running.events(key)) for key in keys] == [0] * 5 + [1000] * 20
    running.add([event(keys[-1], EventKind.EXECUTION_COMPLETED, 1000, 1000)])
    assert running.events(keys[-1]) == {}
    running.add([event(keys[0], EventKind.STEP_STARTED, at, at, "copy") for at in range(1000)])
    assert [len(running.events(key)) for key in keys] == [1000] + [0] * 4 + [1000] * 19 + [0]
