"""What a point's raw value means, and whether it can be: the device's peculiarities are data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from VenAgent.config import AgentConfig
from VenAgent.dr.panel import PanelCircuitControl

BREAKER_TIMES = 3.0
"""A circuit may draw so many times its breaker's rating for a moment: motors start so."""
PANEL_TIMES = 2.0
FEED_IN_TIMES = 1.25
"""What feeds in starts no motor: a breaker carries so much of its rating the other way."""
VOLTAGE_TIMES = 2.0
WORD_LIMITS = frozenset(
    float(value)
    for bits in (16, 32, 64)
    for value in (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 2**bits - 1)
)
"""The ends of integer registers: no measurement, but a meter without a value, or one that cannot
count as far (0x8000, 0x7FFF, 0xFFFF, 0x7FFFFFFF …)."""
LEAST_ALIKE = 3
LEAST_VOLTAGE = 0.25
"""Below this share of the panel's voltage no meter measures anything."""
LARGEST_SCALE = 10
"""SunSpec's scale factors are powers of ten from -10 to 10."""
STARTING_SEC = 60.0
"""A device that has just begun reads all zeros for no longer than this."""


def number_without_quirk(value: Any) -> float | None:
    """A point's value as a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def is_on_without_quirk(value: Any) -> bool | None:
    """A contactor's point: drivers give booleans, 0 and 1, or BACnet's words."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    return {"active": True, "inactive": False}.get(value) if isinstance(value, str) else None


@dataclass(frozen=True)
class _Range:
    """What a measured point can read, in kW, volts and so on, and the highest of it in words."""

    lowest: float
    highest: float
    scale: float
    why: str
    is_guard: bool = False
    """A sensor of comfort: without a number it counts as not read, at once."""
    at_power_on: float | None = None
    """What its sensor reads before it has measured."""


class PointQuirks:
    """Of one configuration's devices. It remembers the scale factors that it has read."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._ranges: dict[tuple[str, str], _Range] = {}
        """By device and point, of all that is measured: no register that is written."""
        self._quirks = {device: config.quirks_of(device) for device in config.devices()}
        self._unlimited = {
            (config.control_device_of(circuit), circuit.limit_point): circuit.limit_unlimited
            for circuit in config.circuits
        }
        """By limit register: what means no limit there, whatever it means in others."""
        self._scales: dict[tuple[str, str], int] = {}
        self._changed_scales: dict[tuple[str, str], tuple[int, float]] = {}
        """Those that were read once as another than before, and when: a device that starts may read
        so."""
        self._zeros_ts: dict[str, float] = {}
        """By device: since when all that it reads is 0."""
        self._setpoints = _registers_of(config, PanelCircuitControl.SETPOINT)
        others = PanelCircuitControl.LIMIT, PanelCircuitControl.POWER
        self._registers = self._setpoints | _registers_of(config, *others)
        """What a number is written to, by device and point."""
        self._flows: set[tuple[str, str]] = set()
        """The powers among what is measured."""
        self._moved: dict[str, tuple[dict[str, float], float]] = {}
        """By device: what it last measured, and since when it measures just that (epoch s)."""
        self._bound_panel()
        self._bound_circuits()

    def read(self, device: str, name: str, points: Mapping[str, Any]) -> tuple[Any, str | None]:
        """The point's value among those read with it, and why that cannot be, or None."""
        value, quirks = points[name], self._quirks[device]
        known = self._ranges.get((device, name))
        read = number_without_quirk(value)
        if read is None:
            is_nan = isinstance(value, float) and (known is None or not known.is_guard)
            is_nothing = (device, name) in self._registers and not isinstance(value, bool)
            return value, "it is no number" if is_nan or is_nothing else None
        if read in quirks.sentinels and read not in self._unlimited.get((device, name), ()):
            return value, "the device says so when it has no value"
        if read in WORD_LIMITS and (known is not None or (device, name) in self._setpoints):
            return value, "it is the end of the register, as of a meter without a value"
        scale_point = quirks.scale_points.get(name)
        if isinstance(scale_point, str) and scale_point in points:
            changed = self._changed_scales.get((device, scale_point))
            if changed is not None:
                text = f"its scale factor {scale_point} reads {changed[0]}, and was another before"
                return value, text
        unit = self.unit_of(device, name)
        if unit is None and points.get(str(scale_point)):
            return value, f"its scale factor {scale_point} reads {points[str(scale_point)]!r}"
        if unit is None:
            return value, f"its scale factor {scale_point} has not been read"
        if scale_point is not None:
            read = value = round(read * unit, 9)
        if known is not None and read == known.at_power_on:
            return value, "its sensor reads so from its power-on until it measures"
        if known is None or known.lowest <= read * known.scale <= known.highest:
            return value, None
        return value, f"it cannot be {known.why}"

    def take_scales(self, device: str, points: Mapping[str, Any], ts: float) -> None:
        """The scale factors among what was read at `ts`. A block of zeros says nothing while it may
        be that of a device that has just begun; a factor that comes alone is no such block."""
        factors = {e for e in self._quirks[device].scale_points.values() if isinstance(e, str)}
        is_block = not factors.issuperset(points)
        if is_block and all(number_without_quirk(value) == 0.0 for value in points.values()):
            if ts - self._zeros_ts.setdefault(device, ts) < STARTING_SEC:
                return
            factors = {e for e in factors if (device, e) not in self._scales}
        elif is_block:
            self._zeros_ts.pop(device, None)
        for scale_point in factors:
            self._take_scale((device, scale_point), points.get(scale_point), ts)

    def why_not_measured(self, device: str, points: Mapping[str, Any], ts: float) -> str | None:
        """Why nothing that a device measured at `ts` can be used; None if it can."""
        if self._is_no_meter(device, points):
            return "the voltage reads the same as all else: no meter has answered"
        frozen_after_sec = self._quirks[device].frozen_after_sec
        if frozen_after_sec is None or ts - self._moved_ts(device, points, ts) <= frozen_after_sec:
            return None
        return f"the meter has stood still for more than {frozen_after_sec:g} s: it is frozen"

    def _moved_ts(self, device: str, points: Mapping[str, Any], ts: float) -> float:
        """When a measured value last was another one."""
        read = {
            name: number
            for name, value in points.items()
            if (device, name) in self._ranges
            for number in [number_without_quirk(value)]
            if number is not None
        }
        known, moved_ts = self._moved.get(device, ({}, ts))
        if any(known.get(name) != number for name, number in read.items()) or ts < moved_ts:
            moved_ts = ts
        self._moved[device] = {**known, **read}, moved_ts
        return moved_ts

    def _is_no_meter(self, device: str, points: Mapping[str, Any]) -> bool:
        """Whether its voltage reads the same as all else that it measures: a converter that answers
        for a meter that is not there (all 0, all -1), or one that has just begun. Neither is it one
        where there is hardly a voltage and nothing flows, whatever else is read with it."""
        panel = self._config.panel
        if device != panel.device or panel.voltage_point not in points:
            return False
        flows = [points[name] for name in points if (device, name) in self._flows]
        volts = number_without_quirk(points.get(panel.voltage_point or ""))
        is_still = bool(flows) and all(number_without_quirk(e) in (0.0, volts) for e in flows)
        if is_still and volts is not None and abs(volts) < LEAST_VOLTAGE * panel.voltage:
            return True
        read = [
            number_without_quirk(value)
            for name, value in points.items()
            if (device, name) in self._ranges
        ]
        return len(read) >= LEAST_ALIKE and None not in read and len(set(read)) == 1

    def is_unset(self, device: str, name: str, value: Any) -> bool:
        """Whether a limit register holds no number, or what its device says when it has none."""
        if (device, name) not in self._unlimited or isinstance(value, bool):
            return False
        read = number_without_quirk(value)
        return read is None or read in self._quirks[device].sentinels

    def is_measured(self, device: str, name: str) -> bool:
        """Whether a point is one that only a meter changes."""
        return (device, name) in self._ranges

    def unit_of(self, device: str, name: str) -> float | None:
        """What one unit of the point's register is; None while its scale factor was never read."""
        quirks = self._quirks.get(device)
        scale = None if quirks is None else quirks.scale_points.get(name)
        if scale is None:
            return 1.0
        if not isinstance(scale, str):
            return scale
        exponent = self._scales.get((device, scale))
        return None if exponent is None else 10.0**exponent

    def adopt(self, before: PointQuirks) -> None:
        """The scale factors that were read under an earlier configuration."""
        self._scales = {**before._scales, **self._scales}

    def _take_scale(self, key: tuple[str, str], value: Any, ts: float) -> None:
        """The last one stays, for it hardly ever changes; another one counts once it is read
        twice."""
        read = number_without_quirk(value)
        if read is None or not read.is_integer() or abs(read) > LARGEST_SCALE:
            return
        exponent, (changed, changed_ts) = int(read), self._changed_scales.get(key, (None, 0.0))
        if self._scales.setdefault(key, exponent) == exponent:
            self._changed_scales.pop(key, None)
        elif changed == exponent and ts > changed_ts:
            self._changed_scales.pop(key)
            self._scales[key] = exponent
        elif changed != exponent:
            self._changed_scales[key] = exponent, ts

    def _bound_panel(self) -> None:
        panel = self._config.panel
        for name in panel.power_points:
            why = (
                f"more than {PANEL_TIMES:g} times the panel's {panel.max_kw:g} kW, "
                f"or than {FEED_IN_TIMES:g} times that fed in"
            )
            bounds = -FEED_IN_TIMES * panel.max_kw, PANEL_TIMES * panel.max_kw
            self._flows.add((panel.device, name))
            self._bound(panel.device, name, _Range(*bounds, panel.power_scale, why))
        volts, amps = VOLTAGE_TIMES * panel.voltage, BREAKER_TIMES * panel.amperage
        for point, lowest, highest, unit in (
            (panel.voltage_point, 0.0, volts, "V"),
            (panel.current_point, -amps, amps, "A"),
            (panel.battery_soc_point, 0.0, 100.0, "percent"),
        ):
            why = f"outside {lowest:g} to {highest:g} {unit}"
            self._bound(panel.device, point, _Range(lowest, highest, 1.0, why))

    def _bound_circuits(self) -> None:
        config = self._config
        for circuit in config.circuits:
            rating_kw = config.rating_kw(circuit)
            why = (
                f"more than {BREAKER_TIMES:g} times its breaker's {rating_kw:g} kW, "
                f"or than {FEED_IN_TIMES:g} times that fed in"
            )
            bounds = -FEED_IN_TIMES * rating_kw, BREAKER_TIMES * rating_kw
            for name in circuit.power_points:
                measured = _Range(*bounds, circuit.power_scale, why)
                self._bound(config.device_of(circuit), name, measured)
                self._flows.add((config.device_of(circuit), name))
            lowest, highest = circuit.guard_range
            why = f"outside {lowest:g} to {highest:g}"
            at_power_on = circuit.guard_at_power_on
            guard = _Range(lowest, highest, 1.0, why, is_guard=True, at_power_on=at_power_on)
            self._bound(config.guard_device_of(circuit), circuit.guard_point, guard)
            soc = _Range(0.0, 100.0, 1.0, "outside 0 to 100")
            self._bound(config.soc_device_of(circuit), circuit.soc_point, soc)

    def _bound(self, device: str, name: str | None, measured: _Range) -> None:
        """A point that two take from may be as high as the wider range allows."""
        if name is None:
            return
        known = self._ranges.get((device, name))
        if known is None or _raw_width(measured) > _raw_width(known):
            self._ranges[device, name] = measured


def _registers_of(config: AgentConfig, *controls: PanelCircuitControl) -> set[tuple[str, str]]:
    """What a number is written to of the circuits that are shed so, by device and point."""
    points = (
        config.control_point_of(circuit)
        for circuit in config.circuits
        if circuit.control in controls
    )
    return {(device, name) for device, _, name in (p.rpartition("/") for p in points)}


def _raw_width(measured: _Range) -> float:
    """How wide it is in the point's own numbers."""
    return (measured.highest - measured.lowest) / max(abs(measured.scale), 1e-12)
