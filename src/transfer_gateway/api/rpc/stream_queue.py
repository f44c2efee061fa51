"""A caller's streams in queue, so that those of one caller don't hold up another's."""

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
    """Few of a caller's streams at a time. Its others wait in queue, where they cost what their requests do."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._queues: dict[str, _CallersQueue] = {}  # of callers who have a slot
        self._stopping = False

    @asynccontextmanager
    async def slot(self, caller: str, *, deadline: float) -> AsyncGenerator[None]:
        """Raises: DeadlineExceeded, UpstreamUnavailable at the service's end."""
        queue = self._queues.get(caller)
        if queue is None:
            queue = self._queues[caller] = _CallersQueue()
        if queue.taken < self._at_once:
            queue.taken += 1
        else:
            await self._wait(queue, deadline)
        try:
            yield
        finally:
            queue.leave()
            if not queue.taken:
                self._queues.pop(caller, None)

    async def _wait(self, queue: _CallersQueue, deadline: float) -> None:
        if self._stopping:
            raise UpstreamUnavailable(_STOPPING)
        slot = asyncio.get_running_loop().create_future()
        queue.waiting.append(slot)
        try:
            async with asyncio.timeout_at(deadline):
                await slot
        except BaseException as error:
            if slot.done() and not slot.cancelled() and slot.exception() is None:
                queue.leave()  # it came together with the end
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    "The deadline passed while the request was queued behind your other streams."
                ) from error
            raise

    def stop(self) -> None:
        """What has not begun is not begun any more."""
        self._stopping = True
        for queue in self._queues.values():
            for slot in queue.waiting:
                if not slot.done():
                    slot.set_exception(UpstreamUnavailable(_STOPPING))
            queue.waiting.clear()


class _CallersQueue:
    """Of one caller."""

    def __init__(self) -> None:
        self.taken = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    def leave(self) -> None:
        """The slot is the next one's who still waits."""
        while self.waiting:
            slot = self.waiting.popleft()
            if not slot.done():
                slot.set_result(None)
                return
        self.taken -= 1
