"""The use cases that tell what changes, limited at each change to what the caller may see by then."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from transfer_gateway.core.access import Access
from transfer_gateway.core.live import TICK_S, change_of
from transfer_gateway.core.response_replay import counts_uses
from transfer_gateway.core.search_input import check_live, checked, span_of
from transfer_gateway.core.search_use_cases import criteria_of
from transfer_gateway.domain.change import ExecutionChange
from transfer_gateway.domain.errors import AccountNotAvailable, GatewayError, HistoryOff
from transfer_gateway.domain.execution import Source
from transfer_gateway.history.values import SearchIn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from transfer_gateway.core.live import Live
    from transfer_gateway.core.search_input import Span
    from transfer_gateway.core.watched import Watched
    from transfer_gateway.domain.change import ChangePosition
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.domain.search import SearchFilter, SearchInput

    Changes = AsyncGenerator[ExecutionChange | None]
    Recheck = Callable[[], Awaitable[None]]

_LOOKED_AT_EVERY_S = (
    60.0  # whether an execution that is watched still runs, although nothing tells of its end
)
_FOLLOWED_CLOSELY = 100  # targets of one subscription
_CURSOR = "cursor"


@counts_uses
class LiveUseCases(Access):
    """See `Reader`.

    `recheck` verifies the caller's token again, and updates `scope` to the current policy; it is called every two
    seconds. Where nothing changes for so long, None is yielded; also at once, if a subscription begins without a
    change: what refuses it is raised before.
    """

    async def watch_execution(
        self, key: ExecutionKey, *, after: str | None, deadline: float, recheck: Recheck
    ) -> Changes:
        """What is known of an execution, or what came after a cursor, then each change, until it has ended.

        `deadline`: for the first change, if AWS must be asked.

        Raises: BadUserInput for a bad cursor; AccountNotAvailable, also later; ExecutionNotFound; HistoryOff;
        Throttled; Unauthenticated, UpstreamUnavailable.
        """
        self._take_rows(1)
        with self._audited_unless_found("watch_execution", str(key)):
            self._check_visible(key)
            live, watched = self._live()
            begin = None if after is None else live.read_cursor(after)
            position = await live.position(begin)
            first = await self._known_first(live, key, position, begin)
        if first is None:
            execution = await self._look_up(
                "watch_execution",
                self._sources.operations.executions,
                key,
                max_age_s=0,
                deadline=deadline,
                get=self._known,
            )
            first = _First(ExecutionChange(position, key, execution, ()), is_news=True)
        with (
            self._subscription("watch_execution", [str(key)]) as told,
            live.subscribed(key) as subscriber,
        ):
            is_last, changes = first.change.is_last, subscriber.changes(first.change.position)
            is_recorded = Source.LOG in first.change.execution.recorded_by
            change = told(first.change) if first.is_news else None
            del first  # it would stay in memory, with all its events, as long as the subscription
            yield change
            del change
            if is_last:
                return
            rights = _Rights(recheck)
            with watched.watching(key, is_recorded=is_recorded):
                async with aclosing(changes), aclosing(self._until_last(live, key, changes)) as until_last:
                    async for change in until_last:
                        await rights.recheck()
                        self._check_visible(key)
                        yield change if change is None else told(change)

    async def _known_first(
        self, live: Live, key: ExecutionKey, position: ChangePosition, begin: ChangePosition | None
    ) -> _First | None:
        """None: the execution is not stored. Raises: UpstreamUnavailable."""
        if begin is not None:
            for row in (await live.read(position, key)).rows:
                return _First(change_of(row), is_news=True)
        known = await live.known(key)
        if known is None:
            return None
        return _First(known if begin is None else replace(known, position=position), is_news=begin is None)

    async def _until_last(self, live: Live, key: ExecutionKey, changes: Changes) -> Changes:
        """Also if nothing tells of the end: AWS has forgotten the execution, or the log's entry is missing."""
        loop = asyncio.get_running_loop()
        look_at = loop.time() + _LOOKED_AT_EVERY_S
        async for change in changes:
            yield change
            if change is not None and change.is_last:
                return
            if loop.time() >= look_at:
                look_at = loop.time() + _LOOKED_AT_EVERY_S
                known = await live.known(key)
                if known is not None and known.is_last:
                    yield replace(known, events=())
                    return

    async def watch_executions(
        self, wanted: SearchInput, *, after: str | None, deadline: float, recheck: Recheck
    ) -> Changes:
        """The executions in progress that match, or what came after a cursor, then each change of what matches.

        Raises: as `watch_execution`, and BadUserInput for a bad filter.
        """
        self._take_rows(0)
        wanted = check_live(checked(wanted))
        criteria = criteria_of(wanted)
        with self._audited_unless_listed("watch_executions", **criteria):
            live, _ = self._live()
            span = span_of(self.scope, wanted, wanted)
            begin = None if after is None else live.read_cursor(after)
            async with asyncio.timeout_at(deadline):
                position = await live.position(begin)
        with self._subscription("watch_executions", [], **criteria) as told:
            rights, listing = _Rights(recheck), begin is None or begin.listed is not None
            while True:
                version = self.scope.version
                changes = self._changes_in(span, wanted, position, listing=listing)
                async with aclosing(changes):
                    async for change in changes:
                        await rights.recheck()
                        if self.scope.version != version:
                            break  # `change` is read again, within what may be seen by now
                        if change is not None:
                            position, listing = change.position, change.position.listed is not None
                        yield change if change is None else told(change)
                span = span_of(self.scope, wanted, wanted)

    async def _changes_in(
        self, span: Span, wanted: SearchFilter, position: ChangePosition, *, listing: bool
    ) -> Changes:
        """What is in progress, if that is still to be listed, and then what changes."""
        live, watched = self._live()
        narrowed, search = span.narrowed(wanted), self._sources.search
        assert search is not None  # noqa: S101  it is there with `live`
        of, now = SearchIn(search.scope_of(span.scope), narrowed), asyncio.get_running_loop().time
        self._keep_current(watched, span, wanted)
        kept_at = now()
        with live.subscribed(of, (span.scope.version, narrowed)) as subscriber:
            yield None
            if listing and wanted.may_run:
                running = live.running(of, position, caller=self.caller.name)
                async with aclosing(running):
                    async for listed in running:
                        yield listed
            changes = subscriber.changes(position._replace(listed=None))
            async with aclosing(changes):
                async for change in changes:
                    if now() - kept_at >= TICK_S:
                        self._keep_current(watched, span, wanted)
                        kept_at = now()
                    yield change

    def _keep_current(self, watched: Watched, span: Span, wanted: SearchFilter) -> None:
        """Have listed what no log tells of; of few targets, read the logs often."""
        if self._sources.known is not None:
            self._sources.known.watch(span, wanted)
        if span.count <= _FOLLOWED_CLOSELY:
            watched.follow(span.targets())

    def cursor_of(self, change: ExecutionChange) -> str:
        """The cursor right after a change, for all who get it."""
        cursor: str | None = change.rendered.get(_CURSOR)
        if cursor is None:
            cursor = change.rendered[_CURSOR] = self._live()[0].write_cursor(change.position)
        return cursor

    def _live(self) -> tuple[Live, Watched]:
        """Raises: HistoryOff."""
        live, watched = self._sources.live, self._sources.watched
        if live is None or watched is None:
            raise HistoryOff.now()
        return live, watched

    def _check_visible(self, key: ExecutionKey) -> None:
        """Raises: AccountNotAvailable."""
        if not self.scope.covers(key):
            raise AccountNotAvailable.of(key.account_id, key.region)

    def _told(self, live: Live, change: ExecutionChange) -> ExecutionChange:
        """Without hidden fields."""
        live.note_delivery(change)
        execution = self.scope.redact(change.execution)
        if execution is change.execution and change.key.target not in self.scope.hidden:
            return change
        return replace(change, execution=execution, events=tuple(map(self.scope.redact_event, change.events)))

    @contextmanager
    def _subscription(
        self,
        operation: str,
        ids: list[str],
        **criteria: Any,  # noqa: ANN401  the audit's
    ) -> Iterator[Callable[[ExecutionChange], ExecutionChange]]:
        """Count and audit it. Returns: what each change goes through."""
        (live, _), delivered, outcome = self._live(), 0, "ENDED"

        def told(change: ExecutionChange) -> ExecutionChange:
            nonlocal delivered
            delivered += 1
            return self._told(live, change)

        with nullcontext() if self._quota is None else self._quota.subscription():
            self._audit.began(operation, ids, **criteria)
            try:
                yield told
            except (GeneratorExit, asyncio.CancelledError):
                outcome = "CANCELLED"
                raise
            except GatewayError as error:
                outcome = error.code
                raise
            finally:
                self._audit.ended(operation, ids, outcome, delivered=delivered, **criteria)


@dataclass(frozen=True, slots=True)
class _First:
    """An execution at the beginning of a subscription. `is_news`: the subscriber doesn't know it."""

    change: ExecutionChange
    is_news: bool


class _Rights:
    """The caller's token and policy, judged again every two seconds."""

    def __init__(self, recheck: Recheck) -> None:
        self._recheck, self._loop = recheck, asyncio.get_running_loop()
        self._at = self._loop.time()

    async def recheck(self) -> None:
        """Raises: Unauthenticated."""
        if self._loop.time() - self._at >= TICK_S:
            self._at = self._loop.time()
            await self._recheck()
