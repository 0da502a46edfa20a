"""What one write of the core is at the devices: a charger's pause, a battery's mode.

The core knows one register a circuit. Some chargers take no limit of 0 and have a point to pause;
many batteries follow their commanded power only while another point says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from VenAgent.config import AgentConfig
from VenAgent.config.circuit_config import CircuitConfig, CircuitRestoreMode
from VenAgent.dr.point_write import PointWrite


class ControlWrites:
    """Of one configuration; what drives the devices decides how a point goes back."""

    def __init__(self, config: AgentConfig, driver_types: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._driver_types = driver_types or {}
        self._circuits = {
            config.control_point_of(circuit): circuit
            for circuit in config.circuits
            if circuit.pause_point or circuit.mode_point
        }

    def at_devices(self, writes: Iterable[PointWrite]) -> list[PointWrite]:
        """The points to be written, in order; each by the circuit that it is for."""
        return [point for write in writes for point in self._expand(write)]

    def _expand(self, write: PointWrite) -> list[PointWrite]:
        circuit = self._circuits.get(write.point)
        if circuit is None or circuit.id != write.circuit_id:
            return [write]
        if circuit.pause_point is not None:
            return self._pause(circuit, write, circuit.pause_point)
        return self._mode(circuit, write, circuit.mode_point or "")

    def _pause(self, circuit: CircuitConfig, write: PointWrite, point: str) -> list[PointWrite]:
        topic = f"{self._config.control_device_of(circuit)}/{point}"
        if write.relinquish:
            return [write, replace(write, point=topic, value=circuit.resume_value)]
        if write.value == 0.0:
            return [replace(write, point=topic, value=circuit.pause_value)]
        return [write, replace(write, point=topic, value=circuit.resume_value)]

    def _mode(self, circuit: CircuitConfig, write: PointWrite, point: str) -> list[PointWrite]:
        topic = f"{self._config.control_device_of(circuit)}/{point}"
        if not write.relinquish:
            return [write, replace(write, point=topic, value=circuit.mode_value)]
        driver_type = self._driver_types.get(self._config.control_device_of(circuit), "")
        by_driver = (
            self._config.restore_mode(circuit, driver_type) is not CircuitRestoreMode.PREVIOUS
        )
        given_back = replace(write, relinquish=by_driver)
        return [replace(given_back, point=topic, value=circuit.mode_release_value), given_back]
