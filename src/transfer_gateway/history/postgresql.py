"""PostgreSQL: how it is connected to, how large the history is there, and its statistics."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.history.failures import NotConnected, why_not_connected
from transfer_gateway.history.statements import CHANGED
from transfer_gateway.history.tables import events, executions, texts
from transfer_gateway.telemetry import hide

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import asyncpg
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

_INDEXED_BYTES = {executions: 350, texts: 450, events: 120}  # of indexes and a row's header, measured
_FEW_ROWS, _STALE = 100, 0.5  # fewer need no statistics; the part that has changed since they were made
_LOOK_AFTER_S = 30.0
_RECYCLE_S = 1800  # connections move to a new primary or proxy after this


class Postgresql:
    dialect = "postgresql"
    migrates_itself = False
    writes_in_line = False

    def __init__(
        self,
        url: str,
        *,
        password_file: Path | None,
        password: Callable[[], Awaitable[str]] | None = None,
        max_bytes: int,
        pool_size: int,
        timeout_s: float | None,
    ) -> None:
        """`password` makes one for each connection. `timeout_s` None: none, for migrations."""
        self.max_bytes = max_bytes
        self._url, self._password_file, self._timeout_s = url, password_file, timeout_s
        self._make_password = password
        self.searches = max(1, pool_size // 2)
        self.writer = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=timeout_s or 60,
            pool_recycle=_RECYCLE_S,
            pool_use_lifo=True,
            hide_parameters=True,
        )
        # One snapshot for all statements of an operation, between which others may delete.
        self.reader = self.searcher = self.writer.execution_options(isolation_level="REPEATABLE READ")

    async def _connect(self) -> asyncpg.Connection[Any]:
        import asyncpg  # noqa: PLC0415  only for PostgreSQL

        timeout_ms = str(int((self._timeout_s or 0) * 1000))
        try:
            connection: asyncpg.Connection[Any] = await asyncpg.connect(
                self._url,
                timeout=self._timeout_s or 60,
                password=await self._password(),
                server_settings={
                    "statement_timeout": timeout_ms,
                    "lock_timeout": timeout_ms,
                    "idle_in_transaction_session_timeout": "10000",
                    "jit": "off",
                }
                | ({} if "application_name=" in self._url else {"application_name": "transfer-gateway"}),
            )
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise NotConnected("refused the gateway's login") from error
        except asyncpg.InvalidCatalogNameError as error:
            raise NotConnected("has no such database") from error
        except asyncpg.TooManyConnectionsError as error:
            raise NotConnected("has too many connections") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, GatewayError, OSError, ValueError) as error:
            raise NotConnected(why_not_connected(error)) from error
        return connection

    async def _password(self) -> str | None:
        if self._make_password is not None:
            return await self._make_password()
        if self._password_file is None:
            return None  # asyncpg takes the URL's
        password = (await asyncio.to_thread(self._password_file.read_text)).rstrip("\r\n")
        hide([password])
        return password

    async def size_bytes(self, connection: AsyncConnection) -> int:
        """Estimated by the rows that live and the width of the latest: deleted ones leave the files as large."""
        total = 0.0
        for table, indexed_bytes in _INDEXED_BYTES.items():
            latest = next(iter(table.primary_key))
            rows = await self.count(connection, table)
            width = await connection.scalar(
                text(
                    "SELECT avg(pg_column_size(latest)) FROM "  # noqa: S608  our tables
                    f"(SELECT * FROM {table.name} ORDER BY {latest.name} DESC LIMIT 1000) AS latest"
                )
            )
            total += rows * (float(width or 0) + indexed_bytes)
        return int(total)

    async def count(self, connection: AsyncConnection, table: Table) -> int:
        """Estimated, too; statistics are empty after a crash."""
        rows = await connection.scalar(
            text(
                "SELECT CASE WHEN n_live_tup > 0 THEN n_live_tup ELSE reltuples END FROM pg_class "
                "JOIN pg_stat_user_tables ON relid = oid WHERE oid = CAST(:name AS text)::regclass"
            ),
            {"name": table.name},
        )
        return max(0, int(rows or 0))

    async def shrink(self, connection: AsyncConnection) -> bool:
        """Autovacuum does."""
        return False

    async def analyze(self, connection: AsyncConnection) -> None:
        """Autovacuum does, but only after a minute or more, in which searches may take a thousand times as long."""
        stale = await connection.execute(
            text(
                "SELECT relname FROM pg_class JOIN pg_stat_user_tables USING (relname) "
                "WHERE relid = pg_class.oid AND relname = ANY(:names) AND (n_live_tup > :rows OR reltuples > :rows) "
                "AND (reltuples < 0 OR n_mod_since_analyze > :part * reltuples)"
            ),
            {"names": [table.name for table in _INDEXED_BYTES], "rows": _FEW_ROWS, "part": _STALE},
        )
        for (name,) in stale.all():
            await connection.execute(text(f"ANALYZE {name}"))

    async def limit(self, connection: AsyncConnection, timeout_s: float) -> Callable[[], None]:
        """Also plans each search by its own parameters, and from ids to rows: pages are small."""
        await connection.execute(
            text(
                "SELECT set_config('statement_timeout', CAST(:timeout_ms AS text), true), "
                "set_config('plan_cache_mode', 'force_custom_plan', true), "
                "set_config('enable_seqscan', 'off', true), "
                "set_config('enable_hashjoin', 'off', true), "
                "set_config('enable_mergejoin', 'off', true)"
            ),
            {"timeout_ms": str(max(1, int(timeout_s * 1000)))},
        )
        return _nothing

    async def interrupt(self, connection: asyncpg.Connection[Any]) -> None:
        """The server has `statement_timeout`, and the driver drops the connection."""

    async def listen(self, on_commit: Callable[[], None]) -> None:
        """Call it whenever another has committed changes, as long as the connection lasts.

        It is looked after, since one that is cut off silently would bring no notification, and no error.

        Raises: NotConnected.
        """
        import asyncpg  # noqa: PLC0415  as below

        connection = await self._connect()
        ended = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(CHANGED, lambda *_: on_commit())
            while not ended.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_AFTER_S):
                        await ended.wait()
                if not ended.is_set():
                    await connection.execute("SELECT 1", timeout=self._timeout_s)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise NotConnected("can't be reached") from error
        finally:
            connection.terminate()

    async def start_anew(self) -> None:
        """Not ours to do."""

    async def close(self) -> None:
        await self.writer.dispose()


def _nothing() -> None: ...
