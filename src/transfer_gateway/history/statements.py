"""The SQL, for one of the two databases. Each is prepared once: many rows or ids go in as one parameter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from transfer_gateway.history.codec import dump
from transfer_gateway.history.statement_parts import Parts
from transfer_gateway.history.tables import (
    State,
    events,
    executions,
    feed,
    log_groups,
    retention,
    texts,
    workflow_logs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.sql.elements import ColumnElement


_KEY = ("account_id", "region", "workflow_id", "execution_id")
RECORD = (
    "started_at",
    "ended_at",
    "status",
    "error_type",
    "error_message",
)  # only the events tell
_ERROR = ("error_type", "error_message")
_OBSERVED = ("observed", "observed_first_at", "observed_last_at", "observed_state")
_ANSWER = ("answer_seq", "answer_digest")
CHANGED = "history_changed"  # PostgreSQL notifies of each transaction that numbers changes
_ADVISORY_LOCK = 7_310_045_222  # an arbitrary number
_ZERO = sa.literal(0, sa.BigInteger)
UPLOAD = ("user_name", "server_id", "session_id", "file_location")  # both the events and AWS tell


@dataclass(frozen=True, slots=True)
class Statements:
    """Parameters in parentheses. `rows` is text: a JSON array of objects with the columns that are named.

    `ids` is what the method of that name makes. PostgreSQL plans by the length of an array, but not by that of JSON.
    """

    dialect: str

    take_turn: sa.Executable | None  # so that changes are numbered in the order in which they are committed
    last_answer: sa.Executable  # → the highest `answer_seq` so far
    lock: (
        sa.Executable
    )  # (rows: key, last_at) → id, event_count, key, the upload and the file that are stored
    events_of: sa.Executable  # (ids) → execution, seq, event_id, occurred_at, body
    add_events: sa.Executable  # (rows: execution, event_id, occurred_at, body)
    replace_events: sa.Executable  # (rows: seq, event_id, body)
    set_records: sa.Executable  # (rows: id, added, the columns of the record)
    observe: sa.Executable  # (rows: key, observed, …) → id, what its texts are made of
    forget: sa.Executable  # (rows: key, answer_seq; seen_before)
    set_texts: sa.Executable  # (rows: those of the table)
    record: sa.Executable  # (ids: AWS's) → key, id, event_count, observed
    find: sa.Executable  # (execution_id, workflow_id, targets, first) → key
    save_progress: sa.Executable  # (rows: of different groups)
    read_until: sa.Executable  # (rows: account_id, region, group_name) → these, read_until
    progress: sa.Executable  # (account_id, region)
    save_workflow_logs: sa.Executable  # (rows)
    workflow_logs: sa.Executable  # (account_id, region)
    oldest: sa.Executable  # (before, first) → id, last_at; skips what a writer has locked
    delete_events: sa.Executable  # (ids)
    delete_texts: sa.Executable  # (ids)
    delete_executions: sa.Executable  # (ids)
    note_deleted: sa.Executable  # (ids), before they are deleted
    note_missed: sa.Executable  # (ids), as well, unless they were too old when they were stored
    save_kept_since: sa.Executable  # (kept_since)

    def ids(self, ids: Iterable[int | str]) -> list[int | str] | str:
        return list(ids) if self.dialect == "postgresql" else dump(list(ids))


@cache
def statements_of(dialect: str) -> Statements:
    """Made once for all stores of a process. `dialect`: postgresql or sqlite."""
    return _Build(dialect).all()


class _Build(Parts):
    def all(self) -> Statements:
        return Statements(
            dialect=self.dialect,
            take_turn=self.take_turn(_ADVISORY_LOCK, sa.func.pg_notify(CHANGED, "")),
            last_answer=last_answer(),
            lock=self._lock(),
            events_of=self._events_of(),
            add_events=self._add_events(),
            replace_events=self._replace_events(),
            set_records=self._set_records(),
            observe=self._observe(),
            forget=self._forget(),
            set_texts=self._set_texts(),
            record=self._record(),
            find=self._find(),
            save_progress=self._save_progress(),
            read_until=self._read_until(),
            progress=_of_target(log_groups),
            save_workflow_logs=self._save_workflow_logs(),
            workflow_logs=_of_target(workflow_logs),
            oldest=self._oldest(),
            delete_events=sa.delete(events).where(self.is_one_of(events.c.execution)),
            delete_texts=sa.delete(texts).where(self.is_one_of(texts.c.execution)),
            delete_executions=sa.delete(executions).where(self.is_one_of(executions.c.id)),
            note_deleted=self._note_deleted("deleted"),
            note_missed=self._note_deleted("missed"),
            save_kept_since=self._save_kept_since(),
        )

    def _lasted(
        self, ended_at: ColumnElement[Any], last_at: ColumnElement[Any], began_at: ColumnElement[Any]
    ) -> ColumnElement[Any]:
        """Not negative, though the log may date an end before the start."""
        return self.greatest(sa.func.coalesce(ended_at, last_at) - began_at, _ZERO)

    def _lock(self) -> sa.Executable:
        """Add the executions that are new, and lock all until the end of the transaction."""
        given = self.rows(*(executions.c[name] for name in (*_KEY, "last_at")))
        insert = self.insert(
            executions, given, event_count=_ZERO, state=_ZERO, began_at=given.c.last_at, lasted_ms=_ZERO
        )
        return insert.on_conflict_do_update(
            index_elements=[executions.c[name] for name in reversed(_KEY)],
            set_={"last_at": self.greatest(executions.c.last_at, insert.excluded.last_at)},
        ).returning(
            executions.c.id, executions.c.event_count, *(executions.c[name] for name in (*_KEY, *UPLOAD))
        )

    def _events_of(self) -> sa.Executable:
        return sa.select(
            events.c.execution, events.c.seq, events.c.event_id, events.c.occurred_at, events.c.body
        ).where(self.is_one_of(events.c.execution))

    def _add_events(self) -> sa.Executable:
        given = self.rows(*(events.c[name] for name in ("execution", "event_id", "occurred_at", "body")))
        return self.insert(events, given).on_conflict_do_nothing()

    def _replace_events(self) -> sa.Executable:
        given = self.rows(events.c.seq, events.c.event_id, events.c.body)
        return (
            sa.update(events)
            .values(event_id=given.c.event_id, body=given.c.body)
            .where(events.c.seq == given.c.seq)
        )

    def _set_records(self) -> sa.Executable:
        added, first_at = (sa.Column(name, sa.BigInteger) for name in ("added", "first_at"))
        old = executions.c
        given = self.rows(old.id, added, first_at, *(old[name] for name in (*RECORD, *UPLOAD, "state")))
        values: dict[str, Any] = {name: given.c[name] for name in RECORD}
        values |= {name: sa.func.coalesce(given.c[name], old[name]) for name in UPLOAD}
        values["event_count"] = old.event_count + given.c.added
        values["state"] = sa.case(
            (given.c.ended_at.is_not(None), given.c.state),
            else_=self.greatest(given.c.state, old.observed_state),
        )
        began_at = sa.func.coalesce(given.c.started_at, self.least(given.c.first_at, old.observed_first_at))
        values["began_at"] = began_at
        values["lasted_ms"] = self._lasted(given.c.ended_at, old.last_at, began_at)
        return sa.update(executions).values(values).where(executions.c.id == given.c.id)

    def _observe(self) -> sa.Executable:
        names = (*_KEY, "last_at", *UPLOAD, *_ERROR, *_OBSERVED, *_ANSWER)
        given = self.rows(*(executions.c[name] for name in names))
        state, at = given.c.observed_state, given.c.observed_first_at
        insert = self.insert(executions, given, event_count=_ZERO, state=state, began_at=at, lasted_ms=_ZERO)
        old, new = executions.c, insert.excluded
        is_newer = sa.or_(
            old.observed_last_at.is_(None),
            new.observed_last_at > old.observed_last_at,
            sa.and_(new.observed_last_at == old.observed_last_at, new.observed > old.observed),
        )
        values: dict[str, Any] = {name: sa.func.coalesce(old[name], new[name]) for name in UPLOAD}
        values |= {
            name: sa.case((is_newer, new[name]), else_=old[name])
            for name in _OBSERVED
            if name != "observed_first_at"
        }
        is_other = sa.and_(is_newer, old.answer_digest.is_distinct_from(new.answer_digest))
        values |= {name: sa.case((is_other, new[name]), else_=old[name]) for name in _ANSWER}
        no_events = old.event_count == 0
        values |= {
            name: sa.case((sa.and_(no_events, is_newer), new[name]), else_=old[name]) for name in _ERROR
        }
        from_events = sa.case(
            (sa.and_(sa.not_(no_events), old.error_type.is_not(None)), int(State.HANDLING_EXCEPTION)), else_=0
        )
        last_at = self.greatest(old.last_at, new.last_at)
        began_at = sa.case(
            (old.started_at.is_(None), self.least(old.began_at, new.observed_first_at)), else_=old.began_at
        )
        return insert.on_conflict_do_update(
            index_elements=[executions.c[name] for name in reversed(_KEY)],
            set_=values
            | {
                "observed_first_at": self.least(old.observed_first_at, new.observed_first_at),
                "last_at": last_at,
                "began_at": began_at,
                "lasted_ms": self._lasted(old.ended_at, last_at, began_at),
                "state": sa.case(
                    (old.ended_at.is_not(None), old.state),
                    else_=self.greatest(from_events, values["observed_state"]),
                ),
            },
        ).returning(old.id, *(old[name] for name in (*_KEY, *UPLOAD)))

    def _forget(self) -> sa.Executable:
        given = self.rows(*(executions.c[name] for name in (*_KEY, "answer_seq")))
        return (
            sa.update(executions)
            .values(
                state=sa.literal_column(str(int(State.GONE))),
                answer_seq=given.c.answer_seq,
                answer_digest=None,
            )
            .where(
                *(executions.c[name] == given.c[name] for name in _KEY),
                executions.c.state < sa.literal_column("2"),
                executions.c.last_at < sa.bindparam("seen_before", type_=sa.BigInteger),
            )
        )

    def _set_texts(self) -> sa.Executable:
        insert = self.insert(texts, self.rows(*texts.c))
        old, new = texts.c, insert.excluded
        return insert.on_conflict_do_update(
            index_elements=[old.execution],
            set_={"service": new.service, "file": new.file},
            where=sa.or_(old.service.is_distinct_from(new.service), old.file.is_distinct_from(new.file)),
        )

    def _record(self) -> sa.Executable:
        """By AWS's ids, which are hardly ever those of several executions."""
        return sa.select(
            *(executions.c[name] for name in _KEY),
            executions.c.id,
            executions.c.event_count,
            executions.c.observed,
        ).where(self.is_one_of(executions.c.execution_id))

    def _find(self) -> sa.Executable:
        """The targets are one text: looking for a piece of it needs no parsing, however many they are."""
        workflow, targets = (sa.bindparam(name, type_=sa.Text) for name in ("workflow_id", "targets"))
        target = sa.literal(" ") + executions.c.account_id + "/" + executions.c.region + " "
        position = sa.func.strpos if self.is_postgresql else sa.func.instr
        return (
            sa.select(*(executions.c[name] for name in _KEY))
            .where(
                executions.c.execution_id == sa.bindparam("execution_id"),
                sa.or_(workflow.is_(None), executions.c.workflow_id == workflow),
                sa.or_(targets.is_(None), position(targets, target) > 0),
            )
            .order_by(*(executions.c[name] for name in _KEY))
            .limit(sa.bindparam("first"))
        )

    def _save_progress(self) -> sa.Executable:
        """As `GroupProgress.united`."""
        insert = self.insert(log_groups, self.rows(*log_groups.c))
        old, new = log_groups.c, insert.excluded
        replaced, kept = old.read_until < new.complete_since, new.read_until < old.complete_since

        def merged(name: str, united: ColumnElement[Any]) -> ColumnElement[Any]:
            return sa.case((replaced, new[name]), (kept, old[name]), else_=united)

        return insert.on_conflict_do_update(
            index_elements=[old.account_id, old.region, old.group_name],
            set_={
                "read_until": merged("read_until", self.greatest(old.read_until, new.read_until)),
                "complete_since": merged(
                    "complete_since", self.least(old.complete_since, new.complete_since)
                ),
                "backfill_until": merged(
                    "backfill_until", self.least(old.backfill_until, new.backfill_until)
                ),
            },
        )

    def _read_until(self) -> sa.Executable:
        key = list(log_groups.primary_key)
        given = self.rows(*key)
        is_given = sa.and_(*(column == given.c[column.name] for column in key))
        return sa.select(*key, log_groups.c.read_until).join_from(given, log_groups, is_given)

    def _save_workflow_logs(self) -> sa.Executable:
        insert = self.insert(workflow_logs, self.rows(*workflow_logs.c))
        old, new = workflow_logs.c, insert.excluded
        return insert.on_conflict_do_update(
            index_elements=list(workflow_logs.primary_key),
            set_={
                "mechanism": sa.case(
                    (new.last_seen_at >= old.last_seen_at, new.mechanism), else_=old.mechanism
                ),
                "last_seen_at": self.greatest(old.last_seen_at, new.last_seen_at),
            },
        )

    def _oldest(self) -> sa.Executable:
        oldest = (
            sa.select(executions.c.id, executions.c.last_at)
            .where(executions.c.last_at < sa.bindparam("before"))
            .order_by(executions.c.last_at)
            .limit(sa.bindparam("first"))
        )
        return oldest.with_for_update(skip_locked=True) if self.is_postgresql else oldest

    def _note_deleted(self, what: str) -> sa.Executable:
        """`what`: the columns."""
        seq_column, answer_column = feed.c[f"{what}_seq"], feed.c[f"{what}_answer_seq"]
        seq = sa.select(sa.func.max(events.c.seq)).where(self.is_one_of(events.c.execution)).scalar_subquery()
        answer = (
            sa.select(sa.func.max(executions.c.answer_seq))
            .where(self.is_one_of(executions.c.id))
            .scalar_subquery()
        )
        return sa.update(feed).values(
            {
                seq_column: self.greatest(seq_column, seq),
                answer_column: self.greatest(answer_column, answer),
            }
        )

    def _save_kept_since(self) -> sa.Executable:
        insert = self.insert(retention).values(id=1, kept_since=sa.bindparam("kept_since"))
        return insert.on_conflict_do_update(
            index_elements=[retention.c.id],
            set_={"kept_since": self.greatest(retention.c.kept_since, insert.excluded.kept_since)},
        )


def last_answer() -> sa.Select[tuple[int]]:
    latest = sa.select(sa.func.max(executions.c.answer_seq)).scalar_subquery()
    return sa.select(
        sa.case((latest > feed.c.deleted_answer_seq, latest), else_=feed.c.deleted_answer_seq)
    ).select_from(feed)


def _of_target(table: sa.Table) -> sa.Executable:
    return sa.select(table).where(
        table.c.account_id == sa.bindparam("account_id"), table.c.region == sa.bindparam("region")
    )
