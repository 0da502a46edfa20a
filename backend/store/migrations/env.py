"""Alembic's entry: `backend.store.schema_migration` gives the connection."""

from __future__ import annotations

from alembic import context

from backend.store import tables  # noqa: F401 - all of them
from backend.store.table_base import TableBase

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TableBase.metadata,
    render_as_batch=context.config.attributes["connection"].dialect.name == "sqlite",
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
