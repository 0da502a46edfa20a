"""One database: its URL in every driver's spelling, its engine and its sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import event, func, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from backend.store.utc_time import UtcDateTime, utc_now

BUSY_TIMEOUT_SEC = 10.0
POOLER = "pooler"
"""Of a URL: `pooler=transaction` leads to a pooler (PgBouncer) that gives each transaction any
connection, `pooler=session` to one that keeps them."""
TRANSACTION_POOLER = "transaction"
_LIBPQ_ONLY = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword")
"""Parameters of PostgreSQL's own client library that a URL may have."""


def database_url(url: str, *, driver: str | None = None) -> URL:
    """`url` for a driver of SQLAlchemy: asynchronous ones by default, `sync` for migrations.

    Raises ValueError for a database that is neither PostgreSQL nor SQLite.
    """
    parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    backend = parsed.get_backend_name()
    drivers = {
        "postgresql": {None: "postgresql+asyncpg", "sync": "postgresql+psycopg"},
        "sqlite": {None: "sqlite+aiosqlite", "sync": "sqlite"},
    }
    if parsed.query.get(POOLER, TRANSACTION_POOLER) not in (TRANSACTION_POOLER, "session"):
        raise ValueError("DATABASE_URL: pooler must be transaction or session")
    if backend not in drivers:
        raise ValueError(f"DATABASE_URL names {backend}: use postgresql:// or sqlite:///")
    return parsed.set(drivername=drivers[backend][driver]).difference_update_query([POOLER])


def database_pooler(url: str) -> str | None:
    """What the URL says of a pooler: transaction or session; None when it says nothing."""
    found = make_url(url.replace("postgres://", "postgresql://", 1)).query.get(POOLER)
    return found if isinstance(found, str) else None


class DatabaseUnsuitable(Exception):
    """The database can be reached, but not used as it is configured; the text says what to do."""


def database_dsn(url: str) -> str:
    """`url` as libpq and asyncpg read it."""
    parsed = database_url(url).set(drivername="postgresql")
    return parsed.render_as_string(hide_password=False)


class Database:
    """The engine and its sessions. `close` it at the end."""

    def __init__(self, url: str, *, pool_size: int = 5, direct_url: str | None = None) -> None:
        """`direct_url` leads past a pooler, for what needs a connection of its own: to listen."""
        self.url = database_url(url)
        self.is_postgresql = self.url.get_backend_name() == "postgresql"
        self.is_pooled = database_pooler(url) == TRANSACTION_POOLER
        """Two transactions may have two connections: nothing may be left on one."""
        self.listening_dsn = _listening_dsn(url, direct_url) if self.is_postgresql else None
        """None where news of other processes cannot be heard."""
        options: dict[str, Any] = {}
        if self.is_postgresql:
            options = {"pool_size": pool_size, "max_overflow": pool_size, "pool_pre_ping": True}
            given: dict[str, Any] = {}
            if any(name in _LIBPQ_ONLY for name in self.url.query):
                # asyncpg reads them in a DSN only.
                given["dsn"] = database_dsn(url)
            if self.is_pooled:
                # A statement prepared in one transaction is not there in the next: none has a name.
                given["statement_cache_size"] = given["prepared_statement_cache_size"] = 0
                given["prepared_statement_name_func"] = lambda: ""
            options["connect_args"] = given
        else:
            options = {"connect_args": {"timeout": BUSY_TIMEOUT_SEC}}
        engine_url = self.url.difference_update_query(_LIBPQ_ONLY)
        self.engine: AsyncEngine = create_async_engine(engine_url, **options)
        if not self.is_postgresql:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
        self.sessions: async_sessionmaker[AsyncSession] = async_sessionmaker(
            self.engine, expire_on_commit=False
        )

    async def check(self) -> None:
        """Raises SQLAlchemyError or OSError when the database does not answer."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()


def _listening_dsn(url: str, direct_url: str | None) -> str | None:
    if direct_url is not None:
        return database_dsn(direct_url)
    return None if database_pooler(url) == TRANSACTION_POOLER else database_dsn(url)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Readers beside the writer, and foreign keys that mean something."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


async def database_now(connection: AsyncConnection) -> datetime:
    """The database's clock, which is the same for all instances: leases and turns go by it."""
    if connection.dialect.name != "postgresql":
        return utc_now()
    moment = await connection.scalar(select(func.clock_timestamp(type_=UtcDateTime())))
    assert moment is not None
    return moment
