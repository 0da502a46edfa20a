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

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from VenAgent.baseline import day_matching
from VenAgent.baseline.intervals import INTERVAL_SEC, IntervalHistory, SiteCalendar

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "Baseline",
    "IntervalHistory",
    "RecentPower",
    "SiteCalendar",
    "choose_baseline",
]
from VenAgent.baseline.sampling_interval import LONGEST_INTERVAL_SEC, SamplingInterval

WINDOW_SEC = 300.0
LEAST_SAMPLES = 5
SAMPLES_KEPT = 10_000
ENOUGH_SEC = 60.0
DEFAULT_METHOD = "pre_event_mean"


@dataclass(frozen=True)
class Baseline:
    power_kw: float
    """The mean over the event's time."""
    method: str
    """What it was made with: a name of METHODS, or `present_power`."""
    samples: int
    """How many readings, or with the day-matching methods how many days, it is the mean of."""
    rrmse_percent: float | None = None
    """How far the method was off on the last days (`day_matching.rrmse_percent`)."""
    note: str | None = None
    """What a person should know of it: another method in place of the one asked for, and why."""
    profile: tuple[tuple[int, float], ...] = ()
    """(start of a 15-minute interval, kW) in order of time; empty when it is flat."""

    def kw_at(self, ts: float) -> float:
        """The baseline at a time; outside the event that of its first or last interval."""
        return kw_at(ts, self.profile, self.power_kw)


def kw_at(ts: float, profile: Sequence[tuple[int, float]], flat_kw: float) -> float:
    """A baseline at `ts`: of its profile the interval's, or the nearest; `flat_kw` without one."""
    if not profile:
        return flat_kw
    at = int((ts - profile[0][0]) // INTERVAL_SEC)
    return profile[min(max(at, 0), len(profile) - 1)][1]


class RecentPower:
    """The last minutes of the panel's power, in order of time.

    The window is five minutes, or as many of a slow meter's intervals as give `LEAST_SAMPLES`.
    """

    def __init__(self, window_sec: float = WINDOW_SEC) -> None:
        self._least_window_sec = window_sec
        self._interval = SamplingInterval()
        self._samples: deque[tuple[float, float]] = deque()

    @property
    def window_sec(self) -> float:
        return max(self._least_window_sec, LEAST_SAMPLES * (self._interval.interval_sec or 0.0))

    def add(self, ts: float, power_kw: float) -> None:
        """Add a sample; one that is not newer than the last is the same reading again.

        One that is older by more than the window shows that the clock was set back: what was
        known bears times that are still to come, and is of no use.
        """
        if self._samples and ts <= self._samples[-1][0]:
            if ts > self._samples[-1][0] - self.window_sec:
                return
            self._samples.clear()
            self._interval = SamplingInterval()
        self._samples.append((ts, power_kw))
        self._interval.add(ts)
        oldest_ts = ts - LEAST_SAMPLES * LONGEST_INTERVAL_SEC
        while self._samples[0][0] < oldest_ts or len(self._samples) > SAMPLES_KEPT:
            self._samples.popleft()

    def baseline(self, now: float, present_kw: float) -> Baseline:
        """The baseline of an event that begins at `now`, when the meter shows `present_kw`."""
        recent = [(ts, kw) for ts, kw in self._samples if now - self.window_sec <= ts <= now]
        if not recent:
            return Baseline(present_kw, "present_power", 1)
        return pre_event_baseline(
            mean_kw=robust_mean_kw([kw for _, kw in recent]),
            samples=len(recent),
            span_sec=recent[-1][0] - recent[0][0],
            present_kw=present_kw,
        )


def robust_mean_kw(values_kw: Sequence[float]) -> float:
    """The mean without the highest and the lowest twentieth, at least one of each; of fewer than
    five values the median. So no one value moves it by more than its share: a meter that once reads
    6,553.5 kW is as any other high reading. Raises ValueError without a value.
    """
    if not values_kw:
        raise ValueError("no values: there is no mean")
    ordered = sorted(values_kw)
    cut = max(1, len(ordered) // 20) if len(ordered) >= 5 else (len(ordered) - 1) // 2
    kept = ordered[cut : len(ordered) - cut]
    return math.fsum(kept) / len(kept)


def pre_event_baseline(
    *, mean_kw: float, samples: int, span_sec: float, present_kw: float
) -> Baseline:
    """The mean of the minutes before the event, which its samples span by `span_sec`; with less
    than a minute of history the present power.
    """
    if span_sec < ENOUGH_SEC:
        return Baseline(present_kw, "present_power", 1)
    return Baseline(mean_kw, "pre_event_mean", samples)


@dataclass(frozen=True)
class BaselineInputs:
    """What a method may look at."""

    recent: RecentPower
    days: day_matching.EventDays
    now: float
    present_kw: float


Method = Callable[[BaselineInputs], Baseline]


def _pre_event_mean(inputs: BaselineInputs) -> Baseline:
    baseline = inputs.recent.baseline(inputs.now, inputs.present_kw)
    return replace(baseline, rrmse_percent=day_matching.rrmse_of_flat(inputs.days))


def _meter_before(inputs: BaselineInputs) -> Baseline:
    rrmse_percent = day_matching.rrmse_of_flat(inputs.days)
    return Baseline(inputs.present_kw, "meter_before", 1, rrmse_percent)


def _of_similar_days(name: str, method: day_matching.DayMethod) -> Method:
    def of_similar_days(inputs: BaselineInputs) -> Baseline:
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
            day_matching.rrmse_of(method, days),
            prediction.adjustment,
            tuple(zip(days.starts, prediction.values, strict=True)),
        )

    return of_similar_days


METHODS: Mapping[str, Method] = {
    "pre_event_mean": _pre_event_mean,
    "meter_before": _meter_before,
    **{name: _of_similar_days(name, method) for name, method in day_matching.DAY_METHODS.items()},
}


def choose_baseline(
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
    days = day_matching.EventDays(intervals, start_ts, end_ts)
    return METHODS[method](BaselineInputs(recent, days, now, present_kw))
