"""A branch circuit in the configuration: what reads it, what sheds it, and what protects it.

Each class adds the settings of one thing to the one before; `CircuitConfig` has them all.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from VenAgent.config.config_block import (
    ConfigBlock,
    DevicePath,
    Name,
    NotBoolean,
    NotNegative,
    Positive,
)
from VenAgent.config.measurement_units import measurement_unit_of
from VenAgent.dr.panel import PanelCircuitControl, PanelLimitUnit


class CircuitRestoreMode(str, Enum):
    """How a control point goes back when nothing is shed any more."""

    RELINQUISH = "relinquish"
    """Null is written at our priority, and whoever had the point before us has it again."""
    PREVIOUS = "previous"
    """The value that stood there is written."""
    DEFAULT = "default"
    """The driver reverts the point to its default."""


PowerPoints = Annotated[tuple[Name, ...], Field(min_length=1, max_length=12)]
LOWEST_CHARGE_AMPS = 6.0
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


def circuit_config_points(named: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if named is None:
        return ()
    return (named,) if isinstance(named, str) else named


def check_circuit_config_sum(points: tuple[str, ...]) -> None:
    """Raises ValueError for a sum that would count a point twice."""
    for name in points:
        if points.count(name) > 1:
            raise ValueError(f"power_point names {name!r} twice: it would count twice")


class CircuitWiringConfig(ConfigBlock):
    """A branch circuit, the points that read it, and the contactor or limit that sheds it."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
    name: Name
    type: Name = "other"
    breaker_amps: Positive
    priority: Annotated[int, Field(ge=1, le=5), NotBoolean] = 3
    critical: bool = False
    control: PanelCircuitControl = PanelCircuitControl.SWITCH
    device: DevicePath | None = None
    """Where its points are, if not on the panel's device."""
    control_device: DevicePath | None = None
    """Where its switch and limit points are, if not on `device`: a relay board beside a meter."""
    poles: Literal[1, 2, 3] | None = None
    """Of its breaker, on a three-phase panel: how many lines it is on. A load without neutral is
    on the voltage between lines."""
    voltage: Positive | None = None
    """Across the load, if it is not what panel and poles make it: 120 on a 240 V panel."""
    power_point: Name | PowerPoints | None = None
    """One point or several that are summed."""
    nominal_kw: Positive | None = None
    """What a load without a meter draws while its switch is on."""
    power_scale: Annotated[float, Field(allow_inf_nan=False), NotBoolean] = 1.0
    """kW per unit of `power_point`: 0.001 for a meter in watts."""
    switch_point: Name | None = None
    switch_inverted: bool = False
    """The contactor hangs on a normally closed contact: an energised relay opens the circuit."""
    limit_point: Name | None = None
    limit_unit: PanelLimitUnit = PanelLimitUnit.PERCENT
    limit_step: Positive = 1.0
    limit_lowest: NotNegative | None = None
    """A smaller limit than this is never written, but 0. In amps it is 6 if none is given: a
    charger takes no 1 to 5 A (IEC 61851)."""
    limit_full_scale_kw: Positive | None = None
    """What 100 percent means; the breaker's rating if none."""
    floor: Annotated[float, Field(allow_inf_nan=False, ge=0, le=1), NotBoolean] | None = None
    min_off_sec: NotNegative = 0.0
    """Once shed it stays so for at least this long: a compressor needs minutes."""
    min_on_sec: NotNegative = 0.0
    """Once back it is not shed again for at least this long."""
    max_sheds_per_day: Annotated[int, Field(ge=1), NotBoolean] | None = None
    limit_unlimited: tuple[Annotated[float, Field(allow_inf_nan=False), NotBoolean], ...] = ()
    """What stands in the limit register when there is no limit: 0, -1 or 65535 with some devices.
    A limit is written over it, and it is given back."""
    generates: bool = False
    """A PV inverter or another generator: its `limit_point` or `switch_point` is of what it
    generates, and is used to keep a limit of what the site feeds in (`export_kw`), never to shed.
    `limit_full_scale_kw` is then the inverter's rated power."""
    restore: CircuitRestoreMode | None = None
    """How its control point goes back; by the driver if none is given: a BACnet slot is
    relinquished, a register gets its previous value."""

    @property
    def power_points(self) -> tuple[str, ...]:
        return circuit_config_points(self.power_point)

    @model_validator(mode="after")
    def _sum(self) -> CircuitWiringConfig:
        check_circuit_config_sum(self.power_points)
        return self


class CircuitChargerConfig(CircuitWiringConfig):
    """With what a car charger's limit needs."""

    phases: Literal[1, 2, 3] | None = None
    """On how many lines a car charger charges: a limit in amps is amps x phases x voltage between
    line and neutral. Instead of `poles` and `voltage`; one between two lines (208 V, or 230 V
    without a neutral) has `poles` 2."""
    phases_point: Name | None = None
    """Where a charger that changes between one and three phases tells how many it uses now."""
    minimum_amps: Positive | None = None
    """The least that the charger takes but 0: 6 A, or more with some cars. As `limit_lowest`."""
    pause_point: Name | None = None
    """Written to pause, where the limit takes no 0; it is on `control_device`."""
    pause_value: bool | Annotated[float, Field(allow_inf_nan=False)] = False
    """What pauses at `pause_point`: false where it says that charging is allowed."""
    resume_value: bool | Annotated[float, Field(allow_inf_nan=False)] = True
    """What resumes at `pause_point`."""

    @property
    def lowest_limit(self) -> float:
        if self.minimum_amps is not None:
            return self.minimum_amps
        if self.limit_lowest is not None:
            return self.limit_lowest
        return LOWEST_CHARGE_AMPS if self.limit_unit is PanelLimitUnit.AMPS else 0.0

    @model_validator(mode="after")
    def _charger(self) -> CircuitChargerConfig:
        is_limit = self.control is PanelCircuitControl.LIMIT
        is_amps = self.limit_unit is PanelLimitUnit.AMPS
        if self.minimum_amps is not None and self.limit_lowest is not None:
            raise ValueError("minimum_amps and limit_lowest are the same: give one of them")
        if self.minimum_amps is not None and not (is_limit and is_amps):
            raise ValueError('minimum_amps is for "control": "limit" with "limit_unit": "amps"')
        if self.phases is not None and (self.poles is not None or self.voltage is not None):
            raise ValueError("phases says what poles and voltage say: give phases alone")
        if self.phases_point is not None and not (is_limit and is_amps and self.phases):
            raise ValueError(
                'phases_point needs "control": "limit", "limit_unit": "amps", and phases: how many '
                "there are when the point is not read"
            )
        if self.pause_point is not None and not is_limit:
            raise ValueError('pause_point is for "control": "limit": a charger that takes no 0')
        if self.minimum_amps is not None and self.minimum_amps > self.breaker_amps:
            raise ValueError(
                f"minimum_amps {self.minimum_amps:g} is above breaker_amps {self.breaker_amps:g}: "
                "it could never charge"
            )
        if self.pause_point is not None and self.pause_value == self.resume_value:
            raise ValueError("pause_value and resume_value are the same: nothing would pause")
        return self


class CircuitSetpointConfig(CircuitChargerConfig):
    """With what `control: setpoint` needs: a thermostat or an air handler."""

    setpoint_point: Name | None = None
    """The setpoint of a thermostat or air handler; needed for `setpoint`."""
    setpoint_offset: Annotated[float, Field(allow_inf_nan=False), NotBoolean] | None = None
    """To shed, it is moved by so much: up (2) for cooling, down (-2) for heating."""
    setpoint_value: Annotated[float, Field(allow_inf_nan=False), NotBoolean] | None = None
    """To shed, it is moved to this, instead of by an offset; it needs `setpoint_direction`."""
    setpoint_direction: Literal["up", "down"] | None = None
    """Where less power is: `up` for cooling, `down` for heating. An offset says so itself."""
    setpoint_raise_value: Annotated[float, Field(allow_inf_nan=False), NotBoolean] | None = None
    """To draw more (`loadUp`), it is moved to this; by the offset, the other way, if none. With
    `setpoint_value` alone it is not moved to draw more."""
    setpoint_minimum: Annotated[float, Field(allow_inf_nan=False), NotBoolean] | None = None
    """It is never set lower. One that stands outside the bounds already is left alone."""
    setpoint_maximum: Annotated[float, Field(allow_inf_nan=False), NotBoolean] | None = None
    """It is never set higher."""
    setpoint_unit: Name = "celsius"
    """What it counts in: `celsius`, `fahrenheit`, or another; only for people and check-config."""
    setpoint_step: Positive = 0.1
    """The smallest step that the thermostat takes: 0.5 or 1 with many."""
    shed_kw: Positive | None = None
    """What moving the setpoint brings, until the site's own events have shown it three times."""
    settle_sec: Annotated[float, Field(ge=0, le=7200), NotBoolean] = 600.0
    """So long its power takes to follow the setpoint; other circuits fill the gap meanwhile."""


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


class CircuitStorageConfig(CircuitGuardConfig):
    """With what `control: power` needs: a battery, or a car that can discharge."""

    power_setpoint_point: Name | None = None
    """The commanded power of a battery or car; needed for `power`."""
    power_setpoint_unit: Literal["kw", "amps"] = "kw"
    """What it counts in; amps are amps x phases x voltage."""
    power_setpoint_scale: Annotated[float, Field(allow_inf_nan=False), NotBoolean] = 1.0
    """kW (or amps) per unit of the point: 0.001 for watts; negative where the device counts what
    it discharges as positive."""
    power_setpoint_step: Positive = 0.1
    """The register's smallest step, in its own unit; 1 for an integer register."""
    max_discharge_kw: Positive | None = None
    """The most that an event lets it discharge with; needed for `power`."""
    max_charge_kw: NotNegative | None = None
    """The most that it is made to charge with, when more load is asked for; as max_discharge_kw if
    none."""
    capacity_kwh: Positive | None = None
    """What it stores from empty to full; needed for `power`."""
    reserve_soc_percent: Annotated[float, Field(ge=0, lt=100), NotBoolean] = 20.0
    """No event discharges it below this."""
    max_soc_percent: Annotated[float, Field(gt=0, le=100), NotBoolean] = 100.0
    """No event charges it above this."""
    round_trip_efficiency: Annotated[float, Field(gt=0.3, le=1), NotBoolean] = 0.9
    """What comes out of what was put in."""
    soc_point: Name | None = None
    """Its state of charge, percent; needed for `power`. Not read, it does not discharge."""
    soc_device: DevicePath | None = None
    """Where the state of charge is, if not on `device`."""
    mode_point: Name | None = None
    """What lets the commanded power rule in the place of its own programme; on `control_device`."""
    mode_value: bool | Annotated[float, Field(allow_inf_nan=False)] = True
    """What is written to `mode_point` with the commanded power."""
    mode_release_value: bool | Annotated[float, Field(allow_inf_nan=False)] = False
    """What gives it back to its own programme."""

    @property
    def points_of_control(self) -> tuple[str, ...]:
        """All points that an event may write."""
        named = (self.switch_point, self.limit_point, self.setpoint_point)
        more = (self.power_setpoint_point, self.mode_point, self.pause_point)
        return tuple(name for name in (*named, *more) if name)

    @model_validator(mode="after")
    def _storage(self) -> CircuitStorageConfig:
        if self.control is not PanelCircuitControl.POWER:
            return self
        needed = {
            "power_setpoint_point": "the point of its commanded power",
            "power_point": "the point of the power that it draws, negative while it discharges",
            "max_discharge_kw": "the most that an event lets it discharge with",
            "capacity_kwh": "what it stores",
            "soc_point": "its state of charge, without which it never discharges",
        }
        for name, meaning in needed.items():
            if getattr(self, name) is None:
                raise ValueError(f"control is 'power' but {name} is missing: give {meaning}")
        if self.power_setpoint_scale == 0.0:
            raise ValueError("power_setpoint_scale is 0: kW per unit, negative if it is so counted")
        if self.mode_point is not None and self.mode_value == self.mode_release_value:
            raise ValueError("mode_value and mode_release_value are the same: one gives it back")
        if self.floor:
            raise ValueError("floor is for limits: a battery keeps its reserve_soc_percent")
        if self.max_soc_percent <= self.reserve_soc_percent:
            raise ValueError(
                f"max_soc_percent {self.max_soc_percent:g} must be above reserve_soc_percent "
                f"{self.reserve_soc_percent:g}"
            )
        return self


class CircuitConfig(CircuitStorageConfig):
    """A branch circuit: the points that read it, the point that sheds it, and what guards it."""

    @property
    def control_point(self) -> str | None:
        """The point that sheds it."""
        return {
            PanelCircuitControl.SWITCH: self.switch_point,
            PanelCircuitControl.LIMIT: self.limit_point,
            PanelCircuitControl.SETPOINT: self.setpoint_point,
            PanelCircuitControl.POWER: self.power_setpoint_point,
        }.get(self.control)

    @model_validator(mode="after")
    def _generator(self) -> CircuitConfig:
        if not self.generates:
            return self
        if self.control in (PanelCircuitControl.SETPOINT, PanelCircuitControl.POWER):
            raise ValueError(
                'generates is for "control": "limit", "switch" or "none": a battery is no generator'
            )
        if self.power_point is None:
            raise ValueError(
                "generates needs a power_point: what it generates, as a negative power"
            )
        if self.floor:
            raise ValueError(
                "floor is for what a load keeps: a generator can be reduced to nothing"
            )
        return self

    @model_validator(mode="after")
    def _measured(self) -> CircuitConfig:
        if self.power_point is not None:
            return self
        if self.control is PanelCircuitControl.SETPOINT:
            if self.shed_kw is None:
                raise ValueError(
                    "shed_kw is missing: a setpoint without a power_point cannot be learned from "
                    "its own power, so say what moving it brings"
                )
            return self
        if self.nominal_kw is None:
            raise ValueError(
                "power_point is missing: name the point of its power, or give nominal_kw, what it "
                "draws while its switch is on"
            )
        if self.switch_point is None:
            raise ValueError("nominal_kw needs a switch_point, that says whether the load is on")
        return self

    @model_validator(mode="after")
    def _controllable(self) -> CircuitConfig:
        needed = {
            PanelCircuitControl.SWITCH: "switch_point",
            PanelCircuitControl.LIMIT: "limit_point",
            PanelCircuitControl.SETPOINT: "setpoint_point",
        }.get(self.control)
        if needed and getattr(self, needed) is None:
            raise ValueError(
                f"control is {self.control.value!r} but {needed} is missing: "
                f'name the point that is written, or set "control": "none"'
            )
        return self

    @model_validator(mode="after")
    def _setpoint_with_a_way(self) -> CircuitConfig:
        if self.control is not PanelCircuitControl.SETPOINT:
            return self
        offset, value = self.setpoint_offset, self.setpoint_value
        if (offset is None) == (value is None):
            raise ValueError(
                "control is 'setpoint': give either setpoint_offset (by how much it is moved) or "
                "setpoint_value (where to)"
            )
        if offset == 0.0:
            raise ValueError("setpoint_offset is 0: that sheds nothing")
        if offset is not None and abs(offset) < self.setpoint_step:
            raise ValueError(
                f"setpoint_offset {offset:g} is less than setpoint_step {self.setpoint_step:g}: it "
                "would never be moved"
            )
        if value is not None and self.setpoint_direction is None:
            raise ValueError(
                'setpoint_value needs "setpoint_direction": "up" where a higher setpoint draws '
                'less (cooling), "down" where a lower one does (heating)'
            )
        if offset is not None and self.setpoint_direction not in (None, _direction_of(offset)):
            raise ValueError(
                f"setpoint_offset {offset:g} moves the setpoint {_direction_of(offset)}, and "
                f"setpoint_direction says {self.setpoint_direction}: correct one of them"
            )
        guarded = (self.guard_device or self.device, self.guard_point)
        if guarded == (self.control_device or self.device, self.setpoint_point):
            raise ValueError(
                "guard_point is the setpoint itself, which an event moves: name the temperature "
                "that is measured"
            )
        low, high = self.setpoint_minimum, self.setpoint_maximum
        if low is None or high is None:
            raise ValueError(
                "control is 'setpoint': give setpoint_minimum and setpoint_maximum, the lowest and "
                "the highest that the thermostat may ever be set to"
            )
        if low >= high:
            raise ValueError(f"setpoint_minimum {low:g} must be below setpoint_maximum {high:g}")
        raised = self.setpoint_raise_value
        for name, moved in (("setpoint_value", value), ("setpoint_raise_value", raised)):
            if moved is not None and not low <= moved <= high:
                raise ValueError(
                    f"{name} {moved:g} is outside setpoint_minimum {low:g} to "
                    f"setpoint_maximum {high:g}"
                )
        if value is not None and raised is not None:
            is_up = self.setpoint_direction == "up"
            if raised >= value if is_up else raised <= value:
                raise ValueError(
                    f"setpoint_raise_value {raised:g} must be "
                    f"{'below' if is_up else 'above'} setpoint_value {value:g}: more is drawn there"
                )
        if self.floor:
            raise ValueError("floor is for limits: a setpoint is moved as a whole")
        return self


def _direction_of(offset: float) -> str:
    return "up" if offset > 0.0 else "down"
