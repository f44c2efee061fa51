"""A caller's streams in line, so that those of one caller don't hold up another's."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from transfer_gateway.domain.errors import DeadlineExceeded, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_STOPPING = "The service is shutting down."


class Lines:
    """Few of a caller's streams at a time. Its others wait in line, where they cost what their requests do."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._lines: dict[str, _Line] = {}  # of callers who have a place
        self._stopping = False

    @asynccontextmanager
    async def place(self, caller: str, *, deadline: float) -> AsyncGenerator[None]:
        """Raises: DeadlineExceeded, UpstreamUnavailable at the service's end."""
        line = self._lines.get(caller)
        if line is None:
            line = self._lines[caller] = _Line()
        if line.taken < self._at_once:
            line.taken += 1
        else:
            await self._wait(line, deadline)
        try:
            yield
        finally:
            line.leave()
            if not line.taken:
                self._lines.pop(caller, None)

    async def _wait(self, line: _Line, deadline: float) -> None:
        if self._stopping:
            raise UpstreamUnavailable(_STOPPING)
        place = asyncio.get_running_loop().create_future()
        line.waiting.append(place)
        try:
            async with asyncio.timeout_at(deadline):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled() and place.exception() is None:
                line.leave()  # it came together with the end
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("Your other streams took all of the request's time.") from error
            raise

    def stop(self) -> None:
        """What has not begun is not begun any more."""
        self._stopping = True
        for line in self._lines.values():
            for place in line.waiting:
                if not place.done():
                    place.set_exception(UpstreamUnavailable(_STOPPING))
            line.waiting.clear()


class _Line:
    """Of one caller."""

    def __init__(self) -> None:
        self.taken = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    def leave(self) -> None:
        """The place is the next one's who still waits."""
        while self.waiting:
            place = self.waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.taken -= 1
