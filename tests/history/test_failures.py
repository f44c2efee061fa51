"""Whatever happens to the database: one error that names it, soon; and all is well again once it is."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
import threading
import time
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

import sqlite_file
from history_events import a_run, event, new_key, observed
from history_model import SqliteFile
from postgres import PostgresServer
from transfer_gateway.domain.errors import UpstreamUnavailable
from transfer_gateway.domain.event import EventKind
from transfer_gateway.history import Targets
from transfer_gateway.history.migrate import migrate_history
from transfer_gateway.history.store import HistoryStore, open_store
from transfer_gateway.history.tables import HEAD
from transfer_gateway.settings import ConfigurationError
from wire import becomes

if TYPE_CHECKING:
    from transfer_gateway.domain.identity import ExecutionKey

TIMEOUT_S = 0.5
SOON_S = 5.0  # on a busy machine: the timeout, and the time to leave a connection


async def failure(store: HistoryStore) -> str:
    """How everything fails, at once or soon."""
    key, started_at = new_key(), time.monotonic()
    messages = set()
    for call in (
        store.append(a_run(key)),
        store.observe([observed(key)]),
        store.records([key]),
        store.find(key.execution_id, targets=Targets(None)),
        store.progress(key.target),
        store.note_workflow_logs(key.target, []),
        store.kept_since(),
        store.prune(),
    ):
        with pytest.raises(UpstreamUnavailable) as raised:
            await call
        assert raised.value.retry_after_s is not None
        messages.add(raised.value.message)
    assert time.monotonic() - started_at < SOON_S
    (message,) = messages
    return message


async def works(store: HistoryStore) -> bool:
    key = new_key()
    try:
        await store.append(a_run(key))
        return len((await store.records([key]))[key].events) == 8
    except UpstreamUnavailable:
        return False


def is_up(store: HistoryStore) -> bool:
    return next(
        bool(metric.samples[0].value)
        for metric in store.collect()
        if metric.name == "transfer_gateway_history_store_up"
    )


async def test_a_database_that_is_down_at_the_start_comes_up(own_postgres: PostgresServer) -> None:
    url = await own_postgres.create_database()
    own_postgres.stop()
    async with open_store(url, timeout_s=TIMEOUT_S) as store:
        assert await failure(store) == "The history store can't be reached."
        assert not is_up(store)
        own_postgres.start()
        await becomes(lambda: works(store), expected=True)
        assert is_up(store)


async def test_a_restart_of_the_database_is_not_noticed(own_postgres: PostgresServer) -> None:
    """Its connections are gone; what failed by that is done again."""
    url, key = await own_postgres.create_database(), new_key()
    async with open_store(url, timeout_s=30) as store:
        run = a_run(key)
        await store.append(run[:4])
        own_postgres.stop()
        own_postgres.start()
        await (await own_postgres.connect()).close()
        assert await store.append(run) == run[4:]
        assert list((await store.records([key]))[key].events) == run


async def test_a_database_that_hangs_costs_no_more_than_the_timeout(own_postgres: PostgresServer) -> None:
    """The first caller; the next ones fail at once."""
    url = await own_postgres.create_database()
    async with open_store(url, timeout_s=TIMEOUT_S) as store:
        await becomes(lambda: works(store), expected=True)
        own_postgres.hang()
        try:
            assert await failure(store) == "The history store did not answer within 0.5 s."
        finally:
            own_postgres.go_on()
        await becomes(lambda: works(store), expected=True)
    assert {task.get_name() for task in asyncio.all_tasks() if "history" in task.get_name()} == set()


async def test_a_store_closes_while_the_database_hangs(own_postgres: PostgresServer) -> None:
    url = await own_postgres.create_database()
    async with open_store(url, timeout_s=TIMEOUT_S) as store:
        await becomes(lambda: works(store), expected=True)
        own_postgres.hang()
        started_at = time.monotonic()
    took_s = time.monotonic() - started_at
    own_postgres.go_on()
    assert took_s < SOON_S


async def test_a_database_without_tables_says_what_to_run(postgres: PostgresServer) -> None:
    url = await postgres.create_database(migrated=False)
    async with open_store(url, timeout_s=30) as store:
        expected = "The history store has no tables yet; run `transfer-gateway migrate`."
        assert await failure(store) == expected
        await migrate_history(url, None)
        await becomes(lambda: works(store), expected=True)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("0000", f"has revision 0000, but {HEAD} is needed; run `transfer-gateway migrate`"),
        (
            "9999",
            f"has revision 9999 of a newer version of the gateway; this one knows {HEAD}, and does not downgrade",
        ),
    ],
)
async def test_a_database_of_another_version_is_left_alone(
    postgres: PostgresServer, found: str, expected: str
) -> None:
    url = await postgres.create_database()
    connection = await postgres.connect(url.split("?")[0].rpartition("/")[2])
    await connection.execute("UPDATE history_revision SET version_num = $1", found)
    await connection.close()
    async with open_store(url, timeout_s=30) as store:
        assert await failure(store) == f"The history store {expected}."


async def test_events_of_a_transaction_that_failed_are_new_the_next_time(tmp_path: Path) -> None:
    run = a_run(key := new_key())
    async with open_store(f"sqlite://{tmp_path}/history.db") as store:
        await store.append(run[:2])
        await sqlite_file.execute(tmp_path / "history.db", "ALTER TABLE history_events RENAME TO gone")
        with pytest.raises(UpstreamUnavailable):
            await store.append(run[2:4])
        await sqlite_file.execute(tmp_path / "history.db", "ALTER TABLE gone RENAME TO history_events")
        assert await store.append(run[:5]) == run[2:5]
        assert list((await store.records([key]))[key].events) == run[:5]


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/history.db"
    async with open_store(url) as store:
        assert await works(store)
    await sqlite_file.execute(tmp_path / "history.db", "UPDATE history_revision SET version_num = '9999'")
    async with open_store(url) as store:
        assert "newer version" in await failure(store)


async def test_a_database_that_takes_no_writes_is_still_read(postgres: PostgresServer) -> None:
    url, key = await postgres.create_database(), new_key()
    async with open_store(url, timeout_s=30) as store:
        await store.append(a_run(key))
    name = url.split("?")[0].rpartition("/")[2]
    connection = await postgres.connect()
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await connection.close()
    async with open_store(url, timeout_s=30) as store:
        with pytest.raises(UpstreamUnavailable, match=r"^The history store is read-only\.$"):
            await store.append(a_run(new_key()))
        assert set(await store.records([key])) == {key}
        assert is_up(store)


async def test_a_wrong_password_is_not_told(postgres: PostgresServer) -> None:
    """Neither it nor the URL is in what callers or operators see. The server asks nobody, so it is the user here."""
    url = postgres.url().replace("gateway@", "someone:pass-w0rd@")
    async with open_store(url, timeout_s=30) as store:
        with pytest.raises(UpstreamUnavailable) as raised:
            await store.kept_since()
    assert raised.value.message == "The history store refused the gateway's login."
    assert "pass-w0rd" not in f"{raised.value.detail} {raised.value!r}"


async def test_a_missing_database_is_named(postgres: PostgresServer) -> None:
    async with open_store(postgres.url("nowhere"), timeout_s=30) as store:
        assert await failure(store) == "The history store has no such database."


async def test_a_full_file_is_still_read_and_pruned(tmp_path: Path) -> None:
    keys: list[ExecutionKey] = []

    async def fill(store: HistoryStore) -> None:
        while True:
            keys.append(new_key())
            await store.append(a_run(keys[-1], first_id=len(keys) * 10))

    async with open_store(f"sqlite://{tmp_path}/history.db", max_bytes=1_000_000) as store:
        with pytest.raises(UpstreamUnavailable, match=r"^The history store is full\.$"):
            await fill(store)
        assert is_up(store)
        assert len(await store.records(keys[:5])) == 5
        assert await store.prune() > 0
        assert await works(store)


@pytest.mark.parametrize("part", ["header", "middle", "all"])
async def test_a_damaged_file_is_replaced(tmp_path: Path, part: str) -> None:
    """The logs have it all. The damaged file is kept beside."""
    path, keys = tmp_path / "history.db", [new_key() for _ in range(200)]
    url = f"sqlite://{path}"
    async with open_store(url, timeout_s=30) as store:
        await store.append([one for at, key in enumerate(keys) for one in a_run(key, first_id=at * 10)])
    content = bytearray(path.read_bytes())
    begin, end = {"header": (0, 100), "middle": (4096, len(content)), "all": (0, len(content))}[part]
    content[begin:end] = b"\xa5" * (end - begin)
    path.write_bytes(content)
    async with open_store(url, timeout_s=30) as store:
        await store.append(a_run(keys[0]))
        assert set(await store.records(keys)) == {keys[0]}
        assert await works(store)
    assert path.with_name("history.db.damaged").stat().st_size == len(content)


async def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    """Whoever named it by mistake is told, by `serve`, `check-config` and `migrate`."""
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    with pytest.raises(ConfigurationError, match=r"notes\.txt is not a SQLite database"):
        async with open_store(f"sqlite://{path}"):
            pass
    with pytest.raises(ConfigurationError, match=r"notes\.txt is not a SQLite database"):
        await migrate_history(f"sqlite://{path}", None)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("notes.txt", "my notes\n")]


async def test_a_file_damaged_while_it_is_open_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    async with open_store(f"sqlite://{path}", timeout_s=30) as store:
        keys = [new_key() for _ in range(3000)]
        for at in range(0, len(keys), 300):
            await store.append([event(key, EventKind.EXECUTION_STARTED, 0, 1) for key in keys[at : at + 300]])
        with path.open("r+b") as file:
            file.write(b"\xa5" * path.stat().st_size)
        path.with_name("history.db-wal").write_bytes(b"")
        async with asyncio.TaskGroup() as tasks:
            for key in keys[:40]:
                tasks.create_task(_tried(store, key))
        await becomes(lambda: works(store), expected=True)
    assert path.with_name("history.db.damaged").exists()


@pytest.mark.parametrize("copied", [False, True])
async def test_a_file_that_is_moved_is_left(tmp_path: Path, *, copied: bool) -> None:
    """By all who have it open, for the one that is there then; none harms the others'."""
    path, moved = tmp_path / "history.db", tmp_path / "moved.db"
    before, one, other = new_key(), new_key(), new_key()
    url = f"sqlite://{path}"
    async with open_store(url, timeout_s=30) as first, open_store(url, timeout_s=30) as second:
        await first.append(a_run(before))
        assert set(await second.records([before])) == {before}
        await second.append(a_run(before))
        copy = SqliteFile(tmp_path)
        await copy.copy()
        path.rename(moved)
        if copied:
            (tmp_path / "copy.db").rename(path)
        await first.append(a_run(one))
        await second.append(a_run(other))
        for store in (first, second):
            found = await store.records([before, one, other])
            assert set(found) == {one, other} | ({before} if copied else set())
        for store in (first, second):
            assert await works(store)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert moved.exists()
    assert not path.with_name("history.db.damaged").exists()


async def _tried(store: HistoryStore, key: ExecutionKey) -> None:
    try:
        await store.records([key])
    except UpstreamUnavailable as error:
        assert "damaged" in error.message  # noqa: PT017  the message is the point


async def test_a_file_that_another_process_has_locked_is_waited_for_and_then_reported(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    async with open_store(f"sqlite://{path}", timeout_s=2) as store:
        key = new_key()
        await store.append(a_run(key))
        async with sqlite_file.locked(path):
            with pytest.raises(
                UpstreamUnavailable, match=r"^The history store is locked by another process\.$"
            ):
                await store.append(a_run(new_key()))
            assert set(await store.records([key])) == {key}
        await becomes(lambda: works(store), expected=True)


async def test_a_write_that_does_not_end_does_not_keep_its_lock(tmp_path: Path) -> None:
    """It is interrupted, and its connection closed, although it is busy when it should roll back."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    async with open_store(f"sqlite://{tmp_path}/history.db", timeout_s=1) as store:
        await store.append(a_run(new_key()))
        for _ in range(2):
            with pytest.raises(UpstreamUnavailable, match="did not answer within 1 s"):
                await store._operations.write("test", lambda it: it.execute(text(endless)))
            assert len(await store.append(a_run(new_key()))) == 8


async def test_a_file_that_cannot_be_written_is_reported() -> None:
    async with open_store("sqlite:///proc/history.db") as store:
        assert await failure(store) == "The history store can't be opened."


def test_no_connection_outlives_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread would fail when it reports. Each loop here is closed as soon as the store is."""
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)

    async def connect_in_vain() -> None:
        async with open_store("sqlite:///proc/history.db") as store:
            with pytest.raises(UpstreamUnavailable):
                await store.kept_since()

    for _ in range(30):
        asyncio.run(connect_in_vain())
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            thread.join(10)
    assert failed == []


@pytest.mark.parametrize("seed", range(8))
async def test_a_store_that_closes_leaves_no_connection(tmp_path: Path, seed: int) -> None:
    """Not one that is being made just then, nor one for what begins later."""
    draw, closed = Random(seed), "The history store is closed."  # noqa: S311  draws lots
    others = set(threading.enumerate())

    async def use(store: HistoryStore) -> None:
        with suppress(UpstreamUnavailable):  # closed, in the middle
            for _ in range(3):
                await store.kept_since()

    async with asyncio.TaskGroup() as users:
        async with open_store(f"sqlite://{tmp_path}/history.db") as store:
            using = [users.create_task(use(store)) for _ in range(4)]
            await asyncio.sleep(draw.uniform(0, 0.03))  # connects, or migrates, or reads
            for user in draw.sample(using, draw.randint(0, 2)):
                user.cancel()
        assert await failure(store) == closed
    assert [thread for thread in threading.enumerate() if thread not in others and thread.daemon] == []


async def test_a_missing_directory_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    rule = f"TRANSFER_GATEWAY_HISTORY_URL: there is no directory {tmp_path}/none"
    with pytest.raises(ConfigurationError, match=rule):
        async with open_store(f"sqlite://{tmp_path}/none/history.db"):
            pass


async def test_without_a_writable_directory_the_default_is_in_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a read-only root. It is bounded there, too."""
    async with AsyncExitStack() as stack:
        with monkeypatch.context() as patch:
            patch.setattr(tempfile, "tempdir", "/proc")
            store = await stack.enter_async_context(open_store("sqlite://", timeout_s=30))
        assert await works(store)
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(works(store)) for _ in range(20)]
        assert all(task.result() for task in working)
        assert any("history_in_memory" in written for written in capsys.readouterr())
        (limit,) = [m.samples[0].value for m in store.collect() if m.name.endswith("history_store_max_bytes")]
        assert limit == 64 * 2**20


async def test_the_default_is_a_temporary_file_that_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with open_store("sqlite://") as store:
        assert await works(store)
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


async def test_a_temporary_directory_that_is_removed_is_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As by a cleaner of temporary files. What others have put in its place is not used."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with open_store("sqlite://", timeout_s=30) as store:
        assert await works(store)
        (folder,) = tmp_path.iterdir()
        generation = store.generation
        shutil.rmtree(folder)
        assert await works(store)
        assert store.generation > generation
        assert {path.name for path in folder.iterdir()} >= {"history.db"}

        shutil.rmtree(folder)
        folder.mkdir(0o777)
        folder.chmod(0o777)
        assert await failure(store) == "The history store can't be reached."
        assert not is_up(store)
        assert list(folder.iterdir()) == []
        folder.rmdir()
        await becomes(lambda: works(store), expected=True)
        assert is_up(store)
    assert list(tmp_path.iterdir()) == []


async def test_a_directory_that_is_removed_may_come_back(tmp_path: Path) -> None:
    """The one that the settings name is not made by the gateway. Until it is there, the store is down."""
    folder = tmp_path / "history"
    folder.mkdir()
    async with open_store(f"sqlite://{folder}/history.db", timeout_s=30) as store:
        assert await works(store)
        shutil.rmtree(folder)
        assert await failure(store) == "The history store can't be opened."
        assert not is_up(store)
        folder.mkdir()
        await becomes(lambda: works(store), expected=True)
        assert is_up(store)


async def test_a_cancelled_caller_leaves_a_store_that_works(store: HistoryStore) -> None:
    for _ in range(20):
        task = asyncio.create_task(store.append(a_run(new_key())))
        await asyncio.sleep(0.002)  # somewhere in the middle; it may be done as well
        task.cancel()
        await asyncio.wait({task})
    await becomes(lambda: works(store), expected=True)
