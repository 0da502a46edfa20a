"""Programmes: what events are made after; and groups of VENs."""

from __future__ import annotations

import re
import secrets
from typing import Any

from fastapi import APIRouter, HTTPException
from sqlalchemy import and_, case, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import Uses
from backend.api.audit_routes import record_audit
from backend.api.authentication import Operator, Reader
from backend.api.programme_bodies import (
    ProgrammeBody,
    ProgrammeResponse,
    VenGroupBody,
    VenGroupResponse,
)
from backend.api.request_fields import ProgrammeId, VenGroupName, invalid_request_field
from backend.dispatch.dispatch_wake import send_dispatch_wake
from backend.dispatch.programme_schedule import next_programme_start
from backend.dispatch.ven_selection import (
    VenSelectionUnknown,
    selected_vens,
    with_selected_groups,
)
from backend.store.freshness import freshness_of_fleet
from backend.store.programme_tables import ProgrammeRow, VenGroupRow
from backend.store.statuses import AVAILABLE, ONLINE
from backend.store.tables import VEN_STATE, VENS
from backend.store.utc_time import utc_now

router = APIRouter(prefix="/api", tags=["Programmes"])
_PROGRAMMES: Any = ProgrammeRow.__table__
_GROUPS: Any = VenGroupRow.__table__


@router.get("/programmes/", response_model=list[ProgrammeResponse])
async def list_programmes(uses: Uses, _actor: Reader) -> Any:
    async with uses.database.engine.connect() as connection:
        return (await connection.execute(select(_PROGRAMMES).order_by(_PROGRAMMES.c.name))).all()


@router.get("/programmes/{programme_id}", response_model=ProgrammeResponse)
async def get_programme(uses: Uses, _actor: Reader, programme_id: ProgrammeId) -> Any:
    async with uses.database.engine.connect() as connection:
        return await read_programme_or_404(connection, programme_id)


async def read_programme_or_404(connection: AsyncConnection, programme_id: str) -> Any:
    found = select(_PROGRAMMES).where(_PROGRAMMES.c.id == programme_id)
    row = (await connection.execute(found)).one_or_none()
    if row is None:
        raise HTTPException(404, f"there is no programme {programme_id!r}")
    return row


@router.post("/programmes/", response_model=ProgrammeResponse, status_code=201)
async def post_programme(uses: Uses, actor: Operator, body: ProgrammeBody) -> Any:
    """A recurring one makes its events by itself, a day and a half ahead."""
    async with uses.database.engine.begin() as connection:
        values = await _values(connection, body)
        values |= {
            "id": body.id or _made_id(body.name),
            "created_at": utc_now(),
            "created_by": actor.name,
        }
        try:
            made = (
                await connection.execute(
                    insert(_PROGRAMMES).values(**values).returning(*_PROGRAMMES.c)
                )
            ).one()
        except IntegrityError:
            raise HTTPException(409, f"there is a programme {values['id']!r} already") from None
        detail = body.model_dump(mode="json", exclude_none=True)
        await record_audit(connection, actor, "programme.create", made.id, detail)
        await send_dispatch_wake(connection)
    uses.wake()
    return made


@router.put("/programmes/{programme_id}", response_model=ProgrammeResponse)
async def put_programme(
    uses: Uses, actor: Operator, programme_id: ProgrammeId, body: ProgrammeBody
) -> Any:
    """As the body says, whole; events that are made already stay as they are."""
    async with uses.database.engine.begin() as connection:
        await read_programme_or_404(connection, programme_id)
        values = await _values(connection, body)
        changed = (
            await connection.execute(
                update(_PROGRAMMES)
                .where(_PROGRAMMES.c.id == programme_id)
                .values(**values)
                .returning(*_PROGRAMMES.c)
            )
        ).one()
        detail = body.model_dump(mode="json", exclude_none=True)
        await record_audit(connection, actor, "programme.change", programme_id, detail)
        await send_dispatch_wake(connection)
    uses.wake()
    return changed


async def _values(connection: AsyncConnection, body: ProgrammeBody) -> dict[str, Any]:
    values = body.model_dump(exclude={"id", "selection"})
    chosen = body.selection.given() if body.selection is not None else {}
    try:
        values["selection"] = await with_selected_groups(connection, chosen) or None
    except VenSelectionUnknown as error:
        raise invalid_request_field("selection", str(error), error.name) from None
    values["next_start"] = next_programme_start(body, utc_now())
    return values


def _made_id(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"{plain or 'programme'}-{secrets.token_hex(2)}"


@router.delete("/programmes/{programme_id}", status_code=204)
async def delete_programme(uses: Uses, actor: Operator, programme_id: ProgrammeId) -> None:
    """Its events and their records stay."""
    async with uses.database.engine.begin() as connection:
        await read_programme_or_404(connection, programme_id)
        await connection.execute(delete(_PROGRAMMES).where(_PROGRAMMES.c.id == programme_id))
        await record_audit(connection, actor, "programme.delete", programme_id)


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
                func.coalesce(func.sum(case((takes_part, VEN_STATE.c.shed_available_kw))), 0.0),
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
        await connection.execute(delete(_GROUPS).where(_GROUPS.c.name == body.name))
        made = await connection.execute(
            insert(_GROUPS).values(name=body.name, **values).returning(*_GROUPS.c)
        )
        group = made.one()
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
