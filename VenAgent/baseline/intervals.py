"""The site's past in 15-minute means, and the calendar by which its days are compared.

Times are epoch seconds; an interval is named by its start, a multiple of 900 s. Days are the
site's own: a baseline compares ten o'clock with ten o'clock, in summer time too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone, tzinfo
from enum import Enum
from functools import cached_property, lru_cache

INTERVAL_SEC = 900
DAY_SEC = 86_400


class DayType(str, Enum):
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

    def day_type(self, day: date) -> DayType:
        if day in self.holidays or (self.nerc and day in nerc_holidays(day.year)):
            return DayType.SUNDAY
        free_days = {5: DayType.SATURDAY, 6: DayType.SUNDAY}
        return free_days.get(day.weekday(), DayType.WEEKDAY)


@dataclass(frozen=True)
class IntervalHistory:
    """What is known of the past; nothing in it changes."""

    means: Mapping[int, float] = field(default_factory=dict)
    """Start of an interval → its mean power in kW. One that was hardly read is not in it."""
    touched: Set[int] = frozenset()
    """The starts of the intervals in which an event shed something."""
    calendar: SiteCalendar = SiteCalendar()

    def mean_kw(self, start: int) -> float | None:
        """The interval's mean; None if it is not known or not the site's own will."""
        return None if start in self.touched else self.means.get(start)

    def had_event(self, begin: int, end: int) -> bool:
        """Whether an event shed something in any interval that starts in [begin, end)."""
        at = bisect_left(self._touched_in_order, begin)
        return at < len(self._touched_in_order) and self._touched_in_order[at] < end

    @cached_property
    def _touched_in_order(self) -> tuple[int, ...]:
        return tuple(sorted(self.touched))


def interval_of(ts: float) -> int:
    """The start of the interval that `ts` lies in."""
    return int(ts // INTERVAL_SEC) * INTERVAL_SEC


@lru_cache(maxsize=16)
def nerc_holidays(year: int) -> frozenset[date]:
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
