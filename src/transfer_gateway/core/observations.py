"""Keeps AWS's last answer about each execution, because AWS forgets it: role, POSIX profile, log group, outputs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from transfer_gateway.core.sized_lru import SizedLru
from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.shared_tasks import restarted
from transfer_gateway.telemetry import counter, get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.history.store import HistoryStore

_log = get_logger(__name__)
_EVERY_S, _AT_END_S = 1.0, 1.0
_MAX_WAITING = 5000  # about 15 MB
_MAX_BATCH = 200
_STORED_REMEMBERED = 50_000


class Observations:
    """Stores what AWS's answers showed, if it is new. `run` it in a task of its own."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._waiting: dict[ExecutionKey, Execution] = {}
        self._stored: SizedLru[ExecutionKey, int] = SizedLru(_STORED_REMEMBERED)
        self._generation = store.generation
        self._dropped = 0

    def add(self, execution: Execution) -> None:
        """Store the answer soon. Never waits: while the store is down, only so many wait for it."""
        if len(self._waiting) < _MAX_WAITING or execution.key in self._waiting:
            self._waiting[execution.key] = execution
        else:
            self._dropped += 1

    def waiting(self, key: ExecutionKey) -> Execution | None:
        """AWS's last answer, if it has not been stored yet."""
        return self._waiting.get(key)

    async def run(self) -> None:
        """Store until cancelled; then what is still waiting, if the store is up."""
        try:
            await restarted(
                self._run, on_fault=lambda: _log.exception("observations_failed"), after_s=_EVERY_S
            )
        finally:
            with suppress(GatewayError, TimeoutError):
                async with asyncio.timeout(_AT_END_S):
                    while self._waiting:
                        await self._store_some()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            with suppress(GatewayError):  # logged
                while self._waiting:
                    await self._store_some()

    async def _store_some(self) -> None:
        """What is being stored waits until it is. Raises: UpstreamUnavailable."""
        if self._generation != (generation := self._store.generation):
            self._stored.clear()  # some of it may be lost
            self._generation = generation
        batch = {key: self._waiting[key] for key in list(self._waiting)[:_MAX_BATCH]}
        new = [
            execution
            for execution in batch.values()
            if self._stored.get(execution.key) != _content(execution)
        ]
        if new:
            await self._store.observe(new)
        for key, execution in batch.items():
            self._stored.put(key, _content(execution))
            if self._waiting[key] is execution:
                del self._waiting[key]

    def collect(self) -> Iterator[Metric]:
        yield counter(
            "history_observations_dropped",
            "AWS's answers that were not stored, because the store was down for too long.",
            values=self._dropped,
        )


def _content(execution: Execution) -> int:
    """Equal for answers that say the same."""
    return hash((execution.raw_status, execution.results))
