"""What an event delivered: the one rule of agent and operator for time that the meter did not see.

Delivered energy is the baseline's minus the meter's over the time that was seen ("baseline minus
metered", NAESB WEQ-015). Nothing is assumed of the rest: it is counted as unseen. A few readings
are no settlement. Power is kW, energy kWh.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

LEAST_SAMPLES = 3
LEAST_SEEN_SEC = 60.0
LEAST_SEEN_PART = 0.5
"""An event is settled with as many readings, and with as much time seen: seconds, or for a short
event a part of it."""


@dataclass(frozen=True)
class SettledTime:
    """A part of the event that the meter saw, of any length."""

    seen_sec: float
    power_kw: float
    """The mean of the meter."""
    baseline_kw: float | None
    """The baseline's mean over the same time; None if there is none."""


@dataclass(frozen=True)
class Settlement:
    """None where nothing was measured."""

    samples: int
    seen_sec: float
    unseen_sec: float
    average_kw: float | None = None
    """The meter's mean over the time that was seen."""
    baseline_kw: float | None = None
    """The baseline's, over the same time."""
    achieved_kw: float | None = None
    delivered_kwh: float | None = None
    note: str | None = None
    """Why there are no figures, or how much of the time they stand for; for a person."""


def settlement_of(samples: int, event_sec: float, seen: Iterable[SettledTime]) -> Settlement:
    """The settlement of an event of `event_sec` (without pauses), from `samples` readings that saw
    the times in `seen`."""
    parts = list(seen)
    seen_sec = min(math.fsum(part.seen_sec for part in parts), max(0.0, event_sec))
    unseen_sec = max(0.0, event_sec - seen_sec)
    if not samples or not parts:
        return Settlement(samples, seen_sec, unseen_sec, note="not measured: no reading")
    average_kw = _mean([(part.power_kw, part.seen_sec) for part in parts])
    baselines = [(p.baseline_kw, p.seen_sec) for p in parts if p.baseline_kw is not None]
    if len(baselines) < len(parts):
        return Settlement(samples, seen_sec, unseen_sec, average_kw, note="there is no baseline")
    baseline_kw = _mean(baselines)
    least_sec = min(LEAST_SEEN_SEC, LEAST_SEEN_PART * event_sec)
    if samples < LEAST_SAMPLES or seen_sec < least_sec:
        readings = "1 reading" if samples == 1 else f"{samples} readings"
        note = f"not measured: {readings} of {seen_sec:.0f} s"
        return Settlement(samples, seen_sec, unseen_sec, average_kw, baseline_kw, note=note)
    achieved_kw = baseline_kw - average_kw
    delivered_kwh = achieved_kw * seen_sec / 3600.0
    unseen = f"{unseen_sec:.0f} of {event_sec:.0f} s were not seen by the meter"
    return Settlement(
        samples=samples,
        seen_sec=seen_sec,
        unseen_sec=unseen_sec,
        average_kw=average_kw,
        baseline_kw=baseline_kw,
        achieved_kw=achieved_kw,
        delivered_kwh=delivered_kwh,
        note=unseen if unseen_sec >= 1.0 else None,
    )


def _mean(weighted: list[tuple[float, float]]) -> float:
    """Weighted by time; of a single reading, which has none, its own value."""
    total_sec = math.fsum(sec for _, sec in weighted)
    if total_sec <= 0.0:
        return math.fsum(value for value, _ in weighted) / len(weighted)
    return math.fsum(value * sec for value, sec in weighted) / total_sec
