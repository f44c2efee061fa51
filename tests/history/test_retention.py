"""The oldest executions are deleted, by age and by size, and the store says since when it is complete."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from history_events import START, a_run, new_key
from postgres import both_databases
from transfer_gateway.history.store import open_store
from wire import becomes

if TYPE_CHECKING:
    from postgres import PostgresServer
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.history.store import HistoryStore


def value(store: HistoryStore, name: str) -> float:
    return next(
        sample.value
        for metric in store.collect()
        for sample in metric.samples
        if sample.name == f"transfer_gateway_history_{name}"
    )


@both_databases
@pytest.mark.thorough
async def test_executions_are_deleted_some_days_after_their_last_event(url: str) -> None:
    age_ms = int((time.time() - START.timestamp()) * 1000)
    async with open_store(url, retention_days=1, timeout_s=60) as store:
        old, young = [new_key() for _ in range(450)], new_key()
        for at, key in enumerate(old):
            await store.append(a_run(key, start_ms=at, first_id=at * 10))
        await store.append(a_run(young, start_ms=age_ms))
        assert await store.kept_since() is None
        assert await store.prune() == 450
        assert set(await store.records([*old, young])) == {young}
        kept_since = await store.kept_since()
        assert kept_since == START + timedelta(milliseconds=449 + 70 + 1)
        assert await store.prune() == 0


async def test_the_oldest_are_deleted_when_the_history_is_too_large(url: str) -> None:
    """Deleting stops when it is small enough, and is not repeated for space that the database keeps to itself."""
    age_ms = int((datetime.now(UTC) - START).total_seconds() * 1000)
    max_bytes = 2_400_000 if url.startswith("sqlite") else 2_000_000
    async with open_store(url, max_bytes=max_bytes, timeout_s=60) as store:
        keys: list[ExecutionKey] = [new_key() for _ in range(700)]
        events = [
            one for at, key in enumerate(keys) for one in a_run(key, start_ms=age_ms + at, first_id=at * 10)
        ]
        await store.append(events)

        async with asyncio.timeout(60):
            while not await store.prune():  # PostgreSQL's statistics come a little later
                await asyncio.sleep(0.1)  # between attempts
        left = set(await store.records(keys))
        assert 100 < len(left) < 700
        assert left == set(keys[-len(left) :])
        assert value(store, "store_size_bytes") <= max_bytes
        kept_since = await store.kept_since()
        assert kept_since is not None
        assert kept_since > START
        if url.startswith("sqlite"):  # which knows its size to the page
            assert await store.prune() == 0
        assert value(store, "appended_events_total") == len(events)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_file_shrinks(url: str) -> None:
    """In steps, so that nobody waits for it."""
    async with open_store(url, timeout_s=60) as store:
        keys = [new_key() for _ in range(1500)]
        await store.append([one for at, key in enumerate(keys) for one in a_run(key, first_id=at * 10)])
        await store.prune()
    path = Path(url.removeprefix("sqlite://"))
    assert path.stat().st_size < 1_000_000


@pytest.mark.thorough
async def test_postgresql_knows_what_it_has_before_autovacuum_looks(postgres: PostgresServer) -> None:
    """Without statistics, a search of 3,500 executions took more than a second."""
    url = await postgres.create_database()
    async with open_store(url, timeout_s=30) as store:
        for _ in range(5):
            await store.append([event for _ in range(30) for event in a_run(new_key())])
        connection = await postgres.connect(url.split("?")[0].rpartition("/")[2])
        tables = "SELECT reltuples FROM pg_class WHERE relname IN ('history_executions', 'history_texts')"

        async def analyzed() -> bool:
            await store._operations.write("analyze", store._operations.database.analyze)
            return {row[0] for row in await connection.fetch(tables)} == {150}

        await becomes(analyzed, expected=True)
        await connection.close()
