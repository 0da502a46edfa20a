"""Thousands of rows at once, in the caller's transaction: COPY and arrays on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import asyncpg
from sqlalchemy import Table, Text, and_, bindparam, column, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeEngine

FEW = 50
"""Up to so many, an INSERT is as fast."""

Given = Callable[[str], ColumnElement[Any]]
"""The expression of a value that each row brings, by its name."""


async def insert_rows(
    connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]
) -> None:
    """Insert `rows`, which all have the same columns; objects among their values are JSON.

    Raises SQLAlchemyError.
    """
    if not rows:
        return
    if connection.dialect.name != "postgresql" or len(rows) <= FEW:
        await connection.execute(insert(table), list(rows))
        return
    columns = list(rows[0])
    raw = (await connection.get_raw_connection()).driver_connection
    assert raw is not None, "the connection is open"
    try:
        await raw.copy_records_to_table(
            table.name,
            records=[tuple(_plain(row[name]) for name in columns) for row in rows],
            columns=columns,
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # SQLAlchemy does not see the driver's COPY, so it does not translate its errors either.
        raise OperationalError(f"COPY {table.name}", None, error) from error


def _plain(value: Any) -> Any:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else value


async def update_rows(
    connection: AsyncConnection,
    table: Table,
    keys: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    values: Callable[[Given], Mapping[str, Any]],
    *,
    also: Mapping[str, TypeEngine[Any]] | None = None,
    lock_order: Sequence[str] = (),
) -> None:
    """Set `values` where `keys` are those of a row; `also` are the types of what else rows have.

    On PostgreSQL it is one statement, and the table's rows are locked beforehand in `lock_order`
    (the keys by default): the same everywhere, so that nobody waits for another in a ring.
    """
    if not rows:
        return
    types: dict[str, TypeEngine[Any]] = {name: table.c[name].type for name in keys}
    types |= also or {}
    if connection.dialect.name != "postgresql":
        binds = {name: bindparam(f"given_{name}", type_=kind) for name, kind in types.items()}
        where = [table.c[name] == binds[name] for name in keys]
        statement = update(table).where(*where).values(**values(lambda name: binds[name]))
        await connection.execute(
            statement, [{f"given_{name}": row[name] for name in types} for row in rows]
        )
        return
    plain = {name: Text() if isinstance(kind, Text) else kind for name, kind in types.items()}
    given = (
        func.unnest(
            *(bindparam(f"given_{name}", type_=ARRAY(kind)) for name, kind in plain.items())
        )
        .table_valued(*(column(name, kind) for name, kind in plain.items()), name="given")
        .render_derived()
    )
    arrays = {f"given_{name}": [row[name] for row in rows] for name in types}
    same = and_(*(table.c[name] == given.c[name] for name in keys))
    locked = (
        select(literal(1))
        .select_from(table.join(given, same))
        .order_by(*(_byte_order(table.c[name]) for name in lock_order or keys))
        .with_for_update(of=table)
        .cte("locked")
    )
    await connection.execute(select(func.count()).select_from(locked), arrays)
    changed = update(table).where(same).values(**values(lambda name: given.c[name]))
    await connection.execute(changed, arrays)


def _byte_order(key: Any) -> Any:
    """As Python sorts."""
    return key.collate("C") if isinstance(key.type, Text) else key
