"""The use cases that tell what changes, limited at each change to what the caller may see by then."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, aclosing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from transfer_gateway.core.access import Access
from transfer_gateway.core.history import ENDING_FOR_S
from transfer_gateway.core.live import until
from transfer_gateway.core.response_replay import counts_uses
from transfer_gateway.core.search_input import check_live, checked, span_of
from transfer_gateway.core.search_use_cases import criteria_of
from transfer_gateway.domain.change import ExecutionChange
from transfer_gateway.domain.errors import AccountNotAvailable, GatewayError, HistoryOff, UpstreamUnavailable
from transfer_gateway.domain.execution import Source
from transfer_gateway.history.values import SearchIn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from transfer_gateway.core.live import Live
    from transfer_gateway.core.live_feed import Subscription
    from transfer_gateway.core.search_input import Span
    from transfer_gateway.core.watched import Watched
    from transfer_gateway.domain.change import ChangePosition
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.domain.search import SearchFilter, SearchInput

    Changes = AsyncGenerator[ExecutionChange | None]
    Recheck = Callable[[], Awaitable[None]]

_LOOKED_AT_EVERY_S = (
    60.0  # whether an execution that is watched still runs, although nothing tells of its end
)
_FOLLOWED_CLOSELY = 100  # targets of one subscription
_RECHECKED_EVERY_S = 1.0
_KEPT_CURRENT_S = 10.0
_LINGERS_S = 10.0  # for a step's end whose entry comes after that of the execution's
_CURSOR = "cursor"


@counts_uses
class LiveUseCases(Access):
    """See `Reader`.

    `recheck` verifies the caller's token again, and updates `scope` to the current policy; it is called every
    second at most, and every four at least. None is yielded when a subscription has begun (what refuses it is raised
    before), and every three seconds where nothing changes.
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
        with ExitStack() as stack:
            with self._audited_unless_found("watch_execution", str(key)):
                self._check_visible(key)
                live, watched = self._live()
                subscription = stack.enter_context(live.subscription(key))
                position, first = await self._known_first(live, subscription, key, after, deadline)
            if first is None:
                first = await self._looked_up_first(live, key, position, deadline)
            told = stack.enter_context(self._subscription("watch_execution", [str(key)]))
            rights, ending = _Rights(recheck), _Ending(live, watched, key)
            yield None
            change = ending.judged(first.change)
            begins_at, is_last = change.position, change.is_last
            is_recorded = Source.LOG in change.execution.recorded_by
            if first.is_news:
                yield told(change)
            del first, change  # it would stay in memory, with all its events, as long as the subscription
            if is_last:
                return
            stack.enter_context(watched.watching(key, is_recorded=is_recorded))
            changes = subscription.changes(begins_at, is_current=True)
            async with aclosing(changes), aclosing(ending.until_last(changes, begins_at)) as until_last:
                async for each in until_last:
                    await rights.recheck()
                    self._check_visible(key)
                    yield each if each is None else told(each)

    async def _known_first(
        self, live: Live, subscription: Subscription, key: ExecutionKey, after: str | None, deadline: float
    ) -> tuple[ChangePosition, _First | None]:
        """Where it begins, and with what; None: the execution is not stored.

        Raises: BadUserInput; UpstreamUnavailable, DeadlineExceeded.
        """
        async with until(deadline):
            begin = await live.begin(after or None)
            await subscription.begun()
            if begin is not None:
                begin = begin._replace(listed=None)
                if (new := await live.new(key, begin)) is not None:
                    # An answer of AWS's that is stored after the end tells nothing new.
                    return begin, _First(new, is_news=bool(new.events) or not new.is_last)
            newest, known = await live.known(key, told=begin)
        if known is None:
            return begin or newest, None
        if begin is None or known.events:  # these are newer than the read before
            return newest, _First(known, is_news=True)
        return begin, _First(replace(known, position=begin), is_news=False)

    async def _looked_up_first(
        self, live: Live, key: ExecutionKey, position: ChangePosition, deadline: float
    ) -> _First:
        """As AWS answers or, if the log had to be searched, as that has been stored. Raises: GatewayError."""
        executions = self._sources.operations.executions
        execution = await self._look_up(
            "watch_execution", executions, key, max_age_s=0, deadline=deadline, get=self._known
        )
        async with until(deadline):
            _, known = await live.known(key, told=position)
        if known is not None and known.events:
            return _First(known, is_news=True)
        return _First(ExecutionChange(position, key, execution, ()), is_news=True)

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
            async with until(deadline):
                position = await live.begin(after or None) or await live.newest()
        with self._subscription("watch_executions", [], **criteria) as told:
            rights, listing = _Rights(recheck), not after or position.listed is not None
            is_new = True
            while True:
                version = self.scope.version
                changes = self._changes_in(span, wanted, position, listing=listing, is_new=is_new)
                async with aclosing(changes):
                    async for change in changes:
                        await rights.recheck()
                        if self.scope.version != version:
                            break  # `change` is read again, within what may be seen by now
                        if change is not None:
                            position, listing = change.position, change.position.listed is not None
                        yield change if change is None else told(change)
                span, is_new = span_of(self.scope, wanted, wanted), False

    async def _changes_in(
        self, span: Span, wanted: SearchFilter, position: ChangePosition, *, listing: bool, is_new: bool
    ) -> Changes:
        """What is in progress, if that is still to be listed, and then what changes.

        `is_new`: otherwise it goes on with other rights, which no limit may refuse.
        """
        live, watched = self._live()
        narrowed, search = span.narrowed(wanted), self._sources.search
        assert search is not None  # noqa: S101  it is there with `live`
        of = SearchIn(search.scope_of(span.scope), narrowed)
        self._keep_current(watched, span, wanted)
        loop = asyncio.get_running_loop()
        current_until = loop.time() + _KEPT_CURRENT_S
        shared_as = span.scope.version, narrowed
        with live.subscription(of, shared_as=shared_as, is_new=is_new) as subscription:
            yield None
            if listing and wanted.may_run:
                async with aclosing(live.running(of, position, caller=self.caller.name)) as running:
                    async for listed in running:
                        yield listed
            async with aclosing(subscription.changes(position._replace(listed=None))) as changes:
                async for change in changes:
                    if loop.time() >= current_until:
                        current_until = loop.time() + _KEPT_CURRENT_S
                        self._keep_current(watched, span, wanted)
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
    """The caller's token and policy, judged again after a second, when something happens."""

    def __init__(self, recheck: Recheck) -> None:
        self._recheck, self._loop = recheck, asyncio.get_running_loop()
        self._at = self._loop.time()

    async def recheck(self) -> None:
        """Raises: Unauthenticated."""
        if self._loop.time() - self._at >= _RECHECKED_EVERY_S:
            self._at = self._loop.time()
            await self._recheck()


class _Ending:
    """When an execution has ended, also if nothing tells of it: AWS has forgotten it, or the log's entry is missing."""

    def __init__(self, live: Live, watched: Watched, key: ExecutionKey) -> None:
        self._live, self._watched, self._key = live, watched, key
        self._loop = asyncio.get_running_loop()
        self._look_at = self._loop.time() + _LOOKED_AT_EVERY_S
        self._noticed_at: float | None = None  # in the loop's time, that it has ended
        self._told_end = False

    def judged(self, change: ExecutionChange) -> ExecutionChange:
        """What has ended unrecorded is `ending` for a while, if a log may yet tell of its end.

        What has ended with a step that has not is not told to the end: entries of a log come in any order.
        """
        if not change.is_last or not self._watched.may_be_logged(self._key):
            return change
        execution = change.execution
        if not execution.has_ended:
            if self._is_over(ENDING_FOR_S):
                return change
            return replace(change, execution=replace(execution, ending=True), rendered={})
        if not self._told_end:
            self._told_end, self._noticed_at = True, None
        if not _has_open_step(execution) or self._live.age_s(execution.ended_at) > ENDING_FOR_S:
            return change
        return change if self._is_over(_LINGERS_S) else replace(change, has_later=True)

    def _is_over(self, wait_s: float) -> bool:
        """Whether it has been waited for so long since the end was noticed."""
        now = self._loop.time()
        if self._noticed_at is None:
            self._noticed_at = now
        self._look_at = self._noticed_at + wait_s
        return now >= self._look_at

    async def until_last(self, changes: Changes, told: ChangePosition) -> Changes:
        """The changes, to the last one. `told`: what has been before."""
        async for change in changes:
            if change is not None:
                told = change.position
                change = self.judged(change)  # noqa: PLW2901
                if self._noticed_at is None:  # it is going on
                    self._look_at = self._loop.time() + _LOOKED_AT_EVERY_S
            yield change
            if change is not None and change.is_last:
                return
            if self._loop.time() >= self._look_at:
                self._look_at = self._loop.time() + _LOOKED_AT_EVERY_S
                has_told_end, final = self._told_end, await self._last(told)
                if final is not None:
                    if not has_told_end:
                        yield final
                    return

    async def _last(self, told: ChangePosition) -> ExecutionChange | None:
        """The last change, if the execution is over and all of its events have been told."""
        try:
            _, known = await self._live.known(self._key, told=told)
        except UpstreamUnavailable:  # it is looked at again
            return None
        if known is None or known.events:  # these are about to come
            return None
        final = self.judged(known)
        return final if final.is_last else None


def _has_open_step(execution: Execution) -> bool:
    results = execution.results
    return results is not None and any(
        step.started_at is not None and step.ended_at is None
        for step in (*(results.steps or ()), *(results.on_exception_steps or ()))
    )
