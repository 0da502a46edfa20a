"""A circuit in the configuration: its comfort guard, and like units that take turns."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from VenAgent.config.circuit_setpoint_config import CircuitSetpointConfig
from VenAgent.config.config_block import (
    DevicePath,
    Name,
    NotBoolean,
    NotNegative,
)
from VenAgent.config.measurement_units import measurement_unit_of

PLAUSIBLE_GUARD = {
    "celsius": (-35.0, 100.0),
    "fahrenheit": (-31.0, 212.0),
    "kelvin": (238.0, 373.15),
    "ppm": (300.0, 10_000.0),
    "percent": (0.0, 100.0),
}
"""A broken or unconnected sensor reads -127, -40 or 850; a freezer has -30 at times, outdoor air
400 ppm of CO2."""
POWER_ON_GUARD = {"celsius": 85.0, "fahrenheit": 185.0, "kelvin": 358.15}
"""What the widest spread temperature sensor (DS18B20) reads from its power-on until it measures."""


class CircuitGuardConfig(CircuitSetpointConfig):
    """With the comfort guard: what must not suffer from a shed."""

    guard_point: Name | None = None
    """What must not suffer: a zone's or tank's temperature, a room's CO2. Past its bound, or not
    read, the circuit goes back and is not shed."""
    guard_device: DevicePath | None = None
    """Where the guard point is, if not on `device`: a sensor of its own."""
    guard_minimum: Annotated[float, Field(allow_inf_nan=False), NotBoolean] | None = None
    guard_maximum: Annotated[float, Field(allow_inf_nan=False), NotBoolean] | None = None
    guard_margin: NotNegative = 0.5
    """So far inside the bound it must be before the circuit is shed, or shed again."""
    guard_unit: Name = "celsius"
    """What it counts in: `celsius`, `fahrenheit`, `kelvin`, `ppm`, `percent` (also as registries
    and BACnet write them, `degreesCelsius` or °C), or another."""
    guard_plausible: (
        tuple[
            Annotated[float, Field(allow_inf_nan=False), NotBoolean],
            Annotated[float, Field(allow_inf_nan=False), NotBoolean],
        ]
        | None
    ) = None
    """What the guard point can read at all, lowest and highest: anything else counts as not read.
    By the unit if none: -35 to 100 celsius, -31 to 212 fahrenheit, 238 to 373.15 kelvin, 300 to
    10000 ppm, 0 to 100 percent; nothing is known of another unit."""
    guard_frozen_sec: NotNegative = 21_600.0
    """A guard point that reads exactly the same for so long (6 hours) is taken for stuck: the
    circuit goes back and is not shed until it changes, and an alert says so. 0: never, for a value
    that hardly moves in whole degrees."""

    rotation_sec: Annotated[float, Field(ge=60, le=86_400), NotBoolean] | None = None
    """Like units take turns: none is shed for longer than this while another can take its place;
    the one with the most comfort left is next."""
    rotation_group: Name | None = None
    """Who takes turns with whom; all of one `type` if none."""

    @property
    def guard_range(self) -> tuple[float, float]:
        """What the guard point can read."""
        unit = measurement_unit_of(self.guard_unit)
        default = PLAUSIBLE_GUARD.get(unit or "", (-math.inf, math.inf))
        return self.guard_plausible or default

    @property
    def guard_at_power_on(self) -> float | None:
        """What the guard point reads while its sensor has not measured yet."""
        return POWER_ON_GUARD.get(measurement_unit_of(self.guard_unit) or "")

    @model_validator(mode="after")
    def _rotation(self) -> CircuitGuardConfig:
        if self.rotation_group is not None and self.rotation_sec is None:
            raise ValueError("rotation_group needs rotation_sec: how long a turn lasts at most")
        if self.rotation_sec is not None and self.rotation_sec < self.min_off_sec:
            raise ValueError(
                f"rotation_sec {self.rotation_sec:g} is shorter than min_off_sec "
                f"{self.min_off_sec:g}: a unit could not go back in its turn"
            )
        return self

    @model_validator(mode="after")
    def _guard_with_bounds(self) -> CircuitGuardConfig:
        low, high = self.guard_minimum, self.guard_maximum
        if self.guard_point is None:
            if low is not None or high is not None or self.guard_device is not None:
                raise ValueError("guard_point is missing: name the point that the bounds are of")
            return self
        if low is None and high is None:
            raise ValueError(
                "guard_point has no bound: give guard_minimum, guard_maximum or both, past which "
                "the circuit goes back"
            )
        if low is not None and high is not None and low + 2.0 * self.guard_margin >= high:
            raise ValueError(
                f"guard_minimum {low:g} and guard_maximum {high:g} leave no room between them with "
                f"a guard_margin of {self.guard_margin:g} at both"
            )
        lowest, highest = self.guard_range
        for name, bound in (("guard_minimum", low), ("guard_maximum", high)):
            if bound is not None and not lowest <= bound <= highest:
                raise ValueError(
                    f"{name} {bound:g} is outside {lowest:g} to {highest:g}, which is all that "
                    f"{self.guard_point} can read: correct it, guard_unit or guard_plausible"
                )
        return self
