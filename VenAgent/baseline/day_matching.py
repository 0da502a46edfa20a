"""Baselines from similar days: PJM's high 4 of 5, CAISO's 10 in 10, and how well each predicts.

A day counts for an event when it is of the same kind, no event shed anything on it, all of the
event's intervals are known on it, and it has 24 hours (on the day of a clock change the hours do
not match one to one). The tariffs fill up with event days when there are too few others; here an
event day never counts, the caller falls back to another method and says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from VenAgent.baseline.intervals import DAY_SEC, INTERVAL_SEC, IntervalHistory, interval_start_of
from VenAgent.baseline.site_calendar import CalendarDayType

LOOK_BACK_DAYS = 45
"""How far back a similar day may lie: the same in PJM's and in CAISO's tariff."""
ADJUST_FROM_SEC = 4 * 3600
ADJUST_TO_SEC = 3600
"""The adjustment compares the three hours that end one hour before the event, in both tariffs."""
CAP = 0.2
LOW_USAGE = 0.25
RRMSE_BACK_DAYS = 60
RRMSE_DAYS = 10
RRMSE_LEAST_DAYS = 5


@dataclass(frozen=True)
class _Day:
    """One past day in the event's hours; power in kW."""

    values: tuple[float, ...]
    """One for each interval of the event."""
    mean_kw: float
    window: tuple[float | None, ...]
    """The intervals that the same-day adjustment compares."""
    before_kw: float | None
    """The last whole interval before the event's hour."""


@dataclass(frozen=True)
class _Prediction:
    """A baseline for each interval of the event, from `days` similar days."""

    values: tuple[float, ...]
    days: int
    adjustment: str
    """What the same-day adjustment did, in words."""


@dataclass
class DaysToMatch:
    """An event's hours on all days of a history; each day is put together once."""

    history: IntervalHistory
    start_ts: float
    end_ts: float
    _days: dict[date, _Day | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        calendar, first = self.history.calendar, interval_start_of(self.start_ts)
        end_ts = max(self.end_ts, self.start_ts + 1.0)
        self.starts = tuple(range(first, math.ceil(end_ts), INTERVAL_SEC))
        self.weights = tuple(
            min(start + INTERVAL_SEC, end_ts) - max(start, self.start_ts) for start in self.starts
        )
        self.date, first_clock = calendar.local(first)
        clocks = []
        for start in self.starts:
            day, clock = calendar.local(start)
            clocks.append((day - self.date).days * DAY_SEC + clock)
        self._clocks = tuple(clocks)
        self._span_days = clocks[-1] // DAY_SEC + 1
        self._before = first_clock - INTERVAL_SEC
        hours_before = range(-ADJUST_FROM_SEC, -ADJUST_TO_SEC, INTERVAL_SEC)
        self._window = tuple(first_clock + offset for offset in hours_before)
        self.window_today = tuple(self.history.mean_kw(first + offset) for offset in hours_before)

    def mean(self, values: Sequence[float]) -> float:
        """The mean over the event's time; its first and last interval count by their part."""
        pairs = zip(values, self.weights, strict=True)
        return math.fsum(value * weight for value, weight in pairs) / math.fsum(self.weights)

    def before(self, day: date, kinds: frozenset[CalendarDayType], how_many: int) -> Iterator[_Day]:
        """The days of these kinds that count, from `day` backwards over so many days."""
        for _, found in self.dated(day, kinds, how_many):
            yield found

    def dated(
        self, day: date, kinds: frozenset[CalendarDayType], how_many: int
    ) -> Iterator[tuple[date, _Day]]:
        for back in range(1, how_many + 1):
            past = day - timedelta(days=back)
            found = self._day(past)
            if found is not None and self.history.calendar.day_type(past) in kinds:
                yield past, found

    def _day(self, day: date) -> _Day | None:
        if day not in self._days:
            self._days[day] = self._put_together(day)
        return self._days[day]

    def _put_together(self, day: date) -> _Day | None:
        history = self.history
        begin = history.calendar.midnight(day)
        if begin + self._clocks[0] not in history.means:
            return None
        end = history.calendar.midnight(day + timedelta(days=self._span_days))
        if end - begin != self._span_days * DAY_SEC or history.had_event(begin, end):
            return None
        values = []
        for clock in self._clocks:
            value = history.mean_kw(begin + clock)
            if value is None:
                return None
            values.append(value)
        window = tuple(history.mean_kw(begin + clock) for clock in self._window)
        before_kw = history.mean_kw(begin + self._before)
        return _Day(tuple(values), self.mean(values), window, before_kw)


@dataclass(frozen=True)
class _Kind:
    """How many days a method takes for one kind of day."""

    alike: frozenset[CalendarDayType]
    basis: int
    """The most recent that count."""
    highest: int
    """Of these, the ones with the highest mean in the event's hours."""
    least: int
    """With fewer than this the method cannot be used."""


Adjust = Callable[[float, float], "tuple[Callable[[float], float], str]"]
"""(mean today, mean of the days in the adjustment's hours) → a change of kW, and it in words."""


@dataclass(frozen=True)
class DayMatchingMethod:
    """A baseline from similar days."""

    kinds: Mapping[CalendarDayType, _Kind]
    adjust: Adjust
    drop_low: bool = False
    """Leave out a day whose use in the event's hours is under a quarter of the days' mean."""

    def predict(
        self, days: DaysToMatch, day: date, window_today: Sequence[float | None]
    ) -> _Prediction | None:
        """The baseline of `day` from the days before it; None when too few count."""
        kind = self.kind(days, day)
        basis = self._basis(days.before(day, kind.alike, LOOK_BACK_DAYS), kind.basis)
        if len(basis) < kind.least:
            return None
        used = sorted(basis, key=lambda past: (past.mean_kw, past.values), reverse=True)
        used = used[: kind.highest]
        change, words = self._adjustment(used, window_today)
        columns = zip(*(past.values for past in used), strict=True)
        values = tuple(change(math.fsum(column) / len(used)) for column in columns)
        return _Prediction(values, len(used), words)

    def kind(self, days: DaysToMatch, day: date) -> _Kind:
        return self.kinds[days.history.calendar.day_type(day)]

    def _basis(self, candidates: Iterator[_Day], size: int) -> list[_Day]:
        basis: list[_Day] = []
        while True:
            for past in candidates:
                basis.append(past)
                if len(basis) == size:
                    break
            if not self.drop_low or not basis:
                return basis
            lowest_kw = LOW_USAGE * math.fsum(past.mean_kw for past in basis) / len(basis)
            kept = [past for past in basis if past.mean_kw >= lowest_kw or lowest_kw <= 0.0]
            if len(kept) == len(basis):
                return basis
            basis = kept

    def _adjustment(
        self, used: Sequence[_Day], window_today: Sequence[float | None]
    ) -> tuple[Callable[[float], float], str]:
        today, past = [], []
        for value, *others in zip(window_today, *(day.window for day in used), strict=True):
            known = [other for other in others if other is not None]
            if value is not None and len(known) == len(others):
                today.append(value)
                past.append(math.fsum(known) / len(known))
        if 2 * len(today) < len(window_today):
            return _unchanged, "not adjusted: too little is known of the hours before"
        return self.adjust(math.fsum(today) / len(today), math.fsum(past) / len(past))


def _unchanged(power_kw: float) -> float:
    return power_kw


def _symmetric_additive(today_kw: float, past_kw: float) -> tuple[Callable[[float], float], str]:
    """PJM's symmetric additive adjustment: the difference, up or down, without a cap."""
    difference_kw = today_kw - past_kw
    return lambda power_kw: power_kw + difference_kw, f"adjusted by {difference_kw:+.3f} kW"


def _capped_ratio(today_kw: float, past_kw: float) -> tuple[Callable[[float], float], str]:
    """CAISO's same-day adjustment: the ratio, held between 0.8 and 1.2.

    A site that fed in during these hours has no ratio that means anything; it is not adjusted.
    """
    if past_kw <= 0.0:
        return _unchanged, "not adjusted: the site drew nothing in the hours before"
    ratio = min(max(today_kw / past_kw, 1.0 - CAP), 1.0 + CAP)
    return lambda power_kw: power_kw * ratio, f"adjusted by the factor {ratio:.3f}"


def _each(kind: CalendarDayType, basis: int, highest: int, least: int) -> _Kind:
    return _Kind(frozenset({kind}), basis, highest, least)


HIGH_4_OF_5 = DayMatchingMethod(
    kinds={
        CalendarDayType.WEEKDAY: _each(CalendarDayType.WEEKDAY, 5, 4, 4),
        CalendarDayType.SATURDAY: _each(CalendarDayType.SATURDAY, 3, 2, 2),
        CalendarDayType.SUNDAY: _each(CalendarDayType.SUNDAY, 3, 2, 2),
    },
    adjust=_symmetric_additive,
    drop_low=True,
)
"""PJM's standard customer baseline load of economic load response.

PJM Open Access Transmission Tariff, Attachment K - Appendix (the same as Operating Agreement,
Schedule 1), sections 3.3A.2 (the days) and 3.3A.3 (symmetric additive adjustment); Manual 11,
section 10. Weekdays: of the last five the four highest, at least four; Saturdays, and Sundays with
holidays: of three the two highest. A day under 25 % of the days' mean gives way to an earlier one.
"""

_FREE_DAYS = _Kind(frozenset({CalendarDayType.SATURDAY, CalendarDayType.SUNDAY}), 4, 4, 4)

TEN_OF_TEN = DayMatchingMethod(
    kinds={
        CalendarDayType.WEEKDAY: _each(CalendarDayType.WEEKDAY, 10, 10, 5),
        CalendarDayType.SATURDAY: _FREE_DAYS,
        CalendarDayType.SUNDAY: _FREE_DAYS,
    },
    adjust=_capped_ratio,
)
"""CAISO's ten-in-ten for proxy demand resources.

CAISO Fifth Replacement Tariff, section 4.13.4 (customer load baseline) and the Demand Response
User Guide. Business days: the last ten, at least five; weekends with holidays: the last four. All
are averaged, then multiplied by the capped ratio of the hours before.
"""

DAY_METHODS: Mapping[str, DayMatchingMethod] = {
    "high_4_of_5": HIGH_4_OF_5,
    "ten_of_ten": TEN_OF_TEN,
}


def _rrmse_percent(
    days: DaysToMatch,
    kinds: frozenset[CalendarDayType],
    predict: Callable[[date, _Day], Sequence[float] | None],
) -> float | None:
    """How far `predict` was off on the last days that count, in percent of what was drawn.

    The relative root mean square error of PJM's certification of a baseline, which asks for 20 %
    or less (Manual 11, section 10; there by the hour, here by 15 minutes: for whole hours that is
    never less, so what passes here passes there). In the event's own hours, on up to ten days of
    the same kind. None with fewer than five such days, or when the site drew nothing in sum.
    """
    squares, drawn, tried = 0.0, 0.0, 0
    for day, actual in days.dated(days.date, kinds, RRMSE_BACK_DAYS):
        predicted = predict(day, actual)
        if predicted is None:
            continue
        errors = [(p - a) ** 2 for p, a in zip(predicted, actual.values, strict=True)]
        squares += days.mean(errors)
        drawn += actual.mean_kw
        tried += 1
        if tried == RRMSE_DAYS:
            break
    if tried < RRMSE_LEAST_DAYS or drawn <= 0.0:
        return None
    return 100.0 * math.sqrt(squares / tried) / (drawn / tried)


def day_matching_rrmse(method: DayMatchingMethod, days: DaysToMatch) -> float | None:
    """The RRMSE of a day-matching method."""

    def predict(day: date, actual: _Day) -> Sequence[float] | None:
        prediction = method.predict(days, day, actual.window)
        return None if prediction is None else prediction.values

    return _rrmse_percent(days, method.kind(days, days.date).alike, predict)


def day_matching_rrmse_of_recent_power(days: DaysToMatch) -> float | None:
    """The RRMSE of "as it was just before": the last whole interval stands for it."""

    def predict(_day: date, actual: _Day) -> Sequence[float] | None:
        return None if actual.before_kw is None else [actual.before_kw] * len(actual.values)

    kind = days.history.calendar.day_type(days.date)
    return _rrmse_percent(days, frozenset({kind}), predict)
