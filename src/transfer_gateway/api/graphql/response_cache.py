"""Caches responses for as long as they would be the same.

Many clients poll the same executions with the same request. A response depends on the request's text, the caller's
scope and some snapshots; while these are unchanged, so is the response. A repeated request is authenticated, limited
and audited like any other: only parsing, execution and serialization are saved. `core/response_replay.py` decides which
responses are repeatable.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from transfer_gateway.core.sized_lru import SizedLru
from transfer_gateway.telemetry import current_request

if TYPE_CHECKING:
    from transfer_gateway.core.response_replay import Replayable
    from transfer_gateway.core.use_cases import Reader
    from transfer_gateway.telemetry import Request

_PART_BYTES = 1024  # approximate size of a key and a version
_LARGEST = 1 / 16  # of the cache's size, for one response


_Key: TypeAlias = tuple[bytes | str, bytes]  # a request, and the version of its caller's scope


class _Answer(NamedTuple):
    text: bytes
    made_of: Replayable
    operation: str  # for metrics
    size_bytes: int


class _Making(NamedTuple):
    done: asyncio.Future[None]
    maker: Request | None


class ResponseCache:
    """An LRU cache. `max_bytes` 0 disables it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._making: dict[_Key, _Making] = {}
        self._kept: SizedLru[_Key, _Answer] = SizedLru(max_bytes, lambda answer: answer.size_bytes)

    def get(self, request: bytes | str, reader: Reader, at: float | None = None) -> bytes | None:
        """The response to that request, if this reader would build the same one from snapshots alone.

        `at`: measure the age of snapshots at that time of the clock instead of now.
        """
        answer = self._kept.get((request, reader.scope.version))
        if answer is None or not reader.replay.repeat(answer.made_of, at):
            return None
        if (again := current_request()) is not None:
            again.operation = answer.operation
        return answer.text

    async def wait_for_concurrent(
        self, request: bytes | str, reader: Reader, deadline: float
    ) -> bytes | None:
        """As `get`, from a concurrent request that is the same, such as other polling clients'.

        Waits only for responses that were repeatable the last time, so that the wait rarely fails.
        """
        key = request, reader.scope.version
        making = self._making.get(key)
        if making is None or self._kept.get(key) is None:
            return None
        now, waiter = reader.replay.now(), current_request()
        if waiter is not None:
            waiter.record_join(making.maker)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(making.done)
        return self.get(request, reader, now)

    def sharing(self, request: bytes | str, reader: Reader) -> _Sharing:
        """Let other requests wait for the response that is built inside the context."""
        return _Sharing(self._making, (request, reader.scope.version))

    def keep(self, request: bytes | str, reader: Reader, text: bytes) -> None:
        """Cache the response that was built with this reader, if it is repeatable and not too large."""
        made_of = reader.replay.replayable()
        if made_of is None:
            return
        size_bytes = len(request) + len(text) + _PART_BYTES * len(made_of.parts)
        if size_bytes <= self._max_bytes * _LARGEST:
            now = current_request()
            operation = "none" if now is None else now.operation
            self._kept.put((request, reader.scope.version), _Answer(text, made_of, operation, size_bytes))


class _Sharing:
    """A class, as a generator's context costs three times the instructions."""

    __slots__ = ("_all", "_key", "_making")

    def __init__(self, all_: dict[_Key, _Making], key: _Key) -> None:
        self._all, self._key = all_, key

    def __enter__(self) -> None:
        making = _Making(asyncio.get_running_loop().create_future(), current_request())
        self._making = making if self._all.setdefault(self._key, making) is making else None

    def __exit__(self, *_: object) -> None:
        if self._making is not None:
            del self._all[self._key]
            self._making.done.set_result(None)
