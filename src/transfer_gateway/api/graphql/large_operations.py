"""Runs large operations one at a time, so that small ones run in between.

Parsing a thousand keys and serializing as many executions blocks the event loop for about 50 ms. Many such operations
at once would delay all other requests, and the probes, by the sum. A FairLimiter serves callers round-robin; this
module adds a limit on waiting operations, a deadline, and a pause after each operation.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from transfer_gateway.domain.errors import DeadlineExceeded, Throttled
from transfer_gateway.fair_limiter import FairLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from transfer_gateway.domain.caller import Caller

LARGE_BYTES, LARGE_ROWS = 32_768, 250  # of a request, of its response: above either, an operation is large
_MAX_WAITING = 20  # per caller: each keeps its request in memory
_WAITS_S = 0.1  # after this time an operation is assumed to wait for AWS
_LONGEST_REST_S = 0.5


class LargeOperations:
    """One large operation at a time, round-robin by caller; one that waits for AWS frees its slot.

    After each, a pause of the same duration: large operations take at most half of the event loop's time.
    """

    def __init__(self) -> None:
        self._limiter = FairLimiter(1, slow_s=_WAITS_S)
        self._waiting: Counter[str] = Counter()

    @asynccontextmanager
    async def take(self, caller: Caller, deadline: float) -> AsyncIterator[None]:
        """A slot, for the duration of the context.

        Raises: Throttled if too many of the caller's operations wait already, DeadlineExceeded if none becomes free.
        """
        loop, slot = asyncio.get_running_loop(), self._limiter.slot(caller)
        if self._waiting[caller.name] >= _MAX_WAITING:
            raise Throttled(
                f"At most {_MAX_WAITING} of your large requests may wait at a time.", retry_after_s=1.0
            )
        self._waiting[caller.name] += 1
        try:
            async with asyncio.timeout_at(deadline):
                await slot.__aenter__()
        except TimeoutError:
            raise DeadlineExceeded("The request's deadline has passed.") from None
        finally:
            self._waiting[caller.name] -= 1
            if not self._waiting[caller.name]:
                del self._waiting[caller.name]
        started = loop.time()
        try:
            yield
        finally:
            slot.end_later(min(loop.time() - started, _LONGEST_REST_S))
