"""Events: made, listed, stopped, followed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api import live, schemas
from backend.api import schemas_events as shapes
from backend.api.cursors import decode, encode, invalid
from backend.api.guard import Actor, Operator, Reader, record
from backend.api.services import Services, Uses
from backend.api.vens import NEXT
from backend.dispatch import lifecycle
from backend.dispatch.new_event import EventRefused, NewEvent, VensUnknown, create_event
from backend.dispatch.tables import ACTIVE, CANCELLED, COMPLETED, EVENTS
from backend.dispatch.transaction import database_now, in_transaction
from backend.dispatch.wake import notify
from backend.store.models import WHOLE_EVENT, EventPerformance, VenAck

router = APIRouter(prefix="/api/events", tags=["Events"])
MOST_VENS = 20_000
Status = Annotated[str | None, Query(pattern="^(scheduled|active|completed|cancelled)$")]


@router.get("/", response_model=list[shapes.Event])
async def list_events(
    uses: Uses,
    _actor: Reader,
    response: Response,
    status: Status = None,
    limit: schemas.Limit = 100,
    cursor: schemas.Cursor = None,
) -> Any:
    """Newest start first. A further page's cursor is in `X-Next-Cursor`."""
    async with uses.database.engine.connect() as connection:
        return await _page(connection, response, status, None, None, limit, cursor)


@router.get("/history", response_model=list[shapes.Event])
async def history(
    uses: Uses,
    _actor: Reader,
    response: Response,
    start: schemas.Start = None,
    end: schemas.End = None,
    limit: schemas.Limit = 100,
    cursor: schemas.Cursor = None,
) -> Any:
    """Events that are over and began in that time, newest first."""
    async with uses.database.engine.connect() as connection:
        return await _page(connection, response, "over", start, end, limit, cursor)


@router.get("/current", response_model=shapes.EventDetail | None)
async def current(uses: Uses, _actor: Reader) -> Any:
    """The active event that began last; null when there is none."""
    async with uses.database.engine.connect() as connection:
        event = (
            await connection.execute(
                select(EVENTS)
                .where(EVENTS.c.status == ACTIVE)
                .order_by(EVENTS.c.start_time.desc(), EVENTS.c.id)
                .limit(1)
            )
        ).one_or_none()
        return None if event is None else await _detail(connection, event)


async def _page(
    connection: AsyncConnection,
    response: Response,
    status: str | None,
    start: datetime | None,
    end: datetime | None,
    limit: int,
    cursor: str | None,
) -> Any:
    place = decode(cursor, datetime, str)
    begins = EVENTS.c.start_time
    statement = select(EVENTS).order_by(begins.desc(), EVENTS.c.id).limit(limit)
    if status == "over":
        statement = statement.where(EVENTS.c.status.in_((COMPLETED, CANCELLED)))
    elif status is not None:
        statement = statement.where(EVENTS.c.status == status)
    if start is not None:
        statement = statement.where(begins >= start)
    if end is not None:
        statement = statement.where(begins < end)
    if place is not None:
        later = and_(begins == place[0], EVENTS.c.id > place[1])
        statement = statement.where(or_(begins < place[0], later))
    rows = (await connection.execute(statement)).all()
    if len(rows) == limit:
        response.headers[NEXT] = encode(rows[-1].start_time, rows[-1].id)
    return rows


@router.post("/", response_model=shapes.EventDetail, status_code=201)
async def post_event(uses: Uses, actor: Operator, body: shapes.NewEvent) -> Any:
    """An event for all VENs that can shed, or for those named. It begins by itself."""
    async with uses.database.engine.begin() as connection:
        event = await _create(connection, actor, body)
        made = await _detail(connection, event)  # before a dispatcher can begin with it
    uses.wake()
    return made


async def _create(connection: AsyncConnection, actor: Actor, body: shapes.NewEvent) -> Any:
    start, end = body.window(await database_now(connection))  # the dispatchers' clock
    new = NewEvent(
        requested_reduction_kw=body.requested_reduction_kw,
        start=start,
        end=end,
        event_id=body.id,
        ven_ids=body.ven_ids,
        priority=body.priority,
        created_by=actor.name,
    )
    try:
        event = await create_event(connection, new)
    except VensUnknown as error:
        raise invalid("venIds", str(error), error.ven_ids[:5]) from None
    except EventRefused as error:
        raise HTTPException(409, str(error)) from None
    detail = body.model_dump(mode="json", exclude_none=True)
    await record(connection, actor, "event.create", event.id, detail)
    return event


@router.get("/{event_id}", response_model=shapes.EventDetail)
async def get_event(
    uses: Uses,
    _actor: Reader,
    event_id: schemas.EventId,
    status: Annotated[str | None, Query(pattern="^[a-z_]{1,30}$")] = None,
    limit: Annotated[int, Query(ge=0, le=MOST_VENS)] = MOST_VENS,
) -> Any:
    """With each VEN's part, the largest first; `status` and `limit` choose among these."""
    async with uses.database.engine.connect() as connection:
        event = await event_row(connection, event_id)
        return await _detail(connection, event, status=status, limit=limit)


async def event_row(connection: AsyncConnection, event_id: str) -> Any:
    """Raises 404."""
    statement = select(EVENTS).where(EVENTS.c.id == event_id)
    event = (await connection.execute(statement)).one_or_none()
    if event is None:
        raise HTTPException(404, f"there is no event {event_id!r}")
    return event


async def _detail(
    connection: AsyncConnection, event: Any, *, status: str | None = None, limit: int = MOST_VENS
) -> dict[str, Any]:
    figures = (await live.figures(connection, [event.id]))[event.id]
    return {
        **event._mapping,
        **figures,
        "vens_by_status": await live.counts(connection, event.id),
        "vens": await live.parts(connection, event.id, status=status, limit=limit),
    }


@router.post("/{event_id}/stop", response_model=shapes.EventDetail)
async def stop_event(uses: Uses, actor: Operator, event_id: schemas.EventId) -> Any:
    """End it now, and restore; one that has not begun is cancelled. 409 when it is over."""
    await _end(uses, actor, event_id, COMPLETED, "stopped")
    async with uses.database.engine.connect() as connection:
        return await _detail(connection, await event_row(connection, event_id))


@router.delete("/{event_id}", status_code=204)
async def delete_event(uses: Uses, actor: Operator, event_id: schemas.EventId) -> None:
    """Withdraw it: as stop, and its record says `cancelled`. 409 when it is over."""
    await _end(uses, actor, event_id, CANCELLED, "withdrawn")


async def _end(services: Services, actor: Actor, event_id: str, status: str, reason: str) -> None:
    async def work(connection: AsyncConnection) -> None:
        await event_row(connection, event_id)
        stopped = await lifecycle.stop(connection, event_id, status=status, reason=reason)
        if stopped is None:
            event = await event_row(connection, event_id)
            raise HTTPException(409, f"event {event_id!r} is {event.status} already")
        await record(connection, actor, f"event.{reason}", event_id)
        await notify(connection)

    await in_transaction(services.database.engine, work)
    services.wake()


@router.get("/{event_id}/metrics", response_model=shapes.EventMetrics)
async def metrics(uses: Uses, _actor: Reader, event_id: schemas.EventId) -> Any:
    async with uses.database.engine.connect() as connection:
        await event_row(connection, event_id)
        return (await live.figures(connection, [event_id]))[event_id]


@router.get("/{event_id}/acks", response_model=shapes.EventAcks)
async def acks(
    uses: Uses,
    _actor: Reader,
    event_id: schemas.EventId,
    limit: schemas.Limit = 1_000,
    cursor: schemas.Cursor = None,
) -> Any:
    """The acks as VENs sent them, in the order they came."""
    place = decode(cursor, int)
    statement = select(VenAck.id, VenAck.raw_payload).where(VenAck.event_id == event_id)
    if place is not None:
        statement = statement.where(VenAck.id > place[0])
    async with uses.database.engine.connect() as connection:
        await event_row(connection, event_id)
        rows = (await connection.execute(statement.order_by(VenAck.id).limit(limit))).all()
    return {
        "event_id": event_id,
        "acks": [row.raw_payload for row in rows],
        "next_cursor": encode(rows[-1].id) if len(rows) == limit else None,
    }


@router.get("/{event_id}/performance", response_model=shapes.EventPerformance)
async def performance(
    uses: Uses,
    _actor: Reader,
    event_id: schemas.EventId,
    limit: Annotated[int, Query(ge=0, le=MOST_VENS)] = MOST_VENS,
) -> Any:
    """What it brought, measured after its end: in all, and for each VEN (`limit` of them)."""
    table = EventPerformance.__table__
    async with uses.database.engine.connect() as connection:
        event = await event_row(connection, event_id)
        rows = (
            await connection.execute(
                select(table)
                .where(table.c.event_id == event_id)
                .order_by(table.c.ven_id != WHOLE_EVENT, table.c.ven_id)
                .limit(limit + 1)
            )
        ).all()
    total = next((row for row in rows if row.ven_id == WHOLE_EVENT), None)
    return {
        "event_id": event_id,
        "measured_at": event.measured_at,
        "total": None if total is None else {**total._mapping, "ven_id": None},
        "vens": [row for row in rows if row.ven_id != WHOLE_EVENT][:limit],
    }
