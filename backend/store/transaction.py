"""Transactions of dispatch: tried again when the database chose them to give way, on its clock."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")
TRIES = 5
_GIVES_WAY = {"40001", "40P01"}
"""PostgreSQL: serialization failure, deadlock."""


async def in_transaction(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """What `work` returns, committed. Raises SQLAlchemyError or OSError when it cannot be."""
    for attempt in range(1, TRIES + 1):
        try:
            async with engine.begin() as connection:
                return await work(connection)
        except DBAPIError as error:
            if attempt == TRIES or not _gives_way(error):
                raise
        await asyncio.sleep(random.uniform(0.01, 0.05) * attempt)
    raise AssertionError("the last try returns or raises")


def _gives_way(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return code in _GIVES_WAY or "database is locked" in str(error.orig)
