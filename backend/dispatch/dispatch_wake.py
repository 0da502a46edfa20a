"""What wakes a dispatcher before its time: news in this process, or in another's transaction.

PostgreSQL's LISTEN/NOTIFY carries it between processes; SQLite has one dispatcher, in this one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.process.timeouts import happens_within_timeout
from backend.store.database import Database

log = structlog.get_logger(__name__)

CHANNEL = "venagent_dispatch"
RELISTEN_SEC = 2.0
CHECK_SEC = 10.0


async def send_dispatch_wake(connection: AsyncConnection) -> None:
    """Wake the dispatchers of all processes when this transaction commits."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"NOTIFY {CHANNEL}"))


class DispatchWake:
    """One bell a waiting task; `ring` wakes them all."""

    def __init__(self) -> None:
        self._bells: list[asyncio.Event] = []

    def bell(self) -> asyncio.Event:
        bell = asyncio.Event()
        self._bells.append(bell)
        return bell

    def ring(self) -> None:
        for bell in self._bells:
            bell.set()


async def wait_for_dispatch_wake(bell: asyncio.Event, timeout_sec: float) -> None:
    """Until the bell rings or the time has passed; the bell is silent again afterwards."""
    await happens_within_timeout(bell, max(timeout_sec, 0.0))
    bell.clear()


async def listen_for_dispatch_wake(database: Database, wake: DispatchWake) -> None:
    """Ring at other processes' news, for ever; a lost connection is made again."""
    dsn = database.listening_dsn
    if dsn is None:
        if database.is_pooled:
            log.info("news of other processes are not heard: set DATABASE_DIRECT_URL for them")
        return

    def heard(*_details: Any) -> None:
        wake.ring()

    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=10)
            try:
                await connection.add_listener(CHANNEL, heard)
                wake.ring()  # what came while nobody listened
                while not connection.is_closed():
                    await asyncio.sleep(CHECK_SEC)
                    await connection.execute("SELECT 1", timeout=10)
            finally:
                await connection.close(timeout=2)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncio.TimeoutError) as e:
            log.warning("not listening to the database", error=str(e) or type(e).__name__)
        await asyncio.sleep(RELISTEN_SEC)
