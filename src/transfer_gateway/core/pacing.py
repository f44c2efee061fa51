"""How hard each target is asked. Every limit here is per account and region, so that one can't hurt another.

A call waits for its turn (rate, calls in flight), is refused at once while the target's breaker is open, and
is tried again when AWS throttles or fails, as long as the request's time and the target's retry budget allow.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from transfer_gateway.domain.errors import DeadlineExceeded, GatewayError, Throttled, UpstreamUnavailable
from transfer_gateway.fair_limiter import FairLimiter
from transfer_gateway.telemetry import counter, gauge, get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.domain.identity import Target

T = TypeVar("T")
_log = get_logger(__name__)

_MAX_ATTEMPTS = 4
_BACKOFF = wait_random_exponential(multiplier=0.1, max=2.0)  # full jitter: anything from 0 to 0.1 s · 2^n
_RETRIES_PER_CALL, _MAX_SAVED_RETRIES = 0.1, 10.0
_BREAKER_FAILURES = 5
_BREAKER_S = (0.5, 5.0)  # first time open, and longest
_WAITED_S = 0.001  # less is no wait, but the event loop's pace
_RESOLUTION_S = 0.001  # of the loop's timers
_PATIENCE_S = 2.0  # a call that is given up after this long counts as a failure of AWS's


@dataclass(frozen=True, slots=True)
class PacingLimits:
    """For each target: calls per second, how many at once after a pause, and calls in flight; overall too.

    Overall, slow calls don't count: see `fair_limiter.py`.
    """

    rate_per_s: float
    burst: int
    max_in_flight: int
    max_in_flight_overall: int


class _OwnLimit(Throttled):
    """Our own limit, not AWS's: trying again here would only wait longer."""


class _BreakerOpen(UpstreamUnavailable):
    """We did not ask AWS: it has failed too often a moment ago."""


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
        pace.save_for_a_retry()

        def give_up(state: RetryCallState) -> bool:
            return _too_late(state, deadline) or state.attempt_number >= _MAX_ATTEMPTS or not pace.may_retry()

        return await _tried(lambda: pace.call(ask, deadline), give_up)

    @staticmethod
    async def prepare(target: Target, get: Callable[[], Awaitable[object]], *, deadline: float) -> None:
        """Get what calls to the target need, tried again as calls are, but at no cost to the target's limits.

        `get` limits itself. Raises: DeadlineExceeded, else whatever the last attempt raised.
        """

        def give_up(state: RetryCallState) -> bool:
            return _too_late(state, deadline) or state.attempt_number >= _MAX_ATTEMPTS

        try:
            async with asyncio.timeout_at(deadline):
                await _tried(get, give_up)
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
            "1 for each target that is left alone, since AWS has failed there too often in a row.",
            labels,
            {of: 1 for of, pace in paces if pace.breaker.is_open},
        )
        yield counter(
            "breaker_openings",
            "How often a target's breaker opened.",
            labels,
            {of: pace.breaker.openings for of, pace in paces if pace.breaker.openings},
        )
        yield counter(
            "pacing_waits",
            "Calls that waited for our own limits of rate and of calls in flight.",
            labels,
            {of: pace.waits for of, pace in paces if pace.waits},
        )
        yield counter(
            "pacing_wait_seconds",
            "The time that these calls waited, together.",
            labels,
            {of: pace.waited_s for of, pace in paces if pace.waits},
        )
        yield counter(
            "pacing_refusals",
            "Calls refused by our own limits: they would have waited beyond their request's time.",
            labels,
            {of: pace.refusals for of, pace in paces if pace.refusals},
        )
        yield counter(
            "aws_retries",
            "Calls that were made again, since AWS had throttled or failed them.",
            labels,
            {of: pace.retries for of, pace in paces if pace.retries},
        )


async def _tried(ask: Callable[[], Awaitable[T]], give_up: Callable[[RetryCallState], bool]) -> T:
    """What `ask` gives, asked again where that may help. Only what has failed costs tenacity's 50 µs a call."""
    try:
        return await ask()
    except (Throttled, UpstreamUnavailable) as error:
        failed: GatewayError | None = error

    async def go_on() -> T:
        nonlocal failed
        if failed is not None:  # the first attempt, as tenacity is to count it
            first, failed = failed, None
            raise first
        return await ask()

    return await AsyncRetrying(retry=_RETRY, wait=_wait, stop=give_up, reraise=True)(go_on)


_RETRY = retry_if_exception(
    lambda error: (
        isinstance(error, Throttled | UpstreamUnavailable) and not isinstance(error, _OwnLimit | _BreakerOpen)
    )
)


def _too_late(state: RetryCallState, deadline: float) -> bool:
    return asyncio.get_running_loop().time() + state.upcoming_sleep >= deadline


def _wait(state: RetryCallState) -> float:
    """Full jitter, and no less than AWS asks for."""
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.retry_after_s if isinstance(error, GatewayError) else None
    return max(asked_s or 0.0, _BACKOFF(state))


class _TargetPace:
    """One target's rate, concurrency, retry budget and breaker. Times are the loop's."""

    __slots__ = (
        "_burst_s",
        "_head_of_line",
        "_in_line",
        "_interval_s",
        "_next_at",
        "_overall",
        "_saved_retries",
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
        self._interval_s = 1.0 / limits.rate_per_s
        self._burst_s = self._interval_s * (limits.burst - 1)
        self._next_at = 0.0  # when the next call would be due if calls came exactly at the rate (GCRA)
        self._head_of_line = asyncio.Lock()
        self._in_line = 0
        self._semaphore = asyncio.Semaphore(limits.max_in_flight)
        self._overall = overall
        self._saved_retries = _MAX_SAVED_RETRIES
        self.breaker = _Breaker(target)
        self.waits, self.waited_s, self.refusals, self.retries = 0, 0.0, 0, 0

    def save_for_a_retry(self) -> None:
        self._saved_retries = min(_MAX_SAVED_RETRIES, self._saved_retries + _RETRIES_PER_CALL)

    def may_retry(self) -> bool:
        """Spend one retry, if one is saved: a target that fails all its calls is asked 1.1 times as often."""
        if self._saved_retries < 1:
            return False
        self._saved_retries -= 1
        self.retries += 1
        return True

    async def call(self, ask: Callable[[], Awaitable[T]], deadline: float) -> T:
        """Wait for the call's turn, bound the call by the deadline, and tell the breaker how it went."""
        self.breaker.refuse_if_open()
        loop = asyncio.get_running_loop()
        began, waiting = loop.time(), True
        try:
            async with asyncio.timeout_at(deadline), self._semaphore:
                await self._wait_for_the_rate(deadline)
                async with self._overall.hold(self._target):
                    waiting = False
                    self._count_wait(loop.time() - began)
                    return await self.breaker.watch(ask, deadline)
        except TimeoutError as error:
            if waiting:
                raise self._refusal(retry_after_s=1.0) from error
            raise DeadlineExceeded.of(self._target) from error
        finally:
            if waiting:
                self._count_wait(loop.time() - began)

    async def _wait_for_the_rate(self, deadline: float) -> None:
        """First come, first served. A slot is spent on going, not on waiting: who leaves the line costs none."""
        now = asyncio.get_running_loop().time()
        wait_s = self._left_s(now) + self._in_line * self._interval_s
        if wait_s <= 0 and not self._in_line:
            self._next_at = max(self._next_at, now) + self._interval_s
            return
        if now + wait_s > deadline:
            raise self._refusal(retry_after_s=wait_s)
        self._in_line += 1
        try:
            async with self._head_of_line:
                now = asyncio.get_running_loop().time()
                wait_s, due_at = self._left_s(now), max(self._next_at, now)
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                self._next_at = due_at + self._interval_s
        finally:
            self._in_line -= 1

    def _refusal(self, *, retry_after_s: float) -> Throttled:
        self.refusals += 1
        return _OwnLimit.by_gateway(self._target, retry_after_s=retry_after_s)

    def _count_wait(self, waited_s: float) -> None:
        if waited_s >= _WAITED_S:
            self.waits += 1
            self.waited_s += waited_s

    def _left_s(self, now: float) -> float:
        """Until the next slot; none if negative."""
        return max(self._next_at, now) - self._burst_s - now


class _Breaker:
    """Opens after so many failures in a row; then lets one probe through at a time, ever more rarely."""

    __slots__ = ("_failures", "_open_for_s", "_open_until", "_probing", "_target", "openings")

    def __init__(self, target: Target) -> None:
        self._target = target
        self._failures = 0
        self._open_until = 0.0
        self._open_for_s = 0.0
        self._probing = False
        self.openings = 0

    @property
    def is_open(self) -> bool:
        """Until a probe is answered."""
        return self._failures >= _BREAKER_FAILURES

    def refuse_if_open(self) -> None:
        """Raises: UpstreamUnavailable, with the time after which a probe may go."""
        if not self.is_open:
            return
        left_s = self._open_until - asyncio.get_running_loop().time()
        if left_s > 0 or self._probing:
            raise _BreakerOpen(
                f"AWS has failed {self._failures} times in a row for {self._target.place}, "
                "so it is left alone for a while.",
                account_id=self._target.account_id,
                region=self._target.region,
                retry_after_s=max(left_s, 0.1),
            )

    async def watch(self, ask: Callable[[], Awaitable[T]], deadline: float) -> T:
        """One call, which is ended at the deadline. Refused if the breaker has opened while it waited for its turn."""
        self.refuse_if_open()
        probe = self._probing = self.is_open
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            answer = await ask()
        except (Throttled, UpstreamUnavailable):
            self._failed(probe=probe)
            raise
        except GatewayError:  # an answer all the same
            self._answered()
            raise
        except asyncio.CancelledError:
            now = loop.time()
            if now >= deadline - _RESOLUTION_S or now - started > _PATIENCE_S:
                self._failed(probe=probe)
            raise
        finally:
            if probe:
                self._probing = False
        self._answered()
        return answer

    def _failed(self, *, probe: bool) -> None:
        self._failures += 1
        # Calls that were under way when it opened say nothing new: only a probe's failure keeps it open longer.
        if self._failures != _BREAKER_FAILURES and not (probe and self._failures > _BREAKER_FAILURES):
            return
        self.openings += not probe
        first_s, longest_s = _BREAKER_S
        self._open_for_s = min(longest_s, self._open_for_s * 2 or first_s)
        self._open_until = asyncio.get_running_loop().time() + self._open_for_s
        _log.warning(
            "breaker_opened",
            account=self._target.account_id,
            region=self._target.region,
            failures=self._failures,
            for_s=self._open_for_s,
        )

    def _answered(self) -> None:
        if self.is_open:
            _log.info("breaker_closed", account=self._target.account_id, region=self._target.region)
        self._failures, self._open_for_s = 0, 0.0
