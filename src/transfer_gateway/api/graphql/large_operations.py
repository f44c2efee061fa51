"""Large operations run one at a time, so that small ones get through in between.

To read a thousand keys, and to write as many executions, keeps the event loop busy for some 50 ms. Many such
operations at once would delay every other request, and the probes, by all of them. A FairLimiter serves the callers in
turn; what it lacks is here: how many may wait, until when, and the pause after each.
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

LARGE_BYTES, LARGE_ROWS = 32_768, 250  # of a request, of its answer: more than that is a large operation
_MOST_WAITING = 20  # of one caller's: each keeps its request in memory
_WAITS_S = 0.1  # so long after its begin, an operation is taken to wait for AWS
_LONGEST_REST_S = 0.5


class LargeOperations:
    """One large operation at a time, callers in turn; one that waits for AWS gives its turn up.

    The next begins as long after as this one took: large operations take half of the event loop's time at most.
    """

    def __init__(self) -> None:
        self._limiter = FairLimiter(1, slow_s=_WAITS_S)
        self._waiting: Counter[str] = Counter()

    @asynccontextmanager
    async def take(self, caller: Caller, deadline: float) -> AsyncIterator[None]:
        """A turn, for as long as the context lasts.

        Raises: Throttled where too many of the caller's wait already, DeadlineExceeded where no turn comes by then.
        """
        loop, slot = asyncio.get_running_loop(), self._limiter.slot(caller)
        if self._waiting[caller.name] >= _MOST_WAITING:
            raise Throttled(
                f"At most {_MOST_WAITING} of your large requests may wait at a time.", retry_after_s=1.0
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
        began = loop.time()
        try:
            yield
        finally:
            slot.end_later(min(loop.time() - began, _LONGEST_REST_S))
