"""Checks the agent's configuration against the registries of its devices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ops.check_config.checked_file import CheckedJsonFile
from ops.check_config.config_findings import ConfigFindings
from ops.check_config.named_points import NamedPoints, Where
from ops.check_config.registry_check import PointRegistry, RegistryPoint
from ops.check_config.written_points_check import WrittenPointsCheck
from VenAgent.config import AgentConfig
from VenAgent.config.circuit_config import CircuitConfig
from VenAgent.config.config_errors import config_finding_text, telling_config_errors
from VenAgent.config.measurement_units import (
    MEASUREMENT_UNITS,
    measurement_unit_of,
    plain_measurement_unit,
)

SPLIT_PHASE_VOLTS = 235.0
"""A panel of one phase with so much has two lines of half of it in many places."""
KW_PER_UNIT = {"kw": 1.0, "w": 0.001, "mw": 1000.0, "kilowatts": 1.0, "watts": 0.001}
PANEL_UNITS = {
    "voltage_point": "volts", "current_point": "amps", "battery_soc_point": "percent",
}  # fmt: skip
AMPS_PER_UNIT = {"a": 1.0, "amps": 1.0, "amperes": 1.0, "ma": 0.001}
UNIT_REMEDIES = {
    "guard_point": "Set guard_unit, and with it guard_minimum, guard_maximum, guard_margin and "
    "guard_plausible, as the device has it",
    "setpoint_point": "Set setpoint_unit, and with it offset, value, minimum, maximum and step, as "
    "the device has it",
    "limit_point": "Set limit_unit to percent, amps or kw, as the device has it",
}


def check_agent_config(
    file: CheckedJsonFile, devices: Mapping[str, PointRegistry], found: ConfigFindings
) -> None:
    """The configuration by itself, then each point it names, where the device is known."""
    try:
        config = AgentConfig.model_validate(file.contents)
    except ValidationError as error:
        for finding in telling_config_errors(error):
            _explain(file, finding, found)
        return
    points = NamedPoints(file, devices, found)
    _PointCheck(config, points).run()
    WrittenPointsCheck(config, points).run()


def _explain(file: CheckedJsonFile, finding: Any, found: ConfigFindings) -> None:
    where = tuple(finding["loc"])
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).strip(
        "."
    )
    text = config_finding_text(finding)
    where = where or _circuit_named(file, text)
    remedy = "Correct it; docs/configuration.md describes every setting"
    if finding["type"] == "missing":
        remedy = "Add it"
    elif finding["type"] == "extra_forbidden":
        remedy = "Correct its name or remove it"
    elif isinstance(finding["input"], (str, int, float)) and not _is_secret(finding):
        text += f" (got {finding['input']!r})"
    found.add(file.path, file.line(*where), f"{name or 'the configuration'}: {text}", remedy)


def _circuit_named(file: CheckedJsonFile, text: str) -> tuple[str | int, ...]:
    """Where the last circuit stands that a sentence about the whole names."""
    named = re.findall(r"'([^']*)'", text)
    circuits = file.contents.get("circuits")
    for index, circuit in reversed(list(enumerate(circuits if isinstance(circuits, list) else []))):
        if isinstance(circuit, dict) and named and circuit.get("id") == named[-1]:
            return ("circuits", index)
    return ()


def _is_secret(finding: Any) -> bool:
    """Whether its input must not be repeated: the page's token, or a key in place of a file."""
    return "token" in finding["loc"] or "-----BEGIN" in str(finding["input"])


class _PointCheck:
    def __init__(self, config: AgentConfig, points: NamedPoints) -> None:
        self._config = config
        self._points = points

    def run(self) -> None:
        panel = self._config.panel
        for name, unit in PANEL_UNITS.items():
            point = self._points.number(panel.device, getattr(panel, name), ("panel", name))
            self._unit(point, getattr(panel, name), unit, "it is", ("panel", name))
        for power_point in panel.power_points:
            power = self._points.number(panel.device, power_point, ("panel", "power_point"))
            self._power_units(
                power, power_point, panel.device, panel.power_scale, ("panel", "power_point")
            )
        for index, circuit in enumerate(self._config.circuits):
            self._circuit(circuit, ("circuits", index))
        self._measured_twice()

    def _measured_twice(self) -> None:
        """Two circuits on one meter: each would count with the power of both."""
        owners: dict[str, str] = {}
        for index, circuit in enumerate(self._config.circuits):
            for name in circuit.power_points:
                topic = f"{self._config.device_of(circuit)}/{name}"
                owner = owners.setdefault(topic, circuit.id)
                if owner != circuit.id:
                    self._points.say(
                        ("circuits", index, "power_point"),
                        f"power_point {name!r} measures circuit {owner!r} too: each would count "
                        "with the power of both",
                        "Correct the name, make them one circuit, or give one of them nominal_kw",
                    )

    def _power_units(
        self,
        point: RegistryPoint | None,
        name: str | None,
        device: str,
        power_scale: float,
        where: tuple[str | int, ...],
    ) -> None:
        """kW per unit must be what the registry's units say; 10^ marks a scale of the meter's."""
        if point is None:
            return
        scales = self._with_scale_points(power_scale, device, name)
        first, _, rest = point.units.lower().partition(" ")
        per_unit = KW_PER_UNIT.get(first)
        allowed = [per_unit * 10**n for n in range(5)] if per_unit and "10^" in rest else [per_unit]
        if per_unit is None:
            self._points.say(
                where,
                f"{name!r} is in {point.units!r}, which is no unit of power",
                "Name a point in kW or W, or correct the registry's units",
            )
        elif not any(abs(scale - each) < 1e-9 for each in allowed if each for scale in scales):
            self._points.say(
                where,
                f"{name!r} is in {point.units}, but power_scale is {power_scale:g}",
                f'Set "power_scale": {per_unit:g}',
            )

    def _circuit(self, circuit: CircuitConfig, where: tuple[str | int, ...]) -> None:
        device = self._config.device_of(circuit)
        control = self._config.control_device_of(circuit)
        for power_point in circuit.power_points:
            power = self._points.number(device, power_point, (*where, "power_point"))
            self._power_units(
                power, power_point, device, circuit.power_scale, (*where, "power_point")
            )
        switch = self._points.point(control, circuit.switch_point, (*where, "switch_point"))
        if switch and switch.kind in ("float", "str"):
            self._points.say(
                (*where, "switch_point"),
                f"switch_point {circuit.switch_point!r} is {switch.kind}, not on/off",
                "Name a coil or a binary output",
            )
        limit = self._points.number(control, circuit.limit_point, (*where, "limit_point"))
        self._limit(circuit, limit, where)
        setpoint = self._points.number(control, circuit.setpoint_point, (*where, "setpoint_point"))
        self._setpoint(circuit, setpoint, where)
        self._wiring(circuit, where)
        guard_device = self._config.guard_device_of(circuit)
        guard = self._points.number(guard_device, circuit.guard_point, (*where, "guard_point"))
        self._unit(
            guard, circuit.guard_point, circuit.guard_unit, "guard_unit is", (*where, "guard_point")
        )
        self._storage(circuit, control, where)

    def _wiring(self, circuit: CircuitConfig, where: tuple[str | int, ...]) -> None:
        """What cannot be, or is not used, on a panel of one phase."""
        panel = self._config.panel
        if panel.phases == 3:
            return
        for key in ("poles", "phases"):
            if getattr(circuit, key) == 3:
                self._points.say(
                    (*where, key),
                    f"{key} is 3, and the panel has one phase",
                    'Set the panel\'s "phases" to 3, or correct it',
                )
        is_split = circuit.poles == 1 and circuit.voltage is None
        if is_split and panel.voltage >= SPLIT_PHASE_VOLTS:
            self._points.say(
                (*where, "poles"),
                f"poles is not used on a panel of one phase: {circuit.id} counts with "
                f"{panel.voltage:g} V",
                f'Write "voltage": {panel.voltage / 2.0:g} for a load between line and neutral of '
                f'a split-phase panel; else remove "poles"',
            )

    def _limit(
        self, circuit: CircuitConfig, limit: RegistryPoint | None, where: tuple[str | int, ...]
    ) -> None:
        if limit is None:
            return
        unit = circuit.limit_unit.value
        device = self._config.control_device_of(circuit)
        if not self._is_scaled(limit, circuit.limit_point, unit, device, (*where, "limit_point")):
            self._unit(limit, circuit.limit_point, unit, "limit_unit is", (*where, "limit_point"))
        self._step(circuit, limit, circuit.limit_point, (*where, "limit_step"))

    def _with_scale_points(self, scale: float, device: str, name: str | None) -> tuple[float, ...]:
        """The sizes that a scale may have beside one in `scale_points`: that makes the registry's
        unit of a register (tenths of W), or the agent's."""
        given = self._config.quirks_of(device).scale_points.get(name or "", 1.0)
        return abs(scale), abs(scale) * (1.0 if isinstance(given, str) else given)

    def _is_scaled(
        self, point: RegistryPoint, name: str | None, unit: str, device: str, where: Where
    ) -> bool:
        """Whether the register counts in a part or a multiple of `unit`, as mA of amps, so that its
        unit in `scale_points` has to say which; says so where that is another."""
        per_unit = {"amps": AMPS_PER_UNIT, "kw": KW_PER_UNIT}.get(unit, {})
        expected = per_unit.get(point.units.lower(), 1.0)
        given = self._config.quirks_of(device).scale_points.get(name or "", 1.0)
        if expected == 1.0:
            return False
        if not isinstance(given, str) and abs(given / expected - 1.0) > 1e-9:
            counts = (
                f"scale_points has {given:g} for it" if given != 1.0 else "scale_points lacks it"
            )
            self._points.say(
                where,
                f"{where[-1]} {name!r} is in {point.units}, counts as {unit}, and {counts}",
                f'Write "scale_points": {{"{name}": {expected:g}}} in the quirks of {device}, or '
                "correct the registry's units",
            )
        return True

    def _step(
        self, circuit: CircuitConfig, point: RegistryPoint, name: str | None, where: Where
    ) -> None:
        """The step that is written must be whole units of an integer register."""
        key = str(where[-1])
        step = float(getattr(circuit, key))
        quirks = self._config.quirks_of(self._config.control_device_of(circuit))
        unit = quirks.scale_points.get(name or "", 1.0)
        if point.kind != "int" or isinstance(unit, str) or abs(step / unit % 1.0 - 0.5) > 0.499999:
            return
        of_unit = "a whole number" if unit == 1.0 else f"a multiple of {unit:g}"
        self._points.say(
            where,
            f"{key} {step:g} needs fractions, but {name!r} is an integer register, which VOLTTRON "
            "cannot write so",
            f"Set {key} to {of_unit}",
        )

    def _setpoint(
        self, circuit: CircuitConfig, point: RegistryPoint | None, where: tuple[str | int, ...]
    ) -> None:
        if point is None:
            return
        unit = circuit.setpoint_unit
        self._unit(
            point, circuit.setpoint_point, unit, "setpoint_unit is", (*where, "setpoint_point")
        )
        self._step(circuit, point, circuit.setpoint_point, (*where, "setpoint_step"))

    def _storage(self, circuit: CircuitConfig, control: str, where: tuple[str | int, ...]) -> None:
        """A battery's charge in percent, and what it is commanded in."""
        soc = self._points.number(
            self._config.soc_device_of(circuit), circuit.soc_point, (*where, "soc_point")
        )
        self._unit(soc, circuit.soc_point, "percent", "it is", (*where, "soc_point"))
        name, key = circuit.power_setpoint_point, (*where, "power_setpoint_point")
        point = self._points.number(control, name, key)
        if point is None or name is None:
            return
        self._step(circuit, point, name, (*where, "power_setpoint_step"))
        if "x 10^" in point.units:
            return
        is_amps = circuit.power_setpoint_unit == "amps"
        scales = self._with_scale_points(circuit.power_setpoint_scale, control, name)
        per_unit = AMPS_PER_UNIT if is_amps else KW_PER_UNIT
        expected = per_unit.get(point.units.lower())
        if expected is None and _unit_of(point.units) in MEASUREMENT_UNITS:
            text = f"power_setpoint_unit is {circuit.power_setpoint_unit!r}"
            self._points.say(
                key, f"{name!r} is in {point.units!r}, but {text}", "Name the point that fits it"
            )
        elif expected is not None and all(abs(scale - expected) > 1e-9 for scale in scales):
            self._points.say(
                key,
                f"{name!r} is in {point.units}, but power_setpoint_scale is "
                f"{circuit.power_setpoint_scale:g}",
                f'Set "power_setpoint_scale": {expected:g} (negative where what it discharges '
                f"counts as positive)",
            )

    def _unit(
        self,
        point: RegistryPoint | None,
        name: str | None,
        unit: str,
        what: str,
        where: tuple[str | int, ...],
    ) -> None:
        """What the registry says that a point counts in, and what its bounds are given in."""
        if point is None or not point.units:
            return
        given, of_point = _unit_of(unit), _unit_of(point.units)
        if given == of_point or (
            given not in MEASUREMENT_UNITS and of_point not in MEASUREMENT_UNITS
        ):
            return
        key = where[-1]
        self._points.say(
            where,
            f"{key} {name!r} is in {point.units!r}, but {what} {unit!r}",
            UNIT_REMEDIES.get(str(key), "Name a point that counts so, or correct the registry"),
        )


def _unit_of(text: str) -> str:
    """One word for all ways to write a unit; as it is written where that is not known. What a scale
    factor multiplies counts in the unit before it."""
    plain = text.lower().partition(" x 10^")[0]
    return measurement_unit_of(plain) or plain_measurement_unit(plain)
