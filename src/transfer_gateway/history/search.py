"""Searching: pages of executions and counts by status, of what a caller may see.

All ways to find a page have the same conditions, and differ in which index they read first. A first look at the newest
finds what is frequent; the trigrams what is rare; the texts of the newest, one after the other, what is in between. A
caller who may see few accounts gets the newest of each, and so do those who look for a name. What is left reads on in
the order of the list until the page is full, or the time is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from transfer_gateway.domain.execution import ExecutionStatus
from transfer_gateway.domain.search import SearchOrder, SearchPosition, StatusCounts
from transfer_gateway.history.append import key_of
from transfer_gateway.history.codec import dump
from transfer_gateway.history.search_filter import Filter, Sql, are_unknown, big, has_lasted, is_running
from transfer_gateway.history.search_order import KEY, OTHER, KeyOrder, ListOrder, TextsRead
from transfer_gateway.history.tables import State, executions, texts
from transfer_gateway.history.trigrams import HAS_INDEX, Trigrams
from transfer_gateway.history.values import SearchRow, SearchRows, StoredExecution

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.elements import ColumnElement

    from transfer_gateway.domain.identity import ExecutionKey, Target
    from transfer_gateway.domain.search import SearchFilter
    from transfer_gateway.history.time_limit import TimeLimit
    from transfer_gateway.history.values import SearchGroup, SearchScope

    Ids = sa.Select[Any] | sa.CompoundSelect[Any]
    StoredOf = Callable[[AsyncConnection, Sequence[Any]], Awaitable[Mapping[int, StoredExecution]]]

_NO_STATUS = -1
_GROWTH = 6  # at most, of a look from the one before: one or two that are found tell little


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
        of = ListOrder(self._sql, order, position, self._as_of_ms, backwards=backwards)
        found = await self._found(of, first + 1) if self._filter.groups else []
        rows = found[:first]
        page = await self._with_content(of, rows[::-1] if backwards else rows, stored_of)
        return SearchRows(tuple(page), has_more=len(found) > first)

    async def by_key(
        self, after: ExecutionKey | Target | None, *, first: int, stored_of: StoredOf
    ) -> list[SearchRow]:
        """The first of what runs, in the order of the keys. Raises: BadUserInput; DeadlineExceeded."""
        of = KeyOrder(self._sql, after, self._as_of_ms)
        rows = await self._sorted(of, first) if self._filter.groups else []
        return await self._with_content(of, rows, stored_of)

    async def _with_content(
        self, of: ListOrder, rows: Sequence[sa.Row[Any]], stored_of: StoredOf
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

    async def _found(self, of: ListOrder, first: int) -> Sequence[sa.Row[Any]]:
        if self._filter.wanted.execution_ids:
            return await self._sorted(of, first)
        if self._filter.only_running:
            return await self._sorted(of, first)
        if of.is_by_duration or self._filter.only_failed or self._filter.wanted.result_unknown:
            if (rare := await self._rare(of, first)) is not None:
                return rare
            if self._filter.wanted.result_unknown:
                return await self._unknown(of, first)
            return await (self._longest(of, first) if of.is_by_duration else self._in_order(of, first))
        return await self._newest_or_oldest(of, first)

    async def _newest_or_oldest(self, of: ListOrder, first: int) -> Sequence[sa.Row[Any]]:
        targets = self._filter.targets(self._budget.many)
        if targets is not None and len(targets) <= self._budget.few:
            if (rare := await self._rare(of, first)) is not None:
                return rare
            return await self._sorted(of, first, self._of_targets(targets, OTHER.executions.c.id, of, first))
        are_frequent = False
        if self._filter.needs_texts:
            read = TextsRead(of)
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

    async def _by_texts(self, read: TextsRead, of: ListOrder, first: int) -> Sequence[sa.Row[Any]] | None:
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

    async def _read_texts(self, read: TextsRead, look: int) -> bool:
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
        of: ListOrder,
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
            return await self._sorted(of, first, self._of_targets(targets, OTHER.executions.c.id, of, first))
        return await self._in_order(of, first)

    async def _sorted(
        self,
        of: ListOrder,
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

    async def _in_order(self, of: ListOrder, first: int) -> Sequence[sa.Row[Any]]:
        """Read as far as it takes."""
        return await self._rows(of.of(self._select(of), of.value(), first))

    def _look(self, of: ListOrder, look: int) -> Ids:
        """The ids of the next executions in the list's order, whosever they are."""
        return of.of(
            sa.select(OTHER.executions.c.id),
            of.value(OTHER),
            look,
            OTHER,
        )

    async def _rare(self, of: ListOrder, first: int) -> Sequence[sa.Row[Any]] | None:
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
        columns = OTHER.executions.c
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
        of: ListOrder | None = None,
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
        of: ListOrder | None,
        first: int,
    ) -> sa.Select[Any]:
        given, here = self._given_targets(targets)
        conditions = [*self._filter.of_execution(OTHER), *self._filter.of_texts(group, OTHER)]
        if of is None:
            return (
                sa.select(column).select_from(given.join(self._others(), sa.and_(*here))).where(*conditions)
            )
        return self._of_each(given, [*here, *conditions], of, first)

    def _given_targets(self, targets: Sequence[Target]) -> tuple[sa.FromClause, list[ColumnElement[bool]]]:
        """A table of them, and what executions there have in common with it."""
        given, names = self._given(
            {
                "account_id": [target.account_id for target in targets],
                "region": [target.region for target in targets],
            }
        )
        return given, [OTHER.executions.c[name] == names[name] for name in names]

    async def _have_few(self, targets: Sequence[tuple[Target, SearchGroup]]) -> bool:
        """Whether they have few executions, all together."""
        given, here = self._given_targets([target for target, _ in targets])
        some = sa.select(OTHER.executions.c.id).select_from(given.join(OTHER.executions, sa.and_(*here)))
        counted = sa.select(sa.func.count()).select_from(some.limit(self._budget.found + 1).subquery())
        ((count,),) = await self._rows(counted)
        return bool(count <= self._budget.found)

    def _of_names(self, column: str, names: Sequence[str], of: ListOrder, first: int) -> sa.Select[Any]:
        """The first of each name."""
        given, name_of = self._given({column: names})
        here = OTHER.executions.c[column] == name_of[column]
        return self._of_each(given, [here, *self._filter.conditions(OTHER)], of, first)

    def _others(self) -> sa.FromClause:
        others = OTHER.executions
        if not self._filter.needs_texts:
            return others
        return others.join(OTHER.texts, OTHER.texts.c.execution == others.c.id)

    def _of_each(
        self, given: sa.FromClause, conditions: Iterable[ColumnElement[bool]], of: ListOrder, first: int
    ) -> sa.Select[Any]:
        """The ids of the first that match for each row of a table."""
        inner = sa.select(OTHER.executions.c.id.label("found")).select_from(self._others()).where(*conditions)
        inner = of.of(inner, of.value(OTHER), first, OTHER)
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

    async def _longest(self, of: ListOrder, first: int) -> Sequence[sa.Row[Any]]:
        """What ran at that time is sorted by its duration until then; all others have theirs in the index.

        That index is of everyone's executions: those of targets that have few are read by their targets, and sorted.
        """
        targets = self._filter.targets(self._budget.many)
        if targets is not None and await self._have_few(targets):
            return await self._sorted(of, first, self._of_targets(targets, OTHER.executions.c.id))
        columns = executions.c
        lasted = self._select(of).where(has_lasted(columns, of.as_of_ms))
        running = self._select(of).where(*is_running(columns, of.as_of_ms))
        ended_since = self._select(of).where(
            columns.ended_at > big(of.as_of_ms),
            columns.last_at > big(of.as_of_ms),
            sa.not_(sa.and_(*is_running(columns, of.as_of_ms))),
        )
        return await self._merged(
            of,
            first,
            (lasted, columns.lasted_ms),
            (running, of.value() + 0),
            (ended_since, of.value() + 0),
        )

    async def _unknown(self, of: ListOrder, first: int) -> Sequence[sa.Row[Any]]:
        """Those that AWS has forgotten are in an index by their start; the few others are sorted."""
        gone, others = (self._select(of).where(*each) for each in are_unknown(executions.c, self._as_of_ms))
        by_index = of.value() + 0 if of.is_by_duration else of.value()
        return await self._merged(of, first, (gone, by_index), (others, of.value() + 0))

    async def _merged(
        self, of: ListOrder, first: int, *parts: tuple[sa.Select[Any], ColumnElement[int]]
    ) -> Sequence[sa.Row[Any]]:
        """The first of several selects, each with the value that it is ordered by."""
        rows = [row for selected, value in parts for row in await self._rows(of.of(selected, value, first))]
        return sorted(rows, key=of.sort_key, reverse=not of.is_ascending)[:first]

    async def count(self, at_most: int) -> StatusCounts:
        """Raises: BadUserInput; DeadlineExceeded."""
        if not self._filter.groups:
            return StatusCounts({}, is_exact=True)
        is_unknown = self._filter.wanted.result_unknown
        statuses = self._unknown_statuses() if is_unknown else await self._statuses()
        some = statuses.limit(at_most + 1).subquery()
        statement = sa.select(some.c.status, sa.func.count().label("found")).group_by(some.c.status)
        counts: dict[ExecutionStatus | None, int] = {
            status_from(row.status): row.found for row in await self._rows(statement)
        }
        return StatusCounts(counts, is_exact=sum(counts.values()) <= at_most)

    def _status(self) -> sa.Select[tuple[int]]:
        return sa.select(status_of(executions.c, self._as_of_ms).label("status"))

    def _unknown_statuses(self) -> Ids:
        kinds = are_unknown(executions.c, self._as_of_ms)
        return sa.union_all(*(self._conditions(self._status()).where(*each) for each in kinds))

    async def _statuses(self) -> Ids:
        """Those of all that match."""
        status = self._status()
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
            return self._of_found(status, found, of_texts=of_texts)
        if targets is None:
            return self._conditions(status)
        return self._of_targets(targets, status_of(OTHER.executions.c, self._as_of_ms).label("status"))

    def _select(self, of: ListOrder, ids: Ids | None = None, *, of_texts: bool = True) -> sa.Select[Any]:
        columns = executions.c
        return self._conditions(
            sa.select(
                *(columns[name] for name in KEY),
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

    def _of_found(self, statement: sa.Select[Any], found: Ids, *, of_texts: bool) -> sa.Select[Any]:
        """Those that trigrams find, of which a few may do: they are looked up one by one, no further than it takes.

        As a subquery of IN, SQLite would first make a list of all, and PostgreSQL read executions until enough match
        whenever it thinks that soon enough; OFFSET keeps it from that. SQLite begins with the newest.
        """
        is_postgresql = self._sql.is_postgresql
        ids = (found.offset(0) if is_postgresql else found).subquery("found")
        (id_,) = ids.c
        tables = ids.join(executions, executions.c.id == id_)
        if of_texts or not is_postgresql:
            tables = tables.join(texts, texts.c.execution == id_)
        of_found = statement.select_from(tables).where(
            *self._filter.conditions(of_texts=of_texts or not is_postgresql)
        )
        return of_found if is_postgresql else of_found.order_by(id_.desc())

    async def _rows(self, statement: sa.Executable) -> Sequence[sa.Row[Any]]:
        await self._limit.renew()
        return (await self._connection.execute(statement)).all()


def status_of(columns: sa.ColumnCollection[str, Any], as_of_ms: int) -> ColumnElement[int]:
    ended = columns.state.in_([sa.literal_column("2"), sa.literal_column("3")])
    running = sa.and_(*is_running(columns, as_of_ms))
    return sa.case((ended, columns.state), (running, columns.state), else_=_NO_STATUS)


def status_from(number: int) -> ExecutionStatus | None:
    return None if number == _NO_STATUS else ExecutionStatus(State(number).name)
