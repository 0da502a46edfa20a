"""VENs: the fleet's list, one VEN, and what is known of it."""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic.alias_generators import to_camel
from sqlalchemy import case, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import ApiServices, Uses
from backend.api.audit_routes import record_audit
from backend.api.authentication import Admin, Operator, Reader
from backend.api.load_sets import (
    expand_load_set,
    load_set_capacities,
    load_set_with_capacities,
    read_load_sets,
)
from backend.api.page_cursor import decode_page_cursor, encode_page_cursor
from backend.api.request_bodies import NewVenBody, VenChangeBody
from backend.api.request_fields import (
    Cursor,
    Limit,
    RequestWholeNumber,
    VenId,
    invalid_request_field,
)
from backend.api.ven_availability import (
    ven_availability,
    ven_available_in_an_hour_kw,
    ven_available_kw,
)
from backend.api.ven_responses import VenResponse, VenSummaryResponse
from backend.dispatch.new_event import NewEventVenBusy
from backend.dispatch.participants import active_event_of_participant
from backend.store.believed_ven_power import believed_ven_shed_in_all_kw, believed_ven_shed_kw
from backend.store.command_tables import CommandAckRow
from backend.store.fleet_tables import VenAgentRow
from backend.store.freshness import freshness_of_row
from backend.store.row_upsert import insert_row_if_new
from backend.store.statuses import ACTIVE, OFFLINE, ONLINE, UNKNOWN
from backend.store.tables import EVENTS, PARTICIPANTS, VEN_STATE, VENS
from backend.store.utc_time import utc_now

router = APIRouter(prefix="/api/vens", tags=["VENs"])
_STATE = [column for column in VEN_STATE.c if column.name != "ven_id"]
_OF_SITE = (
    *("feeder", "zone", "timezone"),
    *("most_events_per_day", "most_event_hours_per_day", "notice_sec"),
)
"""What an operator says of a site; null takes it back."""
_EVENTS_OF_LATE = 5
NEXT, TOTAL = "X-Next-Cursor", "X-Total-Count"
_SORTED_BY: dict[str, Any] = {
    "id": VENS.c.id,
    "name": VENS.c.name,
    "status": case((VENS.c.status == UNKNOWN, OFFLINE), else_=VENS.c.status),
    "currentPowerKw": VEN_STATE.c.used_power_kw,
    "shedPowerKw": VEN_STATE.c.shed_power_kw,
    "shedAvailabilityKw": believed_ven_shed_kw(),
    "activeEventId": VEN_STATE.c.event_id,
    "lastSeen": VEN_STATE.c.last_seen,
}
SummarySort = Annotated[str, Query(pattern=f"^({'|'.join(_SORTED_BY)})$")]
SummaryOrder = Annotated[str, Query(pattern="^(asc|desc)$")]
Status = Annotated[str | None, Query(pattern="^(online|offline|unknown|maintenance)$")]


@router.get("/", response_model=list[VenResponse])
async def list_vens(
    uses: Uses,
    _actor: Reader,
    response: Response,
    status: Status = None,
    limit: Limit = 1_000,
    cursor: Cursor = None,
) -> list[dict[str, Any]]:
    """The fleet, by id. A further page's cursor is in the header `X-Next-Cursor`."""
    async with uses.database.engine.connect() as connection:
        rows = await _rows(connection, status, limit, cursor)
        found = await _as_vens(uses, connection, rows)
    _set_next(response, rows, limit)
    return found


@router.get("/summary", response_model=list[VenSummaryResponse])
async def list_ven_summaries(
    uses: Uses,
    _actor: Reader,
    response: Response,
    status: Status = None,
    search: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
    limit: Annotated[RequestWholeNumber, Query(ge=1, le=20_000)] = 20_000,
    cursor: Cursor = None,
    sort: SummarySort = "id",
    order: SummaryOrder = "asc",
) -> list[dict[str, Any]]:
    """One row a VEN, without its loads. How many there are in all is in `X-Total-Count`.

    `search` finds a part of the id or the name. A cursor goes on by id only, ascending.
    """
    if cursor is not None and (sort, order) != ("id", "asc"):
        raise invalid_request_field("cursor", "goes with sort=id and order=asc only", cursor)
    async with uses.database.engine.connect() as connection:
        rows = await _rows(connection, status, limit, cursor, search, _order_by(sort, order))
        total = await connection.scalar(
            _chosen(select(func.count()).select_from(VENS), status, search)
        )
        response_ms = await _response_times(connection, [row.id for row in rows])
        ends = await _event_ends(connection)
    response.headers[TOTAL] = str(total)
    if (sort, order) == ("id", "asc"):
        _set_next(response, rows, limit)
    return [_summary_row(row, response_ms.get(row.id, 0.0), ends) for row in rows]


async def _response_times(connection: AsyncConnection, ven_ids: Sequence[str]) -> dict[str, float]:
    """Mean milliseconds to the first ack, by VEN, in the events of late."""
    late = select(EVENTS.c.id).order_by(EVENTS.c.start_time.desc()).limit(_EVENTS_OF_LATE)
    rows = await connection.execute(
        select(PARTICIPANTS.c.ven_id, func.avg(PARTICIPANTS.c.response_ms).label("response_ms"))
        .where(PARTICIPANTS.c.event_id.in_(late), PARTICIPANTS.c.response_ms.is_not(None))
        .group_by(PARTICIPANTS.c.ven_id)
    )
    wanted = set(ven_ids)
    return {row.ven_id: row.response_ms for row in rows if row.ven_id in wanted}


async def _event_ends(connection: AsyncConnection) -> dict[str, datetime]:
    """Of the active events."""
    found = await connection.execute(
        select(EVENTS.c.id, EVENTS.c.end_time).where(EVENTS.c.status == ACTIVE)
    )
    return {row.id: row.end_time for row in found}


def _summary_row(
    row: Any, response_ms: float, event_ends: Mapping[str, datetime]
) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "status": _shown_status(row),
        "current_power_kw": row.used_power_kw,
        "shed_power_kw": row.shed_power_kw,
        "shed_availability_kw": None if row.shed_available_kw is None else ven_available_kw(row),
        "active_event_id": row.event_id,
        "last_seen": row.last_seen,
        "location": "" if row.lat is None else f"{row.lat:g}, {row.lon:g}",
        "address": "",
        "controllable_power": ven_available_kw(row),
        "current_power": row.used_power_kw or 0.0,
        "response_time": round(response_ms),
        "availability": ven_availability(row),
        "trusted": row.trusted,
        "shed_in_an_hour_kw": ven_available_in_an_hour_kw(row, event_ends),
        "feeder": row.feeder,
        "zone": row.zone,
        "tags": row.tags or [],
    }


async def _rows(
    connection: AsyncConnection,
    status: str | None,
    limit: int,
    cursor: str | None,
    search: str | None = None,
    order_by: Sequence[Any] = (VENS.c.id,),
) -> Sequence[Any]:
    after = decode_page_cursor(cursor, str)
    statement = _chosen(_select(), status, search).order_by(*order_by).limit(limit)
    if after is not None:
        statement = statement.where(VENS.c.id > after[0])
    return (await connection.execute(statement)).all()


def _shown_status(row: Any) -> str:
    """One that was never heard is offline; its availability tells the difference."""
    return OFFLINE if row.status == UNKNOWN else str(row.status)


def _order_by(sort: str, order: str) -> list[Any]:
    """What is not known comes last, whichever way."""
    column = _SORTED_BY[sort]
    by = column.desc() if order == "desc" else column.asc()
    return [by] if column is VENS.c.id else [by.nulls_last(), VENS.c.id]


def _chosen(statement: Any, status: str | None, search: str | None) -> Any:
    if status is not None:
        stored = (OFFLINE, UNKNOWN) if status == OFFLINE else (status,)
        statement = statement.where(VENS.c.status.in_(stored))
    if search:
        fits = (column.icontains(search, autoescape=True) for column in (VENS.c.id, VENS.c.name))
        statement = statement.where(or_(*fits))
    return statement


def _select() -> Any:
    joined = VENS.outerjoin(VEN_STATE, VEN_STATE.c.ven_id == VENS.c.id)
    believed = (
        believed_ven_shed_kw().label("believed_shed_kw"),
        believed_ven_shed_in_all_kw().label("believed_shed_in_all_kw"),
    )
    return select(*VENS.c, *_STATE, *believed).select_from(joined)


def _set_next(response: Response, rows: Sequence[Any], limit: int) -> None:
    if len(rows) == limit:
        response.headers[NEXT] = encode_page_cursor(rows[-1].id)


async def _as_vens(
    services: ApiServices, connection: AsyncConnection, rows: Sequence[Any]
) -> list[dict[str, Any]]:
    sets = await read_load_sets(services, connection, (row.load_set_id for row in rows))
    shed = await _shed_loads(connection, rows)
    capacities = await load_set_capacities(connection, [row.id for row in rows])
    agents, ends = await _agents(connection, rows), await _event_ends(connection)
    return [
        {
            "id": row.id,
            "name": row.name,
            "status": _shown_status(row),
            "registration_id": row.registration_id or row.id,
            "location": {"lat": row.lat or 0.0, "lon": row.lon or 0.0},
            "location_known": row.lat is not None,
            "availability": ven_availability(row),
            "trusted": row.trusted,
            **{name: getattr(row, name) for name in _OF_SITE},
            "tags": row.tags or [],
            "report_interval_sec": row.report_interval_sec,
            "agent": agents.get(row.id),
            "metrics": {
                "current_power_kw": row.used_power_kw or 0.0,
                "current_power_known": row.used_power_kw is not None,
                "shed_availability_kw": ven_available_kw(row),
                "shed_availability_known": row.shed_available_kw is not None,
                "shed_in_an_hour_kw": ven_available_in_an_hour_kw(row, ends),
                "active_event_id": row.event_id,
                "shed_load_ids": shed.get(row.id, []),
            },
            "created_at": row.created_at,
            "last_seen": row.last_seen,
            "loads": load_set_with_capacities(
                expand_load_set(row, sets), capacities.get(row.id, {})
            ),
        }
        for row in rows
    ]


async def _agents(connection: AsyncConnection, rows: Sequence[Any]) -> dict[str, Any]:
    """What their agents said of themselves, by VEN."""
    found: dict[str, Any] = {}
    for at in range(0, len(rows), 1_000):
        some = [row.id for row in rows[at : at + 1_000]]
        told = select(VenAgentRow.__table__).where(
            VenAgentRow.ven_id.in_(some), VenAgentRow.told_at.is_not(None)
        )
        found.update({row.ven_id: row for row in await connection.execute(told)})
    return found


async def _shed_loads(connection: AsyncConnection, rows: Sequence[Any]) -> dict[str, list[str]]:
    """The loads that VENs in an event say they have curtailed, from the last ack that tells."""
    events = {row.id: row.event_id for row in rows if row.event_id is not None}
    if not events:
        return {}
    acks = await connection.execute(
        select(CommandAckRow.ven_id, CommandAckRow.event_id, CommandAckRow.circuits_curtailed)
        .where(
            CommandAckRow.ven_id.in_(list(events)),
            CommandAckRow.event_id.in_(set(events.values())),
            CommandAckRow.circuits_curtailed.is_not(None),
        )
        .order_by(CommandAckRow.timestamp)
    )
    found: dict[str, list[str]] = defaultdict(list)
    for ack in acks:
        if events.get(ack.ven_id) == ack.event_id:
            found[ack.ven_id] = [
                str(circuit.get("loadId") or circuit.get("id"))
                for circuit in ack.circuits_curtailed
                if isinstance(circuit, dict)
            ]
    return found


async def read_ven_or_404(connection: AsyncConnection, ven_id: str) -> Any:
    """The VEN with its state. Raises 404."""
    row = (await connection.execute(_select().where(VENS.c.id == ven_id))).one_or_none()
    if row is None:
        raise HTTPException(404, f"there is no VEN {ven_id!r}")
    return row


async def _ven(services: ApiServices, connection: AsyncConnection, ven_id: str) -> dict[str, Any]:
    return (await _as_vens(services, connection, [await read_ven_or_404(connection, ven_id)]))[0]


@router.post("/", response_model=VenResponse, status_code=201, responses={200: {}})
async def post_ven(
    uses: Uses, actor: Operator, response: Response, body: NewVenBody
) -> dict[str, Any]:
    """Register a VEN. One that is known already (by its telemetry, or from before) is renamed.

    200 then, 201 for a new one. Without a `registrationId` an id is made of the name.
    """
    ven_id = body.registration_id or _made_id(body.name)
    values: dict[str, Any] = {"name": body.name, "trusted": True}
    if body.registration_id is not None:
        values["registration_id"] = body.registration_id
    if body.location is not None:
        values |= {"lat": body.location.lat, "lon": body.location.lon}
    now, status = utc_now(), _stored_status(body.status or UNKNOWN)
    row = {"id": ven_id, "name": body.name, "status": status, "created_at": now}
    async with uses.database.engine.begin() as connection:
        # Others, and its telemetry, may register it at the same moment: first its id, alone.
        is_new = await insert_row_if_new(connection, VENS, ("id",), {**row, "status_since": now})
        with _registration_id_taken(body.registration_id):
            await connection.execute(update(VENS).where(VENS.c.id == ven_id).values(**values))
        await record_audit(connection, actor, "ven.register", ven_id, body.model_dump(mode="json"))
        ven = await _ven(uses, connection, ven_id)
    response.status_code = 201 if is_new else 200
    return ven


async def _refuse_other_registration_id(
    connection: AsyncConnection, ven_id: str, registration_id: str | None
) -> None:
    """A VEN is reached, and known when it reports, by its id: 409 for the thing name of another
    VEN, 422 for any other than its own."""
    if registration_id is None or registration_id == ven_id:
        return
    other = VENS.c.id != ven_id
    is_its = or_(VENS.c.id == registration_id, VENS.c.registration_id == registration_id)
    if await connection.scalar(select(VENS.c.id).where(other, is_its).limit(1)) is not None:
        raise _id_of_another(registration_id)
    raise invalid_request_field(
        "registrationId",
        f"stays {ven_id!r}, the thing name under which this VEN is commanded and reports: "
        f"register {registration_id!r} as a VEN of its own, then delete this one",
        registration_id,
    )


def _id_of_another(registration_id: str | None) -> HTTPException:
    return HTTPException(409, f"the registrationId {registration_id!r} is another VEN's")


@contextmanager
def _registration_id_taken(registration_id: str | None) -> Iterator[None]:
    """409 when it is another VEN's."""
    try:
        yield
    except IntegrityError:
        raise _id_of_another(registration_id) from None


def _stored_status(asked: str) -> str:
    return UNKNOWN if asked == ACTIVE else asked


def _made_id(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
    return f"{plain or 'ven'}-{secrets.token_hex(3)}"


@router.get("/{ven_id}", response_model=VenResponse)
async def get_ven(uses: Uses, _actor: Reader, ven_id: VenId) -> dict[str, Any]:
    async with uses.database.engine.connect() as connection:
        return await _ven(uses, connection, ven_id)


@router.patch("/{ven_id}", response_model=VenResponse)
async def patch_ven(
    uses: Uses, actor: Operator, ven_id: VenId, body: VenChangeBody
) -> dict[str, Any]:
    """Name and place, tags and limits; `status` until the VEN itself says another."""
    given = body.model_fields_set
    if not given:
        raise invalid_request_field("name", "give what is to be changed")
    for name in ("name", "status", "trusted", "registration_id"):
        if name in given and getattr(body, name) is None:
            raise invalid_request_field(to_camel(name), "must not be null")
    values: dict[str, Any] = {}
    if body.name is not None:
        values["name"] = body.name
    if body.status is not None:
        values |= {"status": _stored_status(body.status), "status_since": utc_now()}
    if body.trusted is not None:
        values["trusted"] = body.trusted
    if body.registration_id is not None:
        values["registration_id"] = body.registration_id
    if "location" in given:
        place = body.location
        values |= {"lat": place and place.lat, "lon": place and place.lon}
    values |= {name: getattr(body, name) for name in _OF_SITE if name in given}
    if "tags" in given:
        values["tags"] = sorted(set(body.tags or ())) or None
    async with uses.database.engine.begin() as connection:
        before = await read_ven_or_404(connection, ven_id)
        if body.status == ACTIVE and freshness_of_row(before, utc_now()):
            values["status"] = ONLINE
        await _refuse_other_registration_id(connection, ven_id, body.registration_id)
        if values:
            with _registration_id_taken(body.registration_id):
                await connection.execute(update(VENS).where(VENS.c.id == ven_id).values(**values))
            await record_audit(
                connection, actor, "ven.change", ven_id, body.model_dump(mode="json")
            )
        return await _ven(uses, connection, ven_id)


@router.delete("/{ven_id}", status_code=204)
async def delete_ven(uses: Uses, actor: Admin, ven_id: VenId) -> None:
    """Forget a VEN; its telemetry stays as long as it is kept. 409 while it is in an event."""
    async with uses.database.engine.begin() as connection:
        await read_ven_or_404(connection, ven_id)
        event_id = await active_event_of_participant(connection, ven_id)
        if event_id is not None:
            raise HTTPException(409, str(NewEventVenBusy(ven_id, event_id)))
        await connection.execute(delete(VENS).where(VENS.c.id == ven_id))
        await record_audit(connection, actor, "ven.delete", ven_id)
