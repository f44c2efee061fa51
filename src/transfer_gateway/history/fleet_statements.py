"""The SQL of what replicas that share the history tell each other, for one of the two databases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from transfer_gateway.history.codec import dump
from transfer_gateway.history.statement_parts import Parts
from transfer_gateway.history.tables import followed, replicas, snapshots, watched

if TYPE_CHECKING:
    from collections.abc import Iterable

_OF_FOLLOWED = 7_310_045_223  # an arbitrary number
_KEY = ("account_id", "region", "workflow_id", "execution_id")
_ZERO = sa.literal(0, sa.BigInteger)
_NOW, _UNTIL = (sa.bindparam(name, type_=sa.BigInteger) for name in ("now", "until"))


@dataclass(frozen=True, slots=True)
class FleetStatements:
    """Parameters in parentheses, as in `Statements`."""

    dialect: str

    beat: sa.Executable  # (id, note)
    beats: sa.Executable  # → the table's columns
    remove_replicas: sa.Executable  # (ids)
    take_turn: sa.Executable | None  # so that what is followed is numbered in the order of commits
    last_followed: sa.Executable  # → the highest `seq` so far
    save_followed: sa.Executable  # (rows: those of the table; `sources` null: as before)
    followed: sa.Executable  # (after, first) → the table's columns, by `seq`
    forget_followed: sa.Executable  # (rows: account_id, region)
    save_watched: sa.Executable  # (rows: those of the table)
    watched: sa.Executable  # (now) → account_id, region
    remove_watched: sa.Executable  # (now)
    clock: sa.Executable  # → the database's, in ms since 1970
    save_snapshots: sa.Executable  # (rows: those of the table; now)
    snapshots: sa.Executable  # (rows: key) → the table's columns
    claim_snapshots: (
        sa.Executable
    )  # (rows: key, claimed_until; now, until) → key of what nobody else has claimed
    release_snapshots: sa.Executable  # (rows: key)
    remove_snapshots: sa.Executable  # (before)

    def ids(self, ids: Iterable[str]) -> list[str] | str:
        return list(ids) if self.dialect == "postgresql" else dump(list(ids))


@cache
def fleet_statements_of(dialect: str) -> FleetStatements:
    """Made once for all stores of a process. `dialect`: postgresql or sqlite."""
    return _Build(dialect).all()


class _Build(Parts):
    def all(self) -> FleetStatements:
        return FleetStatements(
            dialect=self.dialect,
            beat=self._beat(),
            beats=sa.select(replicas),
            remove_replicas=sa.delete(replicas).where(self.is_one_of(replicas.c.id)),
            take_turn=self.take_turn(_OF_FOLLOWED),
            last_followed=sa.select(sa.func.max(followed.c.seq)),
            save_followed=self._save_followed(),
            followed=_followed(),
            forget_followed=self._forget_followed(),
            save_watched=self._save_watched(),
            watched=sa.select(watched.c.account_id, watched.c.region).where(watched.c.until > _NOW),
            remove_watched=sa.delete(watched).where(watched.c.until <= _NOW),
            clock=self._clock(),
            save_snapshots=self._save_snapshots(),
            snapshots=self._snapshots(),
            claim_snapshots=self._claim_snapshots(),
            release_snapshots=self._release_snapshots(),
            remove_snapshots=sa.delete(snapshots).where(
                sa.and_(
                    *(snapshots.c[name] < sa.bindparam("before") for name in ("sent_at", "claimed_until"))
                )
            ),
        )

    def _beat(self) -> sa.Executable:
        insert = self.insert(replicas).values(
            id=sa.bindparam("id", type_=sa.Text), beats=1, note=sa.bindparam("note", type_=sa.Text)
        )
        return insert.on_conflict_do_update(
            index_elements=[replicas.c.id],
            set_={"beats": replicas.c.beats + 1, "note": insert.excluded.note},
        )

    def _save_followed(self) -> sa.Executable:
        insert = self.insert(followed, self.rows(*followed.c))
        old, new = followed.c, insert.excluded
        return insert.on_conflict_do_update(
            index_elements=[old.account_id, old.region],
            set_={name: new[name] for name in ("replica", "state", "seq")}
            | {"sources": sa.func.coalesce(new.sources, old.sources)},
        )

    def _forget_followed(self) -> sa.Executable:
        given = self.rows(followed.c.account_id, followed.c.region)
        columns = sa.tuple_(followed.c.account_id, followed.c.region)
        return sa.delete(followed).where(columns.in_(sa.select(given.c.account_id, given.c.region)))

    def _save_watched(self) -> sa.Executable:
        insert = self.insert(watched, self.rows(*watched.c))
        old, new = watched.c, insert.excluded
        return insert.on_conflict_do_update(
            index_elements=[old.account_id, old.region],
            set_={"until": self.greatest(old.until, new.until)},
        )

    def _clock(self) -> sa.Executable:
        if self.is_postgresql:
            return sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")
        return sa.text("SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)")

    def _save_snapshots(self) -> sa.Executable:
        insert = self.insert(snapshots, self.rows(*snapshots.c))
        old, new = snapshots.c, insert.excluded
        return insert.on_conflict_do_update(
            index_elements=[old[name] for name in reversed(_KEY)],
            set_={name: new[name] for name in ("sent_at", "body", "claimed_until")},
            where=sa.or_(old.sent_at <= new.sent_at, old.sent_at > _NOW),
        )

    def _snapshots(self) -> sa.Executable:
        given = self.rows(*(snapshots.c[name] for name in _KEY))
        return sa.select(snapshots).where(*(snapshots.c[name] == given.c[name] for name in _KEY))

    def _claim_snapshots(self) -> sa.Executable:
        given = self.rows(*(snapshots.c[name] for name in (*_KEY, "claimed_until")))
        insert = self.insert(snapshots, given, sent_at=_ZERO)
        old = snapshots.c
        return insert.on_conflict_do_update(
            index_elements=[old[name] for name in reversed(_KEY)],
            set_={"claimed_until": insert.excluded.claimed_until},
            where=sa.or_(old.claimed_until < _NOW, old.claimed_until > _UNTIL),
        ).returning(*(old[name] for name in _KEY))

    def _release_snapshots(self) -> sa.Executable:
        given = self.rows(*(snapshots.c[name] for name in _KEY))
        return (
            sa.update(snapshots)
            .values(claimed_until=_ZERO)
            .where(*(snapshots.c[name] == given.c[name] for name in _KEY))
        )


def _followed() -> sa.Select[Any]:
    after = sa.bindparam("after", type_=sa.BigInteger)
    rows = sa.select(followed).where(followed.c.seq > after)
    return rows.order_by(followed.c.seq).limit(sa.bindparam("first"))
