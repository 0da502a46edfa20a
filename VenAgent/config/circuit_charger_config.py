"""A circuit in the configuration: what a car charger's limit needs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from VenAgent.config.circuit_wiring_config import CircuitWiringConfig
from VenAgent.config.config_block import (
    Name,
    Positive,
)
from VenAgent.dr.panel import PanelCircuitControl, PanelLimitUnit

LOWEST_CHARGE_AMPS = 6.0


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
