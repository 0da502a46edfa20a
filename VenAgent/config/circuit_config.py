"""A branch circuit in the configuration: what reads it, what sheds it, and what protects it.

Each class adds the settings of one thing to the one before; `CircuitConfig` has them all.
"""

from __future__ import annotations

from pydantic import model_validator

from VenAgent.config.circuit_storage_config import CircuitStorageConfig
from VenAgent.dr.panel import PanelCircuitControl


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
