"""How often each VEN reports, from the times of its telemetry: by that it is judged silent."""

from __future__ import annotations

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
        self._last: dict[str, float] = {}
        self._gaps: dict[str, tuple[float, ...]] = {}

    def know(self, stored: Mapping[str, float]) -> None:
        """What was known before this process began, in seconds."""
        for ven_id, interval_sec in stored.items():
            self._gaps.setdefault(ven_id, (interval_sec,))

    def add(self, ven_id: str, ts: float) -> float | None:
        """With a telemetry of `ts`: how often the VEN reports; None when it is not known yet."""
        last = self._last.get(ven_id)
        gaps = self._gaps.get(ven_id, ())
        if last is None or ts < last:
            self._last[ven_id] = ts
        elif ts - last > _SAME_TELEMETRY_SEC:
            self._last[ven_id] = ts
            gaps = (*gaps, min(ts - last, _LONGEST_SEC))[-_GAPS_KEPT:]
            self._gaps[ven_id] = gaps
        return min(gaps, default=None)
