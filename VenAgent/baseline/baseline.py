"""A baseline: what a site would have drawn in the time of an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from VenAgent.baseline.intervals import INTERVAL_SEC


@dataclass(frozen=True)
class Baseline:
    power_kw: float
    """The mean over the event's time."""
    method: str
    """What it was made with: a name of METHODS, or `present_power`."""
    samples: int
    """How many readings, or with the day-matching methods how many days, it is the mean of."""
    rrmse_percent: float | None = None
    """How far the method was off on the last days (`day_matching.day_matching_rrmse`)."""
    note: str | None = None
    """What a person should know of it: another method in place of the one asked for, and why."""
    profile: tuple[tuple[int, float], ...] = ()
    """(start of a 15-minute interval, kW) in order of time; empty when it is flat."""

    def kw_at(self, ts: float) -> float:
        """The baseline at a time; outside the event that of its first or last interval."""
        return baseline_kw_at(ts, self.profile, self.power_kw)


def baseline_kw_at(ts: float, profile: Sequence[tuple[int, float]], flat_kw: float) -> float:
    """A baseline at `ts`: of its profile the interval's, or the nearest; `flat_kw` without one."""
    if not profile:
        return flat_kw
    at = int((ts - profile[0][0]) // INTERVAL_SEC)
    return profile[min(max(at, 0), len(profile) - 1)][1]
