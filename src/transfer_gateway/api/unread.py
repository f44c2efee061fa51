"""Limits memory held for slow clients: unread responses and incomplete requests.

Flow control bounds the buffers of one connection; the limits here bound a caller's total over all connections. Over a
limit, the oldest entry is evicted. A client that reads is never cut off for another caller's client that does not.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from transfer_gateway.telemetry import counter, gauge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric


class UnreadBytes:
    """Counts bytes held for clients. `max_bytes_per_caller` limits each caller, `max_bytes` all of them together."""

    def __init__(self, *, max_bytes: int, max_bytes_per_caller: int) -> None:
        self._max_bytes = max_bytes
        self._max_bytes_per_caller = max_bytes_per_caller
        self._waiting: dict[UnreadEntry, None] = {}  # oldest first
        self._bytes = 0
        self._bytes_of: Counter[str] = Counter()
        self.evicted = 0

    def add(self, caller: str, size_bytes: int, end: Callable[[], None]) -> UnreadEntry:
        """Count bytes held for one of the caller's clients, until the entry's `remove`.

        While a limit is exceeded, the oldest entries are removed and their `end` is called: the caller's own for its
        limit, anyone's for the total. `end` must free the bytes soon.
        """
        unread = UnreadEntry(self, caller, size_bytes, end)
        self._waiting[unread] = None
        self._bytes += size_bytes
        self._bytes_of[caller] += size_bytes
        while self._bytes_of[caller] > self._max_bytes_per_caller:
            self._evict(next(each for each in self._waiting if each.caller == caller))
        while self._bytes > self._max_bytes:
            self._evict(next(iter(self._waiting)))
        return unread

    def collect(self) -> Iterator[Metric]:
        yield gauge(
            "unread_bytes",
            "Bytes held for slow clients: unread responses and incomplete requests.",
            values=self._bytes,
        )
        yield counter(
            "slow_clients_ended",
            "Responses and requests aborted because too many bytes were held for slow clients.",
            values=self.evicted,
        )

    def _evict(self, unread: UnreadEntry) -> None:
        unread.remove()
        self.evicted += 1
        unread.end()

    def _remove(self, unread: UnreadEntry) -> None:
        if unread not in self._waiting:
            return
        del self._waiting[unread]
        self._bytes -= unread.size_bytes
        self._bytes_of[unread.caller] -= unread.size_bytes
        if not self._bytes_of[unread.caller]:
            del self._bytes_of[unread.caller]


class UnreadEntry:
    """One unread response or incomplete request."""

    __slots__ = ("_all", "caller", "end", "size_bytes")

    def __init__(self, all_: UnreadBytes, caller: str, size_bytes: int, end: Callable[[], None]) -> None:
        self._all = all_
        self.caller = caller
        self.size_bytes = size_bytes
        self.end = end

    def remove(self) -> None:
        """Stop counting it: it was read or abandoned. Idempotent."""
        self._all._remove(self)  # noqa: SLF001  same module
