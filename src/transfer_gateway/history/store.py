"""The store: what followers write, and what use cases read.

    async with open_store(url, retention=Retention(...)) as store:   # never waits for the database
        new = await store.append(events, progress)
        stored = await store.records(keys)

It may be down at the start, come back, hang, be full, be damaged. Every method then raises UpstreamUnavailable, within
about the timeout, with a message that names the history store and what is wrong; while it is down, at once. All that
can be written may be written again. `maintain` is to run beside it.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from transfer_gateway.backoff import jittered
from transfer_gateway.history.append import RunningExecutions, append_events, key_of
from transfer_gateway.history.append_queue import MAX_EVENTS, Append, AppendQueue
from transfer_gateway.history.changes import ChangeFeed
from transfer_gateway.history.codec import (
    dump,
    event_from,
    from_ms,
    observed_from,
    to_ms,
)
from transfer_gateway.history.database import default_max_bytes
from transfer_gateway.history.failures import FAILURES
from transfer_gateway.history.files import check_history_files, sqlite_file
from transfer_gateway.history.fleet import FleetStore
from transfer_gateway.history.fleet_statements import fleet_statements_of
from transfer_gateway.history.log_rows import (
    progress_from,
    progress_row,
    progress_rows,
    workflow_log_rows,
    workflow_logs_from,
)
from transfer_gateway.history.operations import Operations
from transfer_gateway.history.postgresql import Postgresql
from transfer_gateway.history.retention import Retention, Retentive
from transfer_gateway.history.rows import observed_row
from transfer_gateway.history.search import Search, SearchBudget
from transfer_gateway.history.snapshots import SnapshotStore
from transfer_gateway.history.sqlite import TEMPORARY_NAME, Sqlite, folder_of_file
from transfer_gateway.history.statements import statements_of
from transfer_gateway.history.texts import texts_row
from transfer_gateway.history.values import (
    GroupProgress,
    ProgressLost,
    StoredExecution,
    Targets,
    WorkflowLog,
)
from transfer_gateway.shared_tasks import SharedTasks
from transfer_gateway.telemetry import counter

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from datetime import datetime
    from pathlib import Path

    from prometheus_client.core import Metric
    from sqlalchemy import Executable
    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionId, ExecutionKey, Target, WorkflowId
    from transfer_gateway.domain.search import SearchFilter, SearchOrder, SearchPosition, StatusCounts
    from transfer_gateway.history.append import LockedExecution
    from transfer_gateway.history.database import Database
    from transfer_gateway.history.time_limit import TimeLimit
    from transfer_gateway.history.values import SearchRow, SearchRows, SearchScope
    from transfer_gateway.temporary_folder import TemporaryFolder

T = TypeVar("T")

_FOUND = 1000  # executions of one id, at most
_NOTED_AT_ONCE = 2  # targets whose logs are noted; half of the connections by default
_LISTEN_AGAIN_S = 2.0
_GATEWAY = ""  # searches for itself


@asynccontextmanager
async def open_store(
    url: str,
    *,
    password_file: Path | None = None,
    password: Callable[[], Awaitable[str]] | None = None,
    max_bytes: int | None = None,
    retention_days: float = 90.0,
    pool_size: int = 4,
    timeout_s: float = 3.0,
    is_shared: bool = False,
    folder: TemporaryFolder | None = None,
) -> AsyncIterator[HistoryStore]:
    """The store of a checked `history_url`. It does not connect before it is used.

    `password` makes that of each new connection. `is_shared`: other processes use the file, too. `folder`: where the
    default database is, else in a directory of its own.

    Raises: ConfigurationError if the directory of the SQLite file, or a file of passwords or authorities, does not
    exist.
    """
    check_history_files(url, password_file)
    max_bytes = max_bytes or default_max_bytes(url)
    with ExitStack() as stack:
        database: Database
        if url.startswith("sqlite:"):
            if url == "sqlite://":
                folder = folder or stack.enter_context(folder_of_file())
                path = None if folder is None else folder.path / TEMPORARY_NAME
            else:
                path, folder = sqlite_file(url), None
            database = Sqlite(path, max_bytes=max_bytes, timeout_s=timeout_s, folder=folder)
        else:
            database = Postgresql(
                url,
                password_file=password_file,
                password=password,
                max_bytes=max_bytes,
                pool_size=pool_size,
                timeout_s=timeout_s,
            )
        async with SharedTasks() as tasks:
            operations = Operations(database, tasks, timeout_s=timeout_s)
            try:
                yield HistoryStore(
                    operations,
                    Retention(days=retention_days),
                    tasks,
                    is_shared=is_shared or database.dialect == "postgresql",
                )
            finally:
                await operations.close()


class HistoryStore:
    """`is_shared`: other replicas may use it, too."""

    def __init__(
        self, operations: Operations, retention: Retention, tasks: SharedTasks, *, is_shared: bool
    ) -> None:
        self._operations, self.is_shared = operations, is_shared
        self._statements = statements_of(operations.database.dialect)
        self._retentive = Retentive(operations, self._statements, retention)
        of_fleet = fleet_statements_of(operations.database.dialect)
        self.fleet, self.snapshots = FleetStore(operations, of_fleet), SnapshotStore(operations, of_fleet)
        self._appends = AppendQueue(self._write_appends, tasks)
        self._noting = asyncio.Semaphore(_NOTED_AT_ONCE)
        self._running = RunningExecutions()
        self._running_of_generation = self.generation
        self._appended = 0
        self.search_budget = SearchBudget()
        self.feed = ChangeFeed(self._operations, self._stored)
        self.on_commit: Callable[[], None] = lambda: None  # called when there may be changes
        self.prune, self.maintain = self._retentive.prune, self._retentive.maintain

    @property
    def generation(self) -> int:
        """Changes when the store may have lost what was written: it is new, or was down and may have been restored."""
        return self._operations.generation

    async def listen(self) -> None:
        """Hear of what other replicas commit, until cancelled. What is missed is found by whoever looks again."""
        while self.is_shared:
            with suppress(*FAILURES):
                await self._operations.database.listen(lambda: self.on_commit())  # noqa: PLW0108  the current one
            await asyncio.sleep(jittered(_LISTEN_AGAIN_S))

    async def append(
        self,
        events: Sequence[ExecutionEvent],
        progress: GroupProgress | None = None,
        *,
        saved_until: datetime | None = None,
    ) -> list[ExecutionEvent]:
        """Store events, then the progress of the group that they came from. Returns: those that were not stored yet.

        In transactions of 500 events; the progress is saved in the last. An event is the same if its id is, or its
        content. Of one execution at most 1,000 are kept, but for starts and ends.

        Raises: ProgressLost, if the group's stored progress does not reach `saved_until`. Then the new progress is not
        saved, because it would cover what was lost.
        """
        if not events and progress is None:
            return []
        new: list[ExecutionEvent] = []
        batches = [events[at : at + MAX_EVENTS] for at in range(0, len(events), MAX_EVENTS)] or [()]
        for batch in batches:
            append = Append(batch, progress if batch is batches[-1] else None, saved_until)
            await self._appends.put(append)
            if append.lost:
                self._operations.generation += 1
                raise ProgressLost
            new += append.new
        self._appended += len(new)
        return new

    async def _write_appends(self, appends: Sequence[Append]) -> None:
        if self._running_of_generation != (generation := self.generation):
            self._running.forget()
            self._running_of_generation = generation
        written = await self._operations.write("append", partial(self._append, appends=appends))
        self._running.keep(written)
        self.on_commit()

    async def _append(
        self, connection: AsyncConnection, *, appends: Sequence[Append]
    ) -> Iterable[LockedExecution]:
        await self._take_turn(connection)
        await self._note_lost(connection, appends)
        current = [append for append in appends if not append.lost]
        events = [event for append in current for event in append.events]
        new, written = await append_events(connection, self._statements, events, self._running)
        stored = {id(event): event for event in new}
        for append in current:  # of the same event in two appends, it is new in the first
            append.new = [
                event for each in append.events if (event := stored.pop(id(each), None)) is not None
            ]
        progress = [append.progress for append in current if append.progress is not None]
        for rows in progress_rows(progress):
            await connection.execute(self._statements.save_progress, {"rows": dump(rows)})
        return written

    async def _note_lost(self, connection: AsyncConnection, appends: Sequence[Append]) -> None:
        """Of which appends the group's stored progress does not reach what was saved."""
        expected = [
            (append, progress_row(append.progress), to_ms(append.saved_until))
            for append in appends
            if append.progress is not None and append.saved_until is not None
        ]
        if not expected:
            return
        given = {"rows": dump([row for _, row, _ in expected])}
        found = await connection.execute(self._statements.read_until, given)
        stored = {tuple(group): read_until for *group, read_until in found}
        for append, row, saved_until in expected:
            group = row["account_id"], row["region"], row["group_name"]
            append.lost = stored.get(group, -1) < saved_until

    async def observe(self, executions: Sequence[Execution]) -> None:
        """Keep AWS's answers; of each execution the one with the latest `observed_at`."""
        by_key: dict[ExecutionKey, Execution] = {}
        for execution in sorted(executions, key=lambda execution: execution.observed_at):
            by_key[execution.key] = execution
        rows = [observed_row(by_key[key]) for key in sorted(by_key)]
        for at in range(0, len(rows), MAX_EVENTS):
            observe = partial(self._observe, rows=rows[at : at + MAX_EVENTS])
            await self._operations.write("observe", observe)
            self.on_commit()

    async def _observe(self, connection: AsyncConnection, *, rows: Sequence[Mapping[str, Any]]) -> None:
        numbered = await self._numbered(connection, rows)
        stored = await connection.execute(self._statements.observe, {"rows": dump(numbered)})
        texts = [texts_row(row["id"], dict(row)) for row in stored.mappings()]
        await connection.execute(self._statements.set_texts, {"rows": dump(texts)})

    async def forget(self, keys: Sequence[ExecutionKey], *, seen_before: datetime) -> None:
        """Note that AWS has forgotten these, unless there was a sign of them since, or their end is recorded."""
        for at in range(0, len(keys), MAX_EVENTS):
            rows = [key._asdict() for key in sorted(keys[at : at + MAX_EVENTS])]
            forget = partial(self._forget, rows=rows, seen_before_ms=to_ms(seen_before))
            await self._operations.write("forget", forget)
            self.on_commit()

    async def _forget(
        self, connection: AsyncConnection, *, rows: Sequence[Mapping[str, Any]], seen_before_ms: int
    ) -> None:
        numbered = await self._numbered(connection, rows)
        given = {"rows": dump(numbered), "seen_before": seen_before_ms}
        await connection.execute(self._statements.forget, given)

    async def _take_turn(self, connection: AsyncConnection) -> None:
        if self._statements.take_turn is not None:
            await connection.execute(self._statements.take_turn)

    async def _numbered(
        self, connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """The rows of AWS's answers with the numbers that those have that change something."""
        await self._take_turn(connection)
        last = await connection.scalar(self._statements.last_answer) or 0
        return [{**row, "answer_seq": last + at} for at, row in enumerate(rows, 1)]

    async def records(self, keys: Sequence[ExecutionKey]) -> dict[ExecutionKey, StoredExecution]:
        """What is stored of these executions, up to 1,000; what is unknown is missing."""
        wanted = set(keys)
        return await self._operations.read("records", partial(self._records, wanted=wanted))

    async def _records(
        self, connection: AsyncConnection, *, wanted: set[ExecutionKey]
    ) -> dict[ExecutionKey, StoredExecution]:
        ids = self._statements.ids({key.execution_id for key in wanted})
        found = (await connection.execute(self._statements.record, {"ids": ids})).all()
        rows = [row for row in found if tuple(row[:4]) in wanted]
        stored = await self._stored(connection, rows)
        return {key_of(row[:4]): stored[row.id] for row in rows}

    async def _stored(self, connection: AsyncConnection, rows: Sequence[Any]) -> dict[int, StoredExecution]:
        """What is stored of executions, by id. `rows`: as those of `Statements.record`."""
        events: dict[int, list[ExecutionEvent]] = {row.id: [] for row in rows if row.event_count}
        keys = {row.id: key_of(row[:4]) for row in rows}
        if events:
            logged = await connection.execute(
                self._statements.events_of, {"ids": self._statements.ids(events)}
            )
            for id_, _seq, event_id, occurred_at, body in logged:
                events[id_].append(event_from(keys[id_], event_id, occurred_at, body))
        return {
            row.id: StoredExecution(
                tuple(sorted(events.get(row.id, ()), key=lambda event: (event.occurred_at, event.event_id))),
                None if row.observed is None else observed_from(keys[row.id], row.observed),
            )
            for row in rows
        }

    async def search(
        self,
        scope: SearchScope,
        wanted: SearchFilter,
        order: SearchOrder,
        *,
        first: int,
        position: SearchPosition | None = None,
        backwards: bool = False,
        as_of_ms: int,
        caller: str = _GATEWAY,
    ) -> SearchRows:
        """A page of the executions in a caller's scope, `first` of them, after `position`, or before it if backwards.

        `as_of_ms`: now. What runs is judged by it; durations count until the position's own. Callers take turns.
        Raises: BadUserInput; DeadlineExceeded, if it is too much work; UpstreamUnavailable.
        """
        return await self._search(
            "search",
            lambda it: it.page(order, position, first=first, backwards=backwards, stored_of=self._stored),
            scope=scope,
            wanted=wanted,
            as_of_ms=as_of_ms,
            caller=caller,
        )

    async def running(
        self,
        scope: SearchScope,
        wanted: SearchFilter,
        *,
        after: ExecutionKey | Target | None,
        first: int,
        as_of_ms: int,
        caller: str = _GATEWAY,
    ) -> list[SearchRow]:
        """The executions in progress, in the order of their keys: `first` of them, after a key or from a target on.

        `wanted` must say `running`. Raises: as `search`.
        """
        return await self._search(
            "running",
            lambda it: it.by_key(after, first=first, stored_of=self._stored),
            scope=scope,
            wanted=wanted,
            as_of_ms=as_of_ms,
            caller=caller,
        )

    async def count(
        self,
        scope: SearchScope,
        wanted: SearchFilter,
        *,
        as_of_ms: int,
        at_most: int = 10_000,
        caller: str = _GATEWAY,
    ) -> StatusCounts:
        """How many executions match, by status; exact up to `at_most`. Raises: as `search`."""
        return await self._search(
            "count",
            lambda it: it.count(at_most),
            scope=scope,
            wanted=wanted,
            as_of_ms=as_of_ms,
            caller=caller,
        )

    async def _search(
        self,
        operation: str,
        find: Callable[[Search], Awaitable[T]],
        *,
        scope: SearchScope,
        wanted: SearchFilter,
        as_of_ms: int,
        caller: str,
    ) -> T:
        async def work(connection: AsyncConnection, limit: TimeLimit) -> T:
            return await find(
                Search(connection, limit, scope, wanted, as_of_ms=as_of_ms, budget=self.search_budget)
            )

        return await self._operations.search(operation, work, caller=caller)

    async def find(
        self, execution_id: ExecutionId, *, workflow_id: WorkflowId | None = None, targets: Targets
    ) -> list[ExecutionKey]:
        """The executions of an id in these targets, in order, at most 1,000."""
        given = {
            "execution_id": execution_id,
            "workflow_id": workflow_id,
            "targets": targets.listed,
            "first": _FOUND,
        }
        rows = await self._operations.read("find", partial(_all, self._statements.find, given))
        return [key_of(row) for row in rows]

    async def progress(self, target: Target) -> dict[str, GroupProgress]:
        """What has been read of the target's log groups, by group."""
        rows = await self._operations.read(
            "progress", partial(_all, self._statements.progress, target._asdict())
        )
        return progress_from(rows)

    async def kept_since(self) -> datetime | None:
        """Executions whose last event is older may have been deleted here; None: none has."""
        kept_since = await self._retentive.read_kept_since()
        return None if kept_since is None else from_ms(kept_since)

    async def know_kept_since(self) -> None:
        """Read `known_kept_since`, unless it is known. Raises: UpstreamUnavailable."""
        if not self._retentive.knows_kept_since:
            await self._retentive.read_kept_since()

    @property
    def known_kept_since(self) -> datetime | None:
        """As `kept_since`, without reading: it is read when something is deleted here, and every 30 s."""
        kept_since = self._retentive.kept_since_ms
        return None if kept_since is None else from_ms(kept_since)

    async def note_workflow_logs(
        self, target: Target, logs: Sequence[WorkflowLog]
    ) -> tuple[list[WorkflowLog], dict[str, GroupProgress]]:
        """Note where a target's workflows log. What is no longer seen stays, so that a deleted one's group is known.

        Few at once: after a start all targets are due, and an operation that waits for a connection may be late.

        Returns: all that is known of the target: where its workflows log or logged, and `progress`.
        """
        rows = dump(workflow_log_rows(logs))
        work = partial(self._note_workflow_logs, target=target, rows=rows)
        async with self._noting:
            return await self._operations.write("note_workflow_logs", work)

    async def _note_workflow_logs(
        self, connection: AsyncConnection, *, target: Target, rows: str
    ) -> tuple[list[WorkflowLog], dict[str, GroupProgress]]:
        await connection.execute(self._statements.save_workflow_logs, {"rows": rows})
        of = target._asdict()
        logs = (await connection.execute(self._statements.workflow_logs, of)).all()
        progress = (await connection.execute(self._statements.progress, of)).all()
        return workflow_logs_from(target, logs), progress_from(progress)

    def collect(self) -> Iterator[Metric]:
        yield counter("history_appended_events", "Events added to the history.", (), self._appended)
        yield from self._operations.collect()
        yield from self._retentive.collect()


async def _execute(statement: Executable, given: Mapping[str, Any], connection: AsyncConnection) -> None:
    await connection.execute(statement, given)


async def _all(statement: Executable, given: Mapping[str, Any], connection: AsyncConnection) -> Sequence[Any]:
    return (await connection.execute(statement, given)).all()
