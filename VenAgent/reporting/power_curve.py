"""The curve of the last hour, over a restart too. Bounded: one point for every five seconds.

It is kept in one small file, written anew each minute and at the end, and never synced: what a
power cut takes of it is drawn again within the hour.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

POINT_SEC = 5.0
KEPT_SEC = 3600.0
LATE_SEC = 60.0
"""A reading that is older than the last point by more shows that the clock was set back."""
WRITE_SEC = 60.0


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
        """A reading taken at `ts` (epoch s); one that is older than the last is left out.

        After the clock was set back, the points of a time that is still to come are dropped.
        """
        if power_kw is None:
            return
        start = ts - ts % POINT_SEC
        if self._points and start < self._points[-1].ts - LATE_SEC:
            self._forget_after(start)
        last = self._points[-1] if self._points else None
        if last is not None and start < last.ts:
            return
        if last is None or start > last.ts:
            self._points.append(_Point(start, 1, power_kw, baseline_kw, target_kw))
            return
        last.count += 1
        last.power_kw += (power_kw - last.power_kw) / last.count
        last.baseline_kw, last.target_kw = baseline_kw, target_kw

    def clear(self) -> None:
        """Begin anew: what is drawn from now on is not comparable."""
        self._points.clear()

    def _forget_after(self, ts: float) -> None:
        while self._points and self._points[-1].ts > ts:
            self._points.pop()

    def restore(self, columns: Mapping[str, Any], now: float) -> None:
        """Begin with what `columns` gave before. Raises ValueError if it cannot have been that."""
        try:
            rows = list(zip(*(columns[name] for name in ("ts", *_COLUMNS)), strict=True))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no such columns: {error!r}") from None
        if not all(map(_is_sound, rows)):
            raise ValueError("not all of it are numbers")
        kept = sorted(row for row in rows if now - KEPT_SEC < row[0] <= now)
        self._points.clear()
        self._points.extend(_Point(row[0], 1, *row[1:]) for row in kept)

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


_COLUMNS = ("power_kw", "baseline_kw", "target_kw")


def _is_sound(row: tuple[Any, ...]) -> bool:
    """Time and power are numbers; baseline and target may be missing."""
    return all(
        (value is None and place > 1) or (isinstance(value, int | float) and math.isfinite(value))
        for place, value in enumerate(row)
    )


class PowerCurveFile:
    """Where a curve outlives the agent. Nothing here raises: the page can do without.

    `measured_by`: what the power is read from; the curve of another is not drawn on.
    """

    def __init__(self, path: Path, curve: PowerCurve, measured_by: str = "") -> None:
        self._path = path
        self._measured_by = measured_by
        self._curve = curve
        self._written_ts = -math.inf
        self._failed = False

    def load(self, now: float) -> None:
        """Take what the last agent left, if it is of the last hour."""
        try:
            columns = json.loads(self._path.read_bytes())
            if isinstance(columns, Mapping) and columns.get("measured_by") != self._measured_by:
                return
            self._curve.restore(columns, now)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, RecursionError) as error:
            _log.warning("the curve of the last hour begins anew: %s: %s", self._path, error)

    def measure_by(self, measured_by: str) -> None:
        """The power is read from something else from now on."""
        if measured_by != self._measured_by:
            self._measured_by = measured_by
            self._curve.clear()

    def save_if_due(self, now: float) -> None:
        """Write it if a minute has passed."""
        if not 0.0 <= now - self._written_ts < WRITE_SEC:
            self.save(now)

    def save(self, now: float) -> None:
        self._written_ts = now
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            columns = {"measured_by": self._measured_by, **self._curve.columns(now)}
            new.write_text(json.dumps(columns, separators=(",", ":")))
            os.replace(new, self._path)
        except OSError as error:
            if not self._failed:
                _log.warning("the curve of the last hour is not kept: %s: %s", self._path, error)
            self._failed = True
        else:
            self._failed = False


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
