"""A cache of AWS's answers, which also shares calls in progress between concurrent requests for the same key.

- A caller gets the cached answer if it is no older than the caller accepts.
- Otherwise it joins the call in progress for the same key, if that call is recent enough, or starts one.
- Not-found is cached too, but briefly and separately: the id may exist a moment later, and lookups of unknown ids must
  not evict other answers.
- Age is measured from when the call was sent, so with `max_age_s=0` an answer is never older than the request. Ages are
  the `Clock`'s, deadlines are in the loop's time.
- A call is cancelled when no caller waits for it any more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from cachetools import TTLCache

from transfer_gateway.core.quota import CHARGED_QUOTA
from transfer_gateway.core.sized_lru import SizedLru
from transfer_gateway.domain.errors import (
    DeadlineExceeded,
    ExecutionNotFound,
    GatewayError,
    Throttled,
    WorkflowNotFound,
)
from transfer_gateway.telemetry import context_of, current_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from transfer_gateway.core.clock import Clock
    from transfer_gateway.domain.identity import Target
    from transfer_gateway.shared_tasks import SharedTasks
    from transfer_gateway.telemetry import Request


class LookupKey(Protocol):
    """The key of a lookup in one target."""

    @property
    def target(self) -> Target: ...
    def __hash__(self) -> int: ...


K = TypeVar("K", bound=LookupKey)
V = TypeVar("V")
T = TypeVar("T")

_NotFound = ExecutionNotFound | WorkflowNotFound
_NOT_FOUND_FOR_S = 5.0
_NOT_FOUND_MAX_ENTRIES = 5000  # about 10 MB


@dataclass(frozen=True, slots=True)
class _Snapshot(Generic[T]):
    """AWS's answer; `sent_at` is in the clock's time."""

    outcome: T
    sent_at: float
    size_bytes: int = 0


@dataclass(slots=True)
class SharedCall(Generic[V]):
    """One AWS call in progress, which requests for the same key share.

    `fetch` calls `queued` when the call starts to wait for our own limits, and `sent`, with the clock's time, at each
    attempt. `started_by` is the request that is charged for the call, logged with it and traced as its parent; requests
    that join are not charged. `not_before`: no answer may be older, in the clock's time, as all who wait want it.
    """

    started_by: Request | None
    not_before: float = 0.0
    sent_at: float | None = None
    in_queue: bool = False
    waiting: int = 0
    task: asyncio.Task[V | GatewayError] | None = None

    def queued(self) -> None:
        self.in_queue = True

    def sent(self, at: float) -> None:
        self.in_queue = False
        self.sent_at = at


class Snapshots(Generic[K, V]):
    """AWS's answers by key; evicts the least recently used. `fetch` calls AWS.

    Bounds: `max_entries`, and about `max_bytes` of memory as estimated by `size_of`.
    """

    def __init__(
        self,
        fetch: Callable[[K, SharedCall[V]], Awaitable[V]],
        shared_tasks: SharedTasks,
        clock: Clock,
        *,
        size_of: Callable[[V], int],
        max_entries: int,
        max_bytes: int,
    ) -> None:
        self._fetch = fetch
        self._tasks = shared_tasks
        self.now = clock.now
        self._size_of = size_of
        # Counting each entry as at least this also limits their number.
        min_bytes = max_bytes // max_entries
        self._kept: SizedLru[K, _Snapshot[V]] = SizedLru(
            max_bytes, lambda snapshot: max(min_bytes, snapshot.size_bytes)
        )
        self._not_found: TTLCache[K, _Snapshot[_NotFound]] = TTLCache(
            _NOT_FOUND_MAX_ENTRIES, _NOT_FOUND_FOR_S, timer=clock.now
        )
        self._in_progress: dict[K, SharedCall[V]] = {}
        self.hits = self.joins = self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """Approximate memory of the entries."""
        return self._kept.size

    async def get(self, key: K, *, max_age_s: float, deadline: float) -> V:
        """AWS's answer, no older than `max_age_s`.

        Raises: GatewayError; DeadlineExceeded ends only this caller's wait, not the shared call.
        """
        loop = asyncio.get_running_loop()
        while True:
            not_before = self.now() - max_age_s
            kept = self._fresh(key, not_before)
            if kept is None:
                outcome = await self._join(key, not_before, deadline)
            else:
                self.hits += 1
                outcome = kept.outcome
            if not isinstance(outcome, GatewayError):
                return outcome
            # A call started by another request may reach that request's deadline before ours.
            if not isinstance(outcome, DeadlineExceeded) or loop.time() >= deadline:
                raise outcome.copy()

    def peek(self, key: K, *, max_age_s: float, at: float | None = None) -> V | None:
        """The cached answer, if it is no older than `max_age_s` now, or at the clock's time `at`; None for not-found.

        The caller counts it in `hits`. Unlike `get`, this is not a coroutine.
        """
        kept = self._kept.get(key)
        if kept is None or not kept.sent_at >= (self.now() if at is None else at) - max_age_s:  # NaN: no
            return None
        return kept.outcome

    def has_asked(self, key: K) -> bool:
        """Whether there is an answer of whatever age."""
        return self._kept.get(key) is not None or key in self._not_found

    def _fresh(self, key: K, not_before: float) -> _Snapshot[V] | _Snapshot[_NotFound] | None:
        kept: _Snapshot[V] | _Snapshot[_NotFound] | None = self._kept.get(key)
        if kept is None:
            kept = self._not_found.get(key)
        return None if kept is None or kept.sent_at < not_before else kept

    async def _join(self, key: K, not_before: float, deadline: float) -> V | GatewayError:
        shared = self._in_progress.get(key)
        if shared is None or (shared.sent_at is not None and shared.sent_at < not_before):
            quota = CHARGED_QUOTA.get()
            if quota is not None:
                quota.take_aws_call()
            shared = self._in_progress[key] = SharedCall(current_request(), not_before)
            shared.task = self._tasks.start(
                self._run(key, shared), name=f"look up {key}", context=context_of(shared.started_by)
            )
            self.misses += 1
        else:
            shared.not_before = max(shared.not_before, not_before)
            self.joins += 1
            if (request := current_request()) is not None:
                request.record_join(shared.started_by)
        assert shared.task is not None  # noqa: S101  set above, or by the request that started it
        shared.waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(shared.task)
        except TimeoutError:
            if shared.in_queue:
                return Throttled.by_gateway(key.target, retry_after_s=1.0)
            return DeadlineExceeded.of(key.target)
        finally:
            shared.waiting -= 1
            if shared.waiting == 0 and not shared.task.done():
                self._forget(key, shared)
                shared.task.cancel()

    async def _run(self, key: K, shared: SharedCall[V]) -> V | GatewayError:
        try:
            answer = await self._fetch(key, shared)
        except (ExecutionNotFound, WorkflowNotFound) as error:
            # A copy, because this one's traceback holds every frame of the call: about 60 KB.
            self._keep(key, shared, error.copy())
            return error
        except GatewayError as error:
            return error
        finally:
            self._forget(key, shared)
        self._keep(key, shared, answer)
        return answer

    def _forget(self, key: K, shared: SharedCall[V]) -> None:
        if self._in_progress.get(key) is shared:
            del self._in_progress[key]

    def _keep(self, key: K, shared: SharedCall[V], outcome: V | _NotFound) -> None:
        kept = self._kept.get(key) or self._not_found.get(key)
        if shared.sent_at is None or (kept is not None and kept.sent_at > shared.sent_at):
            return  # a later call was answered first
        if kept is not None:
            self._kept.discard(key)
            self._not_found.pop(key, None)
        if isinstance(outcome, ExecutionNotFound | WorkflowNotFound):
            self._not_found[key] = _Snapshot(outcome, shared.sent_at)
        else:
            self._kept.put(key, _Snapshot(outcome, shared.sent_at, self._size_of(outcome)))
