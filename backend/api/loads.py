"""Loads from the store's compact rows: a set of loads in order, and lists beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.services import Services
from backend.store.models import LoadSetMember

WATTS_PER_KW = 1_000.0
_ENABLED = {"t": True, "f": False}


async def load_sets(
    services: Services, connection: AsyncConnection, ids: Iterable[int | None]
) -> dict[int, Sequence[Any]]:
    """Members of these sets by id, in order."""
    known = services.load_sets
    missing = sorted({number for number in ids if number is not None} - known.keys())
    for at in range(0, len(missing), 500):
        some = missing[at : at + 500]
        rows = await connection.execute(
            select(LoadSetMember.__table__)
            .where(LoadSetMember.load_set_id.in_(some))
            .order_by(LoadSetMember.load_set_id, LoadSetMember.position)
        )
        found: dict[int, list[Any]] = {number: [] for number in some}
        for row in rows:
            found[row.load_set_id].append(row)
        known.update(found)
    return known


def expand(row: Any, sets: dict[int, Sequence[Any]]) -> list[dict[str, Any]]:
    """The loads of a row of telemetry or of a VEN's state."""
    if row.load_set_id is None:
        return []
    return [load_at(row, member, place) for place, member in enumerate(sets[row.load_set_id])]


def load_at(row: Any, member: Any, place: int) -> dict[str, Any]:
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
