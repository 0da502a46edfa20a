"""What one VEN delivered in an event, and what all did together. Pure; kW, kWh, seconds.

Delivered energy is the baseline's minus the meter's over the time of the event that the meter
covers, by the rule that the agent's own summary goes by too (`VenAgent.baseline.settlement`); time
without telemetry delivers nothing, since nobody saw it, and a few readings are no settlement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from backend.measure.ven_baseline import USUAL_INTERVAL_SEC, VenBaseline
from VenAgent.baseline.intervals import INTERVAL_SEC
from VenAgent.baseline.settlement import SettledTime, settlement_of


@dataclass(frozen=True)
class VenPerformanceWindow:
    """An event's time, epoch s."""

    start: float
    end: float

    @property
    def hours(self) -> float:
        return max(0.0, self.end - self.start) / 3_600.0


@dataclass(frozen=True)
class VenPerformanceSlice:
    """The meter in one quarter hour of the event."""

    start: int
    """The quarter hour's start, epoch s."""
    mean_kw: float
    """Over the time that was seen."""
    samples: int
    seen_sec: float | None = None
    """The time that its readings stand for, each until the next unless that is a gap; None: as
    many intervals as there are readings."""


@dataclass(frozen=True)
class VenPerformance:
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
    limit_kw: float | None = None
    highest_kw: float | None = None
    """Of the quarter hours' means."""
    over_limit_kwh: float | None = None
    unseen_sec: float | None = None
    note: str | None = None


def measure_ven_performance(
    requested_kw: float | None,
    window: VenPerformanceWindow,
    slices: Sequence[VenPerformanceSlice],
    chosen: VenBaseline | None,
    interval_sec: float = USUAL_INTERVAL_SEC,
    limit_kw: float | None = None,
) -> VenPerformance:
    """A VEN's figures; `confidence` is the share of time covered, times the baseline's trust."""
    event_sec = window.hours * 3_600.0
    kept: dict[str, Any] = {
        "limit_kw": limit_kw,
        "highest_kw": max((piece.mean_kw for piece in slices), default=None),
        "over_limit_kwh": _over_limit_kwh(slices, window, interval_sec, limit_kw),
    }
    expected = max(1, round((window.end - window.start) / interval_sec))
    samples = sum(piece.samples for piece in slices)
    if not samples or chosen is None:
        average_kw = _mean([(piece.mean_kw, piece.samples) for piece in slices])
        seen_sec = math.fsum(_covered_sec(piece, window, interval_sec) for piece in slices)
        note = "there is no baseline" if samples else "not measured: no reading"
        return VenPerformance(
            *(None, None, average_kw, requested_kw, None, None, None, 0.0, samples, expected),
            **kept,
            unseen_sec=max(0.0, event_sec - seen_sec),
            note=note,
        )
    baseline = chosen.baseline
    seen = [
        SettledTime(
            _covered_sec(piece, window, interval_sec),
            piece.mean_kw,
            baseline.kw_at(piece.start),
        )
        for piece in slices
    ]
    settlement = settlement_of(samples, event_sec, seen)
    coverage = settlement.seen_sec / event_sec if event_sec > 0 else 0.0
    is_settled = settlement.delivered_kwh is not None
    return VenPerformance(
        baseline_method=baseline.method,
        baseline_kw=settlement.baseline_kw,
        average_kw=settlement.average_kw,
        requested_shed_kw=requested_kw,
        achieved_shed_kw=settlement.achieved_kw,
        shed_percentage=_percent(settlement.achieved_kw, requested_kw),
        delivered_kwh=settlement.delivered_kwh,
        confidence=coverage * chosen.trust if is_settled else 0.0,
        samples=samples,
        expected_samples=expected,
        unseen_sec=settlement.unseen_sec,
        note=settlement.note,
        **kept,
    )


def total_ven_performance(requested_kw: float, parts: Iterable[VenPerformance]) -> VenPerformance:
    """The event as a whole: sums, and confidence weighted by the baselines."""
    every = list(parts)
    known = [part for part in every if part.baseline_kw is not None]
    methods = sorted({part.baseline_method for part in known if part.baseline_method})
    achieved_kw = _sum([part.achieved_shed_kw for part in known])
    weights = [(part.confidence, abs(part.baseline_kw or 0.0)) for part in every]
    # A VEN of which nothing is known counts as much as one of the others.
    usual_kw = math.fsum(kw for _, kw in weights) / len(known) if known else 0.0
    weights = [(trust, kw if kw > 0.0 else usual_kw) for trust, kw in weights]
    return VenPerformance(
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
        limit_kw=_sum([part.limit_kw for part in every]),
        over_limit_kwh=_sum([part.over_limit_kwh for part in every]),
        unseen_sec=_sum([part.unseen_sec for part in every]),
        note=_missing(every),
    )


def _missing(parts: Sequence[VenPerformance]) -> str | None:
    missing = sum(part.delivered_kwh is None for part in parts)
    return f"{missing} of {len(parts)} VENs were not measured" if missing else None


def _over_limit_kwh(
    slices: Sequence[VenPerformanceSlice],
    window: VenPerformanceWindow,
    interval_sec: float,
    limit_kw: float | None,
) -> float | None:
    """By the means of quarter hours: what the grid's meter counts too."""
    if limit_kw is None or not slices:
        return None
    return math.fsum(
        max(0.0, piece.mean_kw - limit_kw) * _covered_sec(piece, window, interval_sec) / 3_600.0
        for piece in slices
    )


def _covered_sec(
    piece: VenPerformanceSlice, window: VenPerformanceWindow, interval_sec: float
) -> float:
    """How long a slice was seen: within the event, and as long as its samples stand for."""
    if piece.seen_sec is not None:
        return piece.seen_sec
    begin, end = max(piece.start, window.start), min(piece.start + INTERVAL_SEC, window.end)
    return min(max(0.0, end - begin), piece.samples * interval_sec)


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
