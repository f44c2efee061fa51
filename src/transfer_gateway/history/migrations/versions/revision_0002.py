"""What searches need: when an execution began, how long it lasted, its state, and its texts."""

import sqlalchemy as sa
from alembic import op

from transfer_gateway.history.codec import load, plain
from transfer_gateway.history.texts import texts_row

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TABLE = "history_executions"
_BATCH = 1000
_STATES = {"HANDLING_EXCEPTION": 1, "COMPLETED": 2, "EXCEPTION": 3}
_FAILED = sa.text("state IN (1, 3) OR error_type IS NOT NULL")
_OPEN = sa.text("state < 2")
_FILL = """
UPDATE history_executions SET began_at = coalesce(started_at, {least}(
    coalesce((SELECT min(occurred_at) FROM history_events WHERE execution = history_executions.id), last_at),
    coalesce(observed_first_at, last_at)))
"""
_FILL_FROM_THESE = """
UPDATE history_executions SET
    state = CASE
        WHEN ended_at IS NOT NULL AND status = 'COMPLETED' THEN 2
        WHEN ended_at IS NOT NULL THEN 3
        ELSE {greatest}(coalesce(observed_state, 0), CASE WHEN error_type IS NOT NULL THEN 1 ELSE 0 END) END,
    lasted_ms = coalesce(ended_at, last_at) - began_at
"""


def upgrade() -> None:
    connection = op.get_bind()
    is_sqlite = connection.dialect.name == "sqlite"
    op.add_column(_TABLE, sa.Column("observed_state", sa.SmallInteger))
    for name, kind in (("state", sa.SmallInteger), ("began_at", sa.BigInteger), ("lasted_ms", sa.BigInteger)):
        # SQLite adds no such column without a default.
        op.add_column(
            _TABLE, sa.Column(name, kind, nullable=not is_sqlite, server_default="0" if is_sqlite else None)
        )
    texts = op.create_table(
        "history_texts",
        sa.Column("execution", _ID, primary_key=True, autoincrement=False),
        sa.Column("ids", sa.Text, nullable=False),
        sa.Column("service", sa.Text),
        sa.Column("file", sa.Text),
    )
    _fill(connection, texts)
    least, greatest = ("min", "max") if is_sqlite else ("least", "greatest")
    op.execute(sa.text(_FILL.format(least=least)))
    op.execute(sa.text(_FILL_FROM_THESE.format(greatest=greatest)))
    if not is_sqlite:
        for name in ("state", "began_at", "lasted_ms"):
            op.alter_column(_TABLE, name, nullable=False)
    op.create_index("history_executions_began_at", _TABLE, ["began_at"])
    op.create_index("history_executions_target", _TABLE, ["account_id", "region", "began_at"])
    op.create_index("history_executions_lasted", _TABLE, ["lasted_ms"])
    op.create_index(
        "history_executions_open", _TABLE, ["last_at"], sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.create_index(
        "history_executions_failed", _TABLE, ["began_at"], sqlite_where=_FAILED, postgresql_where=_FAILED
    )


def _fill(connection: sa.Connection, texts: sa.Table) -> None:
    """What SQL can't tell: folded texts, and what is in JSON that PostgreSQL may not read."""
    of_texts = ("execution_id", "workflow_id", "user_name", "server_id", "session_id", "file_location")
    answered = ("observed_state", "error_type", "error_message")
    names = ("id", *of_texts, *answered, "observed", "event_count")
    table = sa.table(_TABLE, *(sa.column(name) for name in names))
    set_answered = (
        sa.update(table)
        .where(table.c.id == sa.bindparam("of"))
        .values({name: sa.bindparam(f"to_{name}") for name in answered})
    )
    after = -1
    while True:
        found = sa.select(table).where(table.c.id > after).order_by(table.c.id).limit(_BATCH)
        rows = connection.execute(found).mappings().all()
        if not rows:
            return
        connection.execute(sa.insert(texts), [texts_row(row["id"], dict(row)) for row in rows])
        if told := [_answered(row) for row in rows if row["observed"] is not None]:
            connection.execute(set_answered, told)
        after = rows[-1]["id"]


def _answered(row: sa.RowMapping) -> dict[str, object]:
    """What AWS's answer tells; of errors only where no events do."""
    answer = load(row["observed"])
    steps = (answer["results"] or [None])[0] or []
    error_type, message = next((error for _, _, error in steps if error is not None), (None, None))
    state = max(_STATES.get(answer["status"], 0), 0 if error_type is None else 1)
    if row["event_count"]:
        error_type, message = row["error_type"], row["error_message"]
    return {
        "of": row["id"],
        "to_observed_state": state,
        "to_error_type": plain(error_type),
        "to_error_message": plain(message),
    }
