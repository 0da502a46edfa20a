"""When events of a programme may be, and begin by themselves. Pure but for `plan_programme_event`.

Days and times are of the programme's time zone, so summer time moves nothing for the sites.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dispatch.event_lifecycle import stop_dispatched_event
from backend.dispatch.new_event import NewEvent, NewEventExists, create_new_event
from backend.store.database import database_now
from backend.store.programme_tables import ProgrammeRow
from backend.store.statuses import CANCELLED, SCHEDULED
from backend.store.tables import EVENTS, StoredEvent
from VenAgent.contract.op import Op

PLANNED_AHEAD = timedelta(hours=36)
"""A recurring programme's events are there, to be seen and withdrawn, so long before."""
_DAYS_LOOKED_AT = 8


def next_programme_start(programme: Any, after: datetime) -> datetime | None:
    """The first start of a recurring programme's event that is later than `after`."""
    if not programme.recurring or not programme.active or programme.window_start is None:
        return None
    zone = ZoneInfo(programme.timezone)
    day = after.astimezone(zone).date()
    for ahead in range(_DAYS_LOOKED_AT):
        start = _at(day + timedelta(days=ahead), programme.window_start, zone)
        if start > after and _is_day(programme, start.astimezone(zone).date()):
            return start
    return None


def programme_window_problem(programme: Any, start: datetime, end: datetime) -> str | None:
    """Why an event from `start` to `end` is not one of the programme's; None if it is.

    A window over midnight is of the day on which it opens. It opens and closes by the clocks of the
    programme's time zone, also in a night in which they are changed.
    """
    zone = ZoneInfo(programme.timezone)
    day = start.astimezone(zone).date()
    if programme.window_start is not None and programme.window_end is not None:
        open_days = [
            opened
            for opened in (day, day - timedelta(days=1))
            if _is_within_window(programme, opened, start, end)
        ]
        if not open_days and _is_day(programme, day):
            window = f"{programme.window_start} to {programme.window_end} {programme.timezone}"
            return f"{programme.name} has events from {window} only"
        if any(_is_day(programme, opened) for opened in open_days):
            return None
        day = open_days[0] if open_days else day
    return None if _is_day(programme, day) else f"{programme.name} has no events on a {day:%A}"


def _is_within_window(programme: Any, day: date, start: datetime, end: datetime) -> bool:
    """Whether that is in the window that opens on `day`."""
    zone = ZoneInfo(programme.timezone)
    is_over_midnight = _clock(programme.window_end) <= _clock(programme.window_start)
    opens = _at(day, programme.window_start, zone)
    closes = _at(day + timedelta(days=is_over_midnight), programme.window_end, zone)
    return opens <= start and end <= closes


def _is_day(programme: Any, day: date) -> bool:
    return not programme.days or day.isoweekday() in programme.days


def _at(day: date, clock: str, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, _clock(clock), zone).astimezone(timezone.utc)


def _clock(text: str) -> time:
    hour, minute = map(int, text.split(":"))
    return time(hour, minute)


def programme_window_sec(window_start: str, window_end: str) -> float:
    """How long a window is on a day of 24 hours; one that ends as it begins is the whole day."""
    opens, closes = _clock(window_start), _clock(window_end)
    minutes = 60 * (closes.hour - opens.hour) + closes.minute - opens.minute
    return 60.0 * (minutes if minutes > 0 else minutes + 24 * 60)


async def plan_programme_event(connection: AsyncConnection) -> StoredEvent | None:
    """Make the next event of one recurring programme whose time has come; None when there is none.

    Its id is made of programme and start: it is made once, also after it was withdrawn.
    """
    now = await database_now(connection)
    table = ProgrammeRow.__table__
    due = (
        select(table)
        .where(table.c.recurring, table.c.active, table.c.next_start <= now + PLANNED_AHEAD)
        .order_by(table.c.next_start)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    while True:
        programme: Any = (await connection.execute(due)).one_or_none()
        if programme is None:
            return None
        made = await _plan_next_start(connection, programme, now)
        if made is not None:
            return made


async def _plan_next_start(
    connection: AsyncConnection, programme: Any, now: datetime
) -> StoredEvent | None:
    """The event of that start, if it can be yet and was not made before; the next start is put."""
    start: datetime = programme.next_start
    end = start + timedelta(seconds=programme.duration_sec)
    made = None
    if end > now:
        try:
            async with connection.begin_nested():
                new = new_programme_event(programme, max(start, now), end)
                made = await create_new_event(connection, await _made_anew(connection, new))
        except NewEventExists:
            made = None
    following = next_programme_start(programme, max(start, now))
    await connection.execute(
        update(ProgrammeRow).where(ProgrammeRow.id == programme.id).values(next_start=following)
    )
    return made


PROGRAMME_CHANGED = "programme_changed"
"""`end_reason` of what a programme had planned before it was changed, or taken away."""


async def withdraw_planned_programme_events(connection: AsyncConnection, programme: Any) -> None:
    """Those that it made by itself and that have not begun; sites that know them are told."""
    planned = select(EVENTS.c.id).where(
        EVENTS.c.programme_id == programme.id,
        EVENTS.c.status == SCHEDULED,
        EVENTS.c.created_by == _planned_by(programme),
    )
    for event_id in (await connection.scalars(planned)).all():
        await stop_dispatched_event(
            connection, event_id, status=CANCELLED, reason=PROGRAMME_CHANGED
        )


async def _made_anew(connection: AsyncConnection, new: NewEvent) -> NewEvent:
    """Under another id where what was planned for its moment was withdrawn with the programme."""
    is_of_moment = EVENTS.c.id.startswith(new.event_id, autoescape=True)
    of_before = select(func.count()).where(is_of_moment, EVENTS.c.end_reason == PROGRAMME_CHANGED)
    times = await connection.scalar(of_before)
    return replace(new, event_id=f"{new.event_id}-{times + 1}") if times else new


def _planned_by(programme: Any) -> str:
    return f"programme {programme.name}"


def new_programme_event(programme: Any, start: datetime, end: datetime) -> NewEvent:
    """As the programme has it."""
    kind = Op(programme.kind)
    power = {
        Op.EVENT: "requested_reduction_kw",
        Op.LOAD_UP: "raise_kw",
        Op.LIMIT: "import_kw",
    }
    return NewEvent(
        start=start,
        end=end,
        kind=kind,
        limit_per_site=programme.limit_per_site,
        test=programme.test,
        event_id=f"{programme.id}-{start:%Y%m%dT%H%M}",
        notice_sec=programme.notice_sec,
        programme_id=programme.id,
        selection=programme.selection,
        baseline_method=programme.baseline_method,
        created_by=_planned_by(programme),
        **{power[kind]: programme.power_kw},
    )
