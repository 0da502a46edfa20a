"""How much telemetry a VEN sent, counted without reading it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.store.fleet_tables import NO_LOADS, VenLoadSetRow
from backend.store.telemetry_tables import VenTelemetryRow


async def telemetry_count_by_load_set(
    connection: AsyncConnection,
    ven_id: str,
    start: datetime | None = None,
    end: datetime | None = None,
) -> dict[int, int]:
    """How many telemetries with each load set a VEN sent from `start` until before `end`.

    Rows of one VEN lie far apart: to look at 17,280 of them takes 40 ms, to count them in the
    index 3 ms. That suffices for a VEN that has always had the same loads.
    """
    table = VenTelemetryRow.__table__
    within = [table.c.ven_id == ven_id]
    if start is not None:
        within.append(table.c.timestamp >= start)
    if end is not None:
        within.append(table.c.timestamp < end)
    used = select(VenLoadSetRow.load_set_id).where(VenLoadSetRow.ven_id == ven_id)
    numbers = list(await connection.scalars(used))
    if len(numbers) == 1:
        count = await connection.scalar(select(func.count()).select_from(table).where(*within))
        return {numbers[0]: count} if count and numbers[0] != NO_LOADS else {}
    by_set = (
        select(table.c.load_set_id, func.count().label("telemetries"))
        .where(*within, table.c.load_set_id.is_not(None))
        .group_by(table.c.load_set_id)
    )
    return {row.load_set_id: row.telemetries for row in await connection.execute(by_set)}
