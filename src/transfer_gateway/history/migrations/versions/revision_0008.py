"""What each replica tells the others with its beats."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("history_replicas", sa.Column("note", sa.Text))
