"""How hard each target is asked. Every limit here is per account and region, so that one can't hurt another.

A call waits for its turn (`rate.py`, and calls in flight), is refused at once while the target's breaker is open
(`breaker.py`), and is tried again when AWS throttles or fails (`retry.py`), as long as the request's time and the
target's retry budget allow.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from transfer_gateway.core.breaker import CircuitBreaker
from transfer_gateway.core.rate import OwnLimit, RateLimit
from transfer_gateway.core.retry import RetryBudget, with_retries
from transfer_gateway.domain.errors import DeadlineExceeded
from transfer_gateway.fair_limiter import FairLimiter
from transfer_gateway.telemetry import counter, gauge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.domain.identity import Target

T = TypeVar("T")

_WAITED_S = 0.001  # less is no wait, but the event loop's pace


@dataclass(frozen=True, slots=True)
class PacingLimits:
    """For each target: calls per second, how many at once after a pause, and calls in flight; overall too.

    Overall, slow calls don't count: see `fair_limiter.py`.
    """

    rate_per_s: float
    burst: int
    max_in_flight: int
    max_in_flight_overall: int


class Pacing:
    """The limits of every target, made when it is first asked."""

    def __init__(self, limits: PacingLimits) -> None:
        self._limits = limits
        self._overall = FairLimiter(limits.max_in_flight_overall)
        self._targets: dict[Target, _TargetPace] = {}

    async def call(self, target: Target, ask: Callable[[], Awaitable[T]], *, deadline: float) -> T:
        """What `ask` gives, within the target's limits; `deadline` in the loop's time.

        Raises: Throttled when our own limit would let the call through after the deadline only,
        UpstreamUnavailable while the breaker is open, DeadlineExceeded when AWS takes longer than that,
        else whatever the last attempt raised.
        """
        pace = self._targets.get(target)
        if pace is None:
            pace = self._targets[target] = _TargetPace(target, self._limits, self._overall)
        pace.retries.save()
        return await with_retries(lambda: pace.call(ask, deadline), deadline, pace.retries)

    @staticmethod
    async def prepare(target: Target, get: Callable[[], Awaitable[object]], *, deadline: float) -> None:
        """Get what calls to the target need, tried again as calls are, but at no cost to the target's limits.

        `get` limits itself. Raises: DeadlineExceeded, else whatever the last attempt raised.
        """
        try:
            async with asyncio.timeout_at(deadline):
                await with_retries(get, deadline)
        except TimeoutError as error:
            raise DeadlineExceeded.of(target) from error

    def keep_only(self, targets: set[Target]) -> None:
        """Forget targets that are no longer configured."""
        for target in self._targets.keys() - targets:
            del self._targets[target]

    def collect(self) -> Iterator[Metric]:
        paces = [((target.account_id, target.region), pace) for target, pace in self._targets.copy().items()]
        labels = ("account", "region")
        yield gauge(
            "breaker_open",
            "1 for each target whose circuit breaker is open after consecutive AWS failures.",
            labels,
            {of: 1 for of, pace in paces if pace.breaker.is_open},
        )
        yield counter(
            "breaker_openings",
            "Times that a target's circuit breaker opened.",
            labels,
            {of: pace.breaker.openings for of, pace in paces if pace.breaker.openings},
        )
        yield counter(
            "pacing_waits",
            "AWS calls delayed by the gateway's rate and concurrency limits.",
            labels,
            {of: pace.waits for of, pace in paces if pace.waits},
        )
        yield counter(
            "pacing_wait_seconds",
            "Total delay of these calls.",
            labels,
            {of: pace.waited_s for of, pace in paces if pace.waits},
        )
        yield counter(
            "pacing_refusals",
            "AWS calls rejected because the gateway's limits would have delayed them beyond the request's deadline.",
            labels,
            {of: pace.refusals for of, pace in paces if pace.refusals},
        )
        yield counter(
            "aws_retries",
            "Retries of AWS calls that were throttled or failed.",
            labels,
            {of: pace.retries.spent for of, pace in paces if pace.retries.spent},
        )


class _TargetPace:
    """One target's rate, concurrency, retry budget and breaker. Times are the loop's."""

    __slots__ = (
        "_overall",
        "_rate",
        "_semaphore",
        "_target",
        "breaker",
        "refusals",
        "retries",
        "waited_s",
        "waits",
    )

    def __init__(self, target: Target, limits: PacingLimits, overall: FairLimiter) -> None:
        self._target = target
        self._rate = RateLimit(target, rate_per_s=limits.rate_per_s, burst=limits.burst)
        self._semaphore = asyncio.Semaphore(limits.max_in_flight)
        self._overall = overall
        self.retries = RetryBudget()
        self.breaker = CircuitBreaker(target)
        self.waits, self.waited_s, self.refusals = 0, 0.0, 0

    async def call(self, ask: Callable[[], Awaitable[T]], deadline: float) -> T:
        """Wait for the call's turn, bound the call by the deadline, and tell the breaker how it went."""
        self.breaker.refuse_if_open()
        loop = asyncio.get_running_loop()
        began, waiting = loop.time(), True
        try:
            async with asyncio.timeout_at(deadline), self._semaphore:
                await self._rate.wait(deadline)
                async with self._overall.slot(self._target):
                    waiting = False
                    self._count_wait(loop.time() - began)
                    return await self.breaker.watch(ask, deadline)
        except OwnLimit:
            self.refusals += 1
            raise
        except TimeoutError as error:
            if waiting:
                self.refusals += 1
                raise OwnLimit.by_gateway(self._target, retry_after_s=1.0) from error
            raise DeadlineExceeded.of(self._target) from error
        finally:
            if waiting:
                self._count_wait(loop.time() - began)

    def _count_wait(self, waited_s: float) -> None:
        if waited_s >= _WAITED_S:
            self.waits += 1
            self.waited_s += waited_s
