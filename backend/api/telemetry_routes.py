"""What a VEN sent, as it sent it: telemetry, and its circuits one by one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from sqlalchemy import (
    ColumnElement,
    Select,
    func,
    literal,
    select,
    tuple_,
)

from backend.api.api_services import Uses
from backend.api.authentication import Reader
from backend.api.history_routes import TELEMETRY, history_between
from backend.api.load_sets import expand_load_of_set, expand_load_set, read_load_sets
from backend.api.page_cursor import decode_page_cursor, encode_page_cursor
from backend.api.request_fields import Cursor, End, Limit, Start, VenId
from backend.api.telemetry_responses import CircuitTelemetryPageResponse, TelemetryPageResponse
from backend.api.ven_routes import read_ven_or_404
from backend.store.telemetry_count import telemetry_count_by_load_set

router = APIRouter(prefix="/api/vens/{ven_id}", tags=["History"])
_LISTS = (
    *(TELEMETRY.c.timestamp, TELEMETRY.c.seq, TELEMETRY.c.load_set_id),
    *(TELEMETRY.c.load_power_w, TELEMETRY.c.load_shed_w, TELEMETRY.c.load_enabled),
)
Order = Annotated[
    Literal["asc", "desc"], Query(description="asc: oldest first; desc: newest first.")
]


@router.get("/telemetry", response_model=TelemetryPageResponse)
async def list_ven_telemetry(
    uses: Uses,
    _actor: Reader,
    ven_id: VenId,
    start: Start = None,
    end: End = None,
    limit: Limit = 100,
    order: Order = "asc",
    cursor: Cursor = None,
) -> dict[str, Any]:
    """What the VEN sent. Oldest first: from `start` on, or the latest ones when there is none."""
    place = decode_page_cursor(cursor, datetime, int, bool)
    forward = place[2] if place else order == "asc" and start is not None
    within = history_between(TELEMETRY.c.timestamp, ven_id, start, end)
    statement = select(TELEMETRY).where(within)
    if place is not None:
        statement = statement.where(_beyond(place[0], place[1], forward))
    async with uses.database.engine.connect() as connection:
        await read_ven_or_404(connection, ven_id)
        rows = (await connection.execute(_ordered(statement, limit, forward))).all()
        total = await connection.scalar(select(func.count()).select_from(TELEMETRY).where(within))
        sets = await read_load_sets(uses, connection, (row.load_set_id for row in rows))
    full = len(rows) == limit
    next_cursor = encode_page_cursor(rows[-1].timestamp, rows[-1].seq, forward) if full else None
    if forward != (order == "asc"):
        rows = rows[::-1]
    return {
        "ven_id": ven_id,
        "telemetry": [{**row._mapping, "loads": expand_load_set(row, sets)} for row in rows],
        "total_count": total,
        "next_cursor": next_cursor,
    }


def _beyond(timestamp: datetime, seq: int, forward: bool) -> ColumnElement[bool]:
    at, number = TELEMETRY.c.timestamp, TELEMETRY.c.seq
    place = tuple_(literal(timestamp, at.type), literal(seq, number.type))
    return tuple_(at, number) > place if forward else tuple_(at, number) < place


def _ordered(statement: Select[Any], limit: int, forward: bool) -> Select[Any]:
    columns = (TELEMETRY.c.timestamp, TELEMETRY.c.seq)
    order = columns if forward else tuple(column.desc() for column in columns)
    return statement.order_by(*order).limit(limit)


@router.get("/circuits/history", response_model=CircuitTelemetryPageResponse)
async def list_circuit_telemetry(
    uses: Uses,
    _actor: Reader,
    ven_id: VenId,
    load_id: Annotated[str | None, Query(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")] = None,
    start: Start = None,
    end: End = None,
    limit: Limit = 100,
    order: Order = "asc",
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Snapshots of its circuits, or of one, in the order of `…/telemetry`."""
    place = decode_page_cursor(cursor, datetime, int, int, bool)
    forward = place[3] if place else order == "asc" and start is not None
    within = history_between(TELEMETRY.c.timestamp, ven_id, start, end)
    async with uses.database.engine.connect() as connection:
        await read_ven_or_404(connection, ven_id)
        counts = await telemetry_count_by_load_set(connection, ven_id, start, end)
        sets = await read_load_sets(uses, connection, counts)
        wanted = {
            number: [
                (position, member)
                for position, member in enumerate(sets[number])
                if load_id is None or member.load_id == load_id
            ]
            for number in counts
        }
        wanted = {number: members for number, members in wanted.items() if members}
        statement = select(*_LISTS).where(within, TELEMETRY.c.load_set_id.in_(wanted))
        if place is not None:  # the row that was cut off is read again
            seq = place[1] - 1 if forward else place[1] + 1
            statement = statement.where(_beyond(place[0], seq, forward))
        least = min((len(members) for members in wanted.values()), default=1)
        rows = (await connection.execute(_ordered(statement, limit // least + 2, forward))).all()
    # Read from its end, a row is turned around with the page.
    turned = forward != (order == "asc")
    taken = [
        (row, position, member)
        for row in rows
        for position, member in wanted[row.load_set_id][:: -1 if turned else 1]
        if place is None
        or (row.timestamp, row.seq) != (place[0], place[1])
        or (position < place[2] if turned else position > place[2])
    ]
    page = taken[:limit]
    next_cursor = None
    if len(taken) > limit:
        row, position, _member = page[-1]
        next_cursor = encode_page_cursor(row.timestamp, row.seq, position, forward)
    if turned:
        page = page[::-1]
    return {
        "ven_id": ven_id,
        "load_id": load_id,
        "snapshots": [
            {"timestamp": row.timestamp, **expand_load_of_set(row, member, position)}
            for row, position, member in page
        ],
        "total_count": sum(counts[number] * len(members) for number, members in wanted.items()),
        "next_cursor": next_cursor,
    }
