"""The bulk of a batch into the database: COPY on PostgreSQL, INSERT OR IGNORE on SQLite.

COPY goes straight into the table, which costs half of a staging table. It fails when a row is
there already (the broker sent a message again); then, and for some batches after, rows go through
a staging table and `ON CONFLICT DO NOTHING`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Protocol

import asyncpg
from sqlalchemy import JSON, Table, case, func, insert, select, text
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.store.fleet_tables import VenRow, VenStateRow
from backend.store.telemetry_tables import TelemetryLoadsRow, VenTelemetryRow

TELEMETRY: Table = VenTelemetryRow.__table__  # type: ignore[assignment]
LOADS: Table = TelemetryLoadsRow.__table__  # type: ignore[assignment]
STATE: Table = VenStateRow.__table__  # type: ignore[assignment]

Row = Sequence[Any]
"""One row's values, in the order of the columns that are named with them."""


class BulkCopy(Protocol):
    """Ways into the database; each call is part of the caller's transaction."""

    async def add(
        self,
        connection: AsyncConnection,
        table: Table,
        columns: Sequence[str],
        rows: Sequence[Row],
        *,
        staged: bool,
    ) -> int:
        """Add `rows`, without those that are there already; how many were added.

        Without `staged`, a row that is there already may raise an error that `is_duplicate` knows.
        """

    async def put_states(
        self, connection: AsyncConnection, columns: Sequence[str], rows: Sequence[Row]
    ) -> None:
        """Make `rows` the states of their VENs, where they are newer; unknown VENs are left out.

        An older one, of a VEN that catches up after an outage, still tells that it was heard.
        """


def bulk_copy_columns(table: Table) -> list[str]:
    return [column.name for column in table.columns]


class PostgresBulkCopy:
    def __init__(self, *, is_pooled: bool = False) -> None:
        """`is_pooled`: the connection is not ours after the transaction, so nothing stays on it."""
        self._afterwards = "DROP" if is_pooled else "DELETE ROWS"

    async def add(
        self,
        connection: AsyncConnection,
        table: Table,
        columns: Sequence[str],
        rows: Sequence[Row],
        *,
        staged: bool,
    ) -> int:
        if not rows:
            return 0
        if not staged:
            return await self._copy(connection, table.name, columns, rows)
        stage = await self._stage(connection, table, columns, rows)
        names = ", ".join(columns)
        added = await connection.execute(
            text(
                f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {stage} "
                "ON CONFLICT DO NOTHING"
            )
        )
        return added.rowcount

    async def put_states(
        self, connection: AsyncConnection, columns: Sequence[str], rows: Sequence[Row]
    ) -> None:
        if not rows:
            return
        stage = await self._stage(connection, STATE, columns, rows)
        named = ", ".join(f"s.{name}" for name in columns)
        # Sorted: two instances that update the same VENs must not wait for each other in a ring.
        await connection.execute(
            text(
                f"INSERT INTO ven_state ({', '.join(columns)}) "
                f"SELECT {named} FROM {stage} s JOIN vens v ON v.id = s.ven_id ORDER BY s.ven_id "
                f"ON CONFLICT (ven_id) DO UPDATE SET {_state_changes(columns)}"
            )
        )

    async def _stage(
        self,
        connection: AsyncConnection,
        table: Table,
        columns: Sequence[str],
        rows: Sequence[Row],
    ) -> str:
        stage = f"stage_{table.name}"
        await connection.execute(
            text(
                f"CREATE TEMPORARY TABLE IF NOT EXISTS {stage} (LIKE {table.name}) "
                f"ON COMMIT {self._afterwards}"
            )
        )
        await self._copy(connection, stage, columns, rows)
        return stage

    async def _copy(
        self, connection: AsyncConnection, table: str, columns: Sequence[str], rows: Sequence[Row]
    ) -> int:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        done: str = await driver.copy_records_to_table(table, records=rows, columns=list(columns))
        return int(done.split()[-1])


# A VEN whose clock was ahead must not keep its last state until that time has come.
_NEWER = "excluded.timestamp >= ven_state.timestamp OR ven_state.timestamp > excluded.last_seen"


def _state_changes(columns: Sequence[str]) -> str:
    return ", ".join(
        [
            "last_seen = greatest(ven_state.last_seen, excluded.last_seen)",
            "highest_power_kw = greatest(ven_state.highest_power_kw, excluded.highest_power_kw)",
            *(
                f"{name} = CASE WHEN {_NEWER} THEN excluded.{name} ELSE ven_state.{name} END"
                for name in columns
                if name not in ("ven_id", "last_seen", "highest_power_kw")
            ),
        ]
    )


class SqliteBulkCopy:
    async def add(
        self,
        connection: AsyncConnection,
        table: Table,
        columns: Sequence[str],
        rows: Sequence[Row],
        *,
        staged: bool,
    ) -> int:
        del staged
        if not rows:
            return 0
        added = await connection.execute(
            sqlite_insert(table).on_conflict_do_nothing(),
            [dict(zip(columns, row, strict=True)) for row in rows],
        )
        return added.rowcount

    async def put_states(
        self, connection: AsyncConnection, columns: Sequence[str], rows: Sequence[Row]
    ) -> None:
        if not rows:
            return
        known = set(await connection.scalars(select(VenRow.id)))
        new = sqlite_insert(STATE)
        newer = (new.excluded.timestamp >= STATE.c.timestamp) | (
            STATE.c.timestamp > new.excluded.last_seen
        )
        changes: dict[str, Any] = {
            name: case((newer, new.excluded[name]), else_=STATE.c[name])
            for name in columns
            if name != "ven_id"
        }
        changes["last_seen"] = func.max(STATE.c.last_seen, new.excluded.last_seen)
        highest, drawn = STATE.c.highest_power_kw, new.excluded.highest_power_kw
        changes["highest_power_kw"] = func.max(
            func.coalesce(highest, drawn), func.coalesce(drawn, highest)
        )
        statement = new.on_conflict_do_update(index_elements=["ven_id"], set_=changes)
        values = [dict(zip(columns, row, strict=True)) for row in rows]
        values = [value for value in values if value["ven_id"] in known]
        if values:
            await connection.execute(statement, values)


FEW = 50
"""Up to so many, an INSERT is as fast."""


async def bulk_copy_rows(
    connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]
) -> None:
    """Insert `rows`, which all have the same columns, two at least beside documents.

    Raises SQLAlchemyError.
    """
    if not rows:
        return
    if connection.dialect.name != "postgresql" or len(rows) <= FEW:
        await connection.execute(insert(table), list(rows))
        return
    dialect = connection.dialect
    documents = [
        name for name in rows[0] if isinstance(table.c[name].type.dialect_impl(dialect), JSON)
    ]
    others = [name for name in rows[0] if name not in documents]
    of_row = itemgetter(*others)
    records = [(*of_row(row), *(_json_of(row[name]) for name in documents)) for row in rows]
    raw = (await connection.get_raw_connection()).driver_connection
    assert raw is not None, "the connection is open"
    try:
        await raw.copy_records_to_table(table.name, records=records, columns=[*others, *documents])
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # SQLAlchemy does not see the driver's COPY, so it does not translate its errors either.
        raise OperationalError(f"COPY {table.name}", None, error) from error


_encode_json = json.JSONEncoder(separators=(",", ":")).encode


def _json_of(value: Any) -> str | None:
    return None if value is None else _encode_json(value)
