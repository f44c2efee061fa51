"""How long executions are kept: by age and by size, the oldest deleted first, a few at a time."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import select

from transfer_gateway.backoff import jittered
from transfer_gateway.domain.errors import UpstreamUnavailable
from transfer_gateway.history.tables import executions
from transfer_gateway.history.tables import retention as retention_table
from transfer_gateway.telemetry import counter, gauge, get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric
    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer_gateway.history.operations import Operations
    from transfer_gateway.history.statements import Statements

_log = get_logger(__name__)
_DAY_MS = 86_400_000
_BATCH = 200  # executions of one transaction
_FILLED = 0.95  # of the maximum size is left after deleting by size
_SHRINKS = 256  # 1 GiB at once, at most
_EVERY_S, _DOWN_EVERY_S = 30.0, 5.0
_NEVER_MS = 2**62


@dataclass(frozen=True, slots=True)
class Retention:
    """`days`: after the last event or answer of AWS. The maximum size is the database's."""

    days: float


class Retentive:
    def __init__(
        self,
        operations: Operations,
        statements: Statements,
        retention: Retention,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._operations, self._statements, self._retention = operations, statements, retention
        self._now_s = now_s
        self._deleted = {("age",): 0, ("size",): 0}
        self._size_bytes = self._executions = 0
        self._kept_since_ms: int | None = None
        self._known_of: int | None = None  # the generation in which it was read

    async def maintain(self) -> None:
        """Measure and delete every 30 s until cancelled. So it is also known that the store is down, or back."""
        while True:
            with suppress(UpstreamUnavailable):  # logged
                await self.prune()
                await self._operations.write("analyze", self._operations.database.analyze)
            await asyncio.sleep(jittered(_EVERY_S if self._operations.problem is None else _DOWN_EVERY_S))

    @property
    def kept_since_ms(self) -> int | None:
        """As `read_kept_since`, without reading. Others may have deleted something in the last 30 s."""
        return self._kept_since_ms

    @property
    def knows_kept_since(self) -> bool:
        """Whether it has been read since the store may have been replaced."""
        return self._known_of == self._operations.generation

    async def read_kept_since(self) -> int | None:
        """What is older may have been deleted here; None: nothing was. Raises: UpstreamUnavailable."""
        generation = self._operations.generation
        self._kept_since_ms = await self._operations.read("kept_since", _kept_since)
        self._known_of = generation
        return self._kept_since_ms

    async def prune(self) -> int:
        """Delete what is too old, and the oldest of what is too much. Returns: executions deleted.

        Raises: UpstreamUnavailable.
        """
        await self._measure()
        kept_since_ms = await self.read_kept_since() or 0
        before_ms = int(self._now_s() * 1000 - self._retention.days * _DAY_MS)
        deleted = await self._delete("age", before_ms, None, kept_since_ms)
        max_bytes = self._operations.database.max_bytes
        if self._size_bytes > max_bytes:
            excess = 1 - max_bytes * _FILLED / self._size_bytes
            at_most = max(1, int(self._executions * excess))
            deleted += await self._delete("size", _NEVER_MS, at_most, kept_since_ms)
        if deleted:
            await self._shrink()
            # Not measured again: PostgreSQL's statistics come later.
            left = max(0, self._executions - deleted)
            self._size_bytes = self._size_bytes * left // max(1, self._executions)
            self._executions = left
        return deleted

    async def _delete(self, why: str, before_ms: int, at_most: int | None, kept_since_ms: int) -> int:
        deleted = 0
        while at_most is None or deleted < at_most:
            first = _BATCH if at_most is None else min(_BATCH, at_most - deleted)
            delete = partial(
                self._delete_batch, before_ms=before_ms, first=first, kept_since_ms=kept_since_ms
            )
            gone = await self._operations.write("prune", delete)
            deleted += gone
            self._deleted[why,] += gone
            if gone < first:
                break
            await asyncio.sleep(0)
        if deleted:
            _log.info("history_pruned", why=why, executions=deleted)
        return deleted

    async def _shrink(self) -> None:
        for _ in range(_SHRINKS):
            if not await self._operations.write("shrink", self._operations.database.shrink):
                return

    async def _delete_batch(
        self, connection: AsyncConnection, *, before_ms: int, first: int, kept_since_ms: int
    ) -> int:
        """`kept_since_ms`: what is older had been deleted before, so it was too old when it was stored again."""
        found = await connection.execute(self._statements.oldest, {"before": before_ms, "first": first})
        rows = found.all()
        if not rows:
            return 0
        given = {"ids": self._statements.ids(row.id for row in rows)}
        await connection.execute(self._statements.note_deleted, given)
        if missed := [row.id for row in rows if row.last_at >= kept_since_ms]:
            await connection.execute(self._statements.note_missed, {"ids": self._statements.ids(missed)})
        await connection.execute(self._statements.delete_events, given)
        await connection.execute(self._statements.delete_texts, given)
        await connection.execute(self._statements.delete_executions, given)
        kept_since = max(row.last_at for row in rows) + 1
        self._kept_since_ms = max(self._kept_since_ms or 0, kept_since)  # before they are gone
        await connection.execute(self._statements.save_kept_since, {"kept_since": kept_since})
        return len(rows)

    async def _measure(self) -> None:
        async def measure(connection: AsyncConnection) -> tuple[int, int]:
            size = await self._operations.database.size_bytes(connection)
            return size, await self._operations.database.count(connection, executions)

        self._size_bytes, self._executions = await self._operations.read("measure", measure)

    def collect(self) -> Iterator[Metric]:
        yield gauge(
            "history_store_size_bytes",
            "Size of the history, measured every 30 s; in PostgreSQL estimated, without the space of deleted rows.",
            (),
            self._size_bytes,
        )
        yield gauge(
            "history_store_max_bytes", "Maximum size of the history.", (), self._operations.database.max_bytes
        )
        yield gauge(
            "history_store_executions",
            "Executions in the history, measured every 30 s.",
            (),
            self._executions,
        )
        yield counter(
            "history_pruned_executions",
            "Executions deleted from the history, by reason.",
            ("reason",),
            self._deleted,
        )


async def _kept_since(connection: AsyncConnection) -> int | None:
    found: int | None = await connection.scalar(select(retention_table.c.kept_since))
    return found
