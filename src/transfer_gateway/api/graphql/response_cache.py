"""Answers that were given before, given again while they are true.

Many clients poll the same executions with the same request. An answer is made of its request's text, of what the
caller may see, and of snapshots; while these are the same, so is the answer. Who asks again is admitted, limited and
audited like everyone else: only the work from the text to the answer is spared.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from cachetools import LRUCache

from transfer_gateway.telemetry import current_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transfer_gateway.core.reader import Reader, Told
    from transfer_gateway.domain.scope import Scope
    from transfer_gateway.telemetry import Request

_EXECUTION_BYTES = 4096  # of a snapshot that is kept for nothing else, about
_LARGEST = 1 / 16  # of all that is kept


class _Answer(NamedTuple):
    text: bytes
    told: Sequence[Told]
    operation: str  # by which it is counted
    scope: Scope  # kept, so that no other comes to have its id
    size_bytes: int


class _Making(NamedTuple):
    done: asyncio.Future[None]
    maker: Request | None
    scope: Scope  # as above


class ResponseCache:
    """The least recently used go first. `max_bytes` 0: none are kept."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._making: dict[tuple[bytes, int], _Making] = {}
        self._kept: LRUCache[tuple[bytes, int], _Answer] = LRUCache(
            max_bytes, getsizeof=lambda answer: answer.size_bytes
        )

    def get(self, request: bytes, reader: Reader, at: float | None = None) -> bytes | None:
        """The answer to a request with that body, if this reader would make the same again of snapshots alone.

        Or would have at that time, in the loop's, had what is known now been known.
        """
        try:
            answer = self._kept[request, id(reader.scope)]
        except KeyError:
            return None
        if not reader.tell_again(answer.told, at):
            return None
        if (again := current_request()) is not None:
            again.operation = answer.operation
        return answer.text

    async def made_by_another(self, request: bytes, reader: Reader, deadline: float) -> bytes | None:
        """The same, from whoever makes it at this moment: where many poll, they ask while AWS is asked.

        Only what could be given again the last time is waited for, so that nobody waits in vain.
        """
        key, loop = (request, id(reader.scope)), asyncio.get_running_loop()
        making = self._making.get(key)
        if making is None or key not in self._kept:
            return None
        now, waiter = loop.time(), current_request()
        if waiter is not None:
            waiter.record_join(making.maker)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(making.done)
        return self.get(request, reader, now)

    @contextmanager
    def made_here(self, request: bytes, reader: Reader) -> Iterator[None]:
        """Others may wait for the answer that is made inside."""
        key = request, id(reader.scope)
        making = _Making(asyncio.get_running_loop().create_future(), current_request(), reader.scope)
        first = self._making.setdefault(key, making) is making
        try:
            yield
        finally:
            if first:
                del self._making[key]
                making.done.set_result(None)

    def keep(self, request: bytes, reader: Reader, text: bytes) -> None:
        """Keep the answer that this reader has made, if it was made of executions alone which may be told again."""
        told = reader.told
        if not told or not all(each.max_age_s for each in told):
            return
        size_bytes = len(request) + len(text) + _EXECUTION_BYTES * len(told)
        if size_bytes <= self._max_bytes * _LARGEST:
            now = current_request()
            operation = "none" if now is None else now.operation
            self._kept[request, id(reader.scope)] = _Answer(
                text, tuple(told), operation, reader.scope, size_bytes
            )
