"""How often, how long and at what notice a site takes part: its own limits and its programme's.

Days are UTC's. A dry run counts for nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.store.programme_tables import ProgrammeRow
from backend.store.statuses import CANCELLED, REFUSING
from backend.store.tables import EVENTS, PARTICIPANTS, VENS

_LATE = timedelta(seconds=5)
"""A site is not left out because the dispatcher woke a moment after the notice began."""


async def vens_over_site_limits(connection: AsyncConnection, event: Any, now: datetime) -> set[str]:
    """VENs that this event must not ask: they want more notice, or have had enough that day."""
    notice = event.start_time - now + _LATE
    rows = await connection.execute(
        select(
            VENS.c.id,
            VENS.c.notice_sec,
            VENS.c.most_events_per_day,
            VENS.c.most_event_hours_per_day,
        ).where(
            or_(
                VENS.c.notice_sec > 0,
                VENS.c.most_events_per_day.is_not(None),
                VENS.c.most_event_hours_per_day.is_not(None),
            )
        )
    )
    own = {row.id: row for row in rows}
    over = {
        ven_id for ven_id, row in own.items() if timedelta(seconds=row.notice_sec or 0.0) > notice
    }
    programme = await _programme(connection, event)
    limited = [
        ven_id
        for ven_id, row in own.items()
        if row.most_events_per_day is not None or row.most_event_hours_per_day is not None
    ]
    if programme is None and not limited:
        return over
    had = await _had_that_day(connection, event, None if programme is not None else limited)
    lasts_h = (event.end_time - event.start_time).total_seconds() / 3_600.0
    bounds = {ven_id: [own[ven_id]] for ven_id in limited}
    if programme is not None:
        for ven_id in had:
            bounds.setdefault(ven_id, []).append(programme)
        if _is_over(0, 0.0, lasts_h, programme):
            return over | set(await connection.scalars(select(VENS.c.id)))
    for ven_id, of_ven in bounds.items():
        events, hours = had.get(ven_id, (0, 0.0))
        if any(_is_over(events, hours, lasts_h, bound) for bound in of_ven):
            over.add(ven_id)
    return over


def _is_over(events: int, hours: float, lasts_h: float, bound: Any) -> bool:
    most, most_hours = bound.most_events_per_day, bound.most_event_hours_per_day
    too_often = most is not None and events + 1 > most
    return too_often or (most_hours is not None and hours + lasts_h > most_hours + 1e-6)


async def _programme(connection: AsyncConnection, event: Any) -> Any:
    if event.programme_id is None:
        return None
    found = select(ProgrammeRow.most_events_per_day, ProgrammeRow.most_event_hours_per_day).where(
        ProgrammeRow.id == event.programme_id
    )
    row = (await connection.execute(found)).one_or_none()
    has_bounds = row is not None and any(value is not None for value in row)
    return row if has_bounds else None


async def _had_that_day(
    connection: AsyncConnection, event: Any, ven_ids: Collection[str] | None
) -> dict[str, tuple[int, float]]:
    """(events, hours) by VEN, of those that begin on the event's day."""
    day = event.start_time.astimezone(timezone.utc).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    statement = (
        select(PARTICIPANTS.c.ven_id, EVENTS.c.start_time, EVENTS.c.end_time, EVENTS.c.ended_at)
        .join(EVENTS, EVENTS.c.id == PARTICIPANTS.c.event_id)
        .where(
            EVENTS.c.start_time >= day,
            EVENTS.c.start_time < day + timedelta(days=1),
            EVENTS.c.id != event.id,
            EVENTS.c.status != CANCELLED,
            ~EVENTS.c.dry_run,
            PARTICIPANTS.c.status.not_in(REFUSING),
        )
    )
    if ven_ids is not None:
        statement = statement.where(PARTICIPANTS.c.ven_id.in_(list(ven_ids)))
    had: dict[str, tuple[int, float]] = {}
    for row in await connection.execute(statement):
        events, hours = had.get(row.ven_id, (0, 0.0))
        end = min(row.ended_at or row.end_time, row.end_time)
        lasted_h = max((end - row.start_time).total_seconds(), 0.0) / 3_600.0
        had[row.ven_id] = (events + 1, hours + lasted_h)
    return had
