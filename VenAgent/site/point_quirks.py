"""What a point's raw value means, and whether it can be: the device's peculiarities are data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from VenAgent.config import AgentConfig

BREAKER_TIMES = 3.0
"""A circuit may draw so many times its breaker's rating for a moment: motors start so."""
PANEL_TIMES = 2.0
VOLTAGE_TIMES = 2.0
LARGEST_SCALE = 10
"""SunSpec's scale factors are powers of ten from -10 to 10."""


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


class PointQuirks:
    """Of one configuration's devices. It remembers the scale factors that it has read."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._highest: dict[tuple[str, str], tuple[float, str]] = {}
        """By device and point: the highest magnitude that can be, and why that is so."""
        self._quirks = {device: config.quirks_of(device) for device in config.devices()}
        self._scales: dict[tuple[str, str], int] = {}
        self._ranges = {
            (config.guard_device_of(circuit), circuit.guard_point): circuit.guard_range
            for circuit in config.circuits
            if circuit.guard_point is not None
        }
        """By device and point: what a comfort guard or a state of charge can read."""
        self._ranges |= {
            (config.soc_device_of(circuit), circuit.soc_point): (0.0, 100.0)
            for circuit in config.circuits
            if circuit.soc_point is not None
        }
        self._bound_panel()
        self._bound_circuits()

    def read(self, device: str, name: str, points: Mapping[str, Any]) -> tuple[Any, str | None]:
        """The point's value among those read with it, and why that cannot be, or None."""
        value, quirks = points[name], self._quirks[device]
        read = number_without_quirk(value)
        if read is None:
            return value, None
        if read in quirks.sentinels:
            return value, "the device says so when it has no value"
        scale_point = quirks.scale_points.get(name)
        if scale_point is not None:
            exponent = self._exponent(device, scale_point, points)
            if exponent is None:
                return value, f"its scale factor {scale_point} has not been read"
            read = value = read * 10.0**exponent
        lowest, most = self._ranges.get((device, name), (-math.inf, math.inf))
        if not lowest <= read <= most:
            return value, f"it cannot be outside {lowest:g} to {most:g}"
        highest, why = self._highest.get((device, name), (math.inf, ""))
        return value, f"it cannot be more than {why}" if abs(read) > highest else None

    def _exponent(self, device: str, scale_point: str, points: Mapping[str, Any]) -> int | None:
        """The scale factor read now, or the last one: it hardly ever changes."""
        read = number_without_quirk(points.get(scale_point))
        if read is not None and read.is_integer() and abs(read) <= LARGEST_SCALE:
            self._scales[device, scale_point] = int(read)
        return self._scales.get((device, scale_point))

    def _bound_panel(self) -> None:
        panel = self._config.panel
        for name in panel.power_points:
            self._bound(
                (panel.device, name),
                PANEL_TIMES * panel.max_kw / max(abs(panel.power_scale), 1e-12),
                f"{PANEL_TIMES:g} times the panel's {panel.max_kw:g} kW",
            )
        for point, highest, unit in (
            (panel.voltage_point, VOLTAGE_TIMES * panel.voltage, "V"),
            (panel.current_point, BREAKER_TIMES * panel.amperage, "A"),
            (panel.battery_soc_point, 100.0, "percent"),
        ):
            if point is not None:
                self._bound((panel.device, point), highest, f"{highest:g} {unit}")

    def _bound_circuits(self) -> None:
        for circuit in self._config.circuits:
            rating_kw = self._config.rating_kw(circuit)
            for name in circuit.power_points:
                self._bound(
                    (self._config.device_of(circuit), name),
                    BREAKER_TIMES * rating_kw / max(abs(circuit.power_scale), 1e-12),
                    f"{BREAKER_TIMES:g} times its breaker's {rating_kw:g} kW",
                )

    def _bound(self, key: tuple[str, str], highest: float, why: str) -> None:
        """A point that two take from may be as high as the larger allows."""
        if highest > self._highest.get(key, (0.0, ""))[0]:
            self._highest[key] = (highest, why)
