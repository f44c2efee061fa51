"""A target's rate limit: calls per second, with a burst after a pause."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from transfer_gateway.domain.errors import Throttled

if TYPE_CHECKING:
    from transfer_gateway.domain.identity import Target


class OwnLimit(Throttled):
    """Our own limit, not AWS's. Not retried, since that would only wait longer."""


class RateLimit:
    """A rate limit (GCRA) in FIFO order. Times are the loop's."""

    __slots__ = ("_burst_s", "_head_of_line", "_in_line", "_interval_s", "_next_at", "_target")

    def __init__(self, target: Target, *, rate_per_s: float, burst: int) -> None:
        self._target = target
        self.use(rate_per_s, burst)
        self._next_at = 0.0  # when the next call is due at exactly the rate
        self._head_of_line = asyncio.Lock()
        self._in_line = 0

    def use(self, rate_per_s: float, burst: int) -> None:
        """From now on."""
        self._interval_s = 1.0 / rate_per_s
        self._burst_s = self._interval_s * (burst - 1)

    async def wait(self, deadline: float) -> None:
        """Wait for the rate limit. A call that is cancelled while it waits uses none of the rate.

        Raises: OwnLimit at once if the wait would exceed the deadline.
        """
        now = asyncio.get_running_loop().time()
        wait_s = self._left_s(now) + self._in_line * self._interval_s
        if wait_s <= 0 and not self._in_line:
            self._next_at = max(self._next_at, now) + self._interval_s
            return
        if now + wait_s > deadline:
            raise OwnLimit.by_gateway(self._target, retry_after_s=wait_s)
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

    def _left_s(self, now: float) -> float:
        """Seconds until the next slot; zero or negative if one is free."""
        return max(self._next_at, now) - self._burst_s - now
