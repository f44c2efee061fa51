"""AWS's answers, kept while a caller may accept their age, and the calls under way, shared by all who ask the same.

- A caller that accepts an answer of a certain age gets a snapshot of that age, without a call.
- Otherwise it joins the call under way for the same question, if that call is young enough, or starts one.
- Not-found is kept too, briefly and apart: AWS may learn of an id that it didn't know a moment ago, and lookups of
  unknown ids must not push out answers that others want.
- Age counts from when AWS was asked, so `max_age_s=0` never gets an answer older than the request. It is counted by the
  `Clock`, deadlines are in the loop's time.
- A call that nobody waits for any more is cancelled.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from cachetools import TTLCache

from transfer_gateway.core.quota import PAYING
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


class Question(Protocol):
    """What is asked about: equal questions have equal answers, and each concerns one target."""

    @property
    def target(self) -> Target: ...
    def __hash__(self) -> int: ...


K = TypeVar("K", bound=Question)
V = TypeVar("V")
T = TypeVar("T")

_NotFound = ExecutionNotFound | WorkflowNotFound
_NOT_FOUND_FOR_S = 5.0
_NOT_FOUND_MAX_ENTRIES = 5000  # some 10 MB


@dataclass(frozen=True, slots=True)
class _Snapshot(Generic[T]):
    """AWS's answer; `asked_at` is in the clock's time."""

    outcome: T
    asked_at: float
    size_bytes: int = 0


@dataclass(slots=True)
class Flight(Generic[V]):
    """One question to AWS.

    Whoever carries it out calls `queued` when the call begins to wait for our own limits, and `sent` with the clock's
    time when it goes out, at each attempt. `began_by` is the request that is charged for the call, logged with it and
    traced as its parent; those that join share the answer and pay nothing.
    """

    began_by: Request | None
    asked_at: float | None = None
    in_queue: bool = False
    waiting: int = 0
    task: asyncio.Task[V | GatewayError] | None = None

    def queued(self) -> None:
        self.in_queue = True

    def sent(self, at: float) -> None:
        self.in_queue = False
        self.asked_at = at


class Snapshots(Generic[K, V]):
    """Answers by question, least recently used out first. `ask` puts a question to AWS.

    Bounds: `max_entries`, and about `max_bytes` of memory, by what `size_of` says of an answer.
    """

    def __init__(
        self,
        ask: Callable[[K, Flight[V]], Awaitable[V]],
        shared_tasks: SharedTasks,
        clock: Clock,
        *,
        size_of: Callable[[V], int],
        max_entries: int,
        max_bytes: int,
    ) -> None:
        self._ask = ask
        self._tasks = shared_tasks
        self.now = clock.now
        self._size_of = size_of
        least_bytes = max_bytes // max_entries  # counting each entry as at least this bounds their number too
        self._kept: SizedLru[K, _Snapshot[V]] = SizedLru(
            max_bytes, lambda snapshot: max(least_bytes, snapshot.size_bytes)
        )
        self._not_found: TTLCache[K, _Snapshot[_NotFound]] = TTLCache(
            _NOT_FOUND_MAX_ENTRIES, _NOT_FOUND_FOR_S, timer=clock.now
        )
        self._flying: dict[K, Flight[V]] = {}
        self.hits = self.joins = self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """About the memory that they take."""
        return self._kept.size

    async def get(self, key: K, *, max_age_s: float, deadline: float) -> V:
        """AWS's answer, no older than `max_age_s`.

        Raises: GatewayError; DeadlineExceeded ends this caller's wait, not the flight of others.
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
            # A flight that others began may run out of their time before it runs out of ours.
            if not isinstance(outcome, DeadlineExceeded) or loop.time() >= deadline:
                raise outcome.copy()

    def peek(self, key: K, *, max_age_s: float, at: float | None = None) -> V | None:
        """AWS's answer, if it is here and no older, now or at that time of the clock; None for not-found.

        Whoever uses it counts it in `hits`. Unlike `get`, it needs no coroutine.
        """
        kept = self._kept.get(key)
        if kept is None or not kept.asked_at >= (self.now() if at is None else at) - max_age_s:  # NaN: no
            return None
        return kept.outcome

    def _fresh(self, key: K, not_before: float) -> _Snapshot[V] | _Snapshot[_NotFound] | None:
        kept: _Snapshot[V] | _Snapshot[_NotFound] | None = self._kept.get(key)
        if kept is None:
            kept = self._not_found.get(key)
        return None if kept is None or kept.asked_at < not_before else kept

    async def _join(self, key: K, not_before: float, deadline: float) -> V | GatewayError:
        flight = self._flying.get(key)
        if flight is None or (flight.asked_at is not None and flight.asked_at < not_before):
            paying = PAYING.get()
            if paying is not None:
                paying.take_aws_call()
            flight = self._flying[key] = Flight(current_request())
            flight.task = self._tasks.start(
                self._fly(key, flight), name=f"ask about {key}", context=context_of(flight.began_by)
            )
            self.misses += 1
        else:
            self.joins += 1
            if (request := current_request()) is not None:
                request.record_join(flight.began_by)
        assert flight.task is not None  # noqa: S101  set by the line above, or by whoever began it
        flight.waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(flight.task)
        except TimeoutError:
            if flight.in_queue:
                return Throttled.by_gateway(key.target, retry_after_s=1.0)
            return DeadlineExceeded.of(key.target)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                self._land(key, flight)
                flight.task.cancel()

    async def _fly(self, key: K, flight: Flight[V]) -> V | GatewayError:
        try:
            answer = await self._ask(key, flight)
        except (ExecutionNotFound, WorkflowNotFound) as error:
            # As a new object: this one's traces hold every frame of the call, some 60 KB.
            self._keep(key, flight, error.copy())
            return error
        except GatewayError as error:
            return error
        finally:
            self._land(key, flight)
        self._keep(key, flight, answer)
        return answer

    def _land(self, key: K, flight: Flight[V]) -> None:
        if self._flying.get(key) is flight:
            del self._flying[key]

    def _keep(self, key: K, flight: Flight[V], outcome: V | _NotFound) -> None:
        kept = self._kept.get(key) or self._not_found.get(key)
        if flight.asked_at is None or (kept is not None and kept.asked_at > flight.asked_at):
            return  # a younger call was answered first
        if kept is not None:
            self._kept.discard(key)
            self._not_found.pop(key, None)
        if isinstance(outcome, ExecutionNotFound | WorkflowNotFound):
            self._not_found[key] = _Snapshot(outcome, flight.asked_at)
        else:
            self._kept.put(key, _Snapshot(outcome, flight.asked_at, self._size_of(outcome)))
