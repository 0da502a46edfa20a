"""A VEN's circuits, as of its latest telemetry."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import ApiServices, Uses
from backend.api.authentication import Reader
from backend.api.load_sets import (
    expand_load_set,
    load_set_capacities,
    load_set_with_capacities,
    read_load_sets,
)
from backend.api.request_fields import LoadId, VenId
from backend.api.ven_responses import VenLoadResponse
from backend.api.ven_routes import read_ven_or_404

router = APIRouter(prefix="/api/vens/{ven_id}", tags=["VENs"])


@router.get("/loads", response_model=list[VenLoadResponse])
async def list_loads(uses: Uses, _actor: Reader, ven_id: VenId) -> list[dict[str, Any]]:
    """As of the latest telemetry."""
    async with uses.database.engine.connect() as connection:
        return await _loads(uses, connection, ven_id)


@router.get("/loads/{load_id}", response_model=VenLoadResponse)
async def get_load(uses: Uses, _actor: Reader, ven_id: VenId, load_id: LoadId) -> dict[str, Any]:
    async with uses.database.engine.connect() as connection:
        return await read_load_or_404(uses, connection, ven_id, load_id)


async def _loads(
    services: ApiServices, connection: AsyncConnection, ven_id: str
) -> list[dict[str, Any]]:
    row = await read_ven_or_404(connection, ven_id)
    loads = expand_load_set(row, await read_load_sets(services, connection, [row.load_set_id]))
    capacities = await load_set_capacities(connection, [ven_id])
    return load_set_with_capacities(loads, capacities.get(ven_id, {}))


async def read_load_or_404(
    services: ApiServices, connection: AsyncConnection, ven_id: str, load_id: str
) -> dict[str, Any]:
    for load in await _loads(services, connection, ven_id):
        if load["load_id"] == load_id:
            return load
    raise HTTPException(404, f"{ven_id} has no load {load_id!r}")
