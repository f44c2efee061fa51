"""What replicas that share the history tell each other: that they live, what they follow, what is watched and seen."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "history_replicas",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("beats", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "history_followed",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("region", sa.Text, primary_key=True),
        sa.Column("replica", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("sources", sa.Text),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    op.create_index("history_followed_seq", "history_followed", ["seq"])
    op.create_table(
        "history_watched",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("region", sa.Text, primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "history_snapshots",
        sa.Column("execution_id", sa.Text, primary_key=True),
        sa.Column("workflow_id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("region", sa.Text, primary_key=True),
        sa.Column("sent_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text),
        sa.Column("claimed_until", sa.BigInteger, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE history_snapshots SET UNLOGGED")
