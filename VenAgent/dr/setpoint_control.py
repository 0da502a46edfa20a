"""Shedding by a thermostat's or an air handler's setpoint: where it is moved, and what that brings.

For a shed the setpoint is moved towards less power only, within what the site allows, and never
when it is there already: a room in night setback is not cooled for an event. To draw more it is
moved the other way: a room is cooled, or a tank heated, ahead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from VenAgent.dr.learned_shed import LearnedShed

FIRST_GUESS = 0.5
"""What a first shed is taken to bring, as a part of the present draw, where nothing is known."""


@dataclass(frozen=True)
class SetpointControl:
    """In the thermostat's own unit. Either `offset` or `value` is given."""

    minimum: float
    maximum: float
    rises: bool
    """Less power by a higher setpoint, as with cooling; else by a lower one, as with heating."""
    offset: float | None = None
    """From where it stands; signed."""
    value: float | None = None
    raise_value: float | None = None
    """Where to it is moved to draw more; None: by the offset, the other way."""
    step: float = 0.1
    settle_sec: float = 600.0
    """So long it takes until the power shows it."""
    configured_kw: float | None = None
    learned: LearnedShed | None = None
    learned_rise: LearnedShed | None = None
    """Of the times that it was moved the other way."""

    def shed_setpoint(self, present: float) -> float | None:
        """Where it goes from `present`; None when it must stay.

        A present setpoint outside the bounds is somebody's intention, or no setpoint at all.
        """
        if not self.minimum <= present <= self.maximum:
            return None
        wanted = present + (self.offset or 0.0) if self.value is None else self.value
        wanted = min(self.maximum, max(self.minimum, wanted))
        steps = wanted / self.step
        whole = math.floor(steps + 1e-6) if self.rises else math.ceil(steps - 1e-6)
        moved = round(whole * self.step, 6)
        is_less = moved > present if self.rises else moved < present
        return moved if is_less else None

    def raise_setpoint(self, present: float) -> float | None:
        """Where it goes from `present` to draw more; None when it must stay."""
        if not self.minimum <= present <= self.maximum:
            return None
        if self.raise_value is None and self.offset is None:
            return None
        wanted = present - (self.offset or 0.0) if self.raise_value is None else self.raise_value
        wanted = min(self.maximum, max(self.minimum, wanted))
        steps = wanted / self.step
        whole = math.ceil(steps - 1e-6) if self.rises else math.floor(steps + 1e-6)
        moved = round(whole * self.step, 6)
        is_more = moved < present if self.rises else moved > present
        return moved if is_more else None

    def expected_raise_kw(self, power_kw: float | None, rating_kw: float) -> float:
        """What moving it the other way is taken to bring, at most up to what the unit can draw:
        learned of rises; what sheds have brought tells nothing of it."""
        learned = self.learned_rise
        if learned is not None and learned.is_enough:
            expected_kw = learned.counted_on_kw
        elif self.configured_kw is not None:
            expected_kw = self.configured_kw
        else:
            expected_kw = FIRST_GUESS * (power_kw or 0.0)
        return max(0.0, min(expected_kw, rating_kw - (power_kw or 0.0)))

    def expected_kw(self, power_kw: float | None) -> float:
        """What it brings while the unit draws `power_kw` (None: it has no meter)."""
        learned = self.learned
        if learned is not None and learned.is_enough:
            expected_kw = learned.counted_on_kw
        elif self.configured_kw is not None:
            expected_kw = self.configured_kw
        else:
            expected_kw = FIRST_GUESS * (power_kw or 0.0)
        return expected_kw if power_kw is None else min(expected_kw, power_kw)
