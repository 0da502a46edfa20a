"""What the site would have drawn without the event: a small registry of methods.

`pre_event_mean`, the default: the mean of the five minutes before the
event (60 samples at 5 s); with less than a minute of history, the present power. Samples taken
while an event sheds are not history: they would make the next event's baseline too low.
`meter_before`: the reading at the event's start, kept for its whole time ("meter before / meter
after" in NAESB's standard WEQ-015 on the measurement and verification of demand response).
`high_4_of_5`, `ten_of_ten`: from similar days, see `day_matching.py`; without enough of them
`pre_event_mean` takes their place, and the baseline says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from VenAgent.baseline import day_matching
from VenAgent.baseline.baseline import Baseline
from VenAgent.baseline.intervals import IntervalHistory
from VenAgent.baseline.recent_power import RecentPower

DEFAULT_METHOD = "pre_event_mean"


@dataclass(frozen=True)
class MethodInputs:
    """What a method may look at."""

    recent: RecentPower
    days: day_matching.DaysToMatch
    now: float
    present_kw: float


Method = Callable[[MethodInputs], Baseline]


def _pre_event_mean(inputs: MethodInputs) -> Baseline:
    baseline = inputs.recent.baseline(inputs.now, inputs.present_kw)
    return replace(
        baseline, rrmse_percent=day_matching.day_matching_rrmse_of_recent_power(inputs.days)
    )


def _meter_before(inputs: MethodInputs) -> Baseline:
    rrmse_percent = day_matching.day_matching_rrmse_of_recent_power(inputs.days)
    return Baseline(inputs.present_kw, "meter_before", 1, rrmse_percent)


def _of_similar_days(name: str, method: day_matching.DayMatchingMethod) -> Method:
    def of_similar_days(inputs: MethodInputs) -> Baseline:
        days = inputs.days
        prediction = method.predict(days, days.date, days.window_today)
        if prediction is None:
            instead = _pre_event_mean(inputs)
            least = method.kind(days, days.date).least
            note = (
                f"{name} needs {least} days like this one without an event in the last "
                f"{day_matching.LOOK_BACK_DAYS}; there are fewer, {instead.method} takes its place"
            )
            return replace(instead, note=note)
        return Baseline(
            days.mean(prediction.values),
            name,
            prediction.days,
            day_matching.day_matching_rrmse(method, days),
            prediction.adjustment,
            tuple(zip(days.starts, prediction.values, strict=True)),
        )

    return of_similar_days


METHODS: Mapping[str, Method] = {
    "pre_event_mean": _pre_event_mean,
    "meter_before": _meter_before,
    **{name: _of_similar_days(name, method) for name, method in day_matching.DAY_METHODS.items()},
}


def baseline_by_method(
    method: str,
    recent: RecentPower,
    intervals: IntervalHistory,
    *,
    start_ts: float,
    end_ts: float,
    now: float,
    present_kw: float,
) -> Baseline:
    """The baseline of an event over [start_ts, end_ts], made at `now` when the meter shows
    `present_kw`. Raises ValueError if there is no such method.
    """
    if method not in METHODS:
        known = ", ".join(METHODS)
        raise ValueError(f"there is no baseline method {method!r}; choose one of: {known}")
    days = day_matching.DaysToMatch(intervals, start_ts, end_ts)
    return METHODS[method](MethodInputs(recent, days, now, present_kw))
