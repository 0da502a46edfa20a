"""One row, there or not: of two that write it at one moment both succeed, and the later stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection


async def upsert_row(
    connection: AsyncConnection, table: Any, keys: Sequence[str], values: Mapping[str, Any]
) -> Row[Any]:
    """Insert `values`, or change the row that has the same `keys`; the row as it is then.

    Raises IntegrityError when another of the table's constraints does not let it.
    """
    kind = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    new = kind(table).values(**values)
    changes = {name: new.excluded[name] for name in values if name not in keys}
    change = new.on_conflict_do_update(index_elements=list(keys), set_=changes)
    return (await connection.execute(change.returning(*table.c))).one()


async def insert_row_if_new(
    connection: AsyncConnection, table: Any, keys: Sequence[str], values: Mapping[str, Any]
) -> bool:
    """Whether it was: a row with the same `keys` stays as it is. Raises IntegrityError as above."""
    kind = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    new = kind(table).values(**values).on_conflict_do_nothing(index_elements=list(keys))
    return (await connection.execute(new.returning(table.c[keys[0]]))).first() is not None
