"""AWS's answers, and lists, that are asked for again and again: what one replica sees, all that live know.

Before such a call, a replica looks whether another one has a recent answer, or is asking right now. A key that is asked
for the first time goes to AWS at once: to look it up would cost a tenth of a call, and hardly ever spare one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar, cast

from transfer_gateway.domain.errors import ExecutionNotFound, GatewayError, WorkflowNotFound
from transfer_gateway.domain.execution import Execution
from transfer_gateway.domain.identity import ExecutionKey
from transfer_gateway.history.snapshots import Round, RoundResult, Seen
from transfer_gateway.shared_tasks import restarted
from transfer_gateway.telemetry import counter, get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.core.clock import Clock
    from transfer_gateway.core.fleet import Fleet
    from transfer_gateway.core.snapshot_cache import SharedCall
    from transfer_gateway.domain.execution import ExecutionSummary
    from transfer_gateway.history.snapshots import Answer, SnapshotKey, SnapshotStore

V = TypeVar("V", bound="Execution | tuple[ExecutionSummary, ...]")
_log = get_logger(__name__)
_PATIENCE_S = 0.5  # with the store; then AWS is asked, as if there were no others
_ALONE_S = 5.0  # after the store failed, or was late
_CLAIMED_S = 2.0  # so long others wait for a replica that asks AWS, if it dies
_OTHERS_S = 2 * _CLAIMED_S  # and at most, whoever claims it again
_LOOK_AGAIN_S = 0.05
_BATCH = 200
_MAX_WAITING = 5000
_MAX_ROWS = 1000  # of a list that is shared
_KEPT_S, _CLEAN_EVERY_S = 60.0, 30.0


class SharedSnapshots:
    """`run` it in a task of its own. While there is one replica, nothing is shared."""

    def __init__(self, fleet: Fleet, store: SnapshotStore, clock: Clock) -> None:
        self._fleet, self._store, self._now = fleet, store, clock.now
        self._wanted: dict[SnapshotKey, tuple[int, asyncio.Future[Seen | bool]]] = {}
        self._seen: dict[SnapshotKey, Seen] = {}
        self._released: set[SnapshotKey] = set()
        self._something = asyncio.Event()
        self._alone_until = 0.0  # in the loop's time
        self.found = self.claimed = self.waits = 0

    async def get(
        self,
        key: SnapshotKey,
        shared: SharedCall[V],
        ask: Callable[[], Awaitable[V]],
    ) -> V:
        """An answer that is new enough for the shared call: another replica's, or else AWS's. Raises: GatewayError."""
        claimed = False
        if self._is_used():
            outcome = await self._look(key, shared)
            if isinstance(outcome, Seen):
                self.found += 1
                if outcome.answer is None:
                    raise _not_found(key)
                return cast("V", outcome.answer)  # as its key
            claimed = outcome
        try:
            answer = await ask()
        except (ExecutionNotFound, WorkflowNotFound):
            self._tell(key, shared, None)
            raise
        except BaseException:  # a cancellation, too: it is raised again, and others may ask at once
            if claimed:
                self._release(key)
            raise
        if isinstance(answer, Execution) or len(answer) <= _MAX_ROWS:
            self._tell(key, shared, answer)
        elif claimed:
            self._release(key)
        return answer

    def _is_used(self) -> bool:
        return not self._fleet.is_alone and asyncio.get_running_loop().time() >= self._alone_until

    async def _look(self, key: SnapshotKey, shared: SharedCall[V]) -> Seen | bool:
        """Returns: the answer of another replica; whether this one is to ask, and others wait for it."""
        until = asyncio.get_running_loop().time() + _OTHERS_S
        while asyncio.get_running_loop().time() < until:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    outcome = await self._exchanged(key, shared.not_before)
            except TimeoutError:
                self._go_alone()
                return False
            if isinstance(outcome, Seen):
                # Meanwhile others may have joined, who want a later one.
                if outcome.sent_at_ms >= shared.not_before * 1000:
                    shared.sent(outcome.sent_at_ms / 1000)
                    return outcome
            elif outcome or not self._is_used():
                self.claimed += outcome
                return outcome
            self.waits += 1
            await asyncio.sleep(_LOOK_AGAIN_S)
        return False

    async def _exchanged(self, key: SnapshotKey, not_before: float) -> Seen | bool:
        least = -int(-not_before * 1000 // 1)
        waiting = self._wanted.get(key)
        if waiting is None:
            if len(self._wanted) >= _MAX_WAITING:
                return False
            waiting = self._wanted[key] = (least, asyncio.get_running_loop().create_future())
            self._something.set()
        return await asyncio.shield(waiting[1])

    def _tell(self, key: SnapshotKey, shared: SharedCall[V], answer: Answer) -> None:
        if self._is_used() and shared.sent_at is not None and len(self._seen) < _MAX_WAITING:
            self._seen[key] = Seen(int(shared.sent_at * 1000), answer)
            self._something.set()

    def _release(self, key: SnapshotKey) -> None:
        self._released.add(key)
        self._something.set()

    def _go_alone(self) -> None:
        self._alone_until = asyncio.get_running_loop().time() + _ALONE_S

    async def run(self) -> None:
        """Until cancelled."""
        await restarted(self._run, on_fault=lambda: _log.exception("snapshots_not_shared"), after_s=1.0)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        clean_at = loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(clean_at):
                    await self._something.wait()
            self._something.clear()
            while self._wanted or self._seen or self._released:
                await self._exchange()
            if loop.time() >= clean_at:
                clean_at = loop.time() + _CLEAN_EVERY_S
                await self._clean()

    async def _exchange(self) -> None:
        wanted = {key: self._wanted.pop(key) for key in list(self._wanted)[:_BATCH]}
        seen = {key: self._seen.pop(key) for key in list(self._seen)[:_BATCH]}
        released, self._released = self._released, set()
        given = Round(
            seen,
            released,
            {key: least for key, (least, _) in wanted.items()},
            now_ms=lambda: int(self._now() * 1000),
            claim_ms=int(_CLAIMED_S * 1000),
        )
        try:
            result = await self._store.exchange(given)
        except GatewayError:  # logged
            self._go_alone()
            result = RoundResult()
        for key, (_, done) in wanted.items():
            if not done.done():
                done.set_result(result.found.get(key, key in result.claimed))

    async def _clean(self) -> None:
        try:
            await self._store.remove(int(_KEPT_S * 1000))
        except GatewayError:  # logged
            self._go_alone()

    def collect(self) -> Iterator[Metric]:
        yield counter(
            "shared_snapshots",
            "Answers and lists that other replicas may have: found there, to be asked for here, or asked for there.",
            ("outcome",),
            {("found",): self.found, ("claimed",): self.claimed, ("waited",): self.waits},
        )


def _not_found(key: SnapshotKey) -> GatewayError:
    return ExecutionNotFound.of(key) if isinstance(key, ExecutionKey) else WorkflowNotFound.of(key)
