"""What one write of the core is at the devices: a charger's pause, a battery's mode, a register's
own unit.

The core knows one register a circuit, in percent, amps, kW or degrees. Some chargers take no limit
of 0 and have a point to pause; many batteries follow their commanded power only while another point
says so; SunSpec's registers count in a power of ten that stands in another one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from VenAgent.config import AgentConfig
from VenAgent.config.circuit_wiring_config import CircuitRestoreMode
from VenAgent.config.driver_entry import BACNET
from VenAgent.dr.point_write import PointWrite


class ControlWrites:
    """Of one configuration; what drives the devices decides how a point goes back."""

    def __init__(
        self,
        config: AgentConfig,
        driver_types: Mapping[str, str] | None = None,
        unit_of: Callable[[str], float | None] = lambda topic: 1.0,
    ) -> None:
        """`unit_of`: what one unit of a register (`device/point`) is; None if that is not known."""
        self._config = config
        self._unit_of = unit_of
        self._driver_types = driver_types or {}
        self._companions = {
            (config.control_point_of(circuit), circuit.id): config.companion_of(circuit)
            for circuit in config.circuits
        }

    def at_devices(self, writes: Iterable[PointWrite]) -> list[PointWrite]:
        """The points to be written, in order, in the registers' own units; each by the circuit that
        it is for. Not what `unscaled` has."""
        writes = list(writes)
        left_out = self.unscaled(writes)
        expanded = [point for write in writes for point in self._expand(write)]
        return [self._in_unit(write) for write in expanded if write.circuit_id not in left_out]

    def unscaled(self, writes: Iterable[PointWrite]) -> dict[str, str]:
        """The circuits that cannot be written, because the scale factor of the named point was
        never read: what stands for 5 kW is not known."""
        expanded = [point for write in writes for point in self._expand(write)]
        return {write.circuit_id: write.point for write in expanded if not self._is_known(write)}

    def _is_known(self, write: PointWrite) -> bool:
        is_number = not isinstance(write.value, bool) and not write.relinquish
        return not is_number or self._unit(write) is not None

    def _unit(self, write: PointWrite) -> float | None:
        """What its value was made with: the unit may have been corrected since."""
        known = write.register_unit
        return self._unit_of(write.point) if known is None else known

    def _in_unit(self, write: PointWrite) -> PointWrite:
        unit = self._unit(write)
        if isinstance(write.value, bool) or write.relinquish or unit in (None, 1.0):
            return write
        value, rounding = float(write.value) / unit, write.rounding / abs(unit)
        return replace(write, value=round(value, 6), rounding=rounding)

    def _expand(self, write: PointWrite) -> list[PointWrite]:
        configured = self._companions.get((write.point, write.circuit_id))
        companion = write.companion or configured  # an event of an older journal knows of none
        if companion is None:
            return [write]
        beside = replace(
            write,
            point=companion.point,
            value=companion.back_value if companion.pauses else companion.active_value,
            rounding=0.0,
            register_unit=None,
            companion=None,
        )
        if companion.pauses and write.value == 0.0 and not write.relinquish:
            return [replace(beside, value=companion.active_value)]
        if companion.pauses or not write.relinquish:
            return [write, beside]
        by_driver = self._goes_back_by_driver(write)
        mode = replace(beside, relinquish=by_driver, value=companion.back_value)
        return [mode, replace(write, relinquish=by_driver)]

    def _goes_back_by_driver(self, write: PointWrite) -> bool:
        """A battery that nobody commanded: whether null is written, or the values before."""
        driver_type = self._driver_types.get(write.point.rpartition("/")[0], "")
        for circuit in self._config.circuits:
            if circuit.id == write.circuit_id:
                mode = self._config.restore_mode(circuit, driver_type)
                return mode is not CircuitRestoreMode.PREVIOUS
        return driver_type == BACNET


def control_write_as_wired(write: PointWrite) -> PointWrite:
    """What the relay must do: on a normally closed contact, on opens the circuit."""
    if isinstance(write.value, bool) and write.inverted:
        return replace(write, value=not write.value)
    return write


def control_write_register_value(value: float | bool) -> float | bool | int:
    """Whole numbers go as integers: the driver packs them into integer and float registers alike,
    and refuses a float for an integer register."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def control_write_is_shown(answered: Any, write: PointWrite) -> bool:
    """Whether a device that answers this has taken the write."""
    if not isinstance(answered, (bool, int, float)):
        return False
    difference, wanted = abs(float(answered) - float(write.value)), float(write.value)
    return difference < write.rounding - 1e-6 or math.isclose(
        float(answered), wanted, rel_tol=1e-6, abs_tol=1e-6
    )
