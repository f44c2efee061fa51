"""The revisions lead to the tables, from whatever was there before, and several at once do no harm."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import column, insert, select, table
from sqlalchemy.ext.asyncio import create_async_engine

from command import run
from history_events import a_run, new_key
from search_model import made_up
from transfer_gateway import history
from transfer_gateway.domain.search import SearchFilter, SearchOrder
from transfer_gateway.history import SearchScope, schema
from transfer_gateway.history.migrate import migrate_history
from transfer_gateway.history.store import open_store
from transfer_gateway.history.tables import HEAD, events, executions, metadata, texts

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from postgres import PostgresServer


KNOWN = [made_up(random, number) for random in [Random(21)] for number in range(60)]  # noqa: S311  draws lots


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
    """But for the trigrams' index, which is made where the database can."""
    context = MigrationContext.configure(
        connection,
        opts={
            "include_name": lambda name, kind, _: (
                name in metadata.tables if kind == "table" else not str(name).endswith("_trigrams")
            )
        },
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


async def test_a_new_file_that_another_migrates_is_waited_for(tmp_path: Path) -> None:
    """Although SQLite itself does not wait where a file gets its write-ahead log."""
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA user_version = 1")  # as far as it came
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.TaskGroup() as tasks:
            migrating = tasks.create_task(migrate_history(f"sqlite://{path}", None))
            await asyncio.sleep(0.2)  # it is waiting by then
            assert not migrating.done()
            other.execute("COMMIT")
    assert migrating.result() == (None, HEAD)


async def has_trigrams(postgres: PostgresServer) -> bool:
    """Whether this PostgreSQL comes with the extension."""
    connection = await postgres.connect()
    found = await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'")
    await connection.close()
    return bool(found)


async def test_the_command(postgres: PostgresServer) -> None:
    """It needs no other settings, says what it did, and may be repeated."""
    url = await postgres.create_database(migrated=False)
    for said in (f"empty → {HEAD}", f"revision {HEAD}, up to date"):
        code, out, err = await run("migrate", TRANSFER_GATEWAY_HISTORY_URL=url)
        assert (code, out) == (0, f"history: {said}\n")
        assert [json.loads(line)["event"] for line in err.splitlines()] == (
            [] if await has_trigrams(postgres) else ["history_without_trigrams"]
        )
    nowhere = await run("migrate", TRANSFER_GATEWAY_HISTORY_URL=postgres.url("nowhere"))
    assert (nowhere[0], nowhere[1]) == (1, "")
    assert nowhere[2].startswith("error: The history store has no such database.")
    assert await run("migrate") == (
        0,
        "history: nothing to migrate: TRANSFER_GATEWAY_HISTORY_URL is off\n",
        "",
    )


async def test_what_was_stored_by_the_first_revision_is_kept_and_found(url: str, empty_too: str) -> None:
    """Its columns and texts are what this version would have stored."""
    async with open_store(url, timeout_s=60) as store:
        await store.append([one for known in KNOWN for one in known.events])
        await store.observe([known.answer for known in KNOWN if known.answer is not None])
    engine, old_engine = (create_async_engine(_for_sqlalchemy(each)) for each in (url, empty_too))
    new = {"observed_state", "state", "began_at", "lasted_ms"}
    newer = {"answer_seq": None, "answer_digest": None}  # changes are numbered from now on
    async with engine.connect() as connection:
        rows = [dict(row) for row in (await connection.execute(select(executions))).mappings()]
        told = [dict(row) for row in (await connection.execute(select(events))).mappings()]
        expected_texts = (await connection.execute(select(texts).order_by(texts.c.execution))).all()
    async with old_engine.begin() as connection:
        await connection.run_sync(schema.upgrade, "0001")
        old = [{name: it for name, it in row.items() if name not in new | newer.keys()} for row in rows]
        of_old = table(executions.name, *(column(name) for name in old[0]))
        await connection.execute(insert(of_old), old)
        await connection.execute(insert(events), told)
        assert await schema.migrate(connection) == ("0001", HEAD)
        assert await connection.run_sync(_differences) == []
        migrated = [dict(row) for row in (await connection.execute(select(executions))).mappings()]
        expected = [row | newer for row in sorted(rows, key=lambda row: row["id"])]
        assert sorted(migrated, key=lambda row: row["id"]) == expected
        found = (await connection.execute(select(texts).order_by(texts.c.execution))).all()
        assert found == expected_texts
    await engine.dispose()
    await old_engine.dispose()


async def test_a_name_that_is_too_long_for_an_index_is_cut(empty: str) -> None:
    """One that an older version took from a strange answer. It is found by all of it."""
    key, user_name = new_key(), "".join(map(chr, Random(5).sample(range(0x20000, 0x2A000), 1000)))  # noqa: S311  draws lots
    engine = create_async_engine(_for_sqlalchemy(empty))
    async with engine.begin() as connection:
        await connection.run_sync(schema.upgrade, "0004")
        row = {**key._asdict(), "event_count": 0, "last_at": 1, "user_name": user_name}
        row |= {"state": 2, "began_at": 1, "lasted_ms": 0}
        await connection.execute(insert(executions), row)
        await connection.execute(insert(texts), {"execution": 1, "ids": key.execution_id})
        assert await schema.migrate(connection) == ("0004", HEAD)
    await engine.dispose()
    scope = SearchScope.of({frozenset(): [key.target]})
    async with open_store(empty, timeout_s=30, retention_days=36_500) as store:
        wanted = SearchFilter(user_names=(user_name,))
        found = await store.search(scope, wanted, SearchOrder.NEWEST_FIRST, first=5, as_of_ms=2)
        assert [row.key for row in found.rows] == [key]


@pytest.fixture
async def empty_too(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A second database of the same kind."""
    if url.startswith("sqlite"):
        return f"sqlite://{tmp_path}/older.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return await server.create_database(migrated=False)
