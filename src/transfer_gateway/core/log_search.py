"""Searches of a log for one execution, on request: in the part that the follower has not read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from transfer_gateway.core.log_reader import LATE_S
from transfer_gateway.core.sized_lru import SizedLru
from transfer_gateway.core.verdicts import unreadable
from transfer_gateway.domain.errors import GatewayError

if TYPE_CHECKING:
    from transfer_gateway.core.clock import Clock
    from transfer_gateway.core.log_calls import LogCalls
    from transfer_gateway.core.log_reader import LogReader
    from transfer_gateway.domain.errors import ExecutionNotFound
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.history.store import HistoryStore

_SEARCHED_CACHED, _SEARCHED_FOR_S = 50_000, 300.0
_MAX_SEARCH_PAGES = 200


class _Searched(NamedTuple):
    """When a log was searched, and up to where."""

    at: float
    until: datetime


class LogSearch:
    """Stores what it finds. A search is not repeated for five minutes."""

    def __init__(self, calls: LogCalls, store: HistoryStore, clock: Clock) -> None:
        self._calls, self._store, self._now = calls, store, clock.now
        self._searched: SizedLru[tuple[ExecutionKey, str, int], _Searched] = SizedLru(_SEARCHED_CACHED)

    async def search(
        self,
        key: ExecutionKey,
        reader: LogReader,
        forgotten: ExecutionNotFound,
        deadline: float,
        *,
        late_too: bool,
    ) -> None:
        """Look in the part of the log that is older than what has been read, unless that was done lately.

        `late_too`: also for entries that came so late that only the next sweep reads them. Raises: ExecutionNotFound.
        """
        now, start, end = self._now(), reader.oldest, reader.progress.complete_since
        kept_since = await self._store.kept_since()
        if kept_since is not None:  # what is older was read, but may have been deleted since
            end = max(end, kept_since)
        of = (key, reader.group, self._store.generation)
        searched = self._searched.get(of)
        is_old_known = start >= end or (
            searched is not None and now - searched.at < _SEARCHED_FOR_S and end <= searched.until
        )
        if is_old_known and not late_too:
            return
        if late_too:
            utc = datetime.fromtimestamp(now, UTC)
            start, end = (max(start, utc - timedelta(seconds=LATE_S)) if is_old_known else start), utc
        if start >= end:
            return
        token: str | None = None
        for _ in range(_MAX_SEARCH_PAGES):
            try:
                page = await self._calls.search(
                    key.target, reader.group, key.execution_id, start, end, token=token, deadline=deadline
                )
            except GatewayError as error:
                raise unreadable(key.target, error, forgotten) from error
            if found := [event for event in page.events if event.key == key]:
                await self._store.append(found)
            token = page.token
            if token is None:
                break
        else:
            raise unreadable(key.target, None, forgotten)
        if not is_old_known:
            self._searched.put(of, _Searched(now, end))

    def has_searched(self, key: ExecutionKey, reader: LogReader, since: datetime) -> bool:
        """Whether all that has not been read was searched, after that time."""
        searched = self._searched.get((key, reader.group, self._store.generation))
        return (
            searched is not None
            and searched.at > since.timestamp()
            and searched.until >= reader.progress.complete_since
        )
