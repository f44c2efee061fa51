"""Indexes of the names that are searched for as they are: the trigrams of most of them are frequent."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLE, _MAX_NAME = "history_executions", 256
_COLUMNS = {"workflow": "workflow_id", "server": "server_id", "user": "user_name", "session": "session_id"}


def upgrade() -> None:
    table = sa.table(_TABLE, *map(sa.column, _COLUMNS.values()))
    for name, column in _COLUMNS.items():
        long = sa.func.length(table.c[column]) > _MAX_NAME
        op.execute(table.update().where(long).values({column: sa.func.substr(table.c[column], 1, _MAX_NAME)}))
        op.create_index(f"{_TABLE}_{name}", _TABLE, [column, "began_at"])
