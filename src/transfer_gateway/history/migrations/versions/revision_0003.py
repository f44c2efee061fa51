"""What live push needs: changes of AWS's answers are numbered, as events are, and a database has an identity."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLE = "history_executions"


def upgrade() -> None:
    op.add_column(_TABLE, sa.Column("answer_seq", sa.BigInteger))
    op.add_column(_TABLE, sa.Column("answer_digest", sa.Text))
    op.create_index("history_executions_answer_seq", _TABLE, ["answer_seq"])
    feed = op.create_table(
        "history_feed",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("deleted_seq", sa.BigInteger, nullable=False),
        sa.Column("deleted_answer_seq", sa.BigInteger, nullable=False),
        sa.Column("missed_seq", sa.BigInteger, nullable=False),
        sa.Column("missed_answer_seq", sa.BigInteger, nullable=False),
    )
    row = {"id": 1, "identity": secrets.token_hex(8), "secret": secrets.token_hex(32)}
    numbers = ("deleted_seq", "deleted_answer_seq", "missed_seq", "missed_answer_seq")
    op.bulk_insert(feed, [row | dict.fromkeys(numbers, 0)])
