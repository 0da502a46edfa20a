"""How often a meter is read, from the readings themselves.

A driver may publish every second, every minute or every five; what is a gap, and what is stale,
follows from that. Times are epoch seconds.
"""

from __future__ import annotations

from collections import deque

GAP_SEC = 90.0
"""The time between two readings is a gap, not a constant power, when it is longer than this and
than `GAP_INTERVALS` of the meter's intervals."""
GAP_INTERVALS = 2.5
LONGEST_INTERVAL_SEC = 900.0
GAPS_KEPT = 15
LEAST_GAPS = 5
OUTAGES = 2
"""Of the last gaps so many may be outages; the next longest is the meter's interval. Readings that
were asked for between two publications make some gaps short, and count for nothing so."""


def sampling_gap_limit_sec(interval_sec: float | None) -> float:
    """The longest time for which one reading stands, with a meter read every `interval_sec`."""
    return max(GAP_SEC, GAP_INTERVALS * (interval_sec or 0.0))


class SamplingInterval:
    """Fed with the time of every reading."""

    def __init__(self) -> None:
        self._last_ts: float | None = None
        self._gaps: deque[float] = deque(maxlen=GAPS_KEPT)

    def add(self, ts: float) -> None:
        """A reading of `ts`; one that is not newer is the same again, or the clock was set."""
        if self._last_ts is not None and ts > self._last_ts:
            self._gaps.append(ts - self._last_ts)
        self._last_ts = ts

    @property
    def interval_sec(self) -> float | None:
        """None before there were enough readings to tell."""
        if len(self._gaps) < LEAST_GAPS:
            return None
        return min(sorted(self._gaps)[-1 - OUTAGES], LONGEST_INTERVAL_SEC)

    @property
    def gap_limit_sec(self) -> float:
        return sampling_gap_limit_sec(self.interval_sec)

    def stale_after_sec(self, configured_sec: float) -> float:
        """When a reading is stale: as configured, or later with a meter that is read seldom."""
        return max(configured_sec, GAP_INTERVALS * (self.interval_sec or 0.0))
