"""The revisions lead to the tables, from whatever was there before, and several at once do no harm."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from command import run
from history_events import a_run, new_key
from transfer_gateway import history
from transfer_gateway.history import schema
from transfer_gateway.history.migrate import migrate_history
from transfer_gateway.history.store import open_store
from transfer_gateway.history.tables import HEAD, metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/history.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return await server.create_database(migrated=False)


def _for_sqlalchemy(url: str) -> str:
    path = url.removeprefix("sqlite://")
    return url.replace("postgresql:", "postgresql+asyncpg:") if path == url else f"sqlite+aiosqlite:///{path}"


def _differences(connection: Connection) -> object:
    context = MigrationContext.configure(
        connection, opts={"include_name": lambda name, kind, _: kind != "table" or name in metadata.tables}
    )
    return compare_metadata(context, metadata)


def test_the_latest_revision_is_the_tables() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(history.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_revisions_make_the_tables(empty: str) -> None:
    """One after the other, from nothing, they lead to what an empty database gets at once."""
    engine = create_async_engine(_for_sqlalchemy(empty))
    async with engine.begin() as connection:
        await connection.run_sync(schema.upgrade)
        assert await connection.run_sync(_differences) == []
        assert await schema.migrate(connection) == (HEAD, HEAD)
    await engine.dispose()
    async with open_store(empty, timeout_s=30) as store:
        key = new_key()
        await store.append(a_run(key))
        assert len((await store.records([key]))[key].events) == 8


async def test_an_empty_database_gets_the_tables(empty: str) -> None:
    assert await migrate_history(empty, None) == (None, HEAD)
    assert await migrate_history(empty, None) == (HEAD, HEAD)
    engine = create_async_engine(_for_sqlalchemy(empty))
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await engine.dispose()


async def test_migrations_at_once_wait_for_each_other(empty: str) -> None:
    async with asyncio.TaskGroup() as tasks:
        migrating = [tasks.create_task(migrate_history(empty, None)) for _ in range(4)]
    assert sorted(str(task.result()[0]) for task in migrating) == [HEAD, HEAD, HEAD, "None"]


async def test_the_command(postgres: PostgresServer) -> None:
    """It needs no other settings, says what it did, and may be repeated."""
    url = await postgres.create_database(migrated=False)
    assert await run("migrate", TRANSFER_GATEWAY_HISTORY_URL=url) == (0, f"history: empty → {HEAD}\n", "")
    again = await run("migrate", TRANSFER_GATEWAY_HISTORY_URL=url)
    assert again == (0, f"history: revision {HEAD}, up to date\n", "")
    nowhere = await run("migrate", TRANSFER_GATEWAY_HISTORY_URL=postgres.url("nowhere"))
    assert (nowhere[0], nowhere[1]) == (1, "")
    assert nowhere[2].startswith("error: The history store has no such database.")
    assert await run("migrate") == (0, "history: nothing to migrate\n", "")
