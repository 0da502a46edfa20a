"""Loads from the store's compact rows: a set of loads in order, and lists beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import ApiServices
from backend.store.fleet_tables import LoadCapacityRow, LoadSetMemberRow

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


def expand_load_set(row: Any, sets: dict[int, Sequence[Any]]) -> list[dict[str, Any]]:
    """The loads of a row of telemetry or of a VEN's state."""
    if row.load_set_id is None:
        return []
    return [
        expand_load_of_set(row, member, place) for place, member in enumerate(sets[row.load_set_id])
    ]


def expand_load_of_set(row: Any, member: Any, place: int) -> dict[str, Any]:
    power_kw = _kw(row.load_power_w, place)
    return {
        "id": member.load_id,
        "load_id": member.load_id,
        "name": member.name,
        "type": member.type or "unknown",
        "capacity_kw": member.capacity_kw or 0.0,
        "current_power_kw": power_kw or 0.0,
        "current_power_known": power_kw is not None,
        "shed_capability_kw": _kw(row.load_shed_w, place) or 0.0,
        "enabled": _ENABLED.get((row.load_enabled or "")[place : place + 1]),
        "priority": member.priority,
    }


def _kw(watts: Sequence[int | None] | None, place: int) -> float | None:
    if watts is None or place >= len(watts):
        return None
    value = watts[place]
    return None if value is None else value / WATTS_PER_KW


async def load_set_capacities(
    connection: AsyncConnection, ven_ids: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Capacities in kW that an operator has set, by VEN and load."""
    rows = await connection.execute(select(LoadCapacityRow.__table__))
    wanted, found = set(ven_ids), dict[str, dict[str, float]]()
    for row in rows:
        if row.ven_id in wanted:
            found.setdefault(row.ven_id, {})[row.load_id] = row.capacity_kw
    return found


def load_set_with_capacities(
    loads: list[dict[str, Any]], capacities: Mapping[str, float]
) -> list[dict[str, Any]]:
    """The loads, with the capacities that an operator has set."""
    return [
        {**load, "capacity_kw": capacities.get(load["load_id"], load["capacity_kw"])}
        for load in loads
    ]
