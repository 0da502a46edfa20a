"""The BACnet priority arrays of what sheds the circuits: what our slot holds before we write to it.

ANSI/ASHRAE 135, clause 19.2: a commandable object has 16 slots, and a null gives one up. Others
(many analog and binary values) have none: they hold what was last written, and refuse a null.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from VenAgent.config import AgentConfig
from VenAgent.config.circuit_config import CircuitConfig
from VenAgent.config.circuit_wiring_config import CircuitRestoreMode
from VenAgent.config.driver_entry import BACNET, BacnetDriverEntry, DriverEntry
from VenAgent.dr.panel import PanelCircuitControl
from VenAgent.site.device_requests import DeviceRequestFailure, DeviceRequests, request_by_device
from VenAgent.site.point_quirks import is_on_without_quirk, number_without_quirk

_log = logging.getLogger(__name__)

ARRAYS_AT_ONCE = 8
"""Asked for in one request; a device whose answers must be shorter is asked for one by one."""


@dataclass(frozen=True)
class _Output:
    """A point that is written of a circuit: what sheds it, or its contactor beside that."""

    circuit: CircuitConfig
    device: str
    name: str
    known: BacnetDriverEntry


class PriorityArrays:
    """Of one configuration's circuits."""

    def __init__(
        self,
        requests: DeviceRequests,
        config: AgentConfig,
        unit_of: Callable[[str], float | None] = lambda topic: 1.0,
    ) -> None:
        """`unit_of`: what one unit of an object (`device/point`) is; None if that is not known."""
        self._requests = requests
        self._unit_of = unit_of
        self._config = config
        self._drivers: Mapping[str, DriverEntry] = {}
        self._one_by_one: set[str] = set()
        """Devices that could not answer for several at once."""
        self._has_array: dict[str, bool] = {}
        """By point (`device/point`), as far as it was read."""

    def is_commandable(self, topic: str) -> bool:
        """Whether the priority array of `device/point` was read."""
        return self._has_array.get(topic, False)

    @property
    def uncommandable(self) -> frozenset[str]:
        """The points (`device/point`) that have no priority array, as far as it was read."""
        return frozenset(topic for topic, has_array in self._has_array.items() if not has_array)

    def know_drivers(self, drivers: Mapping[str, DriverEntry]) -> None:
        """By device, the driver's entries."""
        self._drivers = drivers

    def read_slots(self) -> dict[str, float | bool]:
        """By circuit: what the slot that we write to holds already, where it holds something and is
        to be given back. One that cannot be read is taken for empty."""
        wanted = [
            _Output(circuit, self._config.control_device_of(circuit), name, known)
            for circuit in self._config.circuits
            if self._config.restore_mode(circuit, BACNET) is CircuitRestoreMode.RELINQUISH
            for name in dict.fromkeys((circuit.control_point, circuit.switch_point))
            for known in [self._bacnet_object(circuit, name)]
            if name is not None and known is not None
        ]
        devices = dict.fromkeys(output.device for output in wanted)
        within_sec = self._requests.together_sec(devices)
        read = request_by_device(
            devices, lambda device: self._arrays_of(device, wanted), within_sec, lambda device: None
        )
        found: dict[str, float | bool] = {}
        for output in wanted:
            arrays, circuit = read[output.device], output.circuit
            if arrays is None:
                continue
            array = arrays.get(output.name)
            has_array = isinstance(array, (list, tuple))
            self._has_array[f"{output.device}/{output.name}"] = has_array
            if not has_array or output.name != circuit.control_point:
                continue
            held = self._setting(circuit, priority_array_slot(array, output.known.priority))
            if held is not None:
                found[circuit.id] = held
        return found

    def _setting(self, circuit: CircuitConfig, held: Any) -> float | bool | None:
        """As the circuit has it: whether it is closed; else its limit, setpoint or commanded power,
        as the configuration counts it."""
        if circuit.control is PanelCircuitControl.SWITCH:
            on = is_on_without_quirk(held)
            return None if on is None else on != circuit.switch_inverted
        number = number_without_quirk(held)
        unit = self._unit_of(self._config.control_point_of(circuit))
        return None if number is None or unit is None else round(number * unit, 9)

    def _bacnet_object(self, circuit: CircuitConfig, name: str | None) -> BacnetDriverEntry | None:
        """A point that is written of a circuit, if that is an output of a BACnet device whose entry
        is known."""
        entry = self._drivers.get(self._config.control_device_of(circuit))
        if entry is None or entry.driver_type != BACNET:
            return None
        return entry.objects.get(name or "")

    def _arrays_of(self, device: str, wanted: Sequence[_Output]) -> Mapping[str, Any] | None:
        """Of a device's outputs, by point; None without an answer."""
        points = {
            output.name: [output.known.object_type, output.known.instance, "priorityArray"]
            for output in wanted
            if output.device == device
        }
        if device not in self._one_by_one:
            try:
                return self._ask(device, points, min(ARRAYS_AT_ONCE, len(points)))
            except DeviceRequestFailure as failure:
                _log.info("the priority arrays of %s: %s", device, failure)
                if not failure.may_be_alone or len(points) == 1:
                    return None
        try:
            arrays = self._ask(device, points, 1)
        except DeviceRequestFailure as failure:
            _log.info("the priority arrays of %s, one by one: %s", device, failure)
            return None
        self._one_by_one.add(device)
        return arrays

    def _ask(self, device: str, points: Mapping[str, list[Any]], at_once: int) -> Mapping[str, Any]:
        """Of the BACnet proxy: the driver's own `get_point` cannot send an array. What an object
        has not is left out of its answer."""
        entry = self._drivers[device]
        arrays = self._requests.ask(
            device, entry.proxy, "read_properties", entry.address, points, at_once
        )
        if not isinstance(arrays, Mapping):
            raise DeviceRequestFailure(f"{entry.proxy} answered {arrays!r}")
        return arrays


def priority_array_slot(array: Any, priority: int) -> Any:
    """What a priority array, as the driver shows it, holds at a priority (1 to 16)."""
    if not isinstance(array, (list, tuple)) or len(array) < priority:
        return None
    held = array[priority - 1]
    if isinstance(held, Mapping):  # {"null": []} or {"enumerated": "active"}
        held = next(iter(held.values()), None)
    return None if held in ([], (), "") else held
