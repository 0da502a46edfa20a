"""The schema's version: migrations up and down, with alembic."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, create_engine, text

from backend.store.database import DatabaseUnsuitable, database_pooler, database_url

MIGRATIONS = Path(__file__).parent / "migrations"
_ONE_AT_A_TIME = 72_616_001
"""PostgreSQL's advisory lock: several processes may start at once."""
HIDDEN_POOLER = (
    "DATABASE_URL leads to a pooler such as PgBouncer: set DATABASE_POOLER=transaction (and "
    "DATABASE_DIRECT_URL to the database itself, to migrate and to listen), or "
    "DATABASE_POOLER=session if it gives each client a connection of its own"
)


def upgrade_schema(url: str, revision: str = "head") -> None:
    """Bring the database at `url` to `revision`; costs little when it is there already.

    Raises DatabaseUnsuitable when `url` leads to a pooler: one that nobody told us of, or one that
    gives each transaction another connection, when there is something to do.
    """
    if _is_done_behind_pooler(url, revision):
        return
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


def _is_done_behind_pooler(url: str, revision: str) -> bool:
    """Whether there is nothing to do, where a migration cannot be done."""
    pooler = database_pooler(url)
    target = database_url(url, driver="sync")
    if target.get_backend_name() != "postgresql" or pooler == "session":
        return False
    engine = create_engine(target, connect_args={"prepare_threshold": None})
    try:
        with engine.connect() as connection:
            given: Any = connection.connection.driver_connection
            behind = connection.scalar(text("SELECT pg_backend_pid()"))
            if pooler is None:
                if given.info.backend_pid != behind:
                    raise DatabaseUnsuitable(HIDDEN_POOLER)
                return False
            known = current_schema_revision(connection)
    finally:
        engine.dispose()
    if revision == "head" and known == latest_schema_revision():
        return True
    raise DatabaseUnsuitable(
        f"the schema is {known}, this program needs {latest_schema_revision()}: it cannot be "
        "changed through a pooler. Set DATABASE_DIRECT_URL to the database itself"
    )


@contextmanager
def _connected(url: str) -> Iterator[tuple[Connection, Config]]:
    target = database_url(url, driver="sync")
    engine = create_engine(target)
    try:
        with _alone_on_sqlite(target), engine.connect() as connection:
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


@contextmanager
def _alone_on_sqlite(target: URL) -> Iterator[None]:
    """One process at a time. The lock is of the file's folder: it leaves nothing behind, and to
    close the file itself would end SQLite's own locks on it."""
    folder = Path(target.database or "").parent
    if target.get_backend_name() != "sqlite" or not folder.is_dir():
        yield
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
