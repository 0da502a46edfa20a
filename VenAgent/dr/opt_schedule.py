"""The times in which a site does not take part in events: weekly, on dates, on holidays.

Times are the site's wall clock: over a change of daylight saving time a window begins and ends when
the clock on the wall says so. Of a time that it skips it says so at the skip; of one that comes
twice a window begins at the first and ends at the second, for a person's own time is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache

from VenAgent.baseline.intervals import DAY_SEC
from VenAgent.baseline.site_calendar import SiteCalendar
from VenAgent.contract.reasons import Reason, ReasonCode

CLOCK_CHANGES_SEC = (1_800.0, 3_600.0, 7_200.0)
"""By so much clocks are set back."""
AHEAD_DAYS = 8
"""So far ahead windows are looked for: each weekly one comes within it."""


@dataclass(frozen=True)
class OptScheduleWindow:
    """On each day that it is for, from `from_sec` to `to_sec` since midnight by the wall clock; one
    that ends before it begins ends on the day after."""

    from_sec: float = 0.0
    to_sec: float = DAY_SEC
    weekdays: frozenset[int] = frozenset()
    """Monday is 0."""
    dates: frozenset[date] = frozenset()
    holidays: bool = False
    """On the holidays of the site's calendar."""
    reason: str = ""

    def is_for(self, day: date, calendar: SiteCalendar) -> bool:
        is_listed = day in self.dates or day.weekday() in self.weekdays
        return is_listed or (self.holidays and calendar.is_holiday(day))


@dataclass(frozen=True)
class OptScheduleSpan:
    """A time in which the site does not take part (epoch s)."""

    start_ts: float
    end_ts: float
    reason: str = field(default="", compare=False)


@dataclass(frozen=True)
class OptSchedule:
    windows: tuple[OptScheduleWindow, ...] = ()
    calendar: SiteCalendar = field(default_factory=SiteCalendar)

    def span_at(self, ts: float) -> OptScheduleSpan | None:
        """The time without participation that `ts` is in; None while the site takes part."""
        return next((s for s in self._spans(ts) if s.start_ts <= ts < s.end_ts), None)

    def next_span(self, ts: float) -> OptScheduleSpan | None:
        """The first that begins after `ts`; None if there is none in the next days."""
        return next((span for span in self._spans(ts) if span.start_ts > ts), None)

    def reason(self, ts: float) -> Reason | None:
        """Why the site does not take part at `ts`; None if it does."""
        span = self.span_at(ts)
        if span is None:
            return None
        _, second = self.calendar.local(span.end_ts)
        until = f"{second // 3600:02d}:{second % 3600 // 60:02d}"
        why = f" ({span.reason})" if span.reason else ""
        text = f"the site does not take part until {until} by its schedule{why}"
        return Reason(ReasonCode.OPT_SCHEDULE, text)

    def _spans(self, ts: float) -> list[OptScheduleSpan]:
        """Those around `ts` and after it, in order; what touches is one."""
        if not self.windows:
            return []
        merged: list[OptScheduleSpan] = []
        for span in sorted(self._single(ts), key=lambda each: each.start_ts):
            last = merged[-1] if merged else None
            if last is not None and span.start_ts <= last.end_ts:
                end_ts = max(last.end_ts, span.end_ts)
                merged[-1] = OptScheduleSpan(last.start_ts, end_ts, last.reason or span.reason)
            else:
                merged.append(span)
        return merged

    def _single(self, ts: float) -> Iterator[OptScheduleSpan]:
        today, _ = self.calendar.local(ts)
        for ahead in range(-2, AHEAD_DAYS + 1):
            day = today + timedelta(days=ahead)
            for window in self.windows:
                if window.is_for(day, self.calendar):
                    ends_next = window.to_sec <= window.from_sec
                    to_sec = window.to_sec + (DAY_SEC if ends_next else 0.0)
                    start_ts = _shown_first_ts(self.calendar, day, window.from_sec)
                    end_ts = _shown_last_ts(self.calendar, day, to_sec)
                    if start_ts < end_ts:  # not one that the clock skips as a whole
                        yield OptScheduleSpan(start_ts, end_ts, window.reason)


@lru_cache(maxsize=1_024)
def _shown_first_ts(calendar: SiteCalendar, day: date, sec: float) -> float:
    """When the clock on the wall shows so many seconds since midnight of `day`; where it skips
    that, when it does."""
    shown, ts = _shown(day, sec), calendar.moment(day, sec)
    if calendar.local(ts) == shown:
        return ts
    before_ts, after_ts = ts - DAY_SEC / 2.0, ts + DAY_SEC / 2.0
    while after_ts - before_ts > 0.5:
        middle_ts = (before_ts + after_ts) / 2.0
        is_before = calendar.local(middle_ts) < shown
        before_ts, after_ts = (middle_ts, after_ts) if is_before else (before_ts, middle_ts)
    return float(round(after_ts))


@lru_cache(maxsize=1_024)
def _shown_last_ts(calendar: SiteCalendar, day: date, sec: float) -> float:
    """The same; where the clock shows it twice, the second time."""
    shown, first_ts = _shown(day, sec), _shown_first_ts(calendar, day, sec)
    again = (first_ts + step_sec for step_sec in CLOCK_CHANGES_SEC)
    return max([first_ts, *(ts for ts in again if calendar.local(ts) == shown)])


def _shown(day: date, sec: float) -> tuple[date, float]:
    days, rest_sec = divmod(sec, DAY_SEC)
    return day + timedelta(days=days), rest_sec
