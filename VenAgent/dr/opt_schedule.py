"""The times in which a site does not take part in events: weekly, on dates, on holidays.

Times are the site's wall clock: over a change of daylight saving time a window begins and ends when
the clock on the wall says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from VenAgent.baseline.intervals import DAY_SEC
from VenAgent.baseline.site_calendar import SiteCalendar
from VenAgent.contract.reasons import Reason, ReasonCode

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
                    yield OptScheduleSpan(
                        self.calendar.moment(day, window.from_sec),
                        self.calendar.moment(day, window.to_sec + (DAY_SEC if ends_next else 0.0)),
                        window.reason,
                    )
