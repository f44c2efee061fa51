"""Lists over all targets, in pages.

The order is that of the keys, which begin with account and region. It depends on nothing that changes, so a
walk through all pages meets each row that lives throughout exactly once, whatever comes or goes meanwhile.
Targets are asked in that order too, a few at first and then ever more at a time, until the page is full: a
page costs the lists of the targets that it spans, and of a few behind them.
"""

from __future__ import annotations

import asyncio
import bisect
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from transfer_gateway.core.fanout import outcomes, outcomes_in_window
from transfer_gateway.domain.errors import BadUserInput, GatewayError
from transfer_gateway.domain.page import Entry, Page, limit_failures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from transfer_gateway.core.cursors import Cursors
    from transfer_gateway.domain.identity import Target

MAX_PAGE = 1000
_LAST_WORDS_S = 0.1  # for those that say at the deadline what they have waited for


class Key(Protocol):
    """A place in the list."""

    @property
    def target(self) -> Target: ...
    def __gt__(self, other: Any, /) -> bool: ...  # noqa: ANN401  a key of the same kind
    def __lt__(self, other: Any, /) -> bool: ...  # noqa: ANN401  as above
    def __hash__(self) -> int: ...


K = TypeVar("K", bound=Key)
V = TypeVar("V")
K_co = TypeVar("K_co", bound=Key, covariant=True)
V_co = TypeVar("V_co", covariant=True)


class Row(Protocol[K_co, V_co]):
    """A listed thing."""

    @property
    def key(self) -> K_co: ...
    def without_details(self) -> V_co: ...


class Pager(Generic[K, V]):
    """Cuts one list into pages. K are its keys, V what an entry is once it is described."""

    def __init__(self, cursors: Cursors[K], describe: Callable[[K, float], Awaitable[V]]) -> None:
        """`describe` is given a key and the deadline."""
        self._cursors = cursors
        self._describe = describe

    async def page(
        self,
        targets: Iterable[Target],
        list_in: Callable[[Target], Awaitable[tuple[list[Row[K, V]], list[GatewayError]]]],
        *,
        first: int,
        after: str | None,
        with_details: bool,
        deadline: float,
        shown: Callable[[V], V] = lambda described: described,
    ) -> Page[V]:
        """The first so many rows after a cursor. `list_in` gives a target's rows, and what of it failed.

        `shown` is given what was described.

        Raises: BadUserInput for a bad `first` or `after`. Failed targets are part of the page.
        """
        if not 1 <= first <= MAX_PAGE:
            raise BadUserInput.of("first", f"must be 1 to {MAX_PAGE}; got {first}.")
        place = self._cursors.read(after) if after is not None else None
        ahead = sorted(targets)
        if place is not None:
            ahead = ahead[bisect.bisect_left(ahead, place.target) :]
        rows, failures = await _rows(ahead, list_in, place, first, deadline)
        has_next, rows = len(rows) > first, rows[:first]
        if has_next:  # failures beyond the last entry are the next page's
            failures = [(target, error) for target, error in failures if target <= rows[-1].key.target]
        entries = await self._entries(rows, shown, with_details=with_details, deadline=deadline)
        return Page(entries, limit_failures(failures), has_next)

    async def _entries(
        self, rows: list[Row[K, V]], shown: Callable[[V], V], *, with_details: bool, deadline: float
    ) -> tuple[Entry[V], ...]:
        described = await outcomes(
            [row.key for row in rows] if with_details else [], lambda key: self._describe(key, deadline)
        )
        return tuple(self._entry(row, described.get(row.key), shown) for row in rows)

    def _entry(self, row: Row[K, V], described: V | GatewayError | None, shown: Callable[[V], V]) -> Entry[V]:
        cursor = partial(self._cursors.write, row.key)
        if described is None:
            return Entry(row.without_details(), cursor)
        if isinstance(described, GatewayError):
            return Entry(row.without_details(), cursor, missing=described)
        return Entry(shown(described), cursor)


async def _rows(
    ahead: list[Target],
    list_in: Callable[[Target], Awaitable[tuple[list[Row[K, V]], list[GatewayError]]]],
    place: K | None,
    first: int,
    deadline: float,
) -> tuple[list[Row[K, V]], list[tuple[Target, GatewayError | None]]]:
    """More than `first` rows in order, or all by the deadline; and the failures, not limited yet."""
    listed: dict[Target, tuple[list[Row[K, V]], list[GatewayError]]] = {}
    found = 0  # rows, wherever: they all come before those of any target not asked yet
    without_gap, to_come = (
        0,
        iter(ahead),
    )  # rows up to the first target that has not answered, which is `awaited`
    awaited = next(to_come, None)
    loop = asyncio.get_running_loop()
    coming = outcomes_in_window(ahead, list_in, is_enough=lambda: found > first, until=deadline)
    with suppress(TimeoutError):
        async with asyncio.timeout_at(deadline + _LAST_WORDS_S), aclosing(coming):
            async for target, outcome in coming:
                rows, failed = ([], [outcome]) if isinstance(outcome, GatewayError) else outcome
                rows = sorted(
                    (row for row in rows if place is None or row.key > place), key=lambda row: row.key
                )
                listed[target] = rows, failed
                found += len(rows)
                while awaited in listed:
                    without_gap += len(listed[awaited][0])
                    awaited = next(to_come, None)
                if without_gap > first:
                    break
    failures: list[tuple[Target, GatewayError | None]] = [
        (target, error) for target in listed for error in listed[target][1]
    ]
    if loop.time() >= deadline:
        failures += [(target, None) for target in ahead if target not in listed]
    return (
        [row for target in sorted(listed) for row in listed[target][0]],
        sorted(failures, key=lambda failure: failure[0]),
    )
