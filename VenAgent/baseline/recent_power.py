"""The panel's power in the last minutes, and the baseline before an event that comes of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from VenAgent.baseline.baseline import Baseline
from VenAgent.baseline.sampling_interval import LONGEST_INTERVAL_SEC, SamplingInterval

WINDOW_SEC = 300.0


LEAST_SAMPLES = 5


SAMPLES_KEPT = 10_000


ENOUGH_SEC = 60.0


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
        return recent_power_baseline(
            mean_kw=robust_recent_power_kw([kw for _, kw in recent]),
            samples=len(recent),
            span_sec=recent[-1][0] - recent[0][0],
            present_kw=present_kw,
        )


def robust_recent_power_kw(values_kw: Sequence[float]) -> float:
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


def recent_power_baseline(
    *, mean_kw: float, samples: int, span_sec: float, present_kw: float
) -> Baseline:
    """The mean of the minutes before the event, which its samples span by `span_sec`; with less
    than a minute of history the present power.
    """
    if span_sec < ENOUGH_SEC:
        return Baseline(present_kw, "present_power", 1)
    return Baseline(mean_kw, "pre_event_mean", samples)
