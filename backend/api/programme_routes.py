"""Programmes: what events are made after."""

from __future__ import annotations

import re
import secrets
from typing import Any

from fastapi import APIRouter, HTTPException
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import Uses
from backend.api.audit_routes import record_audit
from backend.api.authentication import Operator, Reader
from backend.api.programme_responses import ProgrammeResponse
from backend.api.request_bodies import ProgrammeBody
from backend.api.request_fields import ProgrammeId, invalid_request_field
from backend.dispatch.dispatch_wake import send_dispatch_wake
from backend.dispatch.programme_schedule import (
    next_programme_start,
    withdraw_planned_programme_events,
)
from backend.dispatch.ven_selection import (
    VenSelectionUnknown,
    with_selected_groups,
)
from backend.store.programme_tables import ProgrammeRow
from backend.store.utc_time import utc_now

router = APIRouter(prefix="/api", tags=["Programmes"])
_PROGRAMMES: Any = ProgrammeRow.__table__


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
    """As the body says, whole. What it had planned by itself is withdrawn, and planned anew; events
    that have begun, or that somebody made, stay as they are."""
    async with uses.database.engine.begin() as connection:
        before = await read_programme_or_404(connection, programme_id)
        values = await _values(connection, body)
        of_body = {name: value for name, value in values.items() if name != "next_start"}
        if any(getattr(before, name) != value for name, value in of_body.items()):
            await withdraw_planned_programme_events(connection, before)
        changed = (
            await connection.execute(
                update(_PROGRAMMES)
                .where(_PROGRAMMES.c.id == programme_id)
                .values(**values)
                .returning(*_PROGRAMMES.c)
            )
        ).one_or_none()
        if changed is None:  # deleted at the same moment
            raise HTTPException(404, f"there is no programme {programme_id!r}")
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
    """What it had planned by itself is withdrawn; its other events, and their records, stay."""
    async with uses.database.engine.begin() as connection:
        before = await read_programme_or_404(connection, programme_id)
        await withdraw_planned_programme_events(connection, before)
        await connection.execute(delete(_PROGRAMMES).where(_PROGRAMMES.c.id == programme_id))
        await record_audit(connection, actor, "programme.delete", programme_id)
        await send_dispatch_wake(connection)
    uses.wake()
