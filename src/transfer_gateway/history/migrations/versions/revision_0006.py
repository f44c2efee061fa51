"""PostgreSQL's index of the order in which executions began has their ids: whoever needs no more reads nothing else."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLE = "history_executions"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":  # SQLite's indexes have the ids anyway
        return
    name = f"{_TABLE}_began_at"
    op.drop_index(name, _TABLE)
    op.create_index(name, _TABLE, ["began_at"], postgresql_include=["id"])
