"""A list's order, the place from which it goes on, and how far the texts of what comes next have been read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from transfer_gateway.domain.identity import ExecutionKey
from transfer_gateway.domain.search import SearchOrder, SearchPosition
from transfer_gateway.history.search_filter import TABLES, Sql, Tables, big, duration_ms
from transfer_gateway.history.tables import executions, texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.sql.elements import ColumnElement

    from transfer_gateway.domain.identity import Target

KEY = ("account_id", "region", "workflow_id", "execution_id")
OTHER = Tables(executions.alias("other"), texts.alias("other_texts"))


class ListOrder:
    """The order of a list, the place in it, and the direction in which it is read."""

    def __init__(
        self, sql: Sql, order: SearchOrder, position: SearchPosition | None, as_of_ms: int, *, backwards: bool
    ) -> None:
        self._sql, self.order, self._position = sql, order, position
        self.as_of_ms = as_of_ms if position is None else position.as_of
        self.is_ascending = (order is SearchOrder.OLDEST_FIRST) != backwards

    @property
    def is_by_duration(self) -> bool:
        return self.order is SearchOrder.LONGEST_FIRST

    def value(self, tables: Tables = TABLES) -> ColumnElement[int]:
        if self.is_by_duration:
            return duration_ms(tables.executions.c, self.as_of_ms)
        return tables.executions.c.began_at

    def of(
        self, statement: sa.Select[Any], value: ColumnElement[int], first: int, tables: Tables = TABLES
    ) -> sa.Select[Any]:
        """The first of what is beyond the position. `value` decides whether the order is that of an index."""
        key: list[ColumnElement[Any]] = [tables.executions.c[name] for name in KEY]
        if self._sql.is_postgresql:
            key = [column.collate("C") for column in key]
        if self._position is not None:
            at, of = big(self._position.value), self._position.key
            here, there = sa.tuple_(*key), sa.tuple_(*(sa.literal(part, sa.Text) for part in of))
            is_beyond = (value > at, here > there) if self.is_ascending else (value < at, here < there)
            # The first of these is for the index.
            statement = statement.where(
                value >= at if self.is_ascending else value <= at,
                sa.or_(is_beyond[0], sa.and_(value == at, is_beyond[1])),
            )
        parts = (value, *key)
        return statement.order_by(
            *(part.asc() if self.is_ascending else part.desc() for part in parts)
        ).limit(first)

    @property
    def begins_at(self) -> int | None:
        """The position's value."""
        return None if self._position is None else self._position.value

    def sort_key(self, row: sa.Row[Any]) -> tuple[Any, ...]:
        return (row.value, *row[:4])


class KeyOrder(ListOrder):
    """In the order of the executions' keys."""

    def __init__(self, sql: Sql, after: ExecutionKey | Target | None, as_of_ms: int) -> None:
        position = None
        if after is not None:
            key = (*after, "", "")[: len(KEY)]  # before all of a target
            position = SearchPosition(SearchOrder.OLDEST_FIRST, as_of_ms, 0, ExecutionKey(*key))
        super().__init__(sql, SearchOrder.OLDEST_FIRST, position, as_of_ms, backwards=False)

    def value(self, tables: Tables = TABLES) -> ColumnElement[int]:
        return big(0)


class TextsRead:
    """Which texts have been read: those of so many `executions`, in the list's order of times, and more in between.

    `matching`: the ids of those that may match. `is_end`: there are no more executions.
    """

    def __init__(self, of: ListOrder) -> None:
        self._of, self._value = of, of.begins_at
        self._low, self._high = 1, 0  # ids
        self.executions = 0
        self.matching: list[int] = []
        self._sample = 0, 1  # so many matched, of so many
        self.is_end = False

    def next_ones(self, look: int) -> sa.Select[Any]:
        """Their times and ids."""
        value = OTHER.executions.c.began_at
        statement = sa.select(value.label("value"), OTHER.executions.c.id)
        if self._value is not None:
            at = big(self._value)
            statement = statement.where(value >= at if self._of.is_ascending else value <= at)
        return statement.order_by(value.asc() if self._of.is_ascending else value.desc()).limit(look)

    def add(self, look: int, row: sa.Row[Any]) -> ColumnElement[bool] | None:
        """What was found of them. Returns: which texts are still to be read, if any."""
        count, least, most, low, high = tuple(row)
        self.executions += look
        self.is_end = count < look
        if not count:
            return None
        self._value = most if self._of.is_ascending else least
        before = self._low, self._high
        if before == (1, 0):
            self._low, self._high = low, high
            return texts.c.execution.between(big(low), big(high))
        self._low, self._high = min(low, self._low), max(high, self._high)
        parts = ((self._low, before[0] - 1), (before[1] + 1, self._high))
        ranges = [texts.c.execution.between(big(first), big(last)) for first, last in parts if first <= last]
        return sa.or_(*ranges) if ranges else None

    @property
    def spread(self) -> int:
        return self._high - self._low

    @property
    def matching_in_all(self) -> int:
        """As many as match, if all that the history ever had are like those that have been read."""
        matching, of = self._sample
        return matching * self._high // of

    def look_for(self, matching: int) -> float:
        """How many executions so many match of, by those that have been read."""
        found, of = self._sample
        return matching * of / found if found else math.inf

    def note_matching(self, ids: Sequence[int], *, are_all: bool) -> None:
        self.matching += ids
        if are_all or not self._sample[0]:
            self._sample = len(self.matching), self.executions

    @property
    def inside(self) -> ColumnElement[bool] | None:
        """Which executions have all been read. Of those with the last value some may not."""
        if self.is_end or self._value is None:
            return None
        value, at = executions.c.began_at, big(self._value)
        return value < at if self._of.is_ascending else value > at
