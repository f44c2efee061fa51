"""An index of the trigrams of files, for PostgreSQL: see `trigrams`, which makes it after each migration if it can."""

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing else."""
