"""Few pieces of work in each round of the event loop: what needs many rounds is not held up by what needs one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
U = TypeVar("U")

_A_ROUND = 3  # pieces of work, of a millisecond or so each: a lookup needs a dozen of the loop's rounds
_ROWS = 8  # in a piece


class LoopBudget:
    """Few pieces of work in each round of the loop, in the order in which they were asked for.

    Whatever waits here needs memory: its callers bound how much.
    """

    def __init__(self) -> None:
        self._left = _A_ROUND
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._counts = False

    async def take(self) -> None:
        """Wait for the next turn."""
        loop = asyncio.get_running_loop()
        if not self._counts:
            self._counts = True
            loop.call_soon(self._next_round)
        if self._left and not self._waiting:
            self._left -= 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next_round(self) -> None:
        self._left = _A_ROUND
        self._counts = bool(self._waiting)
        if self._counts:
            asyncio.get_running_loop().call_soon(self._next_round)
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():  # as one is whose caller has left
                turn.set_result(None)
                self._left -= 1

    async def each(self, make: Callable[[T], U], items: Iterable[T]) -> list[U]:
        """What `make` gives for each, a few at a turn."""
        made = []
        for number, item in enumerate(items):
            if number % _ROWS == 0:
                await self.take()
            made.append(make(item))
        return made
