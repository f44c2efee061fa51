"""What one replica commits, others hear of at once: PostgreSQL's notifications, on real connections."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from history_events import event, new_key
from transfer_gateway.domain.errors import StoreUnavailable
from transfer_gateway.domain.event import EventKind
from transfer_gateway.history.store import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from postgres import PostgresServer
    from transfer_gateway.history.store import HistoryStore

_PATIENCE_S = 30


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[asyncio.Event]:
    """Set whenever another has committed something."""
    heard = asyncio.Event()
    async with open_store(url) as store, asyncio.TaskGroup() as tasks:
        store.on_commit = heard.set
        task = tasks.create_task(store.listen())
        try:
            yield heard
        finally:
            task.cancel()


async def commit_until(store: HistoryStore, heard: asyncio.Event) -> None:
    """Until it is heard of: the other one may not listen yet, or again."""
    heard.clear()
    async with asyncio.timeout(_PATIENCE_S):
        while not heard.is_set():
            with suppress(StoreUnavailable):  # it restarts
                await store.append([event(new_key(), EventKind.STEP_STARTED, 0, 1, "copy")])
            await asyncio.sleep(0.1)  # a notification takes a millisecond


async def test_commits_elsewhere_are_heard_of(postgres: PostgresServer) -> None:
    url = await postgres.create_database()
    async with open_store(url) as store, listening(url) as heard:
        await commit_until(store, heard)


@pytest.mark.parametrize("how", ["cut off", "restarted"])
async def test_who_was_cut_off_listens_again(own_postgres: PostgresServer, how: str) -> None:
    url = await own_postgres.create_database()
    async with open_store(url) as store, listening(url) as heard:
        await commit_until(store, heard)
        if how == "restarted":
            own_postgres.stop()
            own_postgres.start()
        else:
            connection = await own_postgres.connect()
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            )
            await connection.close()
        await commit_until(store, heard)
