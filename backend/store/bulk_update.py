"""Thousands of rows at once, in the caller's transaction: COPY and arrays on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, Text, and_, bindparam, column, func, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeEngine

Given = Callable[[str], ColumnElement[Any]]
"""The expression of a value that each row brings, by its name."""


async def bulk_update_rows(
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
