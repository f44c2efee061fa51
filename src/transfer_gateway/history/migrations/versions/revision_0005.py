"""Indexes of the names that are searched for as they are: the trigrams of most of them are frequent."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS = {"workflow": "workflow_id", "server": "server_id", "user": "user_name", "session": "session_id"}


def upgrade() -> None:
    for name, column in _COLUMNS.items():
        op.create_index(f"history_executions_{name}", "history_executions", [column, "began_at"])
