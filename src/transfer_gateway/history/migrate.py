"""`transfer-gateway migrate`, and looking at a database without changing it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from transfer_gateway.history import schema
from transfer_gateway.history.database import default_max_bytes
from transfer_gateway.history.failures import FAILURES, failure_of
from transfer_gateway.history.files import check_history_files, sqlite_file
from transfer_gateway.history.postgresql import Postgresql
from transfer_gateway.history.sqlite import Sqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from transfer_gateway.history.database import Database

_SQLITE_TIMEOUT_S = 60.0


async def migrate_history(
    url: str, password_file: Path | None, password: Callable[[], Awaitable[str]] | None = None
) -> tuple[str | None, str]:
    """Bring the tables of a file or of PostgreSQL up to date. Returns: the revision before, None if empty, and after.

    Of several at once, one does it and the others wait. Takes as long as it takes.
    Raises: ConfigurationError; UpstreamUnavailable if the database can't be reached, refuses, or is newer.
    """
    async with (
        _open(url, password_file, password, timeout_s=None) as database,
        database.writer.begin() as connection,
    ):
        return await schema.migrate(connection)


async def try_history(
    url: str,
    password_file: Path | None,
    timeout_s: float,
    password: Callable[[], Awaitable[str]] | None = None,
) -> None:
    """Raises: ConfigurationError; UpstreamUnavailable if the database can't be used as it is."""
    async with (
        _open(url, password_file, password, timeout_s) as database,
        database.reader.connect() as connection,
    ):
        if not database.migrates_itself:
            await schema.check(connection)


@asynccontextmanager
async def _open(
    url: str,
    password_file: Path | None,
    password: Callable[[], Awaitable[str]] | None,
    timeout_s: float | None,
) -> AsyncIterator[Database]:
    check_history_files(url, password_file)
    max_bytes = default_max_bytes(url)
    database: Database = (
        Sqlite(sqlite_file(url), max_bytes=max_bytes, timeout_s=timeout_s or _SQLITE_TIMEOUT_S)
        if url.startswith("sqlite:")
        else Postgresql(
            url,
            password_file=password_file,
            password=password,
            max_bytes=max_bytes,
            pool_size=1,
            timeout_s=timeout_s,
        )
    )
    try:
        yield database
    except FAILURES as error:
        raise failure_of(error, timeout_s or 0).error() from error
    finally:
        await database.close()
