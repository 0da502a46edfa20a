"""Events: made, listed, stopped, followed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import ApiServices, Uses
from backend.api.audit_routes import record_audit
from backend.api.authentication import AuthenticatedActor, Operator, Reader
from backend.api.event_curve import read_event_curve
from backend.api.event_figures import event_figures, event_figures_by_status, event_figures_by_ven
from backend.api.event_making import make_event_of_body, preview_event_of_body
from backend.api.event_responses import (
    EventAcksResponse,
    EventCurveResponse,
    EventDetailResponse,
    EventMetricsResponse,
    EventPerformanceResponse,
    EventPreviewResponse,
    EventResponse,
)
from backend.api.page_cursor import decode_page_cursor, encode_page_cursor
from backend.api.request_bodies import NewEventBody
from backend.api.request_fields import (
    ID_PATTERN,
    Cursor,
    End,
    EventId,
    Limit,
    RequestWholeNumber,
    Start,
    invalid_request_field,
)
from backend.api.ven_routes import NEXT
from backend.config.api_settings import ApiSettings
from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.dispatch_wake import send_dispatch_wake
from backend.dispatch.event_lifecycle import stop_dispatched_event
from backend.dispatch.new_event import (
    NewEventRefused,
    NewEventVensUnknown,
    create_new_event,
)
from backend.store.command_tables import CommandAckRow
from backend.store.event_tables import WHOLE_EVENT, EventPerformanceRow
from backend.store.statuses import ACTIVE, CANCELLED, COMPLETED
from backend.store.tables import EVENTS
from backend.store.transaction import in_transaction

router = APIRouter(prefix="/api/events", tags=["Events"])
MOST_VENS = 20_000
Status = Annotated[str | None, Query(pattern="^(scheduled|active|completed|cancelled)$")]


@router.get("/", response_model=list[EventResponse])
async def list_events(
    uses: Uses,
    _actor: Reader,
    response: Response,
    status: Status = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """Newest start first. A further page's cursor is in `X-Next-Cursor`."""
    async with uses.database.engine.connect() as connection:
        return await _page(connection, response, status, None, None, limit, cursor)


@router.get("/history", response_model=list[EventResponse])
async def list_past_events(
    uses: Uses,
    _actor: Reader,
    response: Response,
    start: Start = None,
    end: End = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """Events that are over and began in that time, newest first."""
    async with uses.database.engine.connect() as connection:
        return await _page(connection, response, "over", start, end, limit, cursor)


@router.get("/current", response_model=EventDetailResponse | None)
async def get_current_event(uses: Uses, _actor: Reader) -> Any:
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
    place = decode_page_cursor(cursor, datetime, str)
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
        response.headers[NEXT] = encode_page_cursor(rows[-1].start_time, rows[-1].id)
    active = [row.id for row in rows if row.status == ACTIVE]
    figures = await event_figures(connection, active) if active else {}
    return [_with_actual(row, figures.get(row.id)) for row in rows]


def _with_actual(event: Any, figures: dict[str, Any] | None) -> dict[str, Any]:
    """The event, with what it brings: now while it is active, else what was measured."""
    now_kw = figures["current_reduction_kw"] if figures and event.status == ACTIVE else None
    actual_kw = event.actual_reduction_kw if now_kw is None else now_kw
    return {**event._mapping, "actual_reduction_kw": actual_kw or 0.0}


@router.post("/", response_model=EventDetailResponse, status_code=201)
async def post_event(uses: Uses, actor: Operator, body: NewEventBody) -> Any:
    """An event for all VENs that can shed, or for those named. It begins by itself."""
    async with uses.database.engine.begin() as connection:
        event = await _create(connection, actor, body, uses.api)
        made = await _detail(connection, event)  # before a dispatcher can begin with it
    uses.wake()
    return made


async def _create(
    connection: AsyncConnection,
    actor: AuthenticatedActor,
    body: NewEventBody,
    settings: ApiSettings,
) -> Any:
    new = await make_event_of_body(connection, body, actor, settings)
    try:
        event = await create_new_event(connection, new)
    except NewEventVensUnknown as error:
        raise invalid_request_field("venIds", str(error), error.ven_ids[:5]) from None
    except NewEventRefused as error:
        raise HTTPException(409, str(error)) from None
    detail = body.model_dump(mode="json", exclude_none=True)
    await record_audit(connection, actor, "event.create", event.id, detail)
    return event


@router.post("/preview", response_model=EventPreviewResponse)
async def post_event_preview(uses: Uses, actor: Operator, body: NewEventBody) -> Any:
    """Who would be asked, what they could shed, and why others would not; nothing is made."""
    async with uses.database.engine.connect() as connection:
        new = await make_event_of_body(connection, body, actor, uses.api)
        settings = DispatchSettings() if uses.dispatcher is None else uses.dispatcher.settings
        try:
            return await preview_event_of_body(connection, new, settings)
        except NewEventVensUnknown as error:
            raise invalid_request_field("venIds", str(error), error.ven_ids[:5]) from None


@router.get("/{event_id}", response_model=EventDetailResponse)
async def get_event(
    uses: Uses,
    _actor: Reader,
    event_id: EventId,
    status: Annotated[str | None, Query(pattern="^[a-z_]{1,30}$")] = None,
    limit: Annotated[RequestWholeNumber, Query(ge=0, le=MOST_VENS)] = MOST_VENS,
) -> Any:
    """With each VEN's part, the largest first; `status` and `limit` choose among these."""
    async with uses.database.engine.connect() as connection:
        event = await _event_row(connection, event_id)
        return await _detail(connection, event, status=status, limit=limit)


async def _event_row(connection: AsyncConnection, event_id: str) -> Any:
    """Raises 404."""
    statement = select(EVENTS).where(EVENTS.c.id == event_id)
    event = (await connection.execute(statement)).one_or_none()
    if event is None:
        raise HTTPException(404, f"there is no event {event_id!r}")
    return event


async def _detail(
    connection: AsyncConnection, event: Any, *, status: str | None = None, limit: int = MOST_VENS
) -> dict[str, Any]:
    figures = (await event_figures(connection, [event.id]))[event.id]
    return {
        **_with_actual(event, figures),
        **figures,
        "vens_by_status": await event_figures_by_status(connection, event.id),
        "vens": await event_figures_by_ven(connection, event.id, status=status, limit=limit),
    }


@router.post("/{event_id}/stop", response_model=EventDetailResponse)
async def post_event_stop(uses: Uses, actor: Operator, event_id: EventId) -> Any:
    """End it now, and restore; one that has not begun is cancelled. 409 when it is over."""
    await _end(uses, actor, event_id, COMPLETED, "stopped")
    async with uses.database.engine.connect() as connection:
        return await _detail(connection, await _event_row(connection, event_id))


@router.delete("/{event_id}", status_code=204)
async def delete_event(uses: Uses, actor: Operator, event_id: EventId) -> None:
    """Withdraw it: as stop, and its record says `cancelled`. 409 when it is over."""
    await _end(uses, actor, event_id, CANCELLED, "withdrawn")


async def _end(
    services: ApiServices, actor: AuthenticatedActor, event_id: str, status: str, reason: str
) -> None:
    async def work(connection: AsyncConnection) -> None:
        await _event_row(connection, event_id)
        stopped = await stop_dispatched_event(connection, event_id, status=status, reason=reason)
        if stopped is None:
            event = await _event_row(connection, event_id)
            raise HTTPException(409, f"event {event_id!r} is {event.status} already")
        await record_audit(connection, actor, f"event.{reason}", event_id)
        await send_dispatch_wake(connection)

    await in_transaction(services.database.engine, work)
    services.wake()


@router.get("/{event_id}/metrics", response_model=EventMetricsResponse)
async def get_event_metrics(uses: Uses, _actor: Reader, event_id: EventId) -> Any:
    async with uses.database.engine.connect() as connection:
        await _event_row(connection, event_id)
        return (await event_figures(connection, [event_id]))[event_id]


@router.get("/{event_id}/curve", response_model=EventCurveResponse)
async def get_event_curve(
    uses: Uses,
    _actor: Reader,
    event_id: EventId,
    ven_id: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
) -> Any:
    """Requested against delivered, from the store: in all, or of one site."""
    async with uses.database.engine.connect() as connection:
        event = await _event_row(connection, event_id)
        return await read_event_curve(connection, event, ven_id)


@router.get("/{event_id}/acks", response_model=EventAcksResponse)
async def list_event_acks(
    uses: Uses,
    _actor: Reader,
    event_id: EventId,
    limit: Limit = 1_000,
    cursor: Cursor = None,
) -> Any:
    """The acks as VENs sent them, in the order they came."""
    place = decode_page_cursor(cursor, int)
    statement = select(
        CommandAckRow.id,
        CommandAckRow.ven_id,
        CommandAckRow.timestamp,
        CommandAckRow.raw_payload,
    ).where(CommandAckRow.event_id == event_id)
    if place is not None:
        statement = statement.where(CommandAckRow.id > place[0])
    async with uses.database.engine.connect() as connection:
        await _event_row(connection, event_id)
        rows = (await connection.execute(statement.order_by(CommandAckRow.id).limit(limit))).all()
    return {
        "event_id": event_id,
        # A peer's ack may not say whose it is, or when it was in seconds: the store knows.
        "acks": [
            {**row.raw_payload, "venId": row.ven_id, "timestamp": row.timestamp} for row in rows
        ],
        "next_cursor": encode_page_cursor(rows[-1].id) if len(rows) == limit else None,
    }


@router.get("/{event_id}/performance", response_model=EventPerformanceResponse)
async def get_event_performance(
    uses: Uses,
    _actor: Reader,
    event_id: EventId,
    limit: Annotated[RequestWholeNumber, Query(ge=0, le=MOST_VENS)] = MOST_VENS,
) -> Any:
    """What it brought, measured after its end: in all, and for each VEN (`limit` of them)."""
    table = EventPerformanceRow.__table__
    async with uses.database.engine.connect() as connection:
        event = await _event_row(connection, event_id)
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
