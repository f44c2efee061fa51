"""Bytes that wait for slow clients: answers not read yet, and requests that have not arrived whole.

A connection's own buffers are bounded by flow control; what a caller keeps waiting over all its connections is bounded
here. Over a bound, whoever has waited longest is ended: a client that reads is never cut off for one that doesn't,
unless both are the same caller's.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from transfer_gateway.telemetry import counter, gauge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric


class UnreadBytes:
    """`max_bytes_per_caller` bounds what one caller keeps waiting, `max_bytes` what all do."""

    def __init__(self, *, max_bytes: int, max_bytes_per_caller: int) -> None:
        self._max_bytes = max_bytes
        self._max_bytes_per_caller = max_bytes_per_caller
        self._waiting: dict[Unread, None] = {}  # the longest waiting first
        self._bytes = 0
        self._bytes_of: Counter[str] = Counter()
        self.ended = 0

    def add(self, caller: str, size_bytes: int, end: Callable[[], None]) -> Unread:
        """Count bytes that wait for the caller's client, until `remove`.

        While that exceeds a bound, `end` of those that have waited longest is called, and they no longer count: the
        caller's own where its bound is exceeded, else anybody's. `end` must free the bytes soon.
        """
        unread = Unread(self, caller, size_bytes, end)
        self._waiting[unread] = None
        self._bytes += size_bytes
        self._bytes_of[caller] += size_bytes
        while self._bytes_of[caller] > self._max_bytes_per_caller:
            self._end(next(each for each in self._waiting if each.caller == caller))
        while self._bytes > self._max_bytes:
            self._end(next(iter(self._waiting)))
        return unread

    def collect(self) -> Iterator[Metric]:
        yield gauge(
            "unread_bytes",
            "Bytes of answers that clients have not read, and of requests that they have not sent whole.",
            values=self._bytes,
        )
        yield counter(
            "slow_clients_ended",
            "Answers and requests given up because too many bytes waited for slow clients.",
            values=self.ended,
        )

    def _end(self, unread: Unread) -> None:
        unread.remove()
        self.ended += 1
        unread.end()

    def _remove(self, unread: Unread) -> None:
        if unread not in self._waiting:
            return
        del self._waiting[unread]
        self._bytes -= unread.size_bytes
        self._bytes_of[unread.caller] -= unread.size_bytes
        if not self._bytes_of[unread.caller]:
            del self._bytes_of[unread.caller]


class Unread:
    """One answer, or one request."""

    __slots__ = ("_all", "caller", "end", "size_bytes")

    def __init__(self, all_: UnreadBytes, caller: str, size_bytes: int, end: Callable[[], None]) -> None:
        self._all = all_
        self.caller = caller
        self.size_bytes = size_bytes
        self.end = end

    def remove(self) -> None:
        """It has been read, or given up. Calling it again does nothing."""
        self._all._remove(self)  # noqa: SLF001  the two are one
