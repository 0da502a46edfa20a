"""The store: models, migrations and the database's own upkeep. PostgreSQL, or SQLite embedded."""
