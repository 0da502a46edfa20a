"""The curve of the last hour. Bounded: one point for every five seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

POINT_SEC = 5.0
KEPT_SEC = 3600.0


@dataclass
class _Point:
    """The readings that fell into one stretch: power is their mean, the others the latest."""

    ts: float
    count: int
    power_kw: float
    baseline_kw: float | None
    target_kw: float | None


class PowerCurve:
    """Power, baseline and target (kW) over the last hour."""

    def __init__(self) -> None:
        self._points: deque[_Point] = deque(maxlen=int(KEPT_SEC / POINT_SEC))

    def add(
        self, ts: float, power_kw: float | None, baseline_kw: float | None, target_kw: float | None
    ) -> None:
        """A reading taken at `ts` (epoch s); one that is older than the last is left out."""
        if power_kw is None:
            return
        start = ts - ts % POINT_SEC
        last = self._points[-1] if self._points else None
        if last is not None and start < last.ts:
            return
        if last is None or start > last.ts:
            self._points.append(_Point(start, 1, power_kw, baseline_kw, target_kw))
            return
        last.count += 1
        last.power_kw += (power_kw - last.power_kw) / last.count
        last.baseline_kw, last.target_kw = baseline_kw, target_kw

    def columns(self, now: float) -> dict[str, Any]:
        """The points of the last hour, oldest first; nothing stands for a time without readings."""
        points = [point for point in self._points if point.ts > now - KEPT_SEC]
        return {
            "point_sec": POINT_SEC,
            "ts": [point.ts for point in points],
            "power_kw": [round(point.power_kw, 3) for point in points],
            "baseline_kw": [_rounded(point.baseline_kw) for point in points],
            "target_kw": [_rounded(point.target_kw) for point in points],
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
