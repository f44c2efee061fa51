"""What is kept of AWS's answers: all that a store can take, soon, and no more than fits while it can't."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import sqlite_file
from driven_time import DrivenTime
from history_events import new_key, observed
from transfer_gateway.core.observations import Observations
from transfer_gateway.history.store import HistoryStore, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey

pytestmark = pytest.mark.driven_time


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[HistoryStore]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, DrivenTime)
    async with open_store(f"sqlite:///{tmp_path}/history.db", timeout_s=60) as store:
        running = store._operations._running
        loop.is_busy = lambda: bool(running)
        await store.kept_since()
        yield store
        loop.is_busy = lambda: True
    loop.is_busy = lambda: False


@asynccontextmanager
async def storing(store: HistoryStore) -> AsyncIterator[Observations]:
    observations = Observations(store)
    task = asyncio.create_task(observations.run())
    yield observations
    task.cancel()
    await asyncio.wait({task})


@asynccontextmanager
async def failing(path: Path) -> AsyncIterator[None]:
    """The store takes no answers."""
    await sqlite_file.execute(path / "history.db", "ALTER TABLE history_executions RENAME TO gone")
    yield
    await sqlite_file.execute(path / "history.db", "ALTER TABLE gone RENAME TO history_executions")


async def stored(store: HistoryStore, key: ExecutionKey) -> Execution | None:
    found = (await store.records([key])).get(key)
    return None if found is None else found.observed


def dropped(observations: Observations) -> float:
    (metric,) = observations.collect()
    return float(metric.samples[0].value)


async def test_an_answer_is_stored_within_a_second(store: HistoryStore) -> None:
    """Until then it is known here."""
    async with storing(store) as observations:
        answer = observed(new_key())
        observations.add(answer)
        assert observations.waiting(answer.key) is answer
        await asyncio.sleep(1.1)
        assert await stored(store, answer.key) == replace(answer, aws_request_id=None)
        assert observations.waiting(answer.key) is None


@pytest.mark.thorough
async def test_what_a_store_does_not_take_is_stored_later(store: HistoryStore, tmp_path: Path) -> None:
    """Of each execution the last answer; nothing is lost within the bound."""
    answers = [observed(new_key()) for _ in range(1000)]
    async with storing(store) as observations:
        async with failing(tmp_path):
            for answer in answers:
                observations.add(answer)
            await asyncio.sleep(30)
            last = observed(answers[0].key, at_ms=5000, status="HANDLING_EXCEPTION")
            observations.add(last)
            await asyncio.sleep(30)
        await asyncio.sleep(5)
        for answer in (last, *answers[1:]):
            found = await stored(store, answer.key)
            assert found is not None
            assert found.status is answer.status
    assert dropped(observations) == 0


@pytest.mark.thorough
async def test_only_so_many_wait_for_a_store(store: HistoryStore, tmp_path: Path) -> None:
    """What does not fit is counted."""
    async with storing(store) as observations:
        async with failing(tmp_path):
            for _ in range(5200):
                observations.add(observed(new_key()))
            await asyncio.sleep(3)
            assert dropped(observations) == 200
        await asyncio.sleep(5)
        observations.add(answer := observed(new_key()))
        await asyncio.sleep(2)
        assert await stored(store, answer.key) is not None


async def test_the_same_answer_is_written_once_but_again_if_the_store_lost_it(
    store: HistoryStore, tmp_path: Path
) -> None:
    async with storing(store) as observations:
        answer = observed(new_key())
        observations.add(answer)
        await asyncio.sleep(2)
        before = store._operations._done.get(("observe",), 0)
        observations.add(replace(answer))
        await asyncio.sleep(2)
        assert store._operations._done.get(("observe",), 0) == before
        await sqlite_file.execute(tmp_path / "history.db", "DELETE FROM history_executions")
        store._operations.generation += 1  # as the followers do when they notice
        observations.add(replace(answer))
        await asyncio.sleep(2)
        assert await stored(store, answer.key) is not None


async def test_what_waits_is_stored_when_the_service_ends(store: HistoryStore) -> None:
    answer = observed(new_key())
    async with storing(store) as observations:
        await asyncio.sleep(1.5)
        observations.add(answer)
    assert await stored(store, answer.key) is not None
