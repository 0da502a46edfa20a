"""How often each VEN reports, from the times of its telemetry: by that it is judged silent."""

from __future__ import annotations

import math
from collections.abc import Mapping

_GAPS_KEPT = 3
_SAME_TELEMETRY_SEC = 0.5
"""Parts of one telemetry bear one time."""
_LONGEST_SEC = 3_600.0
MISSED_REPORTS = 2.5
"""So many of its intervals without a word is silence."""


class ReportIntervals:
    """Times in epoch seconds of the VEN's clock; the shortest of the last gaps counts, so that an
    outage is none."""

    def __init__(self) -> None:
        self._of_ven: dict[str, tuple[float, tuple[float, ...], float | None]] = {}
        """The last telemetry's time, the last gaps, and the shortest of these."""

    def know(self, stored: Mapping[str, float]) -> None:
        """What was known before this process began, in seconds."""
        for ven_id, interval_sec in stored.items():
            self._of_ven.setdefault(ven_id, (math.inf, (interval_sec,), interval_sec))

    def add(self, ven_id: str, ts: float) -> float | None:
        """With a telemetry of `ts`: how often the VEN reports; None when it is not known yet."""
        last, gaps, shortest_sec = self._of_ven.get(ven_id, (math.inf, (), None))
        gap_sec = ts - last
        if 0.0 <= gap_sec <= _SAME_TELEMETRY_SEC:
            return shortest_sec
        if gap_sec > 0.0:
            gaps = (*gaps[1 - _GAPS_KEPT :], min(gap_sec, _LONGEST_SEC))
            shortest_sec = min(gaps)
        self._of_ven[ven_id] = (ts, gaps, shortest_sec)
        return shortest_sec
