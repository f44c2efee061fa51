"""What has changed since a position: events by their numbers, then AWS's answers by theirs."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from transfer_gateway.domain.change import ChangePosition
from transfer_gateway.domain.execution import ExecutionStatus
from transfer_gateway.domain.identity import ExecutionKey
from transfer_gateway.history.append import key_of
from transfer_gateway.history.codec import event_from
from transfer_gateway.history.search import status_from, status_of
from transfer_gateway.history.search_filter import Filter, Sql, big
from transfer_gateway.history.statements import last_answer
from transfer_gateway.history.tables import events, executions, feed, texts
from transfer_gateway.history.values import ChangeRow, ChangeRows, FeedState, SearchIn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer_gateway.history.operations import Operations
    from transfer_gateway.history.time_limit import TimeLimit
    from transfer_gateway.history.values import StoredExecution

    StoredOf = Callable[[AsyncConnection, Sequence[Any]], Awaitable[Mapping[int, StoredExecution]]]

_RUNNING = {ExecutionStatus.IN_PROGRESS, ExecutionStatus.HANDLING_EXCEPTION}
_SPAN = 20_000  # numbers that one page looks through
_KEY = ("account_id", "region", "workflow_id", "execution_id")


class ChangeFeed:
    """What has changed in the store, in the order of commits."""

    def __init__(self, operations: Operations, stored_of: StoredOf) -> None:
        self._operations, self._stored_of = operations, stored_of

    async def state(self) -> FeedState:
        """Raises: UpstreamUnavailable."""
        return await self._operations.read("feed_state", _state)

    async def known(self, key: ExecutionKey, *, as_of_ms: int) -> tuple[ChangePosition, ChangeRow | None]:
        """The newest position, and an execution by then, with all its events; None: it is not stored.

        Raises: UpstreamUnavailable.
        """

        async def work(connection: AsyncConnection) -> ChangeRows:
            newest = (await _state(connection)).newest
            nothing = newest._replace(event=0, answer=0)
            return await self._changes(connection, key, as_of_ms).after(nothing, newest, 1)

        found = await self._operations.read("change", work)
        return found.until, next(iter(found.rows), None)

    async def after(
        self,
        position: ChangePosition,
        only: SearchIn | ExecutionKey | Container[ExecutionKey],
        *,
        first: int,
        as_of_ms: int,
    ) -> ChangeRows:
        """A page of the changes after a position: of what matches, or of these executions.

        An execution's events with consecutive numbers are one change. About `first` changes, at most: a page ends
        after some 20,000 numbers, too. `as_of_ms`: now.

        Raises: BadUserInput, as `FeedState.check`; DeadlineExceeded; UpstreamUnavailable.
        """

        async def work(connection: AsyncConnection, limit: TimeLimit | None = None) -> ChangeRows:
            state = await _state(connection)
            state.check(position)
            of: Filter | ExecutionKey | Container[ExecutionKey]
            if isinstance(only, SearchIn):
                of = Filter(Sql(connection.dialect.name == "postgresql"), only.scope, only.wanted, as_of_ms)
            else:
                of = only
            return await self._changes(connection, of, as_of_ms, limit).after(position, state.newest, first)

        if isinstance(only, ExecutionKey):  # takes no longer than any lookup
            return await self._operations.read("change", work)
        return await self._operations.search("changes", work, caller="")

    def _changes(
        self,
        connection: AsyncConnection,
        only: Filter | ExecutionKey | Container[ExecutionKey],
        as_of_ms: int,
        limit: TimeLimit | None = None,
    ) -> _Changes:
        return _Changes(connection, limit, only, stored_of=self._stored_of, as_of_ms=as_of_ms)


async def _state(connection: AsyncConnection) -> FeedState:
    newest = sa.select(sa.func.max(events.c.seq)).scalar_subquery()
    row = (
        await connection.execute(
            sa.select(
                feed.c.identity,
                feed.c.secret,
                feed.c.deleted_seq,
                feed.c.missed_seq,
                feed.c.missed_answer_seq,
                newest.label("newest"),
                last_answer().scalar_subquery().label("newest_answer"),
            )
        )
    ).one()
    return FeedState(
        ChangePosition(row.identity, max(row.newest or 0, row.deleted_seq), row.newest_answer),
        ChangePosition(row.identity, row.missed_seq, row.missed_answer_seq),
        row.secret,
    )


class _Changes:
    """One read."""

    def __init__(
        self,
        connection: AsyncConnection,
        limit: TimeLimit | None,
        only: Filter | ExecutionKey | Container[ExecutionKey],
        *,
        stored_of: StoredOf,
        as_of_ms: int,
    ) -> None:
        self._connection, self._limit, self._only = connection, limit, only
        self._stored_of, self._as_of_ms = stored_of, as_of_ms

    async def after(self, position: ChangePosition, newest: ChangePosition, first: int) -> ChangeRows:
        """Those up to `newest` of a span of numbers, about `first` of them at most. Raises: DeadlineExceeded."""
        if isinstance(self._only, ExecutionKey):
            return await self._of_execution(self._only, position, newest)
        until = position
        found: list[tuple[ChangePosition, Any, tuple[Any, ...]]] = []
        last = min(newest.event, position.event + _SPAN)
        rows = await self._events(position.event, last, first)
        if len(rows) == first:
            last = rows[-1].seq
        for execution, run in groupby(filter(self._is_wanted, rows), key=lambda row: row.id):
            of_run = tuple(run)
            until = until._replace(event=of_run[-1].seq)
            found.append((until, execution, of_run))
        until = until._replace(event=last)
        if last == newest.event:
            last = min(newest.answer, position.answer + _SPAN)
            answers = await self._answers(position.answer, last, first)
            if len(answers) == first:
                last = answers[-1].answer_seq
            for row in filter(self._is_wanted, answers):
                until = until._replace(answer=row.answer_seq)
                found.append((until, row.id, ()))
            until = until._replace(answer=last)
        return ChangeRows(tuple(await self._with_content(found)), until, has_more=until != newest)

    async def _of_execution(
        self, key: ExecutionKey, position: ChangePosition, newest: ChangePosition
    ) -> ChangeRows:
        """All at once: it has 1,100 events at most."""
        of = sa.select(executions.c.id, executions.c.answer_seq)
        execution = next(
            iter(await self._rows(of.where(*(executions.c[name] == getattr(key, name) for name in _KEY)))),
            None,
        )
        if execution is None:
            return ChangeRows((), newest, has_more=False)
        columns = events.c
        of_execution = sa.select(columns.seq, columns.event_id, columns.occurred_at, columns.body).where(
            columns.execution == big(execution.id)
        )
        new = [
            row
            for row in sorted(await self._rows(of_execution), key=lambda row: row.seq)
            if position.event < row.seq <= newest.event
        ]
        found: list[tuple[ChangePosition, int, tuple[Any, ...]]] = []
        if new or position.answer < (execution.answer_seq or 0) <= newest.answer:
            found = [(newest, execution.id, tuple(new))]
        return ChangeRows(tuple(await self._with_content(found)), newest, has_more=False)

    def _is_wanted(self, row: Any) -> bool:  # noqa: ANN401  a row
        only = self._only
        return isinstance(only, Filter | ExecutionKey) or key_of(row[:4]) in only

    async def _events(self, after: int, last: int, first: int) -> Sequence[sa.Row[Any]]:
        if after >= last:
            return ()
        columns = events.c
        statement = (
            self._selected(columns.seq, columns.event_id, columns.occurred_at, columns.body)
            .join(events, columns.execution == executions.c.id)
            .where(columns.seq > big(after), columns.seq <= big(last))
            .order_by(columns.seq)
        )
        return await self._rows(statement.limit(first))

    async def _answers(self, after: int, last: int, first: int) -> Sequence[sa.Row[Any]]:
        if after >= last:
            return ()
        seq = executions.c.answer_seq
        return await self._rows(
            self._selected(seq).where(seq > big(after), seq <= big(last)).order_by(seq).limit(first)
        )

    def _selected(self, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        statement = sa.select(*(executions.c[name] for name in _KEY), executions.c.id, *columns).select_from(
            executions
        )
        if not isinstance(self._only, Filter):
            return statement
        if self._only.needs_texts:
            statement = statement.join(texts, texts.c.execution == executions.c.id)
        return statement.where(*self._only.conditions())

    async def _with_content(
        self, found: Sequence[tuple[ChangePosition, int, tuple[Any, ...]]]
    ) -> list[ChangeRow]:
        if not found:
            return []
        columns = executions.c
        rows = await self._rows(
            sa.select(
                *(columns[name] for name in _KEY),
                columns.id,
                columns.event_count,
                columns.observed,
                status_of(columns, self._as_of_ms).label("status"),
            ).where(columns.id.in_({id_ for _, id_, _ in found}))
        )
        stored = await self._stored_of(self._connection, rows)
        last = await self._last_numbers([row.id for row in rows if status_from(row.status) not in _RUNNING])
        by_id = {row.id: row for row in rows}
        changes = []
        for position, id_, run in found:
            row = by_id[id_]
            key = key_of(row[:4])
            new = tuple(event_from(key, each.event_id, each.occurred_at, each.body) for each in run)
            seqs = tuple(each.seq for each in run)
            status, has_later = status_from(row.status), last.get(id_, 0) > position.event
            changes.append(ChangeRow(position, key, stored[id_], status, new, seqs, has_later))
        return changes

    async def _last_numbers(self, ids: Sequence[int]) -> dict[int, int]:
        """The numbers of the last events of these executions."""
        if not ids:
            return {}
        columns = events.c
        statement = sa.select(columns.execution, sa.func.max(columns.seq).label("seq")).where(
            columns.execution.in_(ids)
        )
        return {row.execution: row.seq for row in await self._rows(statement.group_by(columns.execution))}

    async def _rows(self, statement: sa.Executable) -> Sequence[sa.Row[Any]]:
        if self._limit is not None:
            await self._limit.renew()
        return (await self._connection.execute(statement)).all()
