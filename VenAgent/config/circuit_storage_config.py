"""A circuit in the configuration: a battery, or a car that can discharge."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from VenAgent.config.circuit_guard_config import CircuitGuardConfig
from VenAgent.config.config_block import (
    DevicePath,
    Name,
    NotBoolean,
    NotNegative,
    Positive,
)
from VenAgent.dr.panel import PanelCircuitControl


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
    """What lets the commanded power, or the limit, rule in the place of its own programme, such as
    WMaxLim_Ena of an inverter; on `control_device`."""
    mode_value: bool | Annotated[float, Field(allow_inf_nan=False)] = True
    """What is written to `mode_point` with the commanded power or the limit."""
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
        if self.mode_point is not None and self.mode_value == self.mode_release_value:
            raise ValueError("mode_value and mode_release_value are the same: one gives it back")
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
        if self.floor:
            raise ValueError("floor is for limits: a battery keeps its reserve_soc_percent")
        if self.max_soc_percent <= self.reserve_soc_percent:
            raise ValueError(
                f"max_soc_percent {self.max_soc_percent:g} must be above reserve_soc_percent "
                f"{self.reserve_soc_percent:g}"
            )
        return self
