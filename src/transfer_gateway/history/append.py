"""Adding events to executions: idempotent, in whatever order and however often they arrive, from several replicas too.

An execution is locked, its events are read, and its row is what `record_of` tells of them all: so the row depends on
what is stored and not on how it came in. Of two events with the same content the lesser id is kept, as there.
Of an execution that runs the events are in memory, and are read only if its row counts others as well.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transfer_gateway.domain.event import ENDS, EventKind
from transfer_gateway.domain.identity import AccountId, ExecutionId, ExecutionKey, Region, WorkflowId
from transfer_gateway.domain.record import record_of
from transfer_gateway.history.codec import (
    dump,
    event_body,
    event_from,
    file_json,
    plain,
    short,
    to_ms,
)
from transfer_gateway.history.statements import UPLOAD
from transfer_gateway.history.tables import State
from transfer_gateway.history.texts import texts_row
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.record import Record
    from transfer_gateway.history.statements import Statements

_log = get_logger(__name__)
MAX_EVENTS = 1000  # of one execution; AWS writes some dozens. Starts and ends are kept beyond it, up to 1,100
_HARD_MAX_EVENTS = 1100
_ALWAYS_KEPT = ENDS | {EventKind.EXECUTION_STARTED}
_SLICE = 50  # executions between two chances for others to use the event loop
_MAX_KEPT = 20_000  # events in memory, of 0.7 KB
_EVENT_ID_CHARACTERS = 200  # CloudWatch's have 56

Content = tuple[str, str | None, str | None, int]


@dataclass(slots=True)
class _Rows:
    """What is written at once, for many executions: the rows of each statement."""

    events: list[dict[str, Any]] = field(default_factory=list)
    replaced: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class LockedExecution:
    """One that is locked. `kept`: its events. `seqs`: the numbers of their rows by event id, if these were read."""

    key: ExecutionKey
    id: int
    event_count: int
    upload: tuple[str | None, ...]  # the columns of UPLOAD
    kept: dict[Content, ExecutionEvent] = field(default_factory=dict)
    event_ids: set[str] = field(default_factory=set)
    seqs: dict[str, int] = field(default_factory=dict)

    def add(self, event: ExecutionEvent) -> None:
        self.kept[_content(event)] = event
        self.event_ids.add(_stored_id(event))

    def is_replaced_by(self, event: ExecutionEvent) -> bool:
        """Whether an event is kept that has the same content and a greater id."""
        known = self.kept.get(_content(event))
        return known is not None and _stored_id(event) < _stored_id(known)

    @property
    def is_running(self) -> bool:
        return not any(event.kind in ENDS for event in self.kept.values())


class RunningExecutions:
    """Executions that run, with their events as they are stored: they are needed again with each that is added.

    One that is written is taken out, and comes back when that is committed.
    """

    def __init__(self) -> None:
        self._executions: OrderedDict[ExecutionKey, LockedExecution] = OrderedDict()
        self._count = 0

    def take(self, key: ExecutionKey, id_: int, event_count: int) -> LockedExecution | None:
        """None: what is in memory is not all that the row has."""
        execution = self._executions.pop(key, None)
        if execution is None:
            return None
        self._count -= len(execution.event_ids)
        return execution if (execution.id, len(execution.event_ids)) == (id_, event_count) else None

    def keep(self, executions: Iterable[LockedExecution]) -> None:
        """At most 20,000 events, the latest."""
        for execution in executions:
            if execution.is_running:
                execution.seqs.clear()
                self._executions[execution.key] = execution
                self._count += len(execution.event_ids)
        while self._count > _MAX_KEPT:
            self._count -= len(self._executions.popitem(last=False)[1].event_ids)

    def forget(self) -> None:
        self._executions.clear()
        self._count = 0


async def append_events(
    connection: AsyncConnection,
    statements: Statements,
    events: Sequence[ExecutionEvent],
    running: RunningExecutions,
) -> tuple[list[ExecutionEvent], Iterable[LockedExecution]]:
    """Within the connection's transaction. Returns: what is new; what `running` keeps once this is committed."""
    if not events:
        return [], ()
    by_key: defaultdict[ExecutionKey, list[ExecutionEvent]] = defaultdict(list)
    for event in events:
        by_key[event.key].append(event)
    executions = await _lock(connection, statements, by_key, running)
    rows = _Rows()
    new: list[ExecutionEvent] = []
    for at, key in enumerate(sorted(by_key)):
        new += _add(rows, executions[key], by_key[key])
        if at % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
    for statement, of_statement in (
        (statements.replace_events, rows.replaced),
        (statements.add_events, rows.events),
        (statements.set_records, rows.records),
        (statements.set_texts, rows.texts),
    ):
        if of_statement:
            await connection.execute(statement, {"rows": dump(of_statement)})
    return new, executions.values()


async def _lock(
    connection: AsyncConnection,
    statements: Statements,
    by_key: dict[ExecutionKey, list[ExecutionEvent]],
    running: RunningExecutions,
) -> dict[ExecutionKey, LockedExecution]:
    """Lock the executions, in an order that all writers share, and read the events that they have."""
    rows = [
        {
            "account_id": key.account_id,
            "region": key.region,
            "workflow_id": key.workflow_id,
            "execution_id": key.execution_id,
            "last_at": to_ms(max(event.occurred_at for event in by_key[key])),
        }
        for key in sorted(by_key)
    ]
    keys = {tuple(key): key for key in by_key}
    executions: dict[ExecutionKey, LockedExecution] = {}
    unread: dict[int, LockedExecution] = {}
    for id_, event_count, *rest in await connection.execute(statements.lock, {"rows": dump(rows)}):
        key, upload = keys[tuple(rest[:4])], tuple(rest[4:])
        execution = running.take(key, id_, event_count)
        if execution is None or any(map(execution.is_replaced_by, by_key[key])):  # that needs `seqs`
            execution = LockedExecution(key, id_, event_count, upload)
            if event_count:
                unread[id_] = execution
        execution.event_count, execution.upload = event_count, upload
        executions[key] = execution
    if unread:
        found = await connection.execute(statements.events_of, {"ids": statements.ids(unread)})
        for at, (id_, seq, event_id, occurred_at, body) in enumerate(found):
            execution = unread[id_]
            execution.add(event_from(execution.key, event_id, occurred_at, body))
            execution.seqs[event_id] = seq
            if at % (_SLICE * 10) == _SLICE * 10 - 1:
                await asyncio.sleep(0)
    return executions


def key_of(row: Sequence[str]) -> ExecutionKey:
    """From what has been checked before it was stored."""
    account_id, region, workflow_id, execution_id = row
    return ExecutionKey(
        str.__new__(AccountId, account_id),
        str.__new__(Region, region),
        str.__new__(WorkflowId, workflow_id),
        str.__new__(ExecutionId, execution_id),
    )


def _add(rows: _Rows, execution: LockedExecution, arrived: Iterable[ExecutionEvent]) -> list[ExecutionEvent]:
    """Decide for one execution what is new. Returns: these events."""
    kept = execution.kept
    was_full = len(kept) >= MAX_EVENTS
    new: dict[Content, ExecutionEvent] = {}
    replaced = False
    for event in sorted(arrived, key=lambda event: event.event_id):
        content, event_id = _content(event), _stored_id(event)
        if event_id in execution.event_ids:
            continue
        known = kept.get(content)
        if known is None:
            if len(kept) >= MAX_EVENTS and (event.kind not in _ALWAYS_KEPT or len(kept) >= _HARD_MAX_EVENTS):
                continue
            execution.add(event)
            new[content] = event
        elif content not in new and event_id < (known_id := _stored_id(known)):
            seq = execution.seqs.pop(known_id)
            execution.seqs[event_id] = seq
            execution.event_ids.remove(known_id)
            execution.add(event)
            rows.replaced.append({"seq": seq, "event_id": event_id, "body": event_body(event)})
            replaced = True
    if len(kept) >= MAX_EVENTS and not was_full:
        _log.warning("execution_events_full", execution=str(execution.key), kept=MAX_EVENTS)
    if not new and not replaced:
        return []
    record = record_of(kept.values())
    place = {id(event): at for at, event in enumerate(record.events)}  # repetitions are not among them
    added = sorted(new.values(), key=lambda event: (event.occurred_at, place.get(id(event), 0)))
    rows.events += [
        {
            "execution": execution.id,
            "event_id": _stored_id(event),
            "occurred_at": to_ms(event.occurred_at),
            "body": event_body(event),
        }
        for event in added
    ]
    columns = _record_columns(record)
    rows.records.append({"id": execution.id, "added": len(new)} | columns)
    upload = tuple(
        old if columns[name] is None else columns[name]
        for name, old in zip(UPLOAD, execution.upload, strict=True)
    )
    if not execution.event_count or upload != execution.upload:
        row = execution.key._asdict() | dict(zip(UPLOAD, upload, strict=True))
        rows.texts.append(texts_row(execution.id, row))
    return added


def _content(event: ExecutionEvent) -> Content:
    return event.raw_kind, event.raw_step_type, event.step_name, to_ms(event.occurred_at)


def _stored_id(event: ExecutionEvent) -> str:
    return plain(event.event_id, _EVENT_ID_CHARACTERS) or ""


def _record_columns(record: Record) -> dict[str, Any]:
    upload, error, file = record.upload, record.error, record.initial_file_location
    failing = State.IN_PROGRESS if error is None else State.HANDLING_EXCEPTION
    return {
        "first_at": to_ms(record.events[0].occurred_at),
        "state": failing if record.status is None else State[record.status],
        "started_at": None if record.started_at is None else to_ms(record.started_at),
        "ended_at": None if record.ended_at is None else to_ms(record.ended_at),
        "status": record.status,
        "user_name": None if upload is None else short(upload.user_name),
        "server_id": None if upload is None else short(upload.server_id),
        "session_id": None if upload is None else short(upload.session_id),
        "file_location": None if file is None else dump(file_json(file)),
        "error_type": None if error is None else plain(error.raw_type),
        "error_message": None if error is None else plain(error.message),
    }
