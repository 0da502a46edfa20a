"""What must not suffer from a shed: a zone's or a tank's temperature, a room's CO2.

A circuit with a guard is shed only while its guard's value is known and inside the bounds, and goes
back when it is not: the building comes first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

COMFORT_UNIT = {"fahrenheit": 1.8, "ppm": 100.0, "percent": 5.0}
"""What is worth as much as a degree Celsius, by unit."""


@dataclass(frozen=True)
class ComfortGuard:
    """Bounds of one measured value, in the value's own unit."""

    minimum: float = -math.inf
    maximum: float = math.inf
    margin: float = 0.0
    """So far inside the bounds it must be before the circuit is shed (again)."""
    unit: str = ""
    frozen_sec: float = math.inf
    """A value that has not changed for so long is a stuck sensor's."""

    def comfort_reserve(self, value: float) -> float:
        """How far it is inside the nearer bound; negative past it."""
        return min(value - self.minimum, self.maximum - value)

    def comfort_left(self, value: float) -> float:
        """The same to compare guards of different units by: about what a degree Celsius is worth to
        whoever is in the room."""
        return self.comfort_reserve(value) / COMFORT_UNIT.get(self.unit, 1.0)

    def is_passed(self, value: float) -> bool:
        return self.comfort_reserve(value) < 0.0

    def may_be_shed(self, value: float | None) -> bool:
        """Not while nothing is known of it."""
        return value is not None and self.comfort_reserve(value) >= max(self.margin, 0.0)

    def bound_text(self) -> str:
        """For a person."""
        words = []
        if math.isfinite(self.minimum):
            words.append(f"at least {self.minimum:g}")
        if math.isfinite(self.maximum):
            words.append(f"at most {self.maximum:g}")
        return " and ".join(words) + (f" {self.unit}" if self.unit else "")

    def spared_text(
        self,
        value: float | None,
        unmoved_sec: float | None = None,
        silent_sec: float | None = None,
    ) -> str:
        """Why its circuit is not shed, for a person."""
        if value is None or self.is_passed(value):
            return self.passed_text(value, unmoved_sec, silent_sec)
        return f"its guard point reads {value:.4g}: too near to its bound ({self.bound_text()})"

    def passed_text(
        self,
        value: float | None,
        unmoved_sec: float | None = None,
        silent_sec: float | None = None,
    ) -> str:
        """What is wrong with it, for a person. `unmoved_sec`: it is read, and has not changed;
        `silent_sec`: so long ago it read what could be used."""
        if unmoved_sec is not None:
            minutes = math.floor(unmoved_sec / 60.0)
            return f"its guard point has not changed for {minutes} minutes: it is taken for stuck"
        if value is None:
            since = "" if silent_sec is None else f" since {silent_sec:.0f} s ago"
            return f"its guard point is not read{since} (it must show {self.bound_text()})"
        unit = f" {self.unit}" if self.unit else ""
        return f"its guard point reads {value:.4g}{unit}, and must be {self.bound_text()}"
