"""The revisions of the schema, run by `nas.store.database` with alembic; they ship inside the package."""
