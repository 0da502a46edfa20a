"""The schema's version: migrations up and down, with alembic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from backend.store.database import database_url

MIGRATIONS = Path(__file__).parent / "migrations"
_ONE_AT_A_TIME = 72_616_001
"""PostgreSQL's advisory lock: several processes may start at once."""


def upgrade_schema(url: str, revision: str = "head") -> None:
    """Bring the database at `url` to `revision`; costs little when it is there already."""
    with _connected(url) as (connection, config):
        if current_schema_revision(connection) != latest_schema_revision() or revision != "head":
            command.upgrade(config, revision)


def downgrade_schema(url: str, revision: str) -> None:
    """Take the database at `url` back to `revision` (`base`: no tables). Drops what it held."""
    with _connected(url) as (connection, config):
        del connection
        command.downgrade(config, revision)


def latest_schema_revision() -> str | None:
    """What this version of the program needs."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def current_schema_revision(connection: Connection) -> str | None:
    """What the database has."""
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _connected(url: str) -> Iterator[tuple[Connection, Config]]:
    engine = create_engine(database_url(url, driver="sync"))
    try:
        with engine.connect() as connection:
            locked = connection.dialect.name == "postgresql"
            if not locked:
                # Of the file, not of the connection; later on it would need everybody to be quiet.
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                connection.commit()
            if locked:
                connection.execute(text(f"SELECT pg_advisory_lock({_ONE_AT_A_TIME})"))
                connection.commit()
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            try:
                yield connection, config
                connection.commit()
            finally:
                if locked:
                    connection.rollback()
                    connection.execute(text(f"SELECT pg_advisory_unlock({_ONE_AT_A_TIME})"))
                    connection.commit()
    finally:
        engine.dispose()
