"""A VEN's past: plots and acks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import Uses
from backend.api.authentication import Reader
from backend.api.history_responses import (
    AckHistoryResponse,
    HistoryResponse,
)
from backend.api.load_sets import WATTS_PER_KW, expand_load_set, read_load_sets
from backend.api.page_cursor import decode_page_cursor, encode_page_cursor
from backend.api.request_fields import Cursor, End, Limit, LoadId, Start, VenId
from backend.api.ven_routes import NEXT, read_ven_or_404
from backend.store.command_tables import CommandAckRow
from backend.store.fleet_tables import LoadSetMemberRow
from backend.store.telemetry_tables import TelemetryQuarterHourRow, VenTelemetryRow
from backend.store.utc_time import utc_now

router = APIRouter(prefix="/api/vens/{ven_id}", tags=["History"])
TELEMETRY = VenTelemetryRow.__table__
POINTS_WANTED = 400
STEPS_SEC = (5, 10, 30, 60, 300, 900, 1_800, 3_600, 14_400, 86_400)
QUARTER_SEC = 900
RAW_FOR_SEC = 2 * 86_400
"""A plot over more than this is drawn from quarter hours."""
Granularity = Annotated[
    str | None,
    Query(
        pattern=r"^([1-9]\d{0,4})?(s|m|h|d|sec|second|minute|hour|day)$",
        description="A step: `5s`, `1m`, `15m`, `hour`, `day`. By default some 400 points.",
    ),
]
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def history_between(
    column: Any, ven_id: str, start: datetime | None, end: datetime | None
) -> ColumnElement[bool]:
    parts = [column.table.c.ven_id == ven_id]
    if start is not None:
        parts.append(column >= start)
    if end is not None:
        parts.append(column < end)
    return and_(*parts)


# --- plots -------------------------------------------------------------------------------------


@router.get("/history", response_model=HistoryResponse)
async def get_ven_history(
    uses: Uses,
    _actor: Reader,
    ven_id: VenId,
    start: Start = None,
    end: End = None,
    granularity: Granularity = None,
) -> dict[str, Any]:
    """Power over time; the last 24 hours by default."""
    first, last = history_window(start, end)
    step_sec = history_step_sec(granularity, first, last)
    async with uses.database.engine.connect() as connection:
        await read_ven_or_404(connection, ven_id)
        if step_sec % QUARTER_SEC == 0 and (last - first).total_seconds() > RAW_FOR_SEC:
            points = await _quarter_points(connection, ven_id, first, last, step_sec)
        else:
            points = await _points(
                connection, ven_id, first, last, step_sec, TELEMETRY.c.used_power_kw
            )
    return {"points": points, "granularity_sec": step_sec}


@router.get("/loads/{load_id}/history", response_model=HistoryResponse)
async def get_load_history(
    uses: Uses,
    _actor: Reader,
    ven_id: VenId,
    load_id: LoadId,
    start: Start = None,
    end: End = None,
    granularity: Granularity = None,
) -> dict[str, Any]:
    """Of one circuit; `shedPowerKw` is what it draws less than when an event took it."""
    first, last = history_window(start, end)
    step_sec = history_step_sec(granularity, first, last)
    async with uses.database.engine.connect() as connection:
        await read_ven_or_404(connection, ven_id)
        used = await _load_power(connection, ven_id, load_id, first, last)
        if used is None:
            row = await read_ven_or_404(connection, ven_id)
            sets = await read_load_sets(uses, connection, [row.load_set_id])
            if load_id not in {load["load_id"] for load in expand_load_set(row, sets)}:
                raise HTTPException(404, f"{ven_id} has no load {load_id!r}")
            return {"points": [], "granularity_sec": step_sec}
        points = await _points(connection, ven_id, first, last, step_sec, used, of_load=True)
        taken_kw = await _taken_kw(connection, ven_id, load_id, points)
    for point in points:
        taken = taken_kw.get(point["event_id"])
        if taken is not None and taken[0] is not None and point["used_power_known"]:
            point["shed_power_kw"] = max(taken[0] - point["used_power_kw"], 0.0)
        elif taken is not None:
            point["shed_power_kw"] = taken[1]
    return {"points": points, "granularity_sec": step_sec}


async def _taken_kw(
    connection: AsyncConnection, ven_id: str, load_id: str, points: Sequence[dict[str, Any]]
) -> dict[str, tuple[float | None, float]]:
    """(what the circuit drew when an event took it, what was taken) by event, as acks say.

    Not every VEN tells the first.
    """
    event_ids = {point["event_id"] for point in points} - {None}
    if not event_ids:
        return {}
    acks = await connection.execute(
        select(CommandAckRow.event_id, CommandAckRow.circuits_curtailed)
        .where(
            CommandAckRow.ven_id == ven_id,
            CommandAckRow.event_id.in_(event_ids),
            CommandAckRow.circuits_curtailed.is_not(None),
        )
        .order_by(CommandAckRow.timestamp)
    )
    found: dict[str, tuple[float | None, float]] = {}
    for ack in acks:
        for circuit in ack.circuits_curtailed:
            if isinstance(circuit, dict) and load_id in (circuit.get("loadId"), circuit.get("id")):
                shed_kw = _number(circuit.get("shedKw", circuit.get("curtailed_kw"))) or 0.0
                found.setdefault(ack.event_id, (_number(circuit.get("original_kw")), shed_kw))
    return found


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


async def _load_power(
    connection: AsyncConnection, ven_id: str, load_id: str, first: datetime, last: datetime
) -> ColumnElement[Any] | None:
    """The circuit's power in kW, in whatever place it had; None when it was never there."""
    used_sets = (
        select(TELEMETRY.c.load_set_id)
        .where(history_between(TELEMETRY.c.timestamp, ven_id, first, last))
        .distinct()
    )
    places = await connection.execute(
        select(LoadSetMemberRow.load_set_id, LoadSetMemberRow.position).where(
            LoadSetMemberRow.load_id == load_id, LoadSetMemberRow.load_set_id.in_(used_sets)
        )
    )
    is_postgresql = connection.dialect.name == "postgresql"

    def element(position: int) -> ColumnElement[Any]:
        if is_postgresql:
            return type_coerce(TELEMETRY.c.load_power_w, ARRAY(Integer))[position]
        return func.json_extract(TELEMETRY.c.load_power_w, f"$[{position - 1}]")

    cases = [
        (TELEMETRY.c.load_set_id == number, cast(element(position), Float) / WATTS_PER_KW)
        for number, position in places
    ]
    return case(*cases) if cases else None


def history_window(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    last = end or utc_now()
    first = start or last - timedelta(hours=24)
    if first >= last:
        raise HTTPException(422, [_order_error()])
    return first, last


def _order_error() -> dict[str, Any]:
    return {
        "type": "value_error",
        "loc": ["query", "end"],
        "msg": "end must be later than start",
        "input": None,
    }


def history_step_sec(granularity: str | None, first: datetime, last: datetime) -> int:
    """Seconds of a step; never so short that it would take more than some thousand points."""
    span_sec = (last - first).total_seconds()
    fitting = [s for s in STEPS_SEC if span_sec / s <= POINTS_WANTED]
    by_default = fitting[0] if fitting else STEPS_SEC[-1]
    if granularity is None:
        return by_default
    digits = "".join(letter for letter in granularity if letter.isdigit())
    unit = granularity.removeprefix(digits)
    wanted = int(digits or 1) * _UNITS[unit[0]]
    return max(wanted, int(span_sec / 20_000))


def history_bucket(column: Any, step_sec: int, dialect: str) -> ColumnElement[int]:
    """The step that a moment falls in, as its beginning in epoch seconds."""
    if dialect == "postgresql":
        steps: ColumnElement[Any] = func.floor(func.extract("epoch", column) / step_sec)
    else:
        steps = cast(func.strftime("%s", column), Integer) / literal(step_sec)
    return cast(steps, Integer) * step_sec


async def _points(
    connection: AsyncConnection,
    ven_id: str,
    first: datetime,
    last: datetime,
    step_sec: int,
    used: ColumnElement[Any],
    *,
    of_load: bool = False,
) -> list[dict[str, Any]]:
    at = history_bucket(TELEMETRY.c.timestamp, step_sec, connection.dialect.name).label("at")
    statement = (
        select(
            at,
            func.avg(used).label("used_power_kw"),
            (null() if of_load else func.avg(TELEMETRY.c.shed_power_kw)).label("shed_power_kw"),
            func.max(TELEMETRY.c.event_id).label("event_id"),
            func.avg(TELEMETRY.c.requested_reduction_kw).label("requested_reduction_kw"),
        )
        .where(history_between(TELEMETRY.c.timestamp, ven_id, first, last))
        .group_by(at)
        .order_by(at)
    )
    return _as_points((await connection.execute(statement)).all())


async def _quarter_points(
    connection: AsyncConnection, ven_id: str, first: datetime, last: datetime, step_sec: int
) -> list[dict[str, Any]]:
    table = TelemetryQuarterHourRow.__table__
    at = history_bucket(table.c.start, step_sec, connection.dialect.name).label("at")
    statement = (
        select(
            at,
            func.avg(table.c.used_power_kw).label("used_power_kw"),
            func.avg(table.c.shed_power_kw).label("shed_power_kw"),
            null().label("event_id"),
            func.avg(table.c.requested_reduction_kw).label("requested_reduction_kw"),
        )
        .where(history_between(table.c.start, ven_id, first, last))
        .group_by(at)
        .order_by(at)
    )
    return _as_points((await connection.execute(statement)).all())


def _as_points(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "timestamp": datetime.fromtimestamp(row.at, timezone.utc),
            "used_power_kw": row.used_power_kw or 0.0,
            "used_power_known": row.used_power_kw is not None,
            "shed_power_kw": row.shed_power_kw or 0.0,
            "event_id": row.event_id,
            "requested_reduction_kw": row.requested_reduction_kw,
        }
        for row in rows
    ]


# --- acks --------------------------------------------------------------------------------------


@router.get("/events", response_model=list[AckHistoryResponse])
async def list_ack_history(
    uses: Uses,
    _actor: Reader,
    response: Response,
    ven_id: VenId,
    start: Start = None,
    end: End = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> list[dict[str, Any]]:
    """What the VEN answered, newest first. A further page's cursor is in `X-Next-Cursor`."""
    place = decode_page_cursor(cursor, datetime, int)
    table = CommandAckRow.__table__
    statement = select(table).where(history_between(table.c.timestamp, ven_id, start, end))
    if place is not None:
        earlier = or_(
            table.c.timestamp < place[0],
            and_(table.c.timestamp == place[0], table.c.id < place[1]),
        )
        statement = statement.where(earlier)
    statement = statement.order_by(table.c.timestamp.desc(), table.c.id.desc()).limit(limit)
    async with uses.database.engine.connect() as connection:
        await read_ven_or_404(connection, ven_id)
        rows = (await connection.execute(statement)).all()
    if len(rows) == limit:
        response.headers[NEXT] = encode_page_cursor(rows[-1].timestamp, rows[-1].id)
    return [{**row._mapping, "circuits_curtailed": row.circuits_curtailed or []} for row in rows]
