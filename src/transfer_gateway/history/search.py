"""Searching: pages of executions and counts by status, of what a caller may see.

All ways to find a page have the same conditions, and differ in which index they read first. A first look at the newest
finds what is frequent; the trigrams what is rare; the texts of the newest, one after the other, what is in between. A
caller who may see few accounts gets the newest of each, and so do those who look for a name. What is left reads on in
the order of the list until the page is full, or the time is over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from transfer_gateway.domain.execution import ExecutionStatus
from transfer_gateway.domain.identity import ExecutionKey
from transfer_gateway.domain.search import SearchOrder, SearchPosition, StatusCounts
from transfer_gateway.history.append import key_of
from transfer_gateway.history.codec import dump
from transfer_gateway.history.search_filter import (
    TABLES,
    Filter,
    Sql,
    Tables,
    big,
    duration_ms,
    has_lasted,
    is_running,
)
from transfer_gateway.history.tables import State, executions, texts
from transfer_gateway.history.trigrams import HAS_INDEX, Trigrams
from transfer_gateway.history.values import SearchRow, SearchRows, StoredExecution

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.elements import ColumnElement

    from transfer_gateway.domain.identity import Target
    from transfer_gateway.domain.search import SearchFilter
    from transfer_gateway.history.time_limit import TimeLimit
    from transfer_gateway.history.values import SearchGroup, SearchScope

    Ids = sa.Select[Any] | sa.CompoundSelect[Any]
    StoredOf = Callable[[AsyncConnection, Sequence[Any]], Awaitable[Mapping[int, StoredExecution]]]

_KEY = ("account_id", "region", "workflow_id", "execution_id")
_NO_STATUS = -1
_GROWTH = 6  # at most, of a look from the one before: one or two that are found tell little
_OTHER = Tables(executions.alias("other"), texts.alias("other_texts"))


@dataclass(frozen=True, slots=True)
class SearchBudget:
    """When to try another way. `look`, `long_look`, `longest_look`: so many of the next executions are looked at.

    `scattered`: their texts are not, if there are so many times as many between the first and the last one's.
    `found`: executions that trigrams may find at most. `few`, `many`: so many targets are read one by one at once, or
    if a longer look found too little.
    """

    look: int = 400
    long_look: int = 4000
    longest_look: int = 200_000
    scattered: int = 4
    found: int = 5000
    few: int = 64
    many: int = 2000


class _List:
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
        key: list[ColumnElement[Any]] = [tables.executions.c[name] for name in _KEY]
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


class _ByKey(_List):
    """In the order of the executions' keys."""

    def __init__(self, sql: Sql, after: ExecutionKey | Target | None, as_of_ms: int) -> None:
        position = None
        if after is not None:
            key = (*after, "", "")[: len(_KEY)]  # before all of a target
            position = SearchPosition(SearchOrder.OLDEST_FIRST, as_of_ms, 0, ExecutionKey(*key))
        super().__init__(sql, SearchOrder.OLDEST_FIRST, position, as_of_ms, backwards=False)

    def value(self, tables: Tables = TABLES) -> ColumnElement[int]:
        return big(0)


class _TextsRead:
    """Which texts have been read: those of so many `executions`, in the list's order of times, and more in between.

    `matching`: the ids of those that may match. `is_end`: there are no more executions.
    """

    def __init__(self, of: _List) -> None:
        self._of, self._value = of, of.begins_at
        self._low, self._high = 1, 0  # ids
        self.executions = 0
        self.matching: list[int] = []
        self._sample = 0, 1  # so many matched, of so many
        self.is_end = False

    def next_ones(self, look: int) -> sa.Select[Any]:
        """Their times and ids."""
        value = _OTHER.executions.c.began_at
        statement = sa.select(value.label("value"), _OTHER.executions.c.id)
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


class Search:
    """One search, in a connection's transaction."""

    def __init__(
        self,
        connection: AsyncConnection,
        limit: TimeLimit,
        scope: SearchScope,
        wanted: SearchFilter,
        *,
        as_of_ms: int,
        budget: SearchBudget,
    ) -> None:
        self._budget = budget
        self._connection, self._limit, self._as_of_ms = connection, limit, as_of_ms
        self._sql = Sql(connection.dialect.name == "postgresql")
        self._filter = Filter(self._sql, scope, wanted, as_of_ms)

    async def page(
        self,
        order: SearchOrder,
        position: SearchPosition | None,
        *,
        first: int,
        backwards: bool,
        stored_of: StoredOf,
    ) -> SearchRows:
        """Raises: BadUserInput; DeadlineExceeded."""
        of = _List(self._sql, order, position, self._as_of_ms, backwards=backwards)
        found = await self._found(of, first + 1) if self._filter.groups else []
        rows = found[:first]
        page = await self._with_content(of, rows[::-1] if backwards else rows, stored_of)
        return SearchRows(tuple(page), has_more=len(found) > first)

    async def by_key(
        self, after: ExecutionKey | Target | None, *, first: int, stored_of: StoredOf
    ) -> list[SearchRow]:
        """The first of what runs, in the order of the keys. Raises: BadUserInput; DeadlineExceeded."""
        of = _ByKey(self._sql, after, self._as_of_ms)
        rows = await self._sorted(of, first) if self._filter.groups else []
        return await self._with_content(of, rows, stored_of)

    async def _with_content(
        self, of: _List, rows: Sequence[sa.Row[Any]], stored_of: StoredOf
    ) -> list[SearchRow]:
        stored = await stored_of(self._connection, rows) if rows else {}
        return [
            SearchRow(
                SearchPosition(of.order, of.as_of_ms, row.value, key_of(row[:4])),
                key_of(row[:4]),
                stored[row.id],
                status_from(row.status),
            )
            for row in rows
        ]

    async def _found(self, of: _List, first: int) -> Sequence[sa.Row[Any]]:
        if self._filter.wanted.execution_ids:
            return await self._sorted(of, first)
        if self._filter.only_running:
            return await self._sorted(of, first)
        if of.is_by_duration or self._filter.only_failed:
            if (rare := await self._rare(of, first)) is not None:
                return rare
            return await (self._longest(of, first) if of.is_by_duration else self._in_order(of, first))
        return await self._newest_or_oldest(of, first)

    async def _newest_or_oldest(self, of: _List, first: int) -> Sequence[sa.Row[Any]]:
        targets = self._filter.targets(self._budget.many)
        if targets is not None and len(targets) <= self._budget.few:
            if (rare := await self._rare(of, first)) is not None:
                return rare
            return await self._sorted(of, first, self._of_targets(targets, _OTHER.executions.c.id, of, first))
        are_frequent = False
        if self._filter.needs_texts:
            read = _TextsRead(of)
            if (found := await self._by_texts(read, of, first)) is not None:
                return found
            of_each = len(targets or ()) * first  # that match
            are_frequent = read.look_for(of_each) < read.matching_in_all if of_each else False
        elif self._filter.names is None:
            for look in (self._budget.look, self._budget.long_look):
                rows = await self._sorted(of, first, self._look(of, look))
                if len(rows) == first:
                    return rows
        return await self._of_many(targets, of, first, are_frequent=are_frequent)

    async def _by_texts(self, read: _TextsRead, of: _List, first: int) -> Sequence[sa.Row[Any]] | None:
        """By trigrams if few match by what the next texts tell, else from these as long as a page is near.

        None: neither. In the time in which one execution is looked up, ten texts in a row are read.
        """
        look, are_many = self._budget.long_look, False
        while look > 0 and await self._read_texts(read, look):
            rows = await self._sorted(of, first, self._listed(read.matching), inside=read.inside)
            if len(rows) == first or read.is_end:
                return rows
            if not are_many and read.matching_in_all <= self._budget.found:
                if (rare := await self._rare(of, first)) is not None:
                    return rare
                are_many = True  # or there is no index of trigrams
            needed = 1 + read.executions * (first - len(rows)) * 6 // (max(1, len(rows)) * 5)
            left = self._budget.longest_look - read.executions
            look = min(needed, left, read.executions * _GROWTH)
        return None if are_many or read.matching_in_all > self._budget.found else await self._rare(of, first)

    async def _read_texts(self, read: _TextsRead, look: int) -> bool:
        """Those of the next executions, by their ids, which mostly are in the list's order.

        Returns: False if here they are not, or if too many match.
        """
        near = read.next_ones(look).subquery()
        edges_of = (edge(near.c[name]) for name in ("value", "id") for edge in (sa.func.min, sa.func.max))
        (row,) = await self._rows(sa.select(sa.func.count(), *edges_of))
        among = read.add(look, row)
        if read.spread > read.executions * self._budget.scattered:
            return False
        if among is not None:
            left = self._budget.found - len(read.matching)
            matching = sa.select(texts.c.execution).where(among, *self._filter.of_any_text).limit(left + 1)
            ids = [row[0] for row in await self._rows(matching)]
            read.note_matching(ids, are_all=len(ids) <= left)
        return len(read.matching) <= self._budget.found

    async def _of_many(
        self,
        targets: Sequence[tuple[Target, SearchGroup]] | None,
        of: _List,
        first: int,
        *,
        are_frequent: bool,
    ) -> Sequence[sa.Row[Any]]:
        """Of all that the caller may see few match, or the looks would have found them; of everyone's, many may."""
        if self._filter.names is not None:
            return await self._sorted(of, first, self._of_names(*self._filter.names, of, first))
        if not are_frequent and (trigrams := await self._trigrams()) is not None:
            found, of_texts = self._found_by(trigrams)
            return await self._sorted(of, first, found, of_texts=of_texts)
        if targets is not None:
            return await self._sorted(of, first, self._of_targets(targets, _OTHER.executions.c.id, of, first))
        return await self._in_order(of, first)

    async def _sorted(
        self,
        of: _List,
        first: int,
        ids: Ids | None = None,
        *,
        of_texts: bool = True,
        inside: ColumnElement[bool] | None = None,
    ) -> Sequence[sa.Row[Any]]:
        """The order is that of no index: all that match are read, and sorted. Without `of_texts` their texts do."""
        selected = self._select(of, ids, of_texts=of_texts)
        if inside is not None:
            selected = selected.where(inside)
        return await self._rows(of.of(selected, of.value() + 0, first))

    async def _in_order(self, of: _List, first: int) -> Sequence[sa.Row[Any]]:
        """Read as far as it takes."""
        return await self._rows(of.of(self._select(of), of.value(), first))

    def _look(self, of: _List, look: int) -> Ids:
        """The ids of the next executions in the list's order, whosever they are."""
        return of.of(
            sa.select(_OTHER.executions.c.id),
            of.value(_OTHER),
            look,
            _OTHER,
        )

    async def _rare(self, of: _List, first: int) -> Sequence[sa.Row[Any]] | None:
        """Those that an index finds, if that is not too much."""
        if (few := await self._few_named()) is not None:
            return await self._sorted(of, first, few)
        if (trigrams := await self._trigrams()) is None:
            return None
        found, of_texts = self._found_by(trigrams)
        few = await self._few(found)
        return None if few is None else await self._sorted(of, first, few, of_texts=of_texts)

    async def _few_named(self) -> Ids | None:
        names = self._filter.names
        return None if names is None else await self._few(self._named(*names))

    async def _few(self, found: sa.Select[tuple[int]]) -> Ids | None:
        """The same ids as a list; None: there are too many."""
        ids = [row[0] for row in await self._rows(found.limit(self._budget.found + 1))]
        return None if len(ids) > self._budget.found else self._listed(ids)

    def _named(self, column: str, names: Sequence[str]) -> sa.Select[tuple[int]]:
        columns = _OTHER.executions.c
        return sa.select(columns.id).where(self._sql.is_one_of(columns[column], names))

    def _found_by(self, trigrams: Trigrams) -> tuple[sa.Select[tuple[int]], bool]:
        """The ids that they find, and whether the texts of these are still to be looked at."""
        found = trigrams.executions(self._sql.dialect)
        exactly = self._filter.of_file_alone if self._sql.is_postgresql else None
        if exactly is None:
            return found, True
        return found.where(exactly) if trigrams.is_narrowed else found, False

    async def _trigrams(self) -> Trigrams | None:
        """What an index of them looks up; None: there is none, or it does not help."""
        trigrams = self._filter.trigrams()
        if not trigrams or not await self._connection.scalar(sa.text(HAS_INDEX[self._sql.dialect])):
            return None
        return await trigrams.narrowed(self._connection)

    def _listed(self, ids: Iterable[int]) -> Ids:
        if self._sql.is_postgresql:
            of = sa.literal(list(ids), postgresql.ARRAY(sa.BigInteger))
            return sa.select(sa.func.unnest(of))
        each = sa.func.json_each(sa.literal(dump(list(ids)), sa.Text)).table_valued("value")
        return sa.select(each.c.value)

    def _of_targets(
        self,
        targets: Sequence[tuple[Target, SearchGroup]],
        column: ColumnElement[int],
        of: _List | None = None,
        first: int = 0,
    ) -> Ids:
        """A column of the first of each target, or of all."""
        by_group: dict[int, list[Target]] = {}
        for target, group in targets:
            by_group.setdefault(id(group), []).append(target)
        groups = {id(group): group for group in self._filter.groups}
        parts = [self._of_group(groups[at], by_group[at], column, of, first) for at in by_group]
        if not parts:
            return sa.select(column).where(sa.false())
        return sa.union_all(*parts) if len(parts) > 1 else parts[0]

    def _of_group(
        self,
        group: SearchGroup,
        targets: Sequence[Target],
        column: ColumnElement[int],
        of: _List | None,
        first: int,
    ) -> sa.Select[Any]:
        given, names = self._given(
            {
                "account_id": [target.account_id for target in targets],
                "region": [target.region for target in targets],
            }
        )
        columns = _OTHER.executions.c
        here = [columns[name] == names[name] for name in names]
        conditions = [*self._filter.of_execution(_OTHER), *self._filter.of_texts(group, _OTHER)]
        if of is None:
            return (
                sa.select(column).select_from(given.join(self._others(), sa.and_(*here))).where(*conditions)
            )
        return self._of_each(given, [*here, *conditions], of, first)

    def _of_names(self, column: str, names: Sequence[str], of: _List, first: int) -> sa.Select[Any]:
        """The first of each name."""
        given, name_of = self._given({column: names})
        here = _OTHER.executions.c[column] == name_of[column]
        return self._of_each(given, [here, *self._filter.conditions(_OTHER)], of, first)

    def _others(self) -> sa.FromClause:
        others = _OTHER.executions
        if not self._filter.needs_texts:
            return others
        return others.join(_OTHER.texts, _OTHER.texts.c.execution == others.c.id)

    def _of_each(
        self, given: sa.FromClause, conditions: Iterable[ColumnElement[bool]], of: _List, first: int
    ) -> sa.Select[Any]:
        """The ids of the first that match for each row of a table."""
        inner = (
            sa.select(_OTHER.executions.c.id.label("found")).select_from(self._others()).where(*conditions)
        )
        inner = of.of(inner, of.value(_OTHER), first, _OTHER)
        if self._sql.is_postgresql:
            of_each = inner.lateral("of_each")
            return sa.select(of_each.c.found).select_from(given.join(of_each, sa.true()))
        own = executions.alias("own")
        return sa.select(own.c.id).select_from(given.join(own, own.c.id.in_(inner.correlate(given))))

    def _given(
        self, columns: Mapping[str, Sequence[str]]
    ) -> tuple[sa.FromClause, dict[str, ColumnElement[str]]]:
        """A table of these columns."""
        if self._sql.is_postgresql:
            arrays = [sa.literal(list(values), postgresql.ARRAY(sa.Text)) for values in columns.values()]
            given = sa.func.unnest(*arrays).table_valued(*columns, name="given").render_derived()
            return given, {name: given.c[name] for name in columns}
        rows = dump(list(zip(*columns.values(), strict=True)))
        given = sa.func.json_each(sa.literal(rows, sa.Text)).table_valued("value", name="given")
        return given, {
            name: sa.func.json_extract(given.c.value, f"$[{at}]", type_=sa.Text)
            for at, name in enumerate(columns)
        }

    async def _longest(self, of: _List, first: int) -> Sequence[sa.Row[Any]]:
        """What ran at that time is sorted by its duration until then; all others have theirs in the index."""
        columns = executions.c
        lasted = self._select(of).where(has_lasted(columns, of.as_of_ms))
        running = self._select(of).where(*is_running(columns, of.as_of_ms))
        ended_since = self._select(of).where(
            columns.ended_at > big(of.as_of_ms),
            columns.last_at > big(of.as_of_ms),
            sa.not_(sa.and_(*is_running(columns, of.as_of_ms))),
        )
        rows = [*await self._rows(of.of(lasted, columns.lasted_ms, first))]
        for others in (running, ended_since):
            rows += await self._rows(of.of(others, of.value() + 0, first))
        return sorted(rows, key=of.sort_key, reverse=not of.is_ascending)[:first]

    async def count(self, at_most: int) -> StatusCounts:
        """Raises: BadUserInput; DeadlineExceeded."""
        if not self._filter.groups:
            return StatusCounts({}, is_exact=True)
        some = (await self._statuses()).limit(at_most + 1).subquery()
        statement = sa.select(some.c.status, sa.func.count().label("found")).group_by(some.c.status)
        counts: dict[ExecutionStatus | None, int] = {
            status_from(row.status): row.found for row in await self._rows(statement)
        }
        return StatusCounts(counts, is_exact=sum(counts.values()) <= at_most)

    async def _statuses(self) -> Ids:
        """Those of all that match."""
        status = sa.select(status_of(executions.c, self._as_of_ms).label("status"))
        if self._filter.wanted.execution_ids or self._filter.only_running:
            return self._conditions(status)
        targets = None if self._filter.only_failed else self._filter.targets(self._budget.many)
        are_many = targets is None or len(targets) > self._budget.few
        names = self._filter.names if are_many else None
        if names is not None and not self._filter.needs_texts:
            # SQLite knows no numbers of rows: it is told which index to read.
            return self._conditions(status, None if self._sql.is_postgresql else self._named(*names))
        if names is not None and (few := await self._few_named()) is not None:
            return self._conditions(status, few)
        if are_many and (trigrams := await self._trigrams()) is not None:
            found, of_texts = self._found_by(trigrams)
            return self._conditions(status, found, of_texts=of_texts)
        if targets is None:
            return self._conditions(status)
        return self._of_targets(targets, status_of(_OTHER.executions.c, self._as_of_ms).label("status"))

    def _select(self, of: _List, ids: Ids | None = None, *, of_texts: bool = True) -> sa.Select[Any]:
        columns = executions.c
        return self._conditions(
            sa.select(
                *(columns[name] for name in _KEY),
                columns.id,
                columns.event_count,
                columns.observed,
                of.value().label("value"),
                status_of(columns, self._as_of_ms).label("status"),
            ),
            ids,
            of_texts=of_texts,
        )

    def _conditions(
        self, statement: sa.Select[Any], ids: Ids | None = None, *, of_texts: bool = True
    ) -> sa.Select[Any]:
        statement = statement.select_from(executions)
        if of_texts and self._filter.needs_texts:
            statement = statement.join(texts, texts.c.execution == executions.c.id)
        if ids is not None:
            statement = statement.where(executions.c.id.in_(ids))
        return statement.where(*self._filter.conditions(of_texts=of_texts))

    async def _rows(self, statement: sa.Executable) -> Sequence[sa.Row[Any]]:
        await self._limit.renew()
        return (await self._connection.execute(statement)).all()


def status_of(columns: sa.ColumnCollection[str, Any], as_of_ms: int) -> ColumnElement[int]:
    ended = columns.state.in_([sa.literal_column("2"), sa.literal_column("3")])
    running = sa.and_(*is_running(columns, as_of_ms))
    return sa.case((ended, columns.state), (running, columns.state), else_=_NO_STATUS)


def status_from(number: int) -> ExecutionStatus | None:
    return None if number == _NO_STATUS else ExecutionStatus(State(number).name)
