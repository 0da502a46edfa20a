"""Loads from the store's compact rows: a set of loads in order, and lists beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import ApiServices
from backend.store.fleet_tables import LoadSetMemberRow

WATTS_PER_KW = 1_000.0
_ENABLED = {"t": True, "f": False}


async def read_load_sets(
    services: ApiServices, connection: AsyncConnection, ids: Iterable[int | None]
) -> dict[int, Sequence[Any]]:
    """Members of these sets by id, in order."""
    known = services.load_sets
    missing = sorted({number for number in ids if number is not None} - known.keys())
    for at in range(0, len(missing), 500):
        some = missing[at : at + 500]
        rows = await connection.execute(
            select(LoadSetMemberRow.__table__)
            .where(LoadSetMemberRow.load_set_id.in_(some))
            .order_by(LoadSetMemberRow.load_set_id, LoadSetMemberRow.position)
        )
        found: dict[int, list[Any]] = {number: [] for number in some}
        for row in rows:
            found[row.load_set_id].append(row)
        known.update(found)
    return known


def expand_loads(row: Any, sets: dict[int, Sequence[Any]]) -> list[dict[str, Any]]:
    """The loads of a row of telemetry or of a VEN's state."""
    if row.load_set_id is None:
        return []
    return [expand_load(row, member, place) for place, member in enumerate(sets[row.load_set_id])]


def expand_load(row: Any, member: Any, place: int) -> dict[str, Any]:
    return {
        "id": member.load_id,
        "load_id": member.load_id,
        "name": member.name,
        "type": member.type,
        "capacity_kw": member.capacity_kw,
        "current_power_kw": _kw(row.load_power_w, place),
        "shed_capability_kw": _kw(row.load_shed_w, place),
        "enabled": _ENABLED.get((row.load_enabled or "")[place : place + 1]),
        "priority": member.priority,
    }


def _kw(watts: Sequence[int | None] | None, place: int) -> float | None:
    if watts is None or place >= len(watts):
        return None
    value = watts[place]
    return None if value is None else value / WATTS_PER_KW
