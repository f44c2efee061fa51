"""A concurrency limit shared by many keys, such that no key can use it up."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

SLOW_S = 0.5  # far longer than a healthy AWS call takes
_LATE_S = 0.1  # of the event loop, then every call is slow


class FairLimiter:
    """Runs at most `count` calls at a time, not counting slow ones: after `slow_s` a call frees its slot.

    A free slot goes to the waiting key with the fewest active calls, slow ones included; ties are served round-robin.
    So keys whose calls hang do not block others, however many calls they have. While the event loop itself is late, as
    this process gets too little CPU, slow calls keep their slots: to begin more would end none.
    """

    def __init__(self, count: int, slow_s: float = SLOW_S) -> None:
        self.slow_s = slow_s
        self._free = count
        self._active: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    def slot(self, key: Hashable) -> _Slot:
        """An async context manager that waits for a slot."""
        return _Slot(self, key)

    async def acquire(self, key: Hashable) -> Callable[..., None]:
        """Wait for a slot for a call that ends elsewhere. Returns: a function to call once, when it ends."""
        slot = _Slot(self, key)
        await slot.__aenter__()
        return slot.end

    async def wait_for_slot(self, key: Hashable) -> None:
        """Wait for a free slot. Afterwards `release_slot` and `call_ended` are each due once."""
        if self._free:
            self._free -= 1
            self._active[key] += 1
            return
        granted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            if not granted.cancelled():  # granted just before the cancellation
                self.call_ended(key)
                self.release_slot()
            raise

    def call_ended(self, key: Hashable) -> None:
        self._active[key] -= 1
        if not self._active[key]:
            del self._active[key]

    def release_slot(self) -> None:
        """Pass the slot to the next waiting call."""
        while self._waiting:
            key = next(
                (key for key in self._waiting if key not in self._active),  # the first of thousands, usually
                None,
            )
            if key is None:
                key = min(self._waiting, key=self._active.__getitem__)
            queue = self._waiting.pop(key)
            granted = queue.popleft()
            if queue:
                self._waiting[key] = queue  # moves to the end, for round-robin
            if not granted.done():
                self._active[key] += 1
                granted.set_result(None)
                return
        self._free += 1


class _Slot:
    """One call's slot."""

    __slots__ = ("_held", "_key", "_limiter", "_slow", "_slow_at")

    def __init__(self, limiter: FairLimiter, key: Hashable) -> None:
        self._limiter, self._key = limiter, key

    async def __aenter__(self) -> None:
        await self._limiter.wait_for_slot(self._key)
        self._held = True
        self._watch()

    async def __aexit__(self, *_: object) -> None:
        self.end()

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        self._slow_at = loop.time() + self._limiter.slow_s
        self._slow = loop.call_later(self._limiter.slow_s, self._is_slow)

    def _is_slow(self) -> None:
        if asyncio.get_running_loop().time() - self._slow_at > _LATE_S:
            self._watch()
        else:
            self._release()

    def end(self, *_: object) -> None:
        self._slow.cancel()
        self._limiter.call_ended(self._key)
        self._release()

    def end_later(self, after_s: float) -> None:
        """Keep the slot for another `after_s` seconds, unless the call was slow and has freed it."""
        self._slow.cancel()
        asyncio.get_running_loop().call_later(after_s, self.end)

    def _release(self) -> None:
        if self._held:
            self._held = False
            self._limiter.release_slot()
