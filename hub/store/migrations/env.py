"""How alembic runs a migration: on the connection that it is given, within its transaction."""

from __future__ import annotations

from alembic import context

from hub.store import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
