"""Trying a call to AWS again: when, how often, and out of which budget."""

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
    """Each call saves a tenth of a retry: a target that fails all its calls is asked 1.1 times as often."""

    __slots__ = ("_saved", "spent")

    def __init__(self) -> None:
        self._saved = _MAX_SAVED_RETRIES
        self.spent = 0

    def save(self) -> None:
        self._saved = min(_MAX_SAVED_RETRIES, self._saved + _RETRIES_PER_CALL)

    def spend(self) -> bool:
        """Whether there was a retry to spend."""
        if self._saved < 1:
            return False
        self._saved -= 1
        self.spent += 1
        return True


async def with_retries(
    ask: Callable[[], Awaitable[T]], deadline: float, budget: RetryBudget | None = None
) -> T:
    """What `ask` gives, asked again after AWS has throttled or failed it, as long as deadline and budget allow."""
    try:  # a call that succeeds at once is spared tenacity's 50 µs
        return await ask()
    except (Throttled, UpstreamUnavailable) as error:
        failed: GatewayError | None = error

    async def go_on() -> T:
        nonlocal failed
        if failed is not None:  # the first attempt, as tenacity is to count it
            first, failed = failed, None
            raise first
        return await ask()

    def give_up(state: RetryCallState) -> bool:
        too_late = asyncio.get_running_loop().time() + state.upcoming_sleep >= deadline
        return too_late or state.attempt_number >= _MAX_ATTEMPTS or not (budget is None or budget.spend())

    return await AsyncRetrying(retry=_RETRY, wait=_wait, stop=give_up, reraise=True)(go_on)


def _wait(state: RetryCallState) -> float:
    """Full jitter, and no less than AWS asks for."""
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.retry_after_s if isinstance(error, GatewayError) else None
    return max(asked_s or 0.0, _BACKOFF.after(state.attempt_number))
