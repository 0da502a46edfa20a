"""Alembic migrations, for PostgreSQL and SQLite; `backend.store.schema` runs them."""
