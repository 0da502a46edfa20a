"""Baselines from similar days, from a VEN's quarter hours. Pure.

`high_4_of_5`: PJM Open Access Transmission Tariff, Attachment K - Appendix, 3.3A.2 (the days) and
3.3A.3 (symmetric additive adjustment). `ten_of_ten`: CAISO Tariff, 4.13.4, with the same-day
adjustment held between 0.8 and 1.2. The rules, and where they leave the tariffs, are those of the
agent (docs/baselines.md): a test holds both together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo

QUARTER_SEC, DAY_SEC = 900, 86_400
LOOK_BACK_DAYS = 45
ADJUST_FROM_SEC, ADJUST_TO_SEC = 4 * 3_600, 3_600
"""The adjustment compares the three hours that end one hour before the event."""
CAP = 0.2
LOW_USAGE = 0.25
"""PJM: a day under a quarter of the days' mean gives way to an earlier one."""
WEEKDAY, SATURDAY, SUNDAY = 0, 1, 2


@dataclass(frozen=True)
class History:
    """A VEN's quarter hours: start (epoch s) → mean power in kW, and those an event shed in."""

    means: Mapping[int, float]
    shed: Set[int] = frozenset()
    zone: tzinfo = timezone.utc
    holidays: Set[date] = frozenset()

    def mean_kw(self, start: int) -> float | None:
        """The site's own will; None where an event shed or nothing is known."""
        return None if start in self.shed else self.means.get(start)

    def midnight(self, day: date) -> int:
        return round(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp())

    def kind(self, day: date) -> int:
        if day in self.holidays:
            return SUNDAY
        return {5: SATURDAY, 6: SUNDAY}.get(day.weekday(), WEEKDAY)


@dataclass(frozen=True)
class Profile:
    """A baseline: kW by quarter hour (start, epoch s), from `days` of `wanted` days."""

    kw: Mapping[int, float]
    days: int
    wanted: int


@dataclass(frozen=True)
class _Day:
    values: tuple[float, ...]
    mean_kw: float
    window: tuple[float | None, ...]


@dataclass(frozen=True)
class _Rule:
    """Which days for a kind of day: alike ones, the latest `basis`, of these the `highest`."""

    alike: frozenset[int]
    basis: int
    highest: int
    least: int


_FREE = _Rule(frozenset({SATURDAY, SUNDAY}), 4, 4, 4)
_RULES: Mapping[str, Mapping[int, _Rule]] = {
    "high_4_of_5": {
        WEEKDAY: _Rule(frozenset({WEEKDAY}), 5, 4, 4),
        SATURDAY: _Rule(frozenset({SATURDAY}), 3, 2, 2),
        SUNDAY: _Rule(frozenset({SUNDAY}), 3, 2, 2),
    },
    "ten_of_ten": {
        WEEKDAY: _Rule(frozenset({WEEKDAY}), 10, 10, 5),
        SATURDAY: _FREE,
        SUNDAY: _FREE,
    },
}
METHODS = frozenset(_RULES)


def quarter_hours(start_ts: float, end_ts: float) -> tuple[int, ...]:
    """The quarter hours that an event is in, by their starts (epoch s)."""
    first = int(start_ts // QUARTER_SEC) * QUARTER_SEC
    return tuple(range(first, math.ceil(max(end_ts, start_ts + 1.0)), QUARTER_SEC))


def similar_days(method: str, history: History, start_ts: float, end_ts: float) -> Profile | None:
    """The baseline of an event over [start_ts, end_ts]; None when too few days are like it.

    Raises KeyError for a method that is not in METHODS.
    """
    starts = quarter_hours(start_ts, end_ts)
    today = datetime.fromtimestamp(starts[0], history.zone).date()
    rule = _RULES[method][history.kind(today)]
    days = _Days(history, today, starts, start_ts, max(end_ts, start_ts + 1.0))
    basis = _basis(days.before(rule), rule.basis, drop_low=method == "high_4_of_5")
    if len(basis) < rule.least:
        return None
    used = sorted(basis, key=lambda day: (day.mean_kw, day.values), reverse=True)[: rule.highest]
    adjust = _adjustment(method, used, days.window_today)
    columns = zip(*(day.values for day in used), strict=True)
    values = [adjust(math.fsum(column) / len(used)) for column in columns]
    return Profile(dict(zip(starts, values, strict=True)), len(used), rule.highest)


class _Days:
    """An event's hours on the days before it."""

    def __init__(
        self, history: History, today: date, starts: tuple[int, ...], begin: float, end: float
    ) -> None:
        self._history, self._today = history, today
        self._weights = [min(at + QUARTER_SEC, end) - max(at, begin) for at in starts]
        self._clocks = [self._clock(at) for at in starts]
        before = range(-ADJUST_FROM_SEC, -ADJUST_TO_SEC, QUARTER_SEC)
        self._window = [self._clocks[0] + offset for offset in before]
        self.window_today = [history.mean_kw(starts[0] + offset) for offset in before]

    def _clock(self, ts: int) -> int:
        """The wall clock, counted on from the event's own midnight."""
        moment = datetime.fromtimestamp(ts, self._history.zone)
        seconds = moment.hour * 3_600 + moment.minute * 60 + moment.second
        return (moment.date() - self._today).days * DAY_SEC + seconds

    def before(self, rule: _Rule) -> Iterator[_Day]:
        """The days that count, the latest first."""
        for back in range(1, LOOK_BACK_DAYS + 1):
            day = self._today - timedelta(days=back)
            if self._history.kind(day) in rule.alike:
                found = self._put_together(day)
                if found is not None:
                    yield found

    def _put_together(self, day: date) -> _Day | None:
        history = self._history
        span = self._clocks[-1] // DAY_SEC + 1
        begin = history.midnight(day)
        end = history.midnight(day + timedelta(days=span))
        if end - begin != span * DAY_SEC:
            return None  # the clocks were changed: hours do not match one to one
        if any(at in history.shed for at in range(begin, end, QUARTER_SEC)):
            return None
        values = [history.mean_kw(begin + clock) for clock in self._clocks]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        weighted = zip(known, self._weights, strict=True)
        mean_kw = math.fsum(kw * weight for kw, weight in weighted) / math.fsum(self._weights)
        window = tuple(history.mean_kw(begin + clock) for clock in self._window)
        return _Day(tuple(known), mean_kw, window)


def _basis(days: Iterator[_Day], size: int, *, drop_low: bool) -> list[_Day]:
    basis: list[_Day] = []
    while True:
        for day in days:
            basis.append(day)
            if len(basis) == size:
                break
        if not drop_low or not basis:
            return basis
        least_kw = LOW_USAGE * math.fsum(day.mean_kw for day in basis) / len(basis)
        kept = [day for day in basis if day.mean_kw >= least_kw or least_kw <= 0.0]
        if len(kept) == len(basis):
            return basis
        basis = kept


def _adjustment(
    method: str, used: Sequence[_Day], window_today: Sequence[float | None]
) -> Callable[[float], float]:
    """From this morning against theirs; none when less than half of it is known."""
    today, past = [], []
    for value, *others in zip(window_today, *(day.window for day in used), strict=True):
        known = [other for other in others if other is not None]
        if value is not None and len(known) == len(others):
            today.append(value)
            past.append(math.fsum(known) / len(known))
    if 2 * len(today) < len(window_today):
        return lambda kw: kw
    today_kw, past_kw = math.fsum(today) / len(today), math.fsum(past) / len(past)
    if method == "high_4_of_5":
        return lambda kw: kw + (today_kw - past_kw)
    if past_kw <= 0.0:
        return lambda kw: kw  # a site that fed in has no ratio that means anything
    ratio = min(max(today_kw / past_kw, 1.0 - CAP), 1.0 + CAP)
    return lambda kw: kw * ratio
