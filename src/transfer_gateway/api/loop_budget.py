"""Limits work per event loop iteration, so that large responses do not delay small ones."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
U = TypeVar("U")

_PER_ITERATION = 3  # pieces of work of about 1 ms; a lookup needs a dozen iterations
_ROWS = 8  # per piece of work


class LoopBudget:
    """Admits a few pieces of work per event loop iteration, first come, first served.

    Waiting work needs memory; callers must bound it.
    """

    def __init__(self) -> None:
        self._left = _PER_ITERATION
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_refilling = False

    async def take(self) -> None:
        """Wait until this iteration's budget allows another piece of work."""
        loop = asyncio.get_running_loop()
        if not self._is_refilling:
            self._is_refilling = True
            loop.call_soon(self._refill)
        if self._left and not self._waiting:
            self._left -= 1
            return
        admitted = loop.create_future()
        self._waiting.append(admitted)
        await admitted

    def _refill(self) -> None:
        self._left = _PER_ITERATION
        self._is_refilling = bool(self._waiting)
        if self._is_refilling:
            asyncio.get_running_loop().call_soon(self._refill)
        while self._waiting and self._left:
            admitted = self._waiting.popleft()
            if not admitted.done():  # not cancelled
                admitted.set_result(None)
                self._left -= 1

    async def map(self, make: Callable[[T], U], items: Iterable[T]) -> list[U]:
        """Apply `make` to each item, `_ROWS` per piece of work."""
        made = []
        for number, item in enumerate(items):
            if number % _ROWS == 0:
                await self.take()
            made.append(make(item))
        return made
