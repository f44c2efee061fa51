"""A limit that many parties share, and that none of them can use up."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_SLOW_S = 0.5  # far longer than AWS takes when it is well


class FairLimiter:
    """So many calls at a time, but for slow ones: after `slow_s` a call goes on without its place.

    A free slot goes to the party with the fewest calls under way, slow ones included; among equals they go
    round. So parties that get no answers hold no others up, however many calls they have.
    """

    def __init__(self, count: int, slow_s: float = _SLOW_S) -> None:
        self.slow_s = slow_s
        self._free = count
        self._under_way: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    def hold(self, party: Hashable) -> _Permit:
        """An async context manager: a place, as soon as it is the party's turn."""
        return _Permit(self, party)

    async def take(self, party: Hashable) -> Callable[..., None]:
        """The same, where the call ends elsewhere. Returns: what is to be called then, once."""
        place = _Permit(self, party)
        await place.__aenter__()
        return place.end

    async def wait_for(self, party: Hashable) -> None:
        """Until it is the party's turn. Whoever has waited gives the place back, and ends."""
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
                self.ended(party)
                self.give_back()
            raise

    def ended(self, party: Hashable) -> None:
        """The party's call is over."""
        self._under_way[party] -= 1
        if not self._under_way[party]:
            del self._under_way[party]

    def give_back(self) -> None:
        """Let the next one go on."""
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


class _Permit:
    """One call's."""

    __slots__ = ("_held", "_limiter", "_party", "_slow")

    def __init__(self, limiter: FairLimiter, party: Hashable) -> None:
        self._limiter, self._party = limiter, party

    async def __aenter__(self) -> None:
        await self._limiter.wait_for(self._party)
        self._held = True
        self._slow = asyncio.get_running_loop().call_later(self._limiter.slow_s, self._give_back)

    async def __aexit__(self, *_: object) -> None:
        self.end()

    def end(self, *_: object) -> None:
        self._slow.cancel()
        self._limiter.ended(self._party)
        self._give_back()

    def end_later(self, after_s: float) -> None:
        """Let the next one go on no sooner than in so many seconds, unless the call was slow."""
        self._slow.cancel()
        asyncio.get_running_loop().call_later(after_s, self.end)

    def _give_back(self) -> None:
        if self._held:
            self._held = False
            self._limiter.give_back()
