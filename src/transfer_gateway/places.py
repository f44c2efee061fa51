"""A limit that many parties share, and that none of them can use up."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

_SLOW_S = 0.5  # far longer than AWS takes when it is well


class Places:
    """So many calls at a time, but for slow ones: after half a second a call goes on without its place.

    A free place goes to the party with the fewest calls under way, slow ones included; among equals they go
    round. So parties that get no answers hold no others up, however many calls they have.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._under_way: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def hold(self, party: Hashable) -> AsyncIterator[None]:
        """A place, as soon as it is the party's turn."""
        ended = await self.take(party)
        try:
            yield
        finally:
            ended()

    async def take(self, party: Hashable) -> Callable[[], None]:
        """The same, where the call ends elsewhere. Returns: what is to be called then, once."""
        await self._take(party)
        held = True

        def give_back() -> None:
            nonlocal held
            if held:
                held = False
                self._give_back()

        slow = asyncio.get_running_loop().call_later(_SLOW_S, give_back)

        def ended() -> None:
            slow.cancel()
            self._ended(party)
            give_back()

        return ended

    async def _take(self, party: Hashable) -> None:
        if self._free:
            self._free -= 1
            self._under_way[party] += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(party, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the place came in the same moment
                self._ended(party)
                self._give_back()
            raise

    def _ended(self, party: Hashable) -> None:
        self._under_way[party] -= 1
        if not self._under_way[party]:
            del self._under_way[party]

    def _give_back(self) -> None:
        while self._waiting:
            party = min(self._waiting, key=self._under_way.__getitem__)
            turns = self._waiting.pop(party)
            turn = turns.popleft()
            if turns:
                self._waiting[party] = turns  # at the end
            if not turn.done():
                self._under_way[party] += 1
                turn.set_result(None)
                return
        self._free += 1
