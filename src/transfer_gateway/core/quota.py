"""Quotas of each caller: concurrent requests; requests, result rows and AWS calls per second.

Every row is charged, from a snapshot or not. An AWS call is charged to the caller whose request started it: joining a
call or reading a snapshot is free.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cachetools import LRUCache

from transfer_gateway.domain.errors import Throttled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transfer_gateway.domain.caller import Caller
    from transfer_gateway.telemetry.request import Request

_CALLERS_CACHED = 10_000
_RETRY_AFTER_S = 1.0  # when requests in progress will end is unknown


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """Limits of each caller. A burst is how many it may use at once after a pause."""

    requests_per_s: float
    requests_burst: int
    concurrent_requests: int
    rows_per_s: float
    rows_burst: int
    aws_calls_per_s: float
    aws_calls_burst: int
    subscriptions: int

    def part(self, share: float) -> QuotaLimits:
        """Of one of several replicas: what is per second. What is open at once is each replica's own to bound."""
        return replace(
            self,
            requests_per_s=self.requests_per_s * share,
            requests_burst=math.ceil(self.requests_burst * share),
            rows_per_s=self.rows_per_s * share,
            rows_burst=math.ceil(self.rows_burst * share),
            aws_calls_per_s=self.aws_calls_per_s * share,
            aws_calls_burst=math.ceil(self.aws_calls_burst * share),
        )


class Quota:
    """One caller's quota."""

    def __init__(self, limits: QuotaLimits) -> None:
        self._max_in_progress = limits.concurrent_requests
        self._max_subscriptions = limits.subscriptions
        self._in_progress = self._subscriptions = 0
        self._requests = _Allowance(limits.requests_per_s, limits.requests_burst, "requests")
        self._rows = _Allowance(limits.rows_per_s, limits.rows_burst, "rows")
        self._aws_calls = _Allowance(limits.aws_calls_per_s, limits.aws_calls_burst, "calls to AWS")

    def use(self, limits: QuotaLimits) -> None:
        """From now on."""
        self._requests.use(limits.requests_per_s, limits.requests_burst)
        self._rows.use(limits.rows_per_s, limits.rows_burst)
        self._aws_calls.use(limits.aws_calls_per_s, limits.aws_calls_burst)

    def take_request(self, request: Request | None) -> None:
        """Count a request as in progress until it ends. Raises: Throttled."""
        self._requests.take()
        if request is None or request.release is not None:
            return
        if self._in_progress >= self._max_in_progress:
            raise Throttled(
                f"Too many concurrent requests: {self._in_progress}; the limit is {self._max_in_progress}.",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._in_progress += 1
        request.release = self._end_request

    def _end_request(self) -> None:
        self._in_progress -= 1

    @contextmanager
    def subscription(self) -> Iterator[None]:
        """Count a subscription as open meanwhile. Raises: Throttled."""
        if self._subscriptions >= self._max_subscriptions:
            raise Throttled(
                f"Too many open subscriptions: the limit of each caller is {self._max_subscriptions}."
            )
        self._subscriptions += 1
        try:
            yield
        finally:
            self._subscriptions -= 1

    def take_rows(self, count: int) -> None:
        """Charge a response's rows: executions, workflows, accounts, and failures listed with them.

        A request is charged in full: it may exceed the allowance, which later requests then have to wait for. A count
        of 0 only checks. Raises: Throttled.
        """
        self._rows.take(count)

    def charge_rows(self, count: int) -> None:
        """Charge rows that were read already. Never raises, but later requests may be throttled."""
        self._rows.charge(count)

    def take_aws_call(self) -> None:
        """Raises: Throttled."""
        self._aws_calls.take()


# The quota charged for AWS calls that this task starts; None: no limit. Set once per request, and inherited by the
# tasks that the request awaits. A shared task has none: the request that starts it was charged.
CHARGED_QUOTA: ContextVar[Quota | None] = ContextVar("charged_quota", default=None)


class Quotas:
    """The quotas of all callers, created at a caller's first request; least recently used ones are dropped."""

    def __init__(self, limits: QuotaLimits) -> None:
        self._all = self._limits = limits
        self._quotas: LRUCache[str, Quota] = LRUCache(_CALLERS_CACHED)

    def use_share(self, share: float) -> None:
        """Use this part of each caller's limits, as other replicas use the rest."""
        self._limits = self._all.part(share)
        for quota in self._quotas.values():
            quota.use(self._limits)

    def of(self, caller: Caller) -> Quota:
        quota = self._quotas.get(caller.name)
        if quota is None:
            quota = self._quotas[caller.name] = Quota(self._limits)
        return quota


class _Allowance:
    """A rate with a burst. Source: the generic cell rate algorithm (GCRA), as in `rate.py`."""

    def __init__(self, per_s: float, burst: int, unit: str) -> None:
        self.use(per_s, burst)
        self._next_at = 0.0  # when the next unit is due at exactly the rate
        self._unit = unit

    def use(self, per_s: float, burst: int) -> None:
        self._interval_s = 1.0 / per_s
        self._burst_s = self._interval_s * (burst - 1)

    def take(self, count: int = 1) -> None:
        now = asyncio.get_running_loop().time()
        due = max(self._next_at, now)
        if due - now > self._burst_s + 1e-9:
            raise Throttled(
                f"Too many {self._unit}: the limit is {1 / self._interval_s:g} per second.",
                retry_after_s=round(due - now - self._burst_s, 3),
            )
        self._next_at = due + self._interval_s * count

    def charge(self, count: int) -> None:
        self._next_at = max(self._next_at, asyncio.get_running_loop().time()) + self._interval_s * count
