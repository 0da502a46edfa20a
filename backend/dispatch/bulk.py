"""Thousands of rows at once: COPY on PostgreSQL, in the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, insert
from sqlalchemy.ext.asyncio import AsyncConnection

FEW = 50
"""Up to so many, an INSERT is as fast."""


async def insert_rows(
    connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]
) -> None:
    """Insert `rows`, which all have the same columns; objects among their values are JSON."""
    if not rows:
        return
    if connection.dialect.name != "postgresql" or len(rows) <= FEW:
        await connection.execute(insert(table), list(rows))
        return
    columns = list(rows[0])
    raw = (await connection.get_raw_connection()).driver_connection
    assert raw is not None, "the connection is open"
    await raw.copy_records_to_table(
        table.name,
        records=[tuple(_plain(row[name]) for name in columns) for row in rows],
        columns=columns,
    )


def _plain(value: Any) -> Any:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else value
