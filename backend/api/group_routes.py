"""Groups of VENs: a choice under a name."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException
from sqlalchemy import and_, case, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import Uses
from backend.api.audit_routes import record_audit
from backend.api.authentication import Operator, Reader
from backend.api.request_bodies import VenGroupBody
from backend.api.request_fields import VenGroupName
from backend.api.ven_responses import VenGroupResponse
from backend.dispatch.ven_selection import (
    selected_vens,
)
from backend.store.believed_ven_power import believed_ven_shed_kw
from backend.store.freshness import freshness_of_fleet
from backend.store.programme_tables import VenGroupRow
from backend.store.row_upsert import upsert_row
from backend.store.statuses import AVAILABLE, ONLINE
from backend.store.tables import VEN_STATE, VENS
from backend.store.utc_time import utc_now

router = APIRouter(prefix="/api", tags=["Programmes"])
_GROUPS: Any = VenGroupRow.__table__


@router.get("/groups/", response_model=list[VenGroupResponse])
async def list_ven_groups(uses: Uses, _actor: Reader) -> Any:
    """With how many VENs are in each, and what they could shed now."""
    async with uses.database.engine.connect() as connection:
        rows = (await connection.execute(select(_GROUPS).order_by(_GROUPS.c.name))).all()
        return [await _with_figures(connection, row) for row in rows]


async def _with_figures(connection: AsyncConnection, group: Any) -> dict[str, Any]:
    now = utc_now()
    takes_part = and_(
        VENS.c.status == ONLINE,
        freshness_of_fleet(now),
        func.coalesce(VEN_STATE.c.availability, AVAILABLE) == AVAILABLE,
    )
    figures = (
        await connection.execute(
            select(
                func.count(),
                func.count().filter(VENS.c.status == ONLINE),
                func.coalesce(func.sum(case((takes_part, believed_ven_shed_kw()))), 0.0),
            )
            .select_from(VENS.outerjoin(VEN_STATE, VEN_STATE.c.ven_id == VENS.c.id))
            .where(selected_vens(group.selection, connection.dialect.name))
        )
    ).one()
    names = ("ven_count", "online_vens", "shed_availability_kw")
    return {**group._mapping, **dict(zip(names, figures, strict=True))}


@router.post("/groups/", response_model=VenGroupResponse, status_code=201)
async def post_ven_group(uses: Uses, actor: Operator, body: VenGroupBody) -> Any:
    """VENs that fit later are in it too. A name that is used is given another choice."""
    values = {
        "description": body.description,
        "selection": body.chosen(),
        "created_at": utc_now(),
    }
    async with uses.database.engine.begin() as connection:
        group = await upsert_row(connection, _GROUPS, ("name",), {"name": body.name, **values})
        detail = {"selection": values["selection"]}
        await record_audit(connection, actor, "group.set", body.name, detail)
        return await _with_figures(connection, group)


@router.delete("/groups/{name}", status_code=204)
async def delete_ven_group(uses: Uses, actor: Operator, name: VenGroupName) -> None:
    """Events and programmes that were made with it keep its choice."""
    async with uses.database.engine.begin() as connection:
        found = await connection.execute(delete(_GROUPS).where(_GROUPS.c.name == name))
        if not found.rowcount:
            raise HTTPException(404, f"there is no group {name!r}")
        await record_audit(connection, actor, "group.delete", name)
