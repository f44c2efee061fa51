"""Adding events to executions: idempotent, in whatever order and however often they arrive, from several replicas too.

An execution is locked, its events are read, and its row is what `record_of` tells of them all: so the row depends on
what is stored and not on how it came in. Of two events with the same content the lesser id is kept, as there.
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
    to_ms,
)
from transfer_gateway.history.statements import UPLOAD
from transfer_gateway.history.tables import State
from transfer_gateway.history.texts import texts_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.record import Record
    from transfer_gateway.history.statements import Statements

MAX_EVENTS = 1000  # of one execution; AWS writes some dozens. Starts and ends are kept beyond it, up to 1,100
_HARD_MAX_EVENTS = 1100
_ALWAYS_KEPT = ENDS | {EventKind.EXECUTION_STARTED}
_SLICE = 50  # executions between two chances for others to use the event loop
_MAX_KEPT = 20_000  # events in memory, of 0.7 KB
_EVENT_ID_CHARACTERS = 200  # CloudWatch's have 56

Content = tuple[str, str | None, str | None, int]


@dataclass(slots=True)
class _Added:
    """What is written at once, for many executions: the rows of each statement."""

    events: list[dict[str, Any]] = field(default_factory=list)
    replaced: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    new: list[ExecutionEvent] = field(default_factory=list)


class RunningExecutions:
    """The events of executions that run, as they are stored: they are needed again with each that is added."""

    def __init__(self) -> None:
        self._events: OrderedDict[ExecutionKey, dict[str, ExecutionEvent]] = OrderedDict()
        self._count = 0

    def events(self, key: ExecutionKey) -> dict[str, ExecutionEvent]:
        """By their ids; some or all may be missing."""
        return self._events.get(key, {})

    def add(self, events: Iterable[ExecutionEvent]) -> None:
        for event in events:
            if event.kind in ENDS:
                self._count -= len(self._events.pop(event.key, ()))
            else:
                of_key = self._events.setdefault(event.key, {})
                self._count -= len(of_key)
                of_key[_stored_id(event)] = event  # again, if its transaction failed
                self._count += len(of_key)
        while self._count > _MAX_KEPT:
            self._count -= len(self._events.popitem(last=False)[1])


@dataclass(slots=True)
class _Stored:
    key: ExecutionKey
    id: int
    event_count: int
    upload: tuple[str | None, ...]  # the columns of UPLOAD
    seqs: dict[str, int] = field(default_factory=dict)  # by event id
    events: list[ExecutionEvent] = field(default_factory=list)


async def append_events(
    connection: AsyncConnection,
    statements: Statements,
    events: Sequence[ExecutionEvent],
    running: RunningExecutions,
) -> list[ExecutionEvent]:
    """Within the connection's transaction. Returns: those that were not stored yet."""
    by_key: defaultdict[ExecutionKey, list[ExecutionEvent]] = defaultdict(list)
    for event in events:
        by_key[event.key].append(event)
    stored = await _lock(connection, statements, by_key, running)
    added = _Added()
    for at, key in enumerate(sorted(by_key)):
        _add(added, stored[key], by_key[key])
        if at % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
    for statement, rows in (
        (statements.replace_events, added.replaced),
        (statements.add_events, added.events),
        (statements.set_records, added.records),
        (statements.set_texts, added.texts),
    ):
        if rows:
            await connection.execute(statement, {"rows": dump(rows)})
    running.add(added.new)
    return added.new


async def _lock(
    connection: AsyncConnection,
    statements: Statements,
    by_key: dict[ExecutionKey, list[ExecutionEvent]],
    running: RunningExecutions,
) -> dict[ExecutionKey, _Stored]:
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
    locked = await connection.execute(statements.lock, {"rows": dump(rows)})
    keys = {tuple(key): key for key in by_key}
    stored = {(key := keys[tuple(row[2:6])]): _Stored(key, row[0], row[1], tuple(row[6:])) for row in locked}
    by_id = {one.id: (key, one) for key, one in stored.items() if one.event_count}
    if by_id:
        found = await connection.execute(statements.events_of, {"ids": statements.ids(by_id)})
        for at, (id_, seq, event_id, occurred_at, body) in enumerate(found):
            key, one = by_id[id_]
            one.seqs[event_id] = seq
            event = running.events(key).get(event_id)
            one.events.append(event or event_from(key, event_id, occurred_at, body))
            if at % (_SLICE * 10) == _SLICE * 10 - 1:
                await asyncio.sleep(0)
    return stored


def key_of(row: Sequence[str]) -> ExecutionKey:
    """From what has been checked before it was stored."""
    account_id, region, workflow_id, execution_id = row
    return ExecutionKey(
        str.__new__(AccountId, account_id),
        str.__new__(Region, region),
        str.__new__(WorkflowId, workflow_id),
        str.__new__(ExecutionId, execution_id),
    )


def _add(added: _Added, stored: _Stored, arrived: Iterable[ExecutionEvent]) -> None:
    """Decide for one execution what is new."""
    kept = {_content(event): event for event in stored.events}
    ids, new = set(stored.seqs), {}
    replaced = False
    for event in sorted(arrived, key=lambda event: event.event_id):
        content, event_id = _content(event), _stored_id(event)
        if event_id in ids:
            continue
        known = kept.get(content)
        if known is None:
            if len(kept) >= MAX_EVENTS and (event.kind not in _ALWAYS_KEPT or len(kept) >= _HARD_MAX_EVENTS):
                continue
            kept[content] = new[content] = event
            ids.add(event_id)
        elif content not in new and event_id < (known_id := _stored_id(known)):
            seq = stored.seqs.pop(known_id)
            stored.seqs[event_id] = seq
            added.replaced.append({"seq": seq, "event_id": event_id, "body": event_body(event)})
            kept[content] = event
            replaced = True
    if not new and not replaced:
        return
    record = record_of(kept.values())
    place = {id(event): at for at, event in enumerate(record.events)}  # repetitions are not among them
    for event in sorted(new.values(), key=lambda event: (event.occurred_at, place.get(id(event), 0))):
        added.new.append(event)
        added.events.append(
            {
                "execution": stored.id,
                "event_id": _stored_id(event),
                "occurred_at": to_ms(event.occurred_at),
                "body": event_body(event),
            }
        )
    columns = _record_columns(record)
    added.records.append({"id": stored.id, "added": len(new)} | columns)
    upload = tuple(
        old if columns[name] is None else columns[name]
        for name, old in zip(UPLOAD, stored.upload, strict=True)
    )
    if not stored.event_count or upload != stored.upload:
        row = stored.key._asdict() | dict(zip(UPLOAD, upload, strict=True))
        added.texts.append(texts_row(stored.id, row))


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
        "user_name": None if upload is None else plain(upload.user_name),
        "server_id": None if upload is None else plain(upload.server_id),
        "session_id": None if upload is None else plain(upload.session_id),
        "file_location": None if file is None else dump(file_json(file)),
        "error_type": None if error is None else plain(error.raw_type),
        "error_message": None if error is None else plain(error.message),
    }
