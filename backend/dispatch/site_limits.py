"""How often, how long and at what notice a site takes part: its own limits and its programme's.

A site's own limits count every event that it is in, a programme's only those of the programme. A
day is the site's own (of its time zone; else the programme's; else UTC), a programme's day is of
its own. It is told by the date on which an event begins there. A dry run counts for nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, or_, select
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
            VENS.c.timezone,
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
    has_bounds = programme is not None and any(value is not None for value in programme[:2])
    limited = [
        ven_id
        for ven_id, row in own.items()
        if row.most_events_per_day is not None or row.most_event_hours_per_day is not None
    ]
    if not has_bounds and not limited:
        return over
    lasts_h = (event.end_time - event.start_time).total_seconds() / 3_600.0
    if has_bounds and _is_over(0, 0.0, lasts_h, programme):
        return over | set(await connection.scalars(select(VENS.c.id)))
    zone = "UTC" if programme is None else programme.timezone
    near = await _events_near(connection, event, limited, of_programme=has_bounds)
    if has_bounds:
        for ven_id, events in near.items():
            own_events = [one for one in events if one.programme_id == event.programme_id]
            if _is_over(*_had_that_day(own_events, event, zone), lasts_h, programme):
                over.add(ven_id)
    for ven_id in limited:
        had = _had_that_day(near.get(ven_id, ()), event, own[ven_id].timezone or zone)
        if _is_over(*had, lasts_h, own[ven_id]):
            over.add(ven_id)
    return over


def _is_over(events: int, hours: float, lasts_h: float, bound: Any) -> bool:
    most, most_hours = bound.most_events_per_day, bound.most_event_hours_per_day
    too_often = most is not None and events + 1 > most
    return too_often or (most_hours is not None and hours + lasts_h > most_hours + 1e-6)


async def _programme(connection: AsyncConnection, event: Any) -> Any:
    if event.programme_id is None:
        return None
    found = select(
        ProgrammeRow.most_events_per_day,
        ProgrammeRow.most_event_hours_per_day,
        ProgrammeRow.timezone,
    ).where(ProgrammeRow.id == event.programme_id)
    return (await connection.execute(found)).one_or_none()


_DAY_ANYWHERE = timedelta(hours=26)
"""A day has 25 hours where the clocks are put back."""


async def _events_near(
    connection: AsyncConnection, event: Any, ven_ids: Collection[str], *, of_programme: bool
) -> dict[str, list[Any]]:
    """Events by VEN that may be of the same day somewhere: all of these VENs, and those of the
    event's programme of any VEN."""
    counted: ColumnElement[bool] = PARTICIPANTS.c.ven_id.in_(list(ven_ids))
    if of_programme:
        counted = or_(counted, EVENTS.c.programme_id == event.programme_id)
    statement = (
        select(
            PARTICIPANTS.c.ven_id,
            EVENTS.c.programme_id,
            EVENTS.c.start_time,
            EVENTS.c.end_time,
            EVENTS.c.ended_at,
        )
        .join(EVENTS, EVENTS.c.id == PARTICIPANTS.c.event_id)
        .where(
            EVENTS.c.start_time > event.start_time - _DAY_ANYWHERE,
            EVENTS.c.start_time < event.start_time + _DAY_ANYWHERE,
            EVENTS.c.id != event.id,
            # One that was withdrawn after it had begun was had all the same.
            or_(EVENTS.c.status != CANCELLED, EVENTS.c.activated_at.is_not(None)),
            ~EVENTS.c.dry_run,
            # Who left it, or failed in it, has been in it; who refused has not.
            or_(PARTICIPANTS.c.status.not_in(REFUSING), PARTICIPANTS.c.actual_shed_kw > 0.0),
            counted,
        )
    )
    near: dict[str, list[Any]] = {}
    for row in await connection.execute(statement):
        near.setdefault(row.ven_id, []).append(row)
    return near


def _had_that_day(near: Iterable[Any], event: Any, zone_name: str) -> tuple[int, float]:
    """(events, hours) of those that begin on the event's day there."""
    zone = ZoneInfo(zone_name)
    day = event.start_time.astimezone(zone).date()
    events, hours = 0, 0.0
    for row in near:
        if row.start_time.astimezone(zone).date() == day:
            end = min(row.ended_at or row.end_time, row.end_time)
            events += 1
            hours += max((end - row.start_time).total_seconds(), 0.0) / 3_600.0
    return events, hours
