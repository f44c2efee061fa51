"""Limits on the AWS calls of each target, an account and region, so that one target can't affect another.

A call waits for the rate limit (`rate.py`) and for the limits of concurrent calls, fails fast while the target's
breaker is open (`breaker.py`), and is retried when AWS throttles or fails (`retry.py`) as long as the request's
deadline and the target's retry budget allow.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from transfer_gateway.core.breaker import BreakerOpen, BreakerState, BreakerVersions, CircuitBreaker
from transfer_gateway.core.rate import OwnLimit, RateLimit
from transfer_gateway.core.retry import RetryBudget, with_retries
from transfer_gateway.domain.errors import DeadlineExceeded, GatewayError
from transfer_gateway.fair_limiter import FairLimiter
from transfer_gateway.telemetry import counter, gauge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.domain.identity import Target

T = TypeVar("T")

_WAITED_S = 0.001  # anything less is event loop overhead


@dataclass(frozen=True, slots=True)
class PacingLimits:
    """For each target: calls per second, burst, and concurrent calls; for all targets: concurrent calls.

    Slow calls don't count towards the latter: see `fair_limiter.py`.
    """

    rate_per_s: float
    burst: int
    max_in_flight: int
    max_in_flight_overall: int

    def part(self, share: float) -> PacingLimits:
        """Of one of several that call the same targets. Each may make one call at least."""
        return replace(
            self,
            rate_per_s=self.rate_per_s * share,
            burst=math.ceil(self.burst * share),
            max_in_flight=math.ceil(self.max_in_flight * share),
        )


class Pacing:
    """The limits of every target, created at its first call. `rate_of`: of one target, if it has its own."""

    def __init__(self, limits: PacingLimits, rate_of: Callable[[Target], float] | None = None) -> None:
        self._limits = limits
        self._rate_of = rate_of or (lambda _: limits.rate_per_s)
        self._overall = FairLimiter(limits.max_in_flight_overall)
        self._targets: dict[Target, _TargetPace] = {}
        self._share = 1.0
        self.breaker_versions = BreakerVersions()

    def use_share(self, share: float) -> None:
        """Use this part of each target's limits, as others use the rest."""
        self._share = share
        for target, pace in self._targets.items():
            pace.use(self._limits_of(target))

    async def call(self, target: Target, send: Callable[[], Awaitable[T]], *, deadline: float) -> T:
        """Run `send` within the target's limits; `deadline` in the loop's time.

        Raises: Throttled if our own limits would delay the call beyond the deadline, UpstreamUnavailable while the
        breaker is open, DeadlineExceeded if AWS has not answered by the deadline; otherwise the last attempt's error.
        """
        pace = self._targets.get(target)
        if pace is None:
            pace = self._targets[target] = self._new_pace(target)
        pace.retries.save()
        return await with_retries(lambda: pace.call(send, deadline), deadline, pace.retries)

    def _new_pace(self, target: Target) -> _TargetPace:
        return _TargetPace(target, self._limits_of(target), self._overall, self.breaker_versions)

    def breaker_states(self) -> dict[Target, BreakerState]:
        """Of those that other replicas are to know of."""
        states = ((target, pace.breaker.state()) for target, pace in self._targets.items())
        return {target: state for target, state in states if state is not None}

    def adopt_breaker(self, target: Target, state: BreakerState) -> None:
        """Another replica's. One of a target that has not been called here yet is told again."""
        self.breaker_versions.note(state.version.number)
        if (pace := self._targets.get(target)) is not None:
            pace.breaker.adopt(state)

    def _limits_of(self, target: Target) -> PacingLimits:
        return replace(self._limits, rate_per_s=self._rate_of(target)).part(self._share)

    @staticmethod
    async def prepare(target: Target, get: Callable[[], Awaitable[object]], *, deadline: float) -> None:
        """Run a prerequisite of calls, with retries but outside the target's limits: `get` limits itself.

        Raises: DeadlineExceeded, otherwise the last attempt's error.
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
        "_answers",
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

    def __init__(
        self, target: Target, limits: PacingLimits, overall: FairLimiter, versions: BreakerVersions
    ) -> None:
        self._target = target
        self._rate = RateLimit(target, rate_per_s=limits.rate_per_s, burst=limits.burst)
        self._semaphore = asyncio.Semaphore(limits.max_in_flight)
        self._overall = overall
        self.retries = RetryBudget()
        self.breaker = CircuitBreaker(target, versions)
        self.waits, self.waited_s, self.refusals = 0, 0.0, 0
        self._answers = 0  # of AWS, errors included

    def use(self, limits: PacingLimits) -> None:
        """From now on; what is in flight stays so."""
        self._rate.use(limits.rate_per_s, limits.burst)
        self._semaphore = asyncio.Semaphore(limits.max_in_flight)

    async def call(self, send: Callable[[], Awaitable[T]], deadline: float) -> T:
        """Wait for the limits, then make the call through the breaker, both until the deadline."""
        self.breaker.refuse_if_open()
        loop = asyncio.get_running_loop()
        started, waiting, answers = loop.time(), True, self._answers
        try:
            async with asyncio.timeout_at(deadline), self._semaphore:
                await self._rate.wait(deadline)
                async with self._overall.slot(self._target):
                    waiting = False
                    self._count_wait(loop.time() - started)
                    answer = await self.breaker.call(send, deadline)
                    self._answers += 1
                    return answer
        except OwnLimit:
            self.refusals += 1
            raise
        except GatewayError as error:
            self._answers += not isinstance(error, BreakerOpen)
            raise
        except TimeoutError as error:
            if waiting and self.breaker.has_failed and self._answers == answers:
                # The calls in the way get no answer: that is not the limit's doing.
                raise DeadlineExceeded.of(self._target) from error
            if waiting:
                self.refusals += 1
                raise OwnLimit.by_gateway(self._target, retry_after_s=1.0) from error
            raise DeadlineExceeded.of(self._target) from error
        finally:
            if waiting:
                self._count_wait(loop.time() - started)

    def _count_wait(self, waited_s: float) -> None:
        if waited_s >= _WAITED_S:
            self.waits += 1
            self.waited_s += waited_s
