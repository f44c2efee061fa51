"""Retries of AWS calls: when, how often, and within which budget."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from transfer_gateway.backoff import Backoff
from transfer_gateway.core.breaker import BreakerOpen
from transfer_gateway.core.rate import OwnLimit
from transfer_gateway.domain.errors import GatewayError, Throttled, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_MAX_ATTEMPTS = 4
_BACKOFF = Backoff(first_s=0.1, max_s=2.0, jitter=(0.0, 1.0))  # full jitter
_RETRIES_PER_CALL, _MAX_SAVED_RETRIES = 0.1, 10.0
_RETRY = retry_if_exception(
    lambda error: (
        isinstance(error, Throttled | UpstreamUnavailable) and not isinstance(error, OwnLimit | BreakerOpen)
    )
)


class RetryBudget:
    """Each call earns a tenth of a retry, so a target whose calls all fail gets at most 1.1 times the calls."""

    __slots__ = ("_saved", "spent")

    def __init__(self) -> None:
        self._saved = _MAX_SAVED_RETRIES
        self.spent = 0

    def save(self) -> None:
        self._saved = min(_MAX_SAVED_RETRIES, self._saved + _RETRIES_PER_CALL)

    def spend(self) -> bool:
        """Take one retry. Returns: False if the budget is used up."""
        if self._saved < 1:
            return False
        self._saved -= 1
        self.spent += 1
        return True


async def with_retries(
    send: Callable[[], Awaitable[T]], deadline: float, budget: RetryBudget | None = None
) -> T:
    """Run `send`, and again after AWS throttled or failed, as long as the deadline and the budget allow."""
    try:  # avoids tenacity's 50 µs for a call that succeeds at once
        return await send()
    except (Throttled, UpstreamUnavailable) as error:
        failed: GatewayError | None = error

    async def attempt() -> T:
        nonlocal failed
        if failed is not None:  # the first attempt, so that tenacity counts it
            first, failed = failed, None
            raise first
        return await send()

    def should_stop(state: RetryCallState) -> bool:
        too_late = asyncio.get_running_loop().time() + state.upcoming_sleep >= deadline
        return too_late or state.attempt_number >= _MAX_ATTEMPTS or not (budget is None or budget.spend())

    return await AsyncRetrying(retry=_RETRY, wait=_wait, stop=should_stop, reraise=True)(attempt)


def _wait(state: RetryCallState) -> float:
    """Full jitter, and at least AWS's Retry-After."""
    error = state.outcome.exception() if state.outcome else None
    retry_after_s = error.retry_after_s if isinstance(error, GatewayError) else None
    return max(retry_after_s or 0.0, _BACKOFF.after(state.attempt_number))
