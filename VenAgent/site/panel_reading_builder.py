"""Which points a panel's reading is made of, and the reading that their values make. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from VenAgent.config import AgentConfig
from VenAgent.config.circuit_config import CircuitConfig
from VenAgent.dr.panel import PanelCircuitControl, PanelCircuitReading, PanelReading
from VenAgent.site.point_quirks import is_on_without_quirk, number_without_quirk


class FreshPointValue(NamedTuple):
    """A point's value that is not too old, and when it was read (epoch s)."""

    value: Any
    ts: float
    heard_again_ts: float | None = None
    """When it last was read after it had been missed (epoch s)."""


class PanelReadingBuilder:
    """Of one configuration."""

    def __init__(
        self, config: AgentConfig, unit_of: Callable[[str, str], float | None] | None = None
    ) -> None:
        """`unit_of`: what one unit of a device's point is; None while that is not known."""
        self._config = config
        self._register_unit = unit_of or (lambda device, name: 1.0)
        self.names: dict[str, list[str]] = {device: [] for device in config.devices()}
        """By device: the configured points."""
        for device, name in self._configured():
            if name not in self.names[device]:
                self.names[device].append(name)
        self.of_total = self._points_of_total()
        """(device, name) of what the panel's power is made of."""
        self.of_guards = frozenset(self._points_of_guards())
        """(device, name) of what guards a circuit: comfort guards, and batteries' charges."""

    def build(
        self,
        fresh: Callable[[str, str], FreshPointValue | None],
        relinquish: Iterable[str],
        switches: Iterable[str],
        now: float,
        silent_sec: Callable[[str, str], float | None],
        is_silent: Callable[[str, str], bool],
    ) -> PanelReading:
        """The reading at `now` of the values that `fresh` has; `relinquish`: the circuits that go
        back to whoever had them, and `switches` those whose contactor does; `silent_sec`: of a
        point that is too old, how old it is."""
        panel, given_back = self._config.panel, frozenset(relinquish)
        switches = frozenset(switches)
        used = _UsedPoints(fresh, silent_sec, is_silent)
        circuits = {
            circuit.id: replace(
                self._circuit(circuit, used, is_given_back=circuit.id in given_back),
                relinquish_switch=circuit.id in switches,
            )
            for circuit in self._config.circuits
        }
        power_kw = used.sum(panel.device, panel.power_points, panel.power_scale)
        if not panel.power_points:
            power_kw = _total([circuits[circuit.id].power_kw for circuit in self._config.circuits])
        of_total = [used.times[key] for key in self.of_total if key in used.times]
        times = of_total if power_kw is not None and of_total else list(used.times.values())
        return PanelReading(
            ts=min(times, default=now),
            power_kw=power_kw,
            circuits=circuits,
            voltage=number_without_quirk(used.value(panel.device, panel.voltage_point)),
            current_amps=number_without_quirk(used.value(panel.device, panel.current_point)),
            battery_soc=self._battery_soc(circuits, used),
        )

    def _battery_soc(
        self, circuits: Mapping[str, PanelCircuitReading], used: _UsedPoints
    ) -> float | None:
        """The panel's own point; else that of its batteries together, if all were read."""
        panel = self._config.panel
        if panel.battery_soc_point is not None:
            return number_without_quirk(used.value(panel.device, panel.battery_soc_point))
        charges, capacity_kwh = [], 0.0
        for circuit in self._config.circuits:
            if circuit.soc_point is not None:
                soc_percent, weight = circuits[circuit.id].soc_percent, circuit.capacity_kwh or 1.0
                charges.append(None if soc_percent is None else soc_percent * weight)
                capacity_kwh += weight
        total = _total(charges)
        return total / capacity_kwh if total is not None and charges else None

    def _circuit(
        self, circuit: CircuitConfig, used: _UsedPoints, *, is_given_back: bool
    ) -> PanelCircuitReading:
        config = self._config
        device, control = config.device_of(circuit), config.control_device_of(circuit)
        on = is_on_without_quirk(used.value(control, circuit.switch_point))
        closed = on if on is None else on != circuit.switch_inverted
        power_kw = used.sum(device, circuit.power_points, circuit.power_scale)
        names = [(device, name) for name in circuit.power_points]
        names += [(control, n) for n in (circuit.switch_point, _register_point(circuit)) if n]
        register, is_commanded = self._register(circuit, used)
        if not circuit.power_points and circuit.nominal_kw is not None and closed is not None:
            power_kw = self._unmetered_kw(circuit, register) if closed else 0.0
        companion = config.companion_of(circuit)
        return PanelCircuitReading(
            power_kw=power_kw,
            closed=closed,
            limit=register,
            guard=number_without_quirk(
                used.value(config.guard_device_of(circuit), circuit.guard_point)
            ),
            guard_silent_sec=used.silent_sec(config.guard_device_of(circuit), circuit.guard_point),
            soc_percent=number_without_quirk(
                used.value(config.soc_device_of(circuit), circuit.soc_point)
            ),
            soc_ts=used.time(config.soc_device_of(circuit), circuit.soc_point),
            soc_silent_sec=used.silent_sec(config.soc_device_of(circuit), circuit.soc_point),
            phases=_phases(number_without_quirk(used.value(device, circuit.phases_point))),
            is_commanded=is_commanded,
            is_paused=self._is_paused(circuit, used) is True,
            point=config.control_point_of(circuit),
            companion_point="" if companion is None else companion.point,
            inverted=circuit.switch_inverted,
            ts=min((used.times[key] for key in names if key in used.times), default=None),
            heard_again_ts=used.heard_again_ts(config.control_point_of(circuit)),
            is_silent=used.is_silent(config.control_point_of(circuit)),
            relinquish=is_given_back or is_commanded is False,
            register_unit=self._unit_of(control, _register_point(circuit)),
        )

    def _unit_of(self, device: str, point: str | None) -> float | None:
        return None if point is None else self._register_unit(device, point)

    def _unmetered_kw(self, circuit: CircuitConfig, register: float | None) -> float | None:
        """What a load without a meter draws while it is on: no more than it is limited to."""
        nominal_kw, scale = circuit.nominal_kw, self._config.limit_scale(circuit)
        limit = None if scale is None else scale.limit_of(register)
        if nominal_kw is None or scale is None or limit is None:
            return nominal_kw
        return min(nominal_kw, scale.kw_of(limit))

    def _register(
        self, circuit: CircuitConfig, used: _UsedPoints
    ) -> tuple[float | None, bool | None]:
        """What its limit, setpoint or commanded power is, and whether that rules (None: always).

        A charger that is paused is limited to 0; what is not known of either is known of none.
        """
        control = self._config.control_device_of(circuit)
        value = number_without_quirk(used.value(control, _register_point(circuit)))
        if circuit.pause_point is not None:
            is_paused = self._is_paused(circuit, used)
            return (None if is_paused is None else 0.0 if is_paused else value), None
        if circuit.mode_point is None:
            return value, None
        mode = used.value(control, circuit.mode_point)
        if mode is None:
            return None, None
        return value, _is_setting(mode, circuit.mode_value)

    def _is_paused(self, circuit: CircuitConfig, used: _UsedPoints) -> bool | None:
        """None without such a point, and while it is not read."""
        control = self._config.control_device_of(circuit)
        paused = used.value(control, circuit.pause_point)
        return None if paused is None else _is_setting(paused, circuit.pause_value)

    def _points_of_guards(self) -> Iterator[tuple[str, str]]:
        config = self._config
        for circuit in config.circuits:
            if circuit.guard_point is not None:
                yield config.guard_device_of(circuit), circuit.guard_point
            if circuit.soc_point is not None:
                yield config.soc_device_of(circuit), circuit.soc_point

    def _points_of_total(self) -> list[tuple[str, str]]:
        panel = self._config.panel
        if panel.power_points:
            return [(panel.device, name) for name in panel.power_points]
        found = []
        for circuit in self._config.circuits:
            names = circuit.power_points
            device = self._config.device_of(circuit)
            if not names and circuit.switch_point is not None:
                names, device = (circuit.switch_point,), self._config.control_device_of(circuit)
            found += [(device, name) for name in names]
        return found

    def _configured(self) -> list[tuple[str, str]]:
        config, panel = self._config, self._config.panel
        names: list[tuple[str, str | None]] = [
            *((panel.device, name) for name in panel.power_points),
            (panel.device, panel.voltage_point),
            (panel.device, panel.current_point),
            (panel.device, panel.battery_soc_point),
        ]
        for circuit in config.circuits:
            control = config.control_device_of(circuit)
            names += [(config.device_of(circuit), name) for name in circuit.power_points]
            names += [(control, circuit.switch_point), (control, _register_point(circuit))]
            names += [(control, circuit.pause_point), (control, circuit.mode_point)]
            names.append((config.guard_device_of(circuit), circuit.guard_point))
            names.append((config.soc_device_of(circuit), circuit.soc_point))
            names.append((config.device_of(circuit), circuit.phases_point))
        return [(device, name) for device, name in names if name is not None]


class _UsedPoints:
    """The values that a reading takes, and when each was read."""

    def __init__(
        self,
        fresh: Callable[[str, str], FreshPointValue | None],
        silent_sec: Callable[[str, str], float | None],
        is_silent: Callable[[str, str], bool],
    ) -> None:
        self._is_silent = is_silent
        self._fresh = fresh
        self._silent_sec = silent_sec
        self.times: dict[tuple[str, str], float] = {}

    def heard_again_ts(self, topic: str) -> float | None:
        """Of the point at `device/point`; None if it was not missed, or is not read."""
        device, _, name = topic.rpartition("/")
        point = self._fresh(device, name) if name else None
        return None if point is None else point.heard_again_ts

    def is_silent(self, topic: str) -> bool:
        """Whether the device of the point at `device/point` does not send, or lacks it."""
        device, _, name = topic.rpartition("/")
        return self._is_silent(device, name)

    def value(self, device: str, name: str | None) -> Any:
        point = None if name is None else self._fresh(device, name)
        if point is None or name is None:
            return None
        self.times[device, name] = point.ts
        return point.value

    def time(self, device: str, name: str | None) -> float | None:
        """When a point that was taken was read."""
        return None if name is None else self.times.get((device, name))

    def silent_sec(self, device: str, name: str | None) -> float | None:
        """Of a point that is too old, how old its value is."""
        return None if name is None else self._silent_sec(device, name)

    def sum(self, device: str, names: tuple[str, ...], scale: float) -> float | None:
        """The points in kW; None without any, or if one was not read."""
        if not names:
            return None
        total = _total([number_without_quirk(self.value(device, name)) for name in names])
        return None if total is None else total * scale


def _register_point(circuit: CircuitConfig) -> str | None:
    """Where its limit, setpoint or commanded power stands."""
    if circuit.control in (PanelCircuitControl.SETPOINT, PanelCircuitControl.POWER):
        return circuit.control_point
    return circuit.limit_point


def _is_setting(read: Any, setting: bool | float) -> bool:
    """Whether a point reads as it is configured: true may be 1, or BACnet's active."""
    if isinstance(setting, bool):
        return is_on_without_quirk(read) is setting
    return number_without_quirk(read) == setting


def _phases(read: float | None) -> int | None:
    """How many lines a charger says it uses; None for 0, as while it does not charge."""
    return int(read) if read in (1.0, 2.0, 3.0) else None


def _total(powers: list[float | None]) -> float | None:
    """The sum; None if one was not read, for it could be the largest."""
    read = [power for power in powers if power is not None]
    return sum(read) if len(read) == len(powers) else None
