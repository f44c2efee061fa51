"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "history_executions",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("workflow_id", sa.Text, nullable=False),
        sa.Column("execution_id", sa.Text, nullable=False),
        sa.Column("event_count", sa.Integer, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("status", sa.Text),
        sa.Column("user_name", sa.Text),
        sa.Column("server_id", sa.Text),
        sa.Column("session_id", sa.Text),
        sa.Column("file_location", sa.Text),
        sa.Column("error_type", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("observed", sa.Text),
        sa.Column("observed_first_at", sa.BigInteger),
        sa.Column("observed_last_at", sa.BigInteger),
        sa.UniqueConstraint(
            "execution_id", "workflow_id", "account_id", "region", name="history_executions_key"
        ),
    )
    op.create_index("history_executions_last_at", "history_executions", ["last_at"])
    op.create_table(
        "history_events",
        sa.Column("seq", _ID, primary_key=True),
        sa.Column("execution", sa.BigInteger, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("occurred_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("execution", "event_id", name="history_events_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "history_log_groups",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("region", sa.Text, primary_key=True),
        sa.Column("group_name", sa.Text, primary_key=True),
        sa.Column("read_until", sa.BigInteger, nullable=False),
        sa.Column("complete_since", sa.BigInteger, nullable=False),
        sa.Column("backfill_until", sa.BigInteger),
    )
    op.create_table(
        "history_workflow_logs",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("region", sa.Text, primary_key=True),
        sa.Column("workflow_id", sa.Text, primary_key=True),
        sa.Column("server_id", sa.Text, primary_key=True),
        sa.Column("group_name", sa.Text, primary_key=True),
        sa.Column("mechanism", sa.Text),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "history_retention",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("kept_since", sa.BigInteger, nullable=False),
    )
