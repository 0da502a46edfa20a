"""Alembic migrations, for PostgreSQL and SQLite; `backend.store.schema_migration` runs them."""
