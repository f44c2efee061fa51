"""Run by Alembic. `history/schema.py` has opened the connection, and commits."""

from alembic import context

from transfer_gateway.history.tables import REVISION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=REVISION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
