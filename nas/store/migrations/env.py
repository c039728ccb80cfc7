"""Run by alembic: migrate the connection that `nas.store.database.upgrade` holds, inside its transaction."""

from alembic import context

from nas.store.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
