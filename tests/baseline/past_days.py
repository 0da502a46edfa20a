"""A site's past for the tests of the baselines: days of 15-minute means in New York."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from VenAgent.baseline.baseline import Baseline
from VenAgent.baseline.baseline_methods import baseline_by_method
from VenAgent.baseline.intervals import INTERVAL_SEC, IntervalHistory
from VenAgent.baseline.recent_power import RecentPower
from VenAgent.baseline.site_calendar import SiteCalendar

NEW_YORK = ZoneInfo("America/New_York")
CALENDAR = SiteCalendar(NEW_YORK)
WEDNESDAY = date(2026, 6, 17)
PRESENT_KW = 33.0


def at(day: date, hour: int, minute: int = 0) -> float:
    """The epoch time of a wall clock in New York."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK).timestamp()


def flat(power_kw: float) -> Callable[[float], float]:
    return lambda hour: power_kw


def load(event_kw: float, morning_kw: float = 50.0) -> Callable[[float], float]:
    """A day with `morning_kw` until one o'clock, and `event_kw` from there on."""
    return lambda hour: morning_kw if hour < 13 else event_kw


def past_of(
    days: dict[date, Callable[[float], float]],
    *,
    events: Iterable[float] = (),
    calendar: SiteCalendar = CALENDAR,
) -> IntervalHistory:
    """Each day's power by the hour of its wall clock; `events`: when something was shed."""
    means = {}
    for day, power_kw in days.items():
        begin = calendar.midnight(day)
        for start in range(begin, calendar.midnight(day + timedelta(days=1)), INTERVAL_SEC):
            means[start] = power_kw(calendar.local(start)[1] / 3600)
    touched = frozenset(int(ts // INTERVAL_SEC) * INTERVAL_SEC for ts in events)
    return IntervalHistory(means, touched, calendar)


def weekdays_before(day: date, how_many: int) -> list[date]:
    """The last weekdays, newest first."""
    found = []
    while len(found) < how_many:
        day -= timedelta(days=1)
        if day.weekday() < 5:
            found.append(day)
    return found


def weekdays(loads: Iterable[Callable[[float], float]], today: Callable[[float], float] | None):
    """The weekdays before WEDNESDAY, newest first, and WEDNESDAY's morning until the event."""
    loads = list(loads)
    days = dict(zip(weekdays_before(WEDNESDAY, len(loads)), loads, strict=True))
    history = past_of(days)
    if today is None:
        return history
    morning = past_of({WEDNESDAY: today}).means
    begun = {start: kw for start, kw in morning.items() if start < at(WEDNESDAY, 14)}
    return IntervalHistory({**history.means, **begun}, frozenset(), CALENDAR)


def baseline(
    method: str,
    history: IntervalHistory,
    start_ts: float | None = None,
    end_ts: float | None = None,
    recent: RecentPower | None = None,
) -> Baseline:
    """The baseline of an event, WEDNESDAY from 14 to 16 o'clock if not given."""
    start_ts = at(WEDNESDAY, 14) if start_ts is None else start_ts
    return baseline_by_method(
        method,
        recent or RecentPower(),
        history,
        start_ts=start_ts,
        end_ts=start_ts + 7200.0 if end_ts is None else end_ts,
        now=start_ts,
        present_kw=PRESENT_KW,
    )
