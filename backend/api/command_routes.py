"""Calls that send a command to one VEN: an event for it alone, a circuit, a setting."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic.alias_generators import to_camel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import ApiServices, Uses
from backend.api.audit_routes import record_audit
from backend.api.authentication import AuthenticatedActor, Operator
from backend.api.load_routes import read_load_or_404
from backend.api.request_bodies import LoadChangeBody, SendEventBody, ShedLoadBody
from backend.api.request_fields import LoadId, VenId, invalid_request_field
from backend.api.ven_responses import VenCommandResponse, VenLoadChangeResponse
from backend.api.ven_routes import read_ven_or_404
from backend.dispatch.command_outbox import enqueue_commands
from backend.dispatch.dispatch_wake import send_dispatch_wake
from backend.dispatch.new_event import (
    LONGEST_EVENT,
    NewEvent,
    NewEventInvalid,
    NewEventRefused,
    begin_new_event,
)
from backend.store.database import database_now
from backend.store.fleet_tables import LoadCapacityRow
from backend.store.row_upsert import upsert_row
from backend.store.statuses import PENDING
from backend.store.tables import COMMANDS
from VenAgent.contract.command_builder import build_get_command, build_set_load_command

router = APIRouter(prefix="/api/vens/{ven_id}", tags=["VENs"])
PUBLISHED_WITHIN_SEC = 3.0
LOOK_EVERY_SEC = 0.05
SETTING_VALID = timedelta(minutes=5)


@router.patch("/loads/{load_id}", response_model=VenLoadChangeResponse)
async def patch_load_by_command(
    uses: Uses, actor: Operator, ven_id: VenId, load_id: LoadId, body: LoadChangeBody
) -> Any:
    """Switch a circuit, or change its priority: the command `setLoad`; or set its capacity here."""
    changes = body.model_dump(exclude_none=True)
    if not changes:
        raise invalid_request_field("enabled", "give enabled, priority or capacityKw")
    capacity_kw = changes.pop("capacity_kw", None)
    command: dict[str, Any] | None = None
    async with uses.database.engine.begin() as connection:
        now = await database_now(connection)
        await read_load_or_404(uses, connection, ven_id, load_id)
        if capacity_kw is not None:
            await _set_capacity(connection, ven_id, load_id, capacity_kw)
            detail = {"capacityKw": capacity_kw}
            await record_audit(connection, actor, "load.capacity", f"{ven_id}/{load_id}", detail)
        if changes:
            command = build_set_load_command(
                ven_id=ven_id,
                correlation_id=f"set-{secrets.token_hex(8)}",
                circuit_id=load_id,
                issued_ts=now.timestamp(),
                expires_ts=(now + SETTING_VALID).timestamp(),
                **changes,
            )
            await enqueue_commands(connection, [command], now, created_by=actor.name)
            await record_audit(connection, actor, "load.set", f"{ven_id}/{load_id}", changes)
            await send_dispatch_wake(connection)
        load = await read_load_or_404(uses, connection, ven_id, load_id)
    sent = None if command is None else await _published(uses, str(command["correlationId"]))
    return {**load, "command": sent}


async def _set_capacity(
    connection: AsyncConnection, ven_id: str, load_id: str, capacity_kw: float
) -> None:
    values = {"ven_id": ven_id, "load_id": load_id, "capacity_kw": capacity_kw}
    await upsert_row(connection, LoadCapacityRow.__table__, ("ven_id", "load_id"), values)


@router.post("/commands/status", response_model=VenCommandResponse)
async def post_ven_status_command(uses: Uses, actor: Operator, ven_id: VenId) -> Any:
    """Ask the agent what it is: its version, health and certificate, which the VEN shows then."""
    async with uses.database.engine.begin() as connection:
        now = await database_now(connection)
        await read_ven_or_404(connection, ven_id)
        command = build_get_command(
            ven_id=ven_id,
            correlation_id=f"get-{secrets.token_hex(8)}",
            what="status",
            issued_ts=now.timestamp(),
            expires_ts=(now + SETTING_VALID).timestamp(),
        )
        await enqueue_commands(connection, [command], now, created_by=actor.name)
        await record_audit(connection, actor, "ven.status", ven_id)
        await send_dispatch_wake(connection)
    return await _published(uses, str(command["correlationId"]))


@router.post("/loads/{load_id}/commands/shed", response_model=VenCommandResponse)
async def post_shed_load_command(
    uses: Uses,
    actor: Operator,
    ven_id: VenId,
    load_id: LoadId,
    body: ShedLoadBody,
) -> Any:
    """Shed one circuit: an event for it alone, which can be stopped as any other."""
    async with uses.database.engine.begin() as connection:
        load = await read_load_or_404(uses, connection, ven_id, load_id)
        if load["priority"] == 1:
            raise HTTPException(409, f"{load_id} is critical: it is not shed on its own")
        now = await database_now(connection)
        new = NewEvent(
            requested_reduction_kw=body.amount_kw,
            start=now,
            end=now + (timedelta(seconds=body.duration_sec) or LONGEST_EVENT),
            until_stopped=body.duration_sec == 0,
            ven_ids=[ven_id],
            created_by=actor.name,
        )
        event_id = await _begin(connection, actor, new, load_id)
    return await _sent(uses, event_id)


@router.post("/send-event", response_model=VenCommandResponse)
async def post_event_command(
    uses: Uses, actor: Operator, ven_id: VenId, body: SendEventBody
) -> Any:
    """An event for this VEN alone, from now on. Returns the command that was published."""
    async with uses.database.engine.begin() as connection:
        await read_ven_or_404(connection, ven_id)
        now = await database_now(connection)
        new = NewEvent(
            requested_reduction_kw=body.shed_kw,
            **body.kind_fields(),
            start=now,
            end=body.end_after(now),
            until_stopped=body.is_until_stopped(body.duration_sec),
            event_id=body.event_id,
            ven_ids=[ven_id],
            created_by=actor.name,
        )
        event_id = await _begin(connection, actor, new)
    return await _sent(uses, event_id)


async def _begin(
    connection: AsyncConnection,
    actor: AuthenticatedActor,
    new: NewEvent,
    load_id: str | None = None,
) -> str:
    """An active event with one participant. Raises 409 when it cannot be, 422 when it is none."""
    try:
        event = await begin_new_event(connection, new, load_id=load_id)
    except NewEventInvalid as error:
        field = "shed_kw" if error.field == "requested_reduction_kw" else error.field
        raise invalid_request_field(to_camel(field), error.why) from None
    except NewEventRefused as error:
        raise HTTPException(409, str(error)) from None
    detail = {
        "kind": event.kind,
        "shedKw": event.requested_reduction_kw,
        "importKw": event.import_kw,
        "durationSec": None if event.open_ended else (new.end - new.start).total_seconds(),
        "loadId": load_id,
    }
    (ven_id,) = new.ven_ids or ()
    await record_audit(connection, actor, "event.send", f"{ven_id}/{event.id}", detail)
    return str(event.id)


async def _sent(services: ApiServices, event_id: str) -> Any:
    async with services.database.engine.connect() as connection:
        found = await connection.scalars(
            select(COMMANDS.c.correlation_id)
            .where(COMMANDS.c.event_id == event_id)
            .order_by(COMMANDS.c.id)  # it may have been stopped already
            .limit(1)
        )
        correlation_id: str = found.one()
    return await _published(services, correlation_id)


async def _published(services: ApiServices, correlation_id: str) -> Any:
    """The command's row once it is published; as it is when that takes too long."""
    services.wake()
    deadline = asyncio.get_running_loop().time() + PUBLISHED_WITHIN_SEC
    statement = select(COMMANDS).where(COMMANDS.c.correlation_id == correlation_id)
    while True:
        async with services.database.engine.connect() as connection:
            row = (await connection.execute(statement)).one()
        waits = row.state == PENDING and row.error is None
        if not waits or asyncio.get_running_loop().time() >= deadline:
            return row
        await asyncio.sleep(LOOK_EVERY_SEC)
