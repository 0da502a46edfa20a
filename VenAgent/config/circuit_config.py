"""A branch circuit in the configuration: what reads it, what sheds it, and what protects it.

Each class adds the settings of one thing to the one before; `SiteCircuitConfig` has them all.
"""

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


class SiteRestoreMode(str, Enum):
    """How a control point goes back when nothing is shed any more."""

    RELINQUISH = "relinquish"
    """Null is written at our priority, and whoever had the point before us has it again."""
    PREVIOUS = "previous"
    """The value that stood there is written."""
    DEFAULT = "default"
    """The driver reverts the point to its default."""


PowerPoints = Annotated[tuple[Name, ...], Field(min_length=1, max_length=12)]
LOWEST_CHARGE_AMPS = 6.0


def named_points(named: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if named is None:
        return ()
    return (named,) if isinstance(named, str) else named


class SiteCircuitConfig(ConfigBlock):
    """A branch circuit, the points that read it, and the point that sheds it."""

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
    restore: SiteRestoreMode | None = None
    """How its control point goes back; by the driver if none is given: a BACnet slot is
    relinquished, a register gets its previous value."""

    @property
    def power_points(self) -> tuple[str, ...]:
        return named_points(self.power_point)

    @property
    def control_point(self) -> str | None:
        """The point that sheds it."""
        if self.control is PanelCircuitControl.NONE:
            return None
        return self.limit_point if self.control is PanelCircuitControl.LIMIT else self.switch_point

    @property
    def lowest_limit(self) -> float:
        if self.limit_lowest is not None:
            return self.limit_lowest
        return LOWEST_CHARGE_AMPS if self.limit_unit is PanelLimitUnit.AMPS else 0.0

    @model_validator(mode="after")
    def _measured(self) -> SiteCircuitConfig:
        if self.power_point is None and self.nominal_kw is None:
            raise ValueError(
                "power_point is missing: name the point of its power, or give nominal_kw, what it "
                "draws while its switch is on"
            )
        if self.power_point is None and self.switch_point is None:
            raise ValueError("nominal_kw needs a switch_point, that says whether the load is on")
        return self

    @model_validator(mode="after")
    def _controllable(self) -> SiteCircuitConfig:
        needed = {
            PanelCircuitControl.SWITCH: "switch_point",
            PanelCircuitControl.LIMIT: "limit_point",
        }.get(self.control)
        if needed and getattr(self, needed) is None:
            raise ValueError(
                f"control is {self.control.value!r} but {needed} is missing: "
                f'name the point that is written, or set "control": "none"'
            )
        return self
