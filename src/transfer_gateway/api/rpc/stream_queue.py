"""Limits the concurrent streams of each caller, so that one caller's streams don't delay another's.

Not a FairLimiter: there is no limit that callers share, a slow stream keeps its slot, and shutdown rejects whatever
waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from transfer_gateway.domain.errors import DeadlineExceeded, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_STOPPING = "The service is shutting down."


class StreamQueue:
    """At most `per_caller` streams of a caller at a time. Further ones wait, holding no more than their requests."""

    def __init__(self, per_caller: int) -> None:
        self._per_caller = per_caller
        self._queues: dict[str, _CallerQueue] = {}  # of callers with a slot
        self._stopping = False

    @asynccontextmanager
    async def slot(self, caller: str, *, deadline: float) -> AsyncGenerator[None]:
        """Raises: DeadlineExceeded, UpstreamUnavailable at shutdown."""
        queue = self._queues.get(caller)
        if queue is None:
            queue = self._queues[caller] = _CallerQueue()
        if queue.taken < self._per_caller:
            queue.taken += 1
        else:
            await self._wait(queue, deadline)
        try:
            yield
        finally:
            queue.release()
            if not queue.taken:
                self._queues.pop(caller, None)

    async def _wait(self, queue: _CallerQueue, deadline: float) -> None:
        if self._stopping:
            raise UpstreamUnavailable(_STOPPING)
        slot = asyncio.get_running_loop().create_future()
        queue.waiting.append(slot)
        try:
            async with asyncio.timeout_at(deadline):
                await slot
        except BaseException as error:
            if slot.done() and not slot.cancelled() and slot.exception() is None:
                queue.release()  # granted just before the timeout or cancellation
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    "The deadline passed while the request was queued behind your other streams."
                ) from error
            raise

    def stop(self) -> None:
        """Reject queued streams, from now on."""
        self._stopping = True
        for queue in self._queues.values():
            for slot in queue.waiting:
                if not slot.done():
                    slot.set_exception(UpstreamUnavailable(_STOPPING))
            queue.waiting.clear()


class _CallerQueue:
    """One caller's streams."""

    def __init__(self) -> None:
        self.taken = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    def release(self) -> None:
        """Pass the slot to the next waiting stream."""
        while self.waiting:
            slot = self.waiting.popleft()
            if not slot.done():
                slot.set_result(None)
                return
        self.taken -= 1
