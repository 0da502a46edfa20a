"""The site's calendar: its time zone, its holidays, and which days are alike."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from enum import Enum
from functools import lru_cache


class CalendarDayType(str, Enum):
    """Days on which a site behaves alike, as the tariffs group them."""

    WEEKDAY = "weekday"
    SATURDAY = "saturday"
    SUNDAY = "sunday or holiday"


@dataclass(frozen=True)
class SiteCalendar:
    """The site's time zone (zoneinfo or a fixed offset) and holidays."""

    timezone: tzinfo = timezone.utc
    holidays: Set[date] = frozenset()
    """The site's own, beside the NERC ones."""
    nerc: bool = False
    """The NERC holidays count: they do in PJM and in CAISO."""

    def midnight(self, day: date) -> int:
        """When the local day begins."""
        return round(datetime(day.year, day.month, day.day, tzinfo=self.timezone).timestamp())

    def local(self, ts: float) -> tuple[date, int]:
        """The local day of `ts`, and its wall clock as seconds since midnight."""
        moment = datetime.fromtimestamp(ts, self.timezone)
        return moment.date(), moment.hour * 3600 + moment.minute * 60 + moment.second

    def moment(self, day: date, wall_sec: float) -> float:
        """When the wall clock of the local `day` shows `wall_sec` since midnight (epoch s)."""
        midnight = datetime(day.year, day.month, day.day)
        wall = midnight + timedelta(seconds=wall_sec)
        return wall.replace(tzinfo=self.timezone).timestamp()

    def is_holiday(self, day: date) -> bool:
        return day in self.holidays or (self.nerc and day in nerc_calendar_holidays(day.year))

    def day_type(self, day: date) -> CalendarDayType:
        if self.is_holiday(day):
            return CalendarDayType.SUNDAY
        free_days = {5: CalendarDayType.SATURDAY, 6: CalendarDayType.SUNDAY}
        return free_days.get(day.weekday(), CalendarDayType.WEEKDAY)


@lru_cache(maxsize=16)
def nerc_calendar_holidays(year: int) -> frozenset[date]:
    """The six holidays that count as off-peak days (NERC, additional off-peak days).

    New Year's Day, Memorial Day, Independence Day, Labor Day, Thanksgiving and Christmas; one that
    falls on a Sunday is kept on the Monday after it, one on a Saturday is not moved.
    """
    fixed = (date(year, 1, 1), date(year, 7, 4), date(year, 12, 25))
    kept = {day + timedelta(days=1) if day.weekday() == 6 else day for day in fixed}
    memorial_day = date(year, 5, 31)
    memorial_day -= timedelta(days=memorial_day.weekday())
    return frozenset({*kept, memorial_day, _nth(year, 9, 0, 1), _nth(year, 11, 3, 4)})


def _nth(year: int, month: int, weekday: int, nth: int) -> date:
    """The nth Monday (0) … Sunday (6) of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))
