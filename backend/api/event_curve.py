"""An event's curve from the store: what was requested and what was delivered, in all or of a site.

Delivered is what sites said they shed, as a mean over each step, summed over the sites that were
heard in it. The curve is the same after a reload, and after the event.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Double, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.store.tables import PARTICIPANTS
from backend.store.utc_time import UtcDateTime, utc_now, utc_time_of_epoch

STEPS_SEC = (5, 10, 30, 60, 300, 900, 3_600)
MOST_POINTS = 240
MOST_SAMPLES = 1_500_000
"""More are read from the quarter hours."""
_BEFORE = timedelta(minutes=5)
_EPOCH = {"postgresql": "extract(epoch FROM {})", "sqlite": "(julianday({}) - 2440587.5) * 86400.0"}


async def read_event_curve(
    connection: AsyncConnection, event: Any, ven_id: str | None
) -> dict[str, Any]:
    """{step_sec, points}: from five minutes before the event to five after, or to now."""
    begin = (event.activated_at or event.start_time) - _BEFORE
    end = min((event.ended_at or event.end_time) + _BEFORE, utc_now())
    vens = {
        row.ven_id: row
        for row in await connection.execute(
            select(PARTICIPANTS).where(PARTICIPANTS.c.event_id == event.id)
        )
        if ven_id is None or row.ven_id == ven_id
    }
    span_sec = max((end - begin).total_seconds(), 0.0)
    step_sec = next((s for s in STEPS_SEC if span_sec / s <= MOST_POINTS), STEPS_SEC[-1])
    is_large = span_sec / 5.0 * len(vens) > MOST_SAMPLES
    if is_large:
        step_sec = max(step_sec, 900)
    table = "ven_quarter_hours" if is_large else "ven_telemetry"
    rows = await _steps(connection, table, event.id, ven_id, begin, end, step_sec)
    asked_kw, limit_kw = _asked(event, list(vens.values()), ven_id)
    points = []
    for step, (used_kw, shed_kw, heard) in sorted(rows.items()):
        at = utc_time_of_epoch(step * step_sec)
        # Delivered is a mean over the step: what the middle of it asks for stands beside it.
        part = _level(event, at + timedelta(seconds=step_sec / 2))
        points.append(
            {
                "timestamp": at,
                "requested_kw": round(asked_kw * part, 3),
                "delivered_kw": shed_kw,
                "used_power_kw": used_kw,
                "limit_kw": None if limit_kw is None or not part else limit_kw * part,
                "vens": heard,
            }
        )
    return {"event_id": event.id, "ven_id": ven_id, "step_sec": step_sec, "points": points}


async def _steps(
    connection: AsyncConnection,
    table: str,
    event_id: str,
    ven_id: str | None,
    begin: datetime,
    end: datetime,
    step_sec: int,
) -> dict[int, tuple[float | None, float | None, int]]:
    """By step (used kW, shed kW, VENs heard): means of each VEN, summed."""
    column = "t.timestamp" if table == "ven_telemetry" else "t.start"
    epoch = _EPOCH[connection.dialect.name].format(column)
    step = f"CAST(floor(({epoch} + 0.0005) / :step) AS bigint)"
    one = "AND p.ven_id = :ven" if ven_id is not None else ""
    query = text(
        f"""SELECT step, sum(used), sum(shed), count(*)
        FROM (SELECT t.ven_id, {step} AS step, avg(t.used_power_kw) AS used,
                avg(t.shed_power_kw) AS shed
            FROM event_participants p JOIN {table} t ON t.ven_id = p.ven_id
            WHERE p.event_id = :event {one} AND {column} >= :begin AND {column} < :end
            GROUP BY t.ven_id, step) AS of_ven
        GROUP BY step"""
    ).bindparams(
        bindparam("begin", type_=UtcDateTime()),
        bindparam("end", type_=UtcDateTime()),
        bindparam("step", type_=Double()),
    )
    values: dict[str, Any] = {"event": event_id, "begin": begin, "end": end, "step": step_sec}
    if ven_id is not None:
        values["ven"] = ven_id
    return {
        int(row[0]): (row[1], row[2], row[3]) for row in await connection.execute(query, values)
    }


def _asked(event: Any, parts: list[Any], ven_id: str | None) -> tuple[float, float | None]:
    """(to shed, to stay under) at the highest level: of the event, or of the one site."""
    if ven_id is None:
        limits = [part.assigned_limit_kw for part in parts if part.assigned_limit_kw is not None]
        return event.requested_reduction_kw, math.fsum(limits) if limits else None
    if not parts:
        return 0.0, None
    return parts[0].assigned_shed_kw, parts[0].assigned_limit_kw


def _level(event: Any, at: datetime) -> float:
    """How much of its highest level the event asks for at a time; 0 outside of it."""
    start = event.start_time
    end = min(event.ended_at or event.end_time, event.end_time)
    if not start <= at < end:
        return 0.0
    if not event.intervals:
        return 1.0
    name = "import_kw" if event.kind == "limit" else "shed_kw"
    highest_kw = max(level[name] for level in event.intervals)
    for level in event.intervals:
        start += timedelta(seconds=level["duration_sec"])
        if at < start:
            return level[name] / highest_kw if highest_kw else 0.0
    return 0.0
