"""What one VEN delivered in an event, and what all did together. Pure; kW, kWh, seconds.

Delivered energy is the baseline's minus the meter's over the time of the event that the meter
covers, the "baseline minus metered" of NAESB WEQ-015 and of the agent's own summary; time without
telemetry delivers nothing, since nobody saw it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backend.measure.days import METHODS as DAY_METHODS
from backend.measure.days import QUARTER_SEC, History, similar_days

PRE_EVENT_SEC = 300.0
"""The five minutes before the event (docs/baselines.md)."""
ENOUGH_SEC = 60.0
METHODS = ("pre_event_mean", "meter_before", *sorted(DAY_METHODS))
DEFAULT_METHOD = "pre_event_mean"
USUAL_INTERVAL_SEC = 5.0
LEAST_INTERVAL_SEC = 0.1
_FLAT_AND_THIN = 0.5
"""Confidence in a baseline of one reading."""


@dataclass(frozen=True)
class Window:
    """An event's time, epoch s."""

    start: float
    end: float

    @property
    def hours(self) -> float:
        return max(0.0, self.end - self.start) / 3_600.0


@dataclass(frozen=True)
class Before:
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
class Slice:
    """The meter in one quarter hour of the event."""

    start: int
    """The quarter hour's start, epoch s."""
    mean_kw: float
    samples: int


@dataclass(frozen=True)
class Baseline:
    method: str
    flat_kw: float
    by_quarter_hour: Mapping[int, float]
    """Empty when it is flat."""
    trust: float
    """0 … 1: how much of the history that the method wants there was."""

    def kw_in(self, start: int) -> float:
        return self.by_quarter_hour.get(start, self.flat_kw)


@dataclass(frozen=True)
class Performance:
    """None where nothing was measured."""

    baseline_method: str | None
    baseline_kw: float | None
    average_kw: float | None
    requested_shed_kw: float | None
    achieved_shed_kw: float | None
    shed_percentage: float | None
    """Achieved of requested."""
    delivered_kwh: float | None
    confidence: float
    samples: int
    expected_samples: int


def choose_baseline(
    method: str, before: Before | None, history: History, window: Window
) -> Baseline | None:
    """The baseline by `method`, or by the next one that there is enough history for.

    A day-matching method without enough days gives way to `pre_event_mean`, that with less than a
    minute of telemetry to `present_power`, the last reading. Raises ValueError for no method.
    """
    if method not in METHODS:
        known = ", ".join(METHODS)
        raise ValueError(f"there is no baseline method {method!r}; choose one of: {known}")
    if method in DAY_METHODS:
        profile = similar_days(method, history, window.start, window.end)
        if profile is not None:
            flat_kw = math.fsum(profile.kw.values()) / len(profile.kw)
            return Baseline(method, flat_kw, profile.kw, profile.days / profile.wanted)
    if before is None:
        return None
    if method == "meter_before":
        return Baseline(method, before.last_kw, {}, _FLAT_AND_THIN)
    if before.span_sec < ENOUGH_SEC:
        return Baseline("present_power", before.last_kw, {}, _FLAT_AND_THIN)
    trust = min(1.0, (before.span_sec + before.interval_sec) / PRE_EVENT_SEC)
    return Baseline("pre_event_mean", before.mean_kw, {}, trust)


def measure(
    requested_kw: float | None,
    window: Window,
    slices: Sequence[Slice],
    baseline: Baseline | None,
    interval_sec: float = USUAL_INTERVAL_SEC,
) -> Performance:
    """A VEN's figures; `confidence` is the share of time covered, times the baseline's trust."""
    expected = max(1, round((window.end - window.start) / interval_sec))
    samples = sum(piece.samples for piece in slices)
    if not samples or baseline is None:
        average_kw = _mean([(piece.mean_kw, piece.samples) for piece in slices])
        return Performance(
            None, None, average_kw, requested_kw, None, None, None, 0.0, samples, expected
        )
    hours = [(piece, _covered_hours(piece, window, interval_sec)) for piece in slices]
    average_kw = _mean([(piece.mean_kw, each) for piece, each in hours])
    baseline_kw = _mean([(baseline.kw_in(piece.start), each) for piece, each in hours])
    delivered_kwh = math.fsum(
        (baseline.kw_in(piece.start) - piece.mean_kw) * each for piece, each in hours
    )
    covered_hours = math.fsum(each for _, each in hours)
    achieved_kw = delivered_kwh / covered_hours if covered_hours > 0 else None
    coverage = min(1.0, covered_hours / window.hours) if window.hours > 0 else 0.0
    return Performance(
        baseline_method=baseline.method,
        baseline_kw=baseline_kw,
        average_kw=average_kw,
        requested_shed_kw=requested_kw,
        achieved_shed_kw=achieved_kw,
        shed_percentage=_percent(achieved_kw, requested_kw),
        delivered_kwh=delivered_kwh,
        confidence=coverage * baseline.trust,
        samples=samples,
        expected_samples=expected,
    )


def together(requested_kw: float, parts: Iterable[Performance]) -> Performance:
    """The event as a whole: sums, and confidence weighted by the baselines."""
    every = list(parts)
    known = [part for part in every if part.baseline_kw is not None]
    methods = sorted({part.baseline_method for part in known if part.baseline_method})
    achieved_kw = _sum([part.achieved_shed_kw for part in known])
    weights = [(part.confidence, abs(part.baseline_kw or 0.0)) for part in every]
    # A VEN of which nothing is known counts as much as one of the others.
    usual_kw = math.fsum(kw for _, kw in weights) / len(known) if known else 0.0
    weights = [(trust, kw if kw > 0.0 else usual_kw) for trust, kw in weights]
    return Performance(
        baseline_method=methods[0] if len(methods) == 1 else "mixed" if methods else None,
        baseline_kw=_sum([part.baseline_kw for part in known]),
        average_kw=_sum([part.average_kw for part in known]),
        requested_shed_kw=requested_kw,
        achieved_shed_kw=achieved_kw,
        shed_percentage=_percent(achieved_kw, requested_kw),
        delivered_kwh=_sum([part.delivered_kwh for part in known]),
        confidence=_mean(weights) or 0.0,
        samples=sum(part.samples for part in every),
        expected_samples=sum(part.expected_samples for part in every),
    )


def _covered_hours(piece: Slice, window: Window, interval_sec: float) -> float:
    """How long a slice is within the event, and at most as long as its samples stand for."""
    begin, end = max(piece.start, window.start), min(piece.start + QUARTER_SEC, window.end)
    return min(max(0.0, end - begin), piece.samples * interval_sec) / 3_600.0


def _mean(weighted: Sequence[tuple[float, float]]) -> float | None:
    weight = math.fsum(each for _, each in weighted)
    return math.fsum(value * each for value, each in weighted) / weight if weight > 0 else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if known else None


def _percent(achieved_kw: float | None, requested_kw: float | None) -> float | None:
    if achieved_kw is None or not requested_kw:
        return None
    return 100.0 * achieved_kw / requested_kw
