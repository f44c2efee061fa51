"""A SQLite file: its connections and their threads, its size, and what happens to one that is damaged or moved."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sqlalchemy import URL, AsyncAdaptedQueuePool, event, func, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from transfer_gateway.history.failures import NotConnected, Replaced
from transfer_gateway.history.files import PAGE_BYTES
from transfer_gateway.telemetry import get_logger
from transfer_gateway.temporary_folder import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import aiosqlite
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from transfer_gateway.temporary_folder import TemporaryFolder

_log = get_logger(__name__)
TEMPORARY_NAME = "history.db"
_MEMORY_MAX_BYTES = 64 * 2**20
_NO_FILE = (0, 0)
_WRITE = "BEGIN IMMEDIATE"
_HEADROOM = 1.25  # a file's hard limit above its maximum size, for what arrives before the oldest is deleted
_CACHE_KIBIBYTES = 8192
_WAL_MAX_BYTES = 64 * 2**20
_LOCKED_S = 0.02  # between two tries
_READERS = 2
_SEARCHERS = 2  # at once; others wait
_FREE_KEPT = 0.1  # the part of a file that may be free
_VACUUM_PAGES = 1000  # given back at once


class Sqlite:
    """One connection writes, two read, two search, each in a thread of its own."""

    dialect = "sqlite"
    migrates_itself = True

    def __init__(
        self,
        path: Path | None,
        *,
        max_bytes: int,
        timeout_s: float,
        folder: TemporaryFolder | None = None,
    ) -> None:
        """`path` None: in memory, at most 64 MiB, where one connection does all. `folder`: it is in there."""
        self.path = path
        self._folder = folder
        self.writes_in_line = path is not None
        self.max_bytes = max_bytes if path else min(max_bytes, _MEMORY_MAX_BYTES)
        self._busy_s = timeout_s * 0.8  # so that it is SQLite that says that it is locked
        self._timeout_s = timeout_s
        self._connections: WeakSet[aiosqlite.Connection] = WeakSet()  # of the engines that are in use
        self._is_closed = False
        self._threads = _Threads()
        self._interrupting: set[asyncio.Task[None]] = set()
        self._file = self._log = _NO_FILE  # those that are open
        self._open()

    def _open(self) -> None:
        self.writer = self._engine(1, _WRITE, self._prepare_writer)
        self.reader = self.searcher = self.writer
        self.searches = 1
        if self.path is not None:
            self.reader = self._engine(_READERS, "BEGIN", _prepare_reader)
            self.searcher, self.searches = self._engine(_SEARCHERS, "BEGIN", _prepare_reader), _SEARCHERS

    def _engine(
        self, connections: int, begin: str, prepare: Callable[[sqlite3.Connection], None]
    ) -> AsyncEngine:
        def connect(*args: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401  sqlite3's
            if self._folder is not None:
                self._folder.hold()
            try:
                connection = self._threads.connect(*args, **options)
            except sqlite3.OperationalError as error:
                raise NotConnected("can't be opened") from error
            try:
                prepare(connection)
            except BaseException:  # it is raised again; nobody else would close the connection
                connection.close()
                raise
            return connection

        open_now = self._connections
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(self.path or ":memory:")),
            connect_args={"timeout": self._busy_s, "isolation_level": None, "factory": connect},
            poolclass=AsyncAdaptedQueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=self._timeout_s,
            hide_parameters=True,
        )

        @event.listens_for(engine.sync_engine, "connect")
        def connected(connection: Any, _record: object) -> None:  # noqa: ANN401  the library's own adapter
            if open_now is not self._connections:
                # The engine was given up meanwhile. SQLAlchemy closes the connection.
                raise NotConnected("is closed") if self._is_closed else Replaced
            open_now.add(connection.driver_connection)

        @event.listens_for(engine.sync_engine, "begin")
        def begun(connection: Any) -> None:  # noqa: ANN401  as above
            if begin == _WRITE and self._is_moved():
                raise Replaced("its file has been deleted, moved or replaced")
            connection.exec_driver_sql(begin)

        return engine

    def _is_moved(self) -> bool:
        """Whether the open file is no longer that of the path. SQLite would go on with it unnoticed."""
        if self.path is None:
            return False
        if _identity(self.path) != self._file:
            return True
        self._log = _identity(Path(f"{self.path}-wal"))
        return False

    def _prepare_writer(self, connection: sqlite3.Connection) -> None:
        try:
            self._configure(connection)
        finally:
            if self.path is not None:
                self._file = _identity(self.path)

    def _configure(self, connection: sqlite3.Connection) -> None:
        max_pages = int(self.max_bytes * _HEADROOM) // PAGE_BYTES
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only before the first table
        if self.path:
            _use_wal(connection, self._busy_s)
        for pragma in (
            "synchronous = NORMAL",
            f"max_page_count = {max_pages}",
            f"journal_size_limit = {_WAL_MAX_BYTES}",
            f"cache_size = -{_CACHE_KIBIBYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    async def size_bytes(self, connection: AsyncConnection) -> int:
        pages = await connection.scalar(
            text("SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count")
        )
        return int(pages or 0) * PAGE_BYTES

    async def count(self, connection: AsyncConnection, table: Table) -> int:
        return await connection.scalar(select(func.count()).select_from(table)) or 0

    async def shrink(self, connection: AsyncConnection) -> bool:
        """Only a good part of the file: what is deleted by size is soon used again."""
        pages, free = (
            await connection.execute(
                text("SELECT page_count, freelist_count FROM pragma_page_count, pragma_freelist_count")
            )
        ).one()
        if free <= pages * _FREE_KEPT:
            return False
        raw: Any = (await connection.get_raw_connection()).driver_connection
        # SQLite frees a page with each row, and rows without columns are read by `executescript` alone, which commits.
        await raw.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        return True

    async def analyze(self, connection: AsyncConnection) -> None:
        """Statements are written such that SQLite needs no statistics."""

    async def limit(self, connection: AsyncConnection, timeout_s: float) -> Callable[[], None]:
        raw: Any = (await connection.get_raw_connection()).driver_connection

        def interrupt() -> None:
            task = asyncio.create_task(raw.interrupt())
            self._interrupting.add(task)
            task.add_done_callback(self._interrupting.discard)

        return asyncio.get_running_loop().call_later(timeout_s, interrupt).cancel

    async def interrupt(self, connection: aiosqlite.Connection) -> None:
        with suppress(ValueError):  # it is closed already
            await connection.interrupt()

    async def listen(self, on_commit: Callable[[], None]) -> None:
        """SQLite notifies nobody."""

    async def start_anew(self) -> None:
        """The damaged file is kept as `….damaged`; an older one of that name is overwritten.

        One that others have put in its place is opened, without what is left of the old one's log.
        """
        is_moved = self._is_moved()
        await self._disconnect()
        if self.path is not None:
            if not is_moved:
                await asyncio.to_thread(_put_aside, self.path)
            elif _identity(Path(f"{self.path}-wal")) == self._log:
                await asyncio.to_thread(_remove_logs, self.path)
        self._open()

    async def close(self) -> None:
        self._is_closed = True
        await self._disconnect()
        await asyncio.to_thread(self._threads.join, self._timeout_s)

    async def _disconnect(self) -> None:
        connections, self._connections = self._connections, WeakSet()
        await self.writer.dispose()
        await self.reader.dispose()
        await self.searcher.dispose()
        for connection in list(connections):  # those that an operation still has: each has a thread
            await connection.close()


class _Connection(sqlite3.Connection):
    """Rolls back when it is closed: as long as a statement of it lives, SQLite itself would keep the locks."""

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self.rollback()
        super().close()


class _Threads:
    """Those of aiosqlite's connections. One that outlives the event loop fails when it reports to it.

    aiosqlite does not wait for the end of a thread where connecting fails or is cancelled.
    """

    def __init__(self) -> None:
        self._alive: list[threading.Thread] = []
        self._lock = threading.Lock()

    def connect(self, *args: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401  the library's
        """As sqlite3's own factory, in the connection's thread."""
        with self._lock:
            self._alive = [thread for thread in self._alive if thread.is_alive()]
            self._alive.append(threading.current_thread())
        return _Connection(*args, **options)

    def join(self, timeout_s: float) -> None:
        """Wait for their ends, for each at most so long."""
        with self._lock:
            threads = list(self._alive)
        for thread in threads:
            thread.join(timeout_s)


def _identity(path: Path) -> tuple[int, int]:
    """Of the file that is there, if one is."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return _NO_FILE
    return found.st_dev, found.st_ino


def _put_aside(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.replace(f"{path}.damaged")
    _remove_logs(path)


def _remove_logs(path: Path) -> None:
    """What SQLite keeps beside a file."""
    for rest in ("-wal", "-shm"):
        Path(f"{path}{rest}").unlink(missing_ok=True)


def _use_wal(connection: sqlite3.Connection, timeout_s: float) -> None:
    """SQLite waits for no lock there, for it has one already; others may be migrating the new file."""
    ends_at = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > ends_at:
                raise
            time.sleep(_LOCKED_S)
        else:
            return


def _prepare_reader(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")


@contextmanager
def folder_of_file() -> Iterator[TemporaryFolder | None]:
    """A directory for the default database. None if no file can be written."""
    with ExitStack() as stack:
        folder: TemporaryFolder | None = None
        try:
            folder = stack.enter_context(temporary_folder())
            (folder.path / TEMPORARY_NAME).touch(0o600)
        except OSError as error:
            folder = None
            _log.warning(
                "history_in_memory",
                detail=f"no temporary file can be written: {error}",
                max_bytes=_MEMORY_MAX_BYTES,
            )
        yield folder
