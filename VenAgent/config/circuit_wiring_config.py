"""A circuit in the configuration: its breaker, the points that read it, and what sheds it."""

from __future__ import annotations

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
from VenAgent.dr.panel import PanelCircuitControl, PanelLimitUnit

PowerPoints = Annotated[tuple[Name, ...], Field(min_length=1, max_length=12)]


class CircuitRestoreMode(str, Enum):
    """How a control point goes back when nothing is shed any more."""

    RELINQUISH = "relinquish"
    """Null is written at our priority, and whoever had the point before us has it again."""
    PREVIOUS = "previous"
    """The value that stood there is written."""
    DEFAULT = "default"
    """The driver reverts the point to its default."""


def circuit_wiring_points(named: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if named is None:
        return ()
    return (named,) if isinstance(named, str) else named


def check_circuit_wiring_sum(points: tuple[str, ...]) -> None:
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
    As the register has it, whatever `scale_points` makes of it. A limit is written over it, and it
    is given back."""
    generates: bool = False
    """A PV inverter or another generator: its `limit_point` or `switch_point` is of what it
    generates, and is used to keep a limit of what the site feeds in (`export_kw`), never to shed.
    `limit_full_scale_kw` is then the inverter's rated power."""
    restore: CircuitRestoreMode | None = None
    """How its control point goes back; by the driver if none is given: a BACnet slot is
    relinquished, a register gets its previous value."""

    @property
    def power_points(self) -> tuple[str, ...]:
        return circuit_wiring_points(self.power_point)

    @model_validator(mode="after")
    def _sum(self) -> CircuitWiringConfig:
        check_circuit_wiring_sum(self.power_points)
        return self
