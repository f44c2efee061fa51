"""Appends that wait for the writer share its next transaction: one costs about as much as a hundred events.

An append to an idle writer is written at once. Those that come while a transaction runs are in the next one, which
waits a little for more, or until it is full: so transactions are few and large while many logs are read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transfer_gateway.domain.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.history.values import GroupProgress
    from transfer_gateway.shared_tasks import SharedTasks

MAX_EVENTS = 500  # of one append: so long others wait
MAX_TRANSACTION = 2000  # events: its time is mostly that of its dozen statements while the event loop is busy
_GATHER_S = 0.25


@dataclass(eq=False, slots=True)
class Append:
    """Events, at most 500, and the progress of the group that they came from. `lost`: see HistoryStore.append."""

    events: Sequence[ExecutionEvent]
    progress: GroupProgress | None = None
    saved_until: datetime | None = None
    lost: bool = False
    new: list[ExecutionEvent] = field(default_factory=list)


class AppendQueue:
    """`write` writes appends in one transaction, and sets their results; it may be called again with the same ones."""

    def __init__(self, write: Callable[[Sequence[Append]], Awaitable[None]], tasks: SharedTasks) -> None:
        self._write, self._tasks = write, tasks
        self._waiting: deque[tuple[Append, asyncio.Future[None]]] = deque()
        self._events = 0  # of those that wait
        self._full = asyncio.Event()
        self._running = False

    async def put(self, append: Append) -> None:
        """Raises: what `write` raises."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((append, done))
        self._events += len(append.events)
        if self._events >= MAX_TRANSACTION:
            self._full.set()
        if not self._running:
            self._running = True
            self._tasks.start(self._write_all(), name="append to the history")
        await done

    async def _write_all(self) -> None:
        try:
            await self._write_next()
            while self._waiting:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_GATHER_S):
                        await self._full.wait()
                await self._write_next()
        finally:
            self._running = False
            for _, done in self._waiting:  # only if the service ends
                done.cancel()
            self._waiting.clear()
            self._events = 0

    def _take(self) -> list[tuple[Append, asyncio.Future[None]]]:
        """Those of the next transaction."""
        batch: list[tuple[Append, asyncio.Future[None]]] = []
        count = 0
        while self._waiting and (not batch or count + len(self._waiting[0][0].events) <= MAX_TRANSACTION):
            append, done = self._waiting.popleft()
            self._events -= len(append.events)
            if not done.done():  # whoever left may have been part of the cause for this to take long
                batch.append((append, done))
                count += len(append.events)
        if self._events < MAX_TRANSACTION:
            self._full.clear()
        return batch

    async def _write_next(self) -> None:
        batch = self._take()
        try:
            await self._write([append for append, _ in batch])
        except Exception as error:  # noqa: BLE001  it belongs to those who wait
            for _, done in batch:
                if not done.done():
                    done.set_exception(error.copy() if isinstance(error, GatewayError) else error)
        else:
            for _, done in batch:
                if not done.done():
                    done.set_result(None)
        finally:
            for _, done in batch:  # only if the service ends meanwhile
                done.cancel()
