"""Executions that have ended with no record of how, newest first."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_WHERE = sa.text("state = 4")


def upgrade() -> None:
    op.create_index(
        "history_executions_gone",
        "history_executions",
        ["began_at"],
        sqlite_where=_WHERE,
        postgresql_where=_WHERE,
    )
