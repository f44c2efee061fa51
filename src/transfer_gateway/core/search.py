"""Searches over all executions that are known, from the history alone: no call to AWS, however many accounts."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from cachetools import LRUCache

from transfer_gateway.domain.errors import BadUserInput, DeadlineExceeded
from transfer_gateway.domain.execution import ExecutionStatus
from transfer_gateway.domain.identity import Target
from transfer_gateway.domain.merge import from_last_answer, from_record, in_progress
from transfer_gateway.domain.page import Entry
from transfer_gateway.domain.record import record_of
from transfer_gateway.domain.scope import Hideable
from transfer_gateway.domain.search import FoundPage, SearchPosition, StatusCounts
from transfer_gateway.history.values import SearchScope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer_gateway.core.clock import Clock
    from transfer_gateway.core.cursors import Cursors
    from transfer_gateway.core.search_input import Part, Span
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import AccountId, Region
    from transfer_gateway.domain.scope import Scope
    from transfer_gateway.domain.search import SearchFilter, SearchOrder
    from transfer_gateway.history.store import HistoryStore
    from transfer_gateway.history.values import ChangeRow, SearchRow

_SCOPES_CACHED = 64  # each takes 1 MB for 40,000 targets
_RUNNING = (ExecutionStatus.IN_PROGRESS, ExecutionStatus.HANDLING_EXCEPTION)
_SEARCHED = frozenset({Hideable.INITIAL_FILE_LOCATION, Hideable.SERVICE_METADATA})  # by filters
_NONE = frozenset[Hideable]()
_NOTHING = StatusCounts({}, is_exact=True)


class Search:
    """Searches the store, limited to what a scope shows."""

    def __init__(
        self,
        store: HistoryStore,
        clock: Clock,
        cursors: Cursors[SearchPosition],
    ) -> None:
        self._store, self._now, self._cursors = store, clock.now, cursors
        self._scopes: LRUCache[bytes, SearchScope] = LRUCache(_SCOPES_CACHED)

    async def page(
        self,
        span: Span,
        wanted: SearchFilter,
        order: SearchOrder,
        part: Part,
        *,
        with_counts: bool,
        deadline: float,
        caller: str,
    ) -> FoundPage:
        """A page of the executions that match, with hidden fields; `deadline` is in the loop's time.

        Raises: BadUserInput for a bad cursor; UpstreamUnavailable, by the store; DeadlineExceeded.
        """
        position = self._position(part, order)
        if not span.count:
            return FoundPage((), False, False, (), _NOTHING if with_counts else None)  # noqa: FBT003  no more
        now_ms = int(self._now() * 1000)
        scope, narrowed = self.scope_of(span.scope), span.narrowed(wanted)
        try:
            async with asyncio.timeout_at(deadline):
                found = await self._store.search(
                    scope,
                    narrowed,
                    order,
                    first=part.size,
                    position=position,
                    backwards=part.backwards,
                    as_of_ms=now_ms,
                    caller=caller,
                )
                counts = None
                if with_counts:
                    counts = await self._store.count(scope, narrowed, as_of_ms=now_ms, caller=caller)
        except TimeoutError:
            raise DeadlineExceeded("The history did not answer before the request's deadline.") from None
        entries = tuple(
            Entry(execution_of(row), partial(self._cursors.write, row.position)) for row in found.rows
        )
        return FoundPage(
            entries,
            has_next=position is not None if part.backwards else found.has_more,
            has_previous=found.has_more if part.backwards else position is not None,
            hidden_filters=(),
            counts=counts,
        )

    def _position(self, part: Part, order: SearchOrder) -> SearchPosition | None:
        if part.cursor is None:
            return None
        field = "before" if part.backwards else "after"
        position = self._cursors.read(part.cursor, field=field)
        if position.order is not order:
            raise BadUserInput.of(
                field, f"is a cursor of a list with the order {position.order}: use it with that order."
            )
        return position

    def scope_of(self, scope: Scope) -> SearchScope:
        """What a search within the scope may tell of."""
        found = self._scopes.get(scope.version)
        if found is None:
            found = self._scopes[scope.version] = SearchScope.of_regions(_regions_by_hidden(scope))
        return found


def _regions_by_hidden(scope: Scope) -> dict[frozenset[Hideable], dict[AccountId, Sequence[Region]]]:
    """What is hidden in which regions of each account, as far as it matters to searches."""
    if not scope.hidden:
        return {_NONE: {account.id: account.regions for account in scope.accounts}}
    found: defaultdict[frozenset[Hideable], dict[AccountId, Sequence[Region]]] = defaultdict(dict)
    with_hidden = {target.account_id for target in scope.hidden}
    for account in scope.accounts:
        if account.id not in with_hidden:
            found[_NONE][account.id] = account.regions
            continue
        for region in account.regions:
            known = found[scope.hidden.get(Target(account.id, region), _NONE) & _SEARCHED]
            known[account.id] = (*known.get(account.id, ()), region)
    return found


def execution_of(row: SearchRow | ChangeRow) -> Execution:
    """The execution in the state that the store has found, observed when there was the last sign of it."""
    record = record_of(row.stored.events) if row.stored.events else None
    answer = row.stored.observed
    signs = [event.occurred_at for event in row.stored.events[-1:]]
    if answer is not None:
        signs.append(answer.observed_at)
    observed_at = max(signs)
    if row.status in _RUNNING:
        return in_progress(record, answer, row.status, observed_at=observed_at)
    if record is not None:
        return from_record(record, answer, observed_at=observed_at, ending=False)
    assert answer is not None  # noqa: S101  what is stored is one or the other
    return from_last_answer(answer, observed_at=observed_at, ending=False)
