"""The revision of a database: found out, and brought up to date."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, select, text

from transfer_gateway.history import trigrams
from transfer_gateway.history.tables import HEAD, REVISION_TABLE, feed, metadata, revision

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

_ADVISORY_LOCK = 7_310_045_221  # an arbitrary number: of two migrations at once, one waits for the other


_MAX_PAGES = 2**30  # 4 TiB; the most that SQLite takes everywhere


class SchemaProblem(Exception):
    """The database can't be used as it is. The message is for operators."""


async def check(connection: AsyncConnection) -> None:
    """Raises: SchemaProblem unless the database has this version's tables."""
    found = await connection.run_sync(_revision)
    if found is None:
        raise SchemaProblem("has no tables yet; run `transfer-gateway migrate`")
    if found < HEAD:
        raise SchemaProblem(f"has revision {found}, but {HEAD} is needed; run `transfer-gateway migrate`")
    _check_not_newer(found)


def _check_not_newer(found: str) -> None:
    if found > HEAD:
        raise SchemaProblem(
            f"has revision {found} of a newer version of the gateway; this one knows {HEAD}, and does not downgrade"
        )


async def migrate(connection: AsyncConnection) -> tuple[str | None, str]:
    """Bring the tables up to date, in the connection's transaction. Returns: the revision before and after.

    Raises: SchemaProblem if the database is newer.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
    found = await connection.run_sync(_revision)
    if found is None:
        await connection.run_sync(_create)
    else:
        _check_not_newer(found)
        if found != HEAD:
            await connection.run_sync(upgrade)
    await connection.run_sync(trigrams.ensure)
    return found, HEAD


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(REVISION_TABLE):
        return None
    return connection.scalar(select(revision.c.version_num))


def _create(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    revision.create(connection)
    connection.execute(revision.insert().values(version_num=HEAD))
    connection.execute(
        feed.insert().values(
            id=1,
            identity=secrets.token_hex(8),
            secret=secrets.token_hex(32),
            deleted_seq=0,
            deleted_answer_seq=0,
            missed_seq=0,
            missed_answer_seq=0,
        )
    )


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run Alembic's revisions. A file may grow beyond its maximum: the oldest executions are deleted soon after."""
    if connection.dialect.name != "sqlite":
        _upgrade(connection, to)
        return
    max_pages = connection.scalar(text("PRAGMA max_page_count"))
    connection.execute(text(f"PRAGMA max_page_count = {_MAX_PAGES}"))
    try:
        _upgrade(connection, to)
    finally:
        connection.execute(text(f"PRAGMA max_page_count = {max_pages}"))


def _upgrade(connection: Connection, to: str) -> None:
    from alembic import command  # noqa: PLC0415  takes 13 MB
    from alembic.config import Config  # noqa: PLC0415  as above

    logging.getLogger("alembic").setLevel(logging.WARNING)  # each of its steps is none of an operator's
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    command.upgrade(config, to)
