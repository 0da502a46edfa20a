"""A circuit in the configuration: the setpoint of a thermostat or an air handler."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from VenAgent.config.circuit_charger_config import CircuitChargerConfig
from VenAgent.config.config_block import (
    Name,
    NotBoolean,
    Positive,
)


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
