"""What one caller may ask for: requests at a time; each second requests, rows of answers, and calls to AWS.

Every row is charged, whatever it was answered from. Calls to AWS are charged to whoever began them: sharing a call or
reading a snapshot costs none.
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
    from transfer_gateway.telemetry.request import Request

_CALLERS_REMEMBERED = 10_000
_AGAIN_AFTER_S = 1.0  # where nobody knows when one of those under way ends


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """For each caller. A burst is what it may ask for at once after a pause."""

    requests_per_s: float
    requests_burst: int
    concurrent_requests: int
    rows_per_s: float
    rows_burst: int
    aws_calls_per_s: float
    aws_calls_burst: int


class Quota:
    """One caller's."""

    def __init__(self, limits: QuotaLimits) -> None:
        self._max_under_way = limits.concurrent_requests
        self._under_way = 0
        self._requests = _Allowance(limits.requests_per_s, limits.requests_burst, "requests")
        self._rows = _Allowance(limits.rows_per_s, limits.rows_burst, "rows")
        self._aws_calls = _Allowance(limits.aws_calls_per_s, limits.aws_calls_burst, "calls to AWS")

    def take_request(self, request: Request | None) -> None:
        """It counts as under way until its end. Raises: Throttled."""
        self._requests.take()
        if request is None or request.release is not None:
            return
        if self._under_way >= self._max_under_way:
            raise Throttled(
                f"Too many concurrent requests: {self._under_way}; the limit is {self._max_under_way}.",
                retry_after_s=_AGAIN_AFTER_S,
            )
        self._under_way += 1
        request.release = self._leave

    def _leave(self) -> None:
        self._under_way -= 1

    def take_rows(self, count: int) -> None:
        """Charge rows of an answer: executions, workflows, accounts, and failures beside them.

        Rows are charged whole: the last request before a refusal may go beyond the allowance, and later ones wait for
        it. A count of 0 only asks. Raises: Throttled.
        """
        self._rows.take(count)

    def owe_rows(self, count: int) -> None:
        """The same for rows that are there already: they are not refused, but what comes next may be."""
        self._rows.owe(count)

    def take_aws_call(self) -> None:
        """Raises: Throttled."""
        self._aws_calls.take()


# Who pays for the calls to AWS that this task begins; None: nobody who is limited. Set once for each request, and
# inherited by the tasks that the request waits for. A shared task has none: whoever starts it has paid.
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

    def take(self, count: int = 1) -> None:
        now = asyncio.get_running_loop().time()
        due = max(self._next_at, now)
        if due - now > self._burst_s + 1e-9:
            raise Throttled(
                f"Too many {self._what}: the limit is {1 / self._interval_s:g} per second.",
                retry_after_s=round(due - now - self._burst_s, 3),
            )
        self._next_at = due + self._interval_s * count

    def owe(self, count: int) -> None:
        self._next_at = max(self._next_at, asyncio.get_running_loop().time()) + self._interval_s * count
