"""The revisions of the tables, for Alembic. One file each in `versions`, numbered; only what the tables need."""
