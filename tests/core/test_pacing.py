"""Pacing: limits, retries and circuit breaker of each target, independent of other targets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from transfer_gateway.core.pacing import Pacing, PacingLimits
from transfer_gateway.domain.errors import (
    AccessDenied,
    DeadlineExceeded,
    GatewayError,
    Throttled,
    UpstreamUnavailable,
)
from transfer_gateway.domain.identity import AccountId, Region, Target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.made_up_time
HERE = Target(AccountId("111111111111"), Region("eu-west-1"))
THERE = Target(AccountId("111111111111"), Region("us-east-1"))


def pacing(
    rate_per_s: float = 1000, burst: int = 1000, max_in_flight: int = 100, overall: int = 1000
) -> Pacing:
    return Pacing(PacingLimits(rate_per_s, burst, max_in_flight, overall))


def now() -> float:
    return asyncio.get_running_loop().time()


class Aws:
    """Returns the given outcomes, then "ok"; counts its calls."""

    def __init__(self, *outcomes: GatewayError, takes_s: float = 0.0) -> None:
        self._outcomes = list(outcomes)
        self._takes_s = takes_s
        self.calls = self.at_once = self.most_at_once = 0

    async def __call__(self) -> str:
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self._takes_s)
            if self._outcomes:
                raise self._outcomes.pop(0)
            return "ok"
        finally:
            self.at_once -= 1


async def code(
    pace: Pacing, ask: Callable[[], Awaitable[str]], target: Target = HERE, within_s: float = 10
) -> str:
    try:
        return await pace.call(target, ask, deadline=now() + within_s)
    except GatewayError as error:
        return error.code


async def test_rate() -> None:
    """After the burst, calls follow the rate, which determines how long 30 take."""
    pace, aws, started = pacing(rate_per_s=100, burst=10), Aws(), now()
    await asyncio.gather(*(code(pace, aws) for _ in range(30)))
    assert now() - started >= 0.19


async def test_who_leaves_the_line_costs_no_slot() -> None:
    """Callers that leave while waiting for the rate use none of it; the others still keep to it."""
    pace, aws = pacing(rate_per_s=20, burst=1), Aws()
    await code(pace, aws)
    leaving = [asyncio.create_task(code(pace, aws, within_s=60)) for _ in range(90)]
    started, staying = now(), []
    for number, task in enumerate(leaving):
        await asyncio.sleep(0)
        if number % 18 == 0:
            staying.append(task)
        else:
            task.cancel()
    staying += [asyncio.create_task(code(pace, aws, within_s=60)) for _ in range(5)]
    assert await asyncio.gather(*staying) == ["ok"] * 10
    assert 9.5 / 20 < now() - started < 2


async def test_no_room_within_the_time() -> None:
    """A call that our rate limit would delay past the deadline is THROTTLED at once, with the delay."""
    pace, aws, started = pacing(rate_per_s=1, burst=2), Aws(), now()
    assert [await code(pace, aws, within_s=0.5) for _ in range(3)] == ["ok", "ok", "THROTTLED"]
    with pytest.raises(Throttled) as refused:
        await pace.call(HERE, aws, deadline=now() + 0.5)
    assert refused.value.retry_after_s is not None
    assert 0.5 < refused.value.retry_after_s <= 1
    assert now() - started < 0.4
    assert aws.calls == 2


async def test_in_flight() -> None:
    """Concurrent calls are limited per target and overall."""
    aws = Aws(takes_s=0.01)
    await asyncio.gather(*(code(pacing_, aws) for pacing_ in [pacing(max_in_flight=3)] for _ in range(20)))
    assert aws.most_at_once == 3
    aws, pace = Aws(takes_s=0.01), pacing(max_in_flight=10, overall=4)
    await asyncio.gather(*(code(pace, aws, target) for target in (HERE, THERE) for _ in range(10)))
    assert aws.most_at_once == 4


async def test_no_place_within_the_time() -> None:
    """Waiting past the deadline for the target's concurrency limit is THROTTLED, too."""
    pace, slow = pacing(max_in_flight=1), Aws(takes_s=5)
    first = asyncio.create_task(code(pace, slow, within_s=0.3))
    await asyncio.sleep(0)
    assert await code(pace, slow, within_s=0.05) == "THROTTLED"
    assert await first == "DEADLINE_EXCEEDED"


async def test_no_overall_place_within_the_time() -> None:
    """So is waiting for the overall limit; the target's breaker stays closed."""
    pace, busy = pacing(overall=1), Aws(takes_s=0.4)
    first = asyncio.create_task(code(pace, busy, THERE))
    await asyncio.sleep(0)
    assert {await code(pace, Aws(), within_s=0.01) for _ in range(10)} == {"THROTTLED"}
    with pytest.raises(Throttled) as refused:
        await pace.call(HERE, Aws(), deadline=now() + 0.01)
    assert refused.value.retry_after_s == 1.0
    assert await first == "ok"
    assert await code(pace, Aws()) == "ok"


@pytest.mark.parametrize("sick", [16, 200])
async def test_hanging_targets_leave_the_overall_limit_to_others(sick: int) -> None:
    """However many targets hang, with all the calls allowed, a healthy one is served."""
    pace, hanging = pacing(max_in_flight=16, overall=256), Aws(takes_s=60)
    targets = [Target(AccountId(f"{number:012}"), HERE.region) for number in range(sick)]
    busy = [asyncio.create_task(code(pace, hanging, target)) for target in targets for _ in range(20)]
    await asyncio.sleep(0.05)
    started = now()
    assert await asyncio.gather(*(code(pace, Aws()) for _ in range(5))) == ["ok"] * 5
    assert now() - started < 2
    for task in busy:
        task.cancel()
    await asyncio.wait(busy)


@pytest.mark.parametrize("error", [Throttled, UpstreamUnavailable])
async def test_retries(error: type[GatewayError]) -> None:
    """Transient failures are retried, up to four attempts in all."""
    aws = Aws(*(error("") for _ in range(3)))
    assert await code(pacing(), aws) == "ok"
    assert aws.calls == 4
    aws = Aws(*(error("last" if n == 3 else "") for n in range(10)))
    assert await code(pacing(), aws) == error.code
    assert aws.calls == 4


@pytest.mark.parametrize("error", [AccessDenied, DeadlineExceeded])
async def test_no_retries(error: type[GatewayError]) -> None:
    """Permanent failures are not retried."""
    aws = Aws(error(""))
    assert await code(pacing(), aws) == error.code
    assert aws.calls == 1


async def test_retries_end_with_the_time() -> None:
    """A retry that would start after the deadline is skipped: the failure is returned at once."""
    started = now()
    assert await code(pacing(), Aws(Throttled("", retry_after_s=5)), within_s=1) == "THROTTLED"
    assert now() - started < 0.5


async def test_retry_budget() -> None:
    """A target that fails every call does not get four times as many."""
    pace, aws = pacing(), Aws(*(AccessDenied("") for _ in range(10_000)))
    calls = 0
    for _ in range(100):  # each a failure, then an answer, so that the breaker stays closed
        aws = Aws(UpstreamUnavailable(""), AccessDenied(""))
        await code(pace, aws)
        calls += aws.calls
    assert calls <= 100 + 10 + 100 * 0.1


async def test_breaker_opens_and_closes() -> None:
    """After five consecutive failures calls are rejected; a single probe detects when AWS is back."""
    pace = pacing()
    down = Aws(*(UpstreamUnavailable("") for _ in range(1000)))
    while down.calls < 5:
        await code(pace, down)
    asked = down.calls
    assert {await code(pace, down) for _ in range(50)} == {"UPSTREAM_UNAVAILABLE"}
    assert down.calls == asked

    with pytest.raises(UpstreamUnavailable) as refused:
        await pace.call(HERE, down, deadline=now() + 5)
    assert refused.value.retry_after_s is not None
    await asyncio.sleep(refused.value.retry_after_s)
    back = Aws(takes_s=0.05)
    probes = await asyncio.gather(*(code(pace, back) for _ in range(20)))
    assert sorted(probes) == ["UPSTREAM_UNAVAILABLE"] * 19 + ["ok"]
    assert back.calls == 1
    assert await asyncio.gather(*(code(pace, back) for _ in range(20))) == ["ok"] * 20


async def test_a_cancelled_probe_is_none() -> None:
    """A probe whose caller leaves does not keep the breaker half-open."""
    pace, down = pacing(), Aws(*(UpstreamUnavailable("") for _ in range(1000)))
    while down.calls < 5:
        await code(pace, down)
    await asyncio.sleep(1.1)
    probe = asyncio.create_task(code(pace, Aws(takes_s=10)))
    await asyncio.sleep(0.01)
    probe.cancel()
    await asyncio.wait([probe])
    assert await code(pace, Aws()) == "ok"


async def test_a_burst_of_failures_opens_the_breaker_once() -> None:
    """Concurrent failures open the breaker for its initial time; a failed probe doubles that."""
    pace, down = pacing(), Aws(*(UpstreamUnavailable("") for _ in range(1000)), takes_s=0.05)
    await asyncio.gather(*(code(pace, down) for _ in range(16)))
    assert 0 < await open_for_s(pace) <= 0.5
    await asyncio.sleep(0.5)
    await code(pace, down)  # the probe
    assert 0.5 < await open_for_s(pace) <= 1.0


async def open_for_s(pace: Pacing) -> float:
    """How long the breaker stays open, by its error."""
    with pytest.raises(UpstreamUnavailable) as refused:
        await pace.call(HERE, Aws(), deadline=now() + 10)
    return refused.value.retry_after_s or 0.0


async def test_answers_keep_the_breaker_closed() -> None:
    """A denial or a not-found is a response: AWS is up."""
    pace = pacing()
    for _ in range(20):
        assert await code(pace, Aws(AccessDenied(""))) == "ACCESS_DENIED"
    assert await code(pace, Aws()) == "ok"


async def test_targets_share_nothing() -> None:
    """One target throttled, at its limits and failing: another region of the same account is not affected."""
    pace = pacing(rate_per_s=20, burst=5, max_in_flight=2)
    down = Aws(*(Throttled("") for _ in range(1000)))
    busy = [asyncio.create_task(code(pace, down, HERE, within_s=2)) for _ in range(20)]
    await asyncio.sleep(0.05)
    started = now()
    assert [await code(pace, Aws(), THERE) for _ in range(5)] == ["ok"] * 5
    assert now() - started < 0.2
    await asyncio.gather(*busy)
