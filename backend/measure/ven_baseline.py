"""A VEN's baseline from its stored history.

The methods and their rules are `VenAgent.baseline`'s, as in the agent; here stands which of them
there is enough stored history for, and how far it carries the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

from VenAgent.baseline.baseline import Baseline
from VenAgent.baseline.baseline_methods import METHODS
from VenAgent.baseline.day_matching import DAY_METHODS, DaysToMatch
from VenAgent.baseline.intervals import IntervalHistory
from VenAgent.baseline.recent_power import WINDOW_SEC, recent_power_baseline

PRE_EVENT_SEC = WINDOW_SEC
USUAL_INTERVAL_SEC = 5.0
LEAST_INTERVAL_SEC = 0.1
_FLAT_AND_THIN = 0.5
"""Trust in a baseline of one reading."""


@dataclass(frozen=True)
class VenBaselineTelemetry:
    """The telemetry of the five minutes before an event."""

    mean_kw: float
    last_kw: float
    """The reading at the event's start."""
    samples: int
    span_sec: float
    """From the first to the last of them."""

    @property
    def interval_sec(self) -> float:
        """How often the VEN reports. The parts of a split telemetry have one time."""
        if self.samples < 2 or self.span_sec <= 0.0:
            return USUAL_INTERVAL_SEC
        return max(self.span_sec / (self.samples - 1), LEAST_INTERVAL_SEC)


@dataclass(frozen=True)
class VenBaseline:
    """A baseline, and `trust` in it, 0 … 1: how much of the history its method wants there was."""

    baseline: Baseline
    trust: float


def choose_ven_baseline(
    method: str,
    before: VenBaselineTelemetry | None,
    history: IntervalHistory,
    *,
    start_ts: float,
    end_ts: float,
) -> VenBaseline | None:
    """The baseline by `method`, or by the next one that there is enough history for.

    A day-matching method without enough days gives way to `pre_event_mean`, that with less than a
    minute of telemetry to `present_power`, the last reading. Raises ValueError for no method.
    """
    if method not in METHODS:
        known = ", ".join(METHODS)
        raise ValueError(f"there is no baseline method {method!r}; choose one of: {known}")
    if method in DAY_METHODS:
        found = _of_similar_days(method, DaysToMatch(history, start_ts, end_ts))
        if found is not None:
            return found
    if before is None:
        return None
    if method == "meter_before":
        return VenBaseline(Baseline(before.last_kw, method, 1), _FLAT_AND_THIN)
    baseline = recent_power_baseline(
        mean_kw=before.mean_kw,
        samples=before.samples,
        span_sec=before.span_sec,
        present_kw=before.last_kw,
    )
    if baseline.method == "present_power":
        return VenBaseline(baseline, _FLAT_AND_THIN)
    return VenBaseline(baseline, min(1.0, (before.span_sec + before.interval_sec) / PRE_EVENT_SEC))


def _of_similar_days(name: str, days: DaysToMatch) -> VenBaseline | None:
    method = DAY_METHODS[name]
    prediction = method.predict(days, days.date, days.window_today)
    if prediction is None:
        return None
    profile = tuple(zip(days.starts, prediction.values, strict=True))
    mean_kw = days.mean(prediction.values)
    baseline = Baseline(mean_kw, name, prediction.days, note=prediction.adjustment, profile=profile)
    return VenBaseline(baseline, prediction.days / method.kind(days, days.date).highest)
