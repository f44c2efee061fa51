"""Reads one log group into the history: what is new, what came late, and the past.

- Each read starts a little before the end of the last one, because entries arrive late: by 10 s; every 10 s by 30 s,
  or as much as they did lately, up to 2 min; and every five minutes by 15 min.
- The past is read newest first, in windows that grow: 15 minutes, an hour, four hours, …
- The checkpoint is saved in the same transaction as the entries. Reading something twice does no harm.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from transfer_gateway.core.follower_state import GroupState
from transfer_gateway.domain.errors import StoreUnavailable, UpstreamUnavailable
from transfer_gateway.domain.event import ENDS, EventKind
from transfer_gateway.history import GroupProgress, ProgressLost
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from transfer_gateway.core.clock import Clock
    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.identity import ExecutionId, Target
    from transfer_gateway.domain.log_group import LogGroup
    from transfer_gateway.domain.log_page import LogPage
    from transfer_gateway.history.store import HistoryStore

_log = get_logger(__name__)

_SHORT_OVERLAP = timedelta(seconds=10)
_MIN_OVERLAP, _MAX_OVERLAP = timedelta(seconds=30), timedelta(minutes=2)
_OVERLAP = 1.5  # times how late entries came: to CloudWatch, or after a read that should have had them
_LOOK_BACK_EVERY_S = 10.0
_SWEEP_EVERY_S, _SWEEP = 300.0, timedelta(minutes=15)
LATE_S = 600.0  # an entry that takes no longer to arrive is always found: by the next sweep
_FIRST_WINDOW, _MIN_WINDOW, _WINDOW_GROWTH = timedelta(minutes=15), timedelta(seconds=1), 4
_FEW_PAGES, _MANY_PAGES = 2, 8
_SHORT_GAP = timedelta(minutes=10)  # is read like any other time between two reads
_CLOCK_SKEW = timedelta(minutes=1)  # entries may be dated by a clock that is ahead of ours
_MAX_RUNNING, _RUN_S = 1000, 2400.0  # a custom step may take 30 minutes
_MAX_KNOWN = 20_000  # ids of entries in the overlap
_SAVE_EVERY_S = 30.0
_MAX_PAGES = 1000
_STARTS = 2  # of a read, if the store has lost what was saved
_EPOCH = datetime(2015, 1, 1, tzinfo=UTC)  # before the first workflow


class ReadPage(Protocol):
    """Reads one page of the group, paced. Raises: GatewayError."""

    async def __call__(
        self, start: datetime, end: datetime, *, newest_first: bool, token: str | None, skip: Container[str]
    ) -> LogPage: ...


@dataclass(frozen=True, slots=True)
class _Read:
    """What a read of some time was: the events that were not stored yet, and how many pages it took."""

    new: list[ExecutionEvent]
    pages: int


class LogReader:
    """One log group's state.

    `progress`: what has been read and stored. `lag_s`: by how much entries came late recently, as CloudWatch says.
    """

    def __init__(
        self,
        target: Target,
        group: str,
        read_page: ReadPage,
        store: HistoryStore,
        clock: Clock,
        *,
        backfill: timedelta,
        progress: GroupProgress | None,
    ) -> None:
        self.target, self.group = target, group
        self._read_page, self._store, self._now = read_page, store, clock.now
        self._backfill = backfill
        self.described: LogGroup | None = None
        self.running: dict[ExecutionId, float] = {}
        self.lag_s = 0.0
        self.unreadable = 0
        self.last_event_at = 0.0
        self._late_by_s = 0.0
        self._looked_back_at = self._swept_at = self._now()
        self._epoch = 0
        self._saved_at = -math.inf
        self._known: set[str] = set()
        self._known_in_order: deque[tuple[datetime, str]] = deque()
        self.resume(progress)

    def resume(self, stored: GroupProgress | None) -> None:
        """Go on from what the store has. A longer gap since then is filled as the past is: newest first."""
        now = self._utc()
        self._epoch += 1
        self._known.clear()
        self._known_in_order.clear()
        self._window = _FIRST_WINDOW
        self._earlier = None
        self._saved_until = None if stored is None else stored.read_until
        if stored is None:
            self.progress = GroupProgress(*self.target, self.group, now, now, now - self._backfill)
            return
        self._swept_at = -math.inf  # nobody knows how late entries came before
        if now - stored.read_until <= _SHORT_GAP:
            self.progress = stored
            return
        settled_until = stored.read_until - _SWEEP
        goal = settled_until if stored.backfill_until is None or stored.backfilled else stored.backfill_until
        if settled_until > stored.complete_since:
            self._earlier = replace(stored, read_until=settled_until)
        self.progress = GroupProgress(*self.target, self.group, now, now, max(now - self._backfill, goal))

    @property
    def state(self) -> GroupState:
        return GroupState(self.progress, self._saved_until, self.described, self.lag_s)

    def adopt(self, state: GroupState) -> None:
        """Another replica reads the log: go on from what it has read and stored, and as far back as it reads."""
        goal = state.progress.backfill_until
        self.progress = replace(self.progress.united(state.progress), backfill_until=goal)
        self._saved_until, self.described, self.lag_s = state.saved_until, state.described, state.lag_s
        self._earlier = None

    def check(self, stored: GroupProgress | None) -> None:
        """Start from what the store has, if it has lost what was saved."""
        if self._saved_until is not None and (stored is None or stored.read_until < self._saved_until):
            self._start_over(stored)

    def _start_over(self, stored: GroupProgress | None) -> None:
        _log.warning(
            "history_progress_lost",
            account=self.target.account_id,
            region=self.target.region,
            group=self.group,
            effect="the log is read again from what the store has",
        )
        self.resume(stored)

    @property
    def oldest(self) -> datetime:
        """From when on the log may have entries."""
        described = self.described
        if described is None:
            return _EPOCH
        if described.retention_days is None:
            return described.created_at
        return max(described.created_at, self._utc() - timedelta(days=described.retention_days))

    @property
    def keeps_everything(self) -> bool:
        """Whether the log still has all that it ever got."""
        return self.described is not None and (
            self.described.retention_days is None or self.oldest == self.described.created_at
        )

    @property
    def is_whole(self) -> bool:
        """Whether all that the log ever got has been read."""
        return self.described is not None and self.progress.complete_since <= self.described.created_at

    def is_active(self, within_s: float) -> bool:
        """Whether executions run here, or something happened in the last `within_s` seconds."""
        now = self._now()
        for execution, started in list(self.running.items()):
            if now - started > _RUN_S:
                del self.running[execution]
        return bool(self.running) or now - self.last_event_at < within_s

    async def read_new(self, *, verify: bool = False) -> list[ExecutionEvent]:
        """Read from a little before the checkpoint to now. Returns: the events that are new.

        `verify`: that the store still has what was saved, also if nothing is new. Raises: GatewayError.
        """
        for _ in range(_STARTS):
            try:
                return await self._read_new(verify=verify)
            except ProgressLost:
                self._start_over((await self._store.progress(self.target)).get(self.group))
        raise StoreUnavailable("The history store loses what is written.")

    async def _read_new(self, *, verify: bool) -> list[ExecutionEvent]:
        started_at, now = self._now(), self._utc()
        if now - self.progress.read_until > _SHORT_GAP:  # the log could not be read for a while
            self.resume(self.progress if self._saved_until is not None else None)
        sweep = started_at - self._swept_at >= _SWEEP_EVERY_S
        looks_back = sweep or verify or started_at - self._looked_back_at >= _LOOK_BACK_EVERY_S
        long, looked_back_at = self._overlap(), self._looked_back_at
        overlap = _SWEEP if sweep else long if looks_back else _SHORT_OVERLAP
        self._forget_before(self.progress.read_until - max(overlap, long))
        start = self.progress.read_until - overlap
        done = self.progress.extended(start, now)
        verify |= self._now() - self._saved_at >= _SAVE_EVERY_S
        read = await self._read(start, now + _CLOCK_SKEW, done, newest_first=False, save=verify)
        if read is None:
            return []
        self._advance(complete_since=start, read_until=now)
        if sweep:
            self._swept_at = started_at
        if looks_back:
            self._looked_back_at = started_at
        late_by = [
            max(looked_back_at, event.observed_at.timestamp()) - event.occurred_at.timestamp()
            for event in read.new
        ]
        self._late_by_s = max([*late_by, self._late_by_s * 0.98])
        return read.new

    async def read_past(self) -> list[ExecutionEvent]:
        """Read the window before what is complete, if any is due. Raises: GatewayError."""
        until = self.progress.backfill_until
        if until is None or self.progress.backfilled:
            return []
        end = self.progress.complete_since
        start = max(end - self._window, until)
        done = replace(self.progress, complete_since=start)
        try:
            read = await self._read(start, end, done, newest_first=True, save=True)
        except ProgressLost:
            self._start_over((await self._store.progress(self.target)).get(self.group))
            return []
        if read is None:
            return []
        self._advance(complete_since=start, read_until=self.progress.read_until)
        # So that a window takes few pages, and what is new is read in between.
        if read.pages <= _FEW_PAGES:
            self._window *= _WINDOW_GROWTH
        elif read.pages > _MANY_PAGES:
            self._window /= _WINDOW_GROWTH
        return read.new

    def _overlap(self) -> timedelta:
        return max(_MIN_OVERLAP, min(_MAX_OVERLAP, timedelta(seconds=_OVERLAP * self._late_by_s)))

    def _advance(self, *, complete_since: datetime, read_until: datetime) -> None:
        self.progress = self.progress.extended(complete_since, read_until)
        if self._earlier is not None and self.progress.complete_since <= self._earlier.read_until:
            self.progress, self._earlier = self.progress.united(self._earlier), None

    async def _read(
        self, start: datetime, end: datetime, done: GroupProgress, *, newest_first: bool, save: bool
    ) -> _Read | None:
        """Store all pages, and with the last one that they were read.

        `save`: also if there is nothing to store. A quiet log's checkpoint is saved now and then: what is not saved is
        read again after a restart.

        None: meanwhile, `resume` was called, so `done` is no longer right. Raises: GatewayError, ProgressLost.
        """
        new: list[ExecutionEvent] = []
        token: str | None = None
        epoch = self._epoch
        for number in range(1, _MAX_PAGES + 1):
            page = await self._read_page(start, end, newest_first=newest_first, token=token, skip=self._known)
            if epoch != self._epoch:
                return None
            is_last = page.token is None
            saves = is_last and (save or bool(new or page.events))
            stored = await self._store.append(
                page.events, done if saves else None, saved_until=self._saved_until
            )
            if epoch != self._epoch:
                return None
            if saves:
                self._saved_at = self._now()
                self._saved_until = max(self._saved_until or done.read_until, done.read_until)
            self._remember(page)
            self.unreadable += page.unreadable
            if page.newest_lag_s is not None:
                self.lag_s = max(page.newest_lag_s, self.lag_s * 0.98)
            new += stored
            if is_last:
                self._note(new)
                return _Read(new, number)
            if page.token == token:
                break
            token = page.token
        if newest_first:
            self._window = max(_MIN_WINDOW, self._window / _WINDOW_GROWTH)
        raise UpstreamUnavailable(
            f"AWS's pages of log group {self.group} in {self.target.label} don't end.",
            account_id=self.target.account_id,
            region=self.target.region,
        )

    def _note(self, new: Sequence[ExecutionEvent]) -> None:
        """Which executions run now."""
        if not new:
            return
        now = self._now()
        for event in sorted(new, key=lambda event: event.occurred_at):
            occurred = event.occurred_at.timestamp()
            if now - occurred < _MAX_OVERLAP.total_seconds():
                self.last_event_at = now  # it may have waited for a quiet log's next read
            if event.kind in ENDS:
                self.running.pop(event.key.execution_id, None)
            elif event.kind is EventKind.EXECUTION_STARTED and len(self.running) < _MAX_RUNNING:
                self.running[event.key.execution_id] = occurred

    def _remember(self, page: LogPage) -> None:
        """The entries that the next reads will have again."""
        if not page.events and not page.unreadable_ids:
            return
        horizon = self._utc() - _MAX_OVERLAP
        ids = [(event.occurred_at, event.event_id) for event in page.events]
        for occurred_at, event_id in ids + [(self._utc(), event_id) for event_id in page.unreadable_ids]:
            if occurred_at >= horizon and len(self._known) < _MAX_KNOWN:
                self._known.add(event_id)
                self._known_in_order.append((occurred_at, event_id))

    def _forget_before(self, start: datetime) -> None:
        known = self._known_in_order
        while known and known[0][0] < start:
            self._known.discard(known.popleft()[1])

    def _utc(self) -> datetime:
        """In milliseconds, as the store has it."""
        return datetime.fromtimestamp(int(self._now() * 1000) / 1000, UTC)
