"""The fleet in figures, and the audit's record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from fastapi import APIRouter
from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import ApiServices, Uses
from backend.api.authentication import Reader
from backend.api.history_routes import (
    Granularity,
    history_bucket,
    history_step_sec,
    history_window,
)
from backend.api.load_sets import WATTS_PER_KW, load_set_capacities, read_load_sets
from backend.api.request_fields import End, Start
from backend.api.stats_responses import (
    LoadTypeStatsResponse,
    NetworkStatsHistoryResponse,
    NetworkStatsResponse,
)
from backend.store.believed_ven_power import (
    believed_ven_draw_kw,
    believed_ven_rated_kw,
    believed_ven_shed_kw,
    believed_ven_shedding_kw,
)
from backend.store.freshness import freshness_of_fleet
from backend.store.statuses import AVAILABLE, ONLINE
from backend.store.tables import EVENTS, VEN_STATE, VENS
from backend.store.telemetry_tables import NetworkSampleRow, TelemetryQuarterHourRow
from backend.store.utc_time import utc_now
from VenAgent.contract.op import Op

router = APIRouter(prefix="/api/stats", tags=["Statistics"])
TAKES_PART = func.coalesce(VEN_STATE.c.availability, AVAILABLE) == AVAILABLE
"""A site that has opted out can shed nothing."""
DEFAULT_GRANULARITY = "5m"
SAMPLE_SEC = 60
"""How often the fleet's sums are kept."""


@router.get("/network", response_model=NetworkStatsResponse)
async def get_network_stats(uses: Uses, _actor: Reader) -> dict[str, Any]:
    """The fleet now: VENs that are online and were heard lately."""
    async with uses.database.engine.connect() as connection:
        figures = await network_stats(connection)
        types = await _load_types(uses, connection)
    controllable_kw = sum(row["sheddable_power_kw"] for row in types)
    return {**figures, "controllable_power_kw": round(controllable_kw, 3)}


async def network_stats(connection: AsyncConnection) -> dict[str, Any]:
    """What one statement tells, quick enough for every second."""
    counts = select(func.count(), func.count().filter(VENS.c.status == ONLINE)).select_from(VENS)
    sums = (
        select(
            func.coalesce(func.sum(case((TAKES_PART, believed_ven_shed_kw()))), 0.0),
            func.coalesce(func.sum(believed_ven_draw_kw()), 0.0),
            func.coalesce(func.sum(believed_ven_shedding_kw()), 0.0),
        )
        .select_from(VENS.join(VEN_STATE, VEN_STATE.c.ven_id == VENS.c.id))
        .where(VENS.c.status == ONLINE, freshness_of_fleet(utc_now()))
    )
    vens, online = (await connection.execute(counts)).one()
    can_kw, used_kw, shed_kw = (await connection.execute(sums)).one()
    return {
        "ven_count": vens,
        "online_vens": online,
        "potential_load_reduction_kw": round(can_kw, 3),
        "household_usage_kw": round(used_kw, 3),
        "current_load_reduction_kw": round(shed_kw, 3),
    }


@router.get("/loads", response_model=list[LoadTypeStatsResponse])
async def get_load_type_stats(uses: Uses, _actor: Reader) -> list[dict[str, Any]]:
    """By type of load, the largest capability first."""
    async with uses.database.engine.connect() as connection:
        return await _load_types(uses, connection)


async def _load_types(services: ApiServices, connection: AsyncConnection) -> list[dict[str, Any]]:
    rows = (
        await connection.execute(
            select(
                *(VENS.c.id, VEN_STATE.c.load_set_id, VEN_STATE.c.load_power_w),
                case((TAKES_PART, VEN_STATE.c.load_shed_w)).label("load_shed_w"),
                believed_ven_shed_kw().label("shed_kw"),
                believed_ven_rated_kw().label("rated_kw"),
            )
            .select_from(VENS.join(VEN_STATE, VEN_STATE.c.ven_id == VENS.c.id))
            .where(
                VENS.c.status == ONLINE,
                freshness_of_fleet(utc_now()),
                VEN_STATE.c.load_set_id.is_not(None),
            )
        )
    ).all()
    sets = await read_load_sets(services, connection, {row.load_set_id for row in rows})
    capacities = await load_set_capacities(connection, [row.id for row in rows])
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        own = capacities.get(row.id, {})
        power_w = _believed_parts_w(row.load_power_w or [], row.rated_kw)
        said_w = row.load_shed_w or [0] * len(power_w)  # it does not take part
        shed_w = _believed_parts_w([max(watts or 0, 0) for watts in said_w], row.shed_kw)
        for member, power, shed in zip(sets[row.load_set_id], power_w, shed_w, strict=False):
            sums = found[member.type or "unknown"]
            sums["count"] += 1
            sums["capacity_kw"] += own.get(member.load_id, member.capacity_kw or 0.0)
            sums["current_power_kw"] += (power or 0) / WATTS_PER_KW
            sums["shed_capability_kw"] += (shed or 0) / WATTS_PER_KW
            sums["sheddable_power_kw"] += (power or 0) / WATTS_PER_KW if shed else 0.0
    ordered = sorted(found.items(), key=lambda item: -item[1]["shed_capability_kw"])
    names = ("capacity_kw", "current_power_kw", "shed_capability_kw", "sheddable_power_kw")
    return [
        {
            "type": kind,
            "count": int(sums["count"]),
            **{name: round(sums[name], 3) for name in names},
            "total_capacity_kw": round(sums["capacity_kw"], 3),
            "total_shed_capability_kw": round(sums["shed_capability_kw"], 3),
            "current_usage_kw": round(sums["current_power_kw"], 3),
        }
        for kind, sums in ordered
    ]


def _believed_parts_w(parts_w: Sequence[int | None], most_kw: float | None) -> list[float]:
    """Of a VEN's circuits; all less in the same ratio where they make up more than is believed."""
    counted_w = [float(watts or 0) for watts in parts_w]
    whole_w = sum(abs(watts) for watts in counted_w)
    if most_kw is None or whole_w <= most_kw * WATTS_PER_KW:
        return counted_w
    return [watts * most_kw * WATTS_PER_KW / whole_w for watts in counted_w]


@router.get("/network/history", response_model=NetworkStatsHistoryResponse)
async def get_network_stats_history(
    uses: Uses,
    _actor: Reader,
    start: Start = None,
    end: End = None,
    granularity: Granularity = None,
) -> dict[str, Any]:
    """The fleet's power over time; the last 24 hours in steps of 5 minutes by default."""
    first, last = history_window(start, end)
    step_sec = history_step_sec(granularity or DEFAULT_GRANULARITY, first, last)
    step_sec = max(step_sec, SAMPLE_SEC)
    async with uses.database.engine.connect() as connection:
        points = await _sampled(connection, first, last, step_sec)
        earlier = min(points, default=last.timestamp())
        points |= {
            at: point
            for at, point in (await _summed_up(connection, first, last, step_sec)).items()
            if at < earlier
        }
        if first <= utc_now() < last or end is None:
            figures = await network_stats(connection)
            at = int(utc_now().timestamp() // step_sec) * step_sec
            points[at] = _point(
                at,
                figures["online_vens"],
                figures["household_usage_kw"],
                figures["current_load_reduction_kw"],
            )
        await _add_requests(connection, points, step_sec)
    return {"granularity_sec": step_sec, "points": [points[at] for at in sorted(points)]}


async def _add_requests(
    connection: AsyncConnection, points: Mapping[int, dict[str, Any]], step_sec: int
) -> None:
    """Put in what events that shed asked for while they ran."""
    if not points:
        return
    now = utc_now().timestamp()
    begin = datetime.fromtimestamp(min(points), timezone.utc)
    events = await connection.execute(
        select(
            *(EVENTS.c.id, EVENTS.c.requested_reduction_kw, EVENTS.c.activated_at),
            func.coalesce(EVENTS.c.ended_at, EVENTS.c.end_time).label("over_at"),
        ).where(
            EVENTS.c.activated_at.is_not(None),
            EVENTS.c.activated_at < datetime.fromtimestamp(max(points) + step_sec, timezone.utc),
            func.coalesce(EVENTS.c.ended_at, EVENTS.c.end_time) > begin,
            EVENTS.c.kind == Op.EVENT.value,
            ~EVENTS.c.dry_run,
        )
    )
    for event in events:
        start, over = event.activated_at.timestamp(), min(event.over_at.timestamp(), now)
        first = max(int(start // step_sec) * step_sec, min(points))
        for at in range(first, int(over) + 1, step_sec):
            lasts_sec = min(at + step_sec, now) - at
            ran_sec = min(at + step_sec, over) - max(at, start)
            point = points.get(at)
            if point is not None and ran_sec > 0.0 and lasts_sec > 0.0:
                asked_kw = event.requested_reduction_kw * min(ran_sec / lasts_sec, 1.0)
                before_kw = point.get("requested_reduction_kw", 0.0)
                point["requested_reduction_kw"] = round(before_kw + asked_kw, 3)
                point["event_id"] = event.id


def _point(at: int, vens: int, used_kw: float, shed_kw: float) -> dict[str, Any]:
    used_kw, shed_kw = round(used_kw, 3), round(shed_kw, 3)
    return {
        "timestamp": datetime.fromtimestamp(at, timezone.utc),
        "ven_count": vens,
        "household_usage_kw": used_kw,
        "used_power_kw": used_kw,
        "current_load_reduction_kw": shed_kw,
        "shed_power_kw": shed_kw,
    }


async def _sampled(
    connection: AsyncConnection, first: datetime, last: datetime, step_sec: int
) -> dict[int, dict[str, Any]]:
    """From the samples of each minute, by the step's beginning (epoch s)."""
    table = NetworkSampleRow.__table__
    at = history_bucket(table.c.at, step_sec, connection.dialect.name).label("step")
    rows = await connection.execute(
        select(
            at,
            func.max(table.c.ven_count).label("vens"),
            func.avg(table.c.used_power_kw).label("used_kw"),
            func.avg(table.c.shed_power_kw).label("shed_kw"),
        )
        .where(table.c.at >= first, table.c.at < last)
        .group_by(at)
    )
    return {row.step: _point(row.step, row.vens, row.used_kw, row.shed_kw) for row in rows}


async def _summed_up(
    connection: AsyncConnection, first: datetime, last: datetime, step_sec: int
) -> dict[int, dict[str, Any]]:
    """From the quarter hours, for the time before there were samples."""
    table = TelemetryQuarterHourRow.__table__
    quarters = (
        select(
            table.c.start,
            func.count().label("vens"),
            func.coalesce(func.sum(table.c.used_power_kw), 0.0).label("used_kw"),
            func.coalesce(func.sum(table.c.shed_power_kw), 0.0).label("shed_kw"),
        )
        .where(table.c.start >= first, table.c.start < last)
        .group_by(table.c.start)
        .subquery()
    )
    at = history_bucket(quarters.c.start, step_sec, connection.dialect.name).label("step")
    rows = await connection.execute(
        select(
            at,
            func.max(quarters.c.vens).label("vens"),
            func.avg(quarters.c.used_kw).label("used_kw"),
            func.avg(quarters.c.shed_kw).label("shed_kw"),
        ).group_by(at)
    )
    return {row.step: _point(row.step, row.vens, row.used_kw, row.shed_kw) for row in rows}
