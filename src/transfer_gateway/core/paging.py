"""Lists over all targets, in pages.

Rows are ordered by key: account and region first. Keys never change, so a client that reads all pages gets each row
that exists throughout exactly once, whatever is added or removed meanwhile. Targets are listed in the same order, a
growing number at a time, until the page is full: a page costs the lists of the targets that it spans, plus a few. At
the deadline the page ends, and the next one starts with the first target that has not been listed.
"""

from __future__ import annotations

import asyncio
import bisect
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from transfer_gateway.core.fanout import outcomes, outcomes_in_window
from transfer_gateway.domain.errors import BadUserInput, GatewayError
from transfer_gateway.domain.identity import Target
from transfer_gateway.domain.page import Entry, Page, limit_failures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from transfer_gateway.core.cursors import Cursors

MAX_PAGE = 1000
_GRACE_S = 0.1  # for calls that report at the deadline why they had to wait


class Key(Protocol):
    """A position in the list."""

    @property
    def target(self) -> Target: ...
    def __gt__(self, other: Any, /) -> bool: ...  # noqa: ANN401  a key of the same kind
    def __lt__(self, other: Any, /) -> bool: ...  # noqa: ANN401  as above
    def __hash__(self) -> int: ...


K = TypeVar("K", bound=Key)
V = TypeVar("V")
P = TypeVar("P")
K_co = TypeVar("K_co", bound=Key, covariant=True)
V_co = TypeVar("V_co", covariant=True)


class Row(Protocol[K_co, V_co]):
    """A list entry."""

    @property
    def key(self) -> K_co: ...
    def without_details(self) -> V_co: ...


def check_first(first: int) -> None:
    """Raises: BadUserInput unless it is a page's size."""
    if not 1 <= first <= MAX_PAGE:
        raise BadUserInput.of("first", f"must be 1 to {MAX_PAGE}; got {first}.")


def or_target(parse: Callable[[str], P]) -> Callable[[str], P | Target]:
    """Parses the position of a key, or that of a target: before its first key."""
    return lambda text: Target.parse(text) if text.count("/") == 1 else parse(text)


class Pager(Generic[K, V]):
    """Splits one list into pages. K is the key type, V the type of described entries."""

    def __init__(self, cursors: Cursors[K | Target], describe: Callable[[K, float], Awaitable[V]]) -> None:
        """`describe` takes a key and the deadline."""
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
        redact: Callable[[V], V] = lambda described: described,
    ) -> Page[V]:
        """The `first` rows after a cursor. `list_in` returns a target's rows and failures.

        `redact` is applied to described entries.

        Raises: BadUserInput for a bad `first` or `after`. Failed targets are part of the page.
        """
        check_first(first)
        position = self._cursors.read(after) if after is not None else None
        remaining = sorted(targets)
        if position is not None:
            remaining = remaining[bisect.bisect_left(remaining, position.target) :]
        rows, failures, rest = await _rows(remaining, list_in, position, first, deadline)
        if len(rows) > first:
            rows, rest = rows[:first], None
            has_next = True  # failures beyond the last entry belong to the next page
            failures = [(target, error) for target, error in failures if target <= rows[-1].key.target]
        else:
            has_next = rest is not None
        entries = await self._entries(rows, redact, with_details=with_details, deadline=deadline)
        end = None if rest is None else partial(self._cursors.write, rest)
        return Page(entries, limit_failures(failures), has_next, end)

    async def _entries(
        self, rows: list[Row[K, V]], redact: Callable[[V], V], *, with_details: bool, deadline: float
    ) -> tuple[Entry[V], ...]:
        described = await outcomes(
            [row.key for row in rows] if with_details else [], lambda key: self._describe(key, deadline)
        )
        return tuple(self._entry(row, described.get(row.key), redact) for row in rows)

    def _entry(
        self, row: Row[K, V], described: V | GatewayError | None, redact: Callable[[V], V]
    ) -> Entry[V]:
        cursor = partial(self._cursors.write, row.key)
        if described is None:
            return Entry(row.without_details(), cursor)
        if isinstance(described, GatewayError):
            return Entry(row.without_details(), cursor, missing=described)
        return Entry(redact(described), cursor)


async def _rows(
    remaining: list[Target],
    list_in: Callable[[Target], Awaitable[tuple[list[Row[K, V]], list[GatewayError]]]],
    position: K | Target | None,
    first: int,
    deadline: float,
) -> tuple[list[Row[K, V]], list[tuple[Target, GatewayError | None]], Target | None]:
    """More than `first` rows in order, or all that arrive by the deadline; all failures; the first target not asked."""
    listed: dict[Target, tuple[list[Row[K, V]], list[GatewayError]]] = {}
    found = 0  # rows so far: all of them precede those of targets not listed yet
    contiguous = 0  # rows before the first target whose list is pending: `awaited`
    pending = iter(remaining)
    awaited = next(pending, None)
    asked = 0

    async def ask(target: Target) -> tuple[list[Row[K, V]], list[GatewayError]]:
        nonlocal asked
        asked += 1
        return await list_in(target)

    completed = outcomes_in_window(remaining, ask, is_enough=lambda: found > first, until=deadline)
    with suppress(TimeoutError):
        async with asyncio.timeout_at(deadline + _GRACE_S), aclosing(completed):
            async for target, outcome in completed:
                rows, failed = ([], [outcome]) if isinstance(outcome, GatewayError) else outcome
                rows = sorted(
                    (row for row in rows if position is None or row.key > position), key=lambda row: row.key
                )
                listed[target] = rows, failed
                found += len(rows)
                while awaited in listed:
                    contiguous += len(listed[awaited][0])
                    awaited = next(pending, None)
                if contiguous > first:
                    break
    failures: list[tuple[Target, GatewayError | None]] = [
        (target, error) for target in listed for error in listed[target][1]
    ]
    if asyncio.get_running_loop().time() >= deadline:
        failures += [(target, None) for target in remaining[:asked] if target not in listed]
    return (
        [row for target in sorted(listed) for row in listed[target][0]],
        sorted(failures, key=lambda failure: failure[0]),
        remaining[asked] if asked < len(remaining) else None,
    )
