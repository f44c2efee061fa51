"""What one caller may ask for: so many requests, and so many calls to AWS on its account, a second.

Whoever shares a flight or is served a snapshot spends nothing: the call is charged to whoever began it.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import LRUCache

from transfer_gateway.domain.errors import Throttled

if TYPE_CHECKING:
    from transfer_gateway.domain.caller import Caller

_CALLERS_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """For each caller. A burst is what it may ask for at once after a pause."""

    requests_per_s: float
    requests_burst: int
    aws_calls_per_s: float
    aws_calls_burst: int


class Quota:
    """One caller's."""

    def __init__(self, limits: QuotaLimits) -> None:
        self._requests = _Allowance(limits.requests_per_s, limits.requests_burst, "requests")
        self._aws_calls = _Allowance(limits.aws_calls_per_s, limits.aws_calls_burst, "calls to AWS")

    def take_request(self) -> None:
        """Raises: Throttled."""
        self._requests.take()

    def take_aws_call(self) -> None:
        """Raises: Throttled."""
        self._aws_calls.take()


# Whose request this task, or the task that began it, answers; None: nobody's who is limited.
PAYING: ContextVar[Quota | None] = ContextVar("paying", default=None)


class Quotas:
    """Every caller's, made when it first asks; those that have not asked for longest are forgotten."""

    def __init__(self, limits: QuotaLimits) -> None:
        self._limits = limits
        self._quotas: LRUCache[str, Quota] = LRUCache(_CALLERS_REMEMBERED)

    def of(self, caller: Caller) -> Quota:
        quota = self._quotas.get(caller.name)
        if quota is None:
            quota = self._quotas[caller.name] = Quota(self._limits)
        return quota


class _Allowance:
    """A rate with a burst. Source: the generic cell rate algorithm; see `pacing.py`."""

    def __init__(self, per_s: float, burst: int, what: str) -> None:
        self._interval_s = 1.0 / per_s
        self._burst_s = self._interval_s * (burst - 1)
        self._next_at = 0.0  # when the next would be due if all came exactly at the rate
        self._what = what

    def take(self) -> None:
        now = asyncio.get_running_loop().time()
        due = max(self._next_at, now)
        if due - now > self._burst_s + 1e-9:
            raise Throttled(
                f"You have made too many {self._what}: {1 / self._interval_s:g} a second are allowed.",
                retry_after_s=round(due - now - self._burst_s, 3),
            )
        self._next_at = due + self._interval_s
