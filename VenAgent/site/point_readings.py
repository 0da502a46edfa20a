"""From the points that the driver publishes to a reading of the panel. Pure: no VOLTTRON here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from VenAgent.config import AgentConfig
from VenAgent.config.site_config import CircuitConfig
from VenAgent.contract.telemetry import Quality
from VenAgent.dr.panel import CircuitReading, Reading


def number(value: Any) -> float | None:
    """A point's value as a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def switched_on(value: Any) -> bool | None:
    """A contactor's point: drivers give booleans, 0 and 1, or BACnet's words."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    return {"active": True, "inactive": False}.get(value) if isinstance(value, str) else None


CLOCK_SLEW_SEC = 1.0
"""A reading from later than this was read before the clock was set back: no one knows when."""


@dataclass
class _Device:
    ts: float
    points: Mapping[str, Any]


@dataclass
class PointReadings:
    """The latest values of the panel's devices, and the reading they make."""

    config: AgentConfig
    _devices: dict[str, _Device] = field(default_factory=dict)

    def update(
        self, device: str, points: Mapping[str, Any], ts: float, now: float | None = None
    ) -> None:
        """Values of `device` read at `ts`; an older reading never replaces a newer one, unless
        that one is from after `now`: then the clock was set back since."""
        known = self._devices.get(device)
        is_newer = known is None or ts >= known.ts or (now is not None and known.ts > now)
        if is_newer and device in self.config.devices():
            self._devices[device] = _Device(ts, points)

    def adopt(self, before: PointReadings) -> None:
        """Keep what was read under an earlier configuration, of the devices that are still ours."""
        for device, known in before._devices.items():
            self.update(device, known.points, known.ts)

    def missing(self) -> list[str]:
        """The configured points that their device does not publish: a fault of configuration."""
        lacking = []
        for device, name in self._configured():
            known = self._devices.get(device)
            if known is not None and name not in known.points:
                lacking.append(f"{device}/{name}")
        return lacking

    def quality(self, now: float) -> Quality:
        """Good while every device was read within `stale_after_sec`."""
        devices = self.config.devices()
        if any(device not in self._devices for device in devices):
            return Quality.MISSING
        times = [self._devices[device].ts for device in devices]
        is_fresh = now - min(times) <= self.config.stale_after_sec
        return Quality.GOOD if is_fresh and max(times) <= now + CLOCK_SLEW_SEC else Quality.STALE

    def age_sec(self, now: float) -> float | None:
        """Age of the oldest device's reading; None when one was never read."""
        if any(device not in self._devices for device in self.config.devices()):
            return None
        return now - min(self._devices[device].ts for device in self.config.devices())

    def reading(self, now: float, max_age_sec: float | None = None) -> Reading:
        """What is known at `now`. A value older than `max_age_sec` is left out, not reused.

        `max_age_sec` is the configuration's `stale_after_sec` if none is given. The reading's
        `ts` is the time of the oldest device that took part; `now` when none did.
        """
        oldest = now - (self.config.stale_after_sec if max_age_sec is None else max_age_sec)
        newest = now + CLOCK_SLEW_SEC
        fresh = {
            name: known for name, known in self._devices.items() if oldest <= known.ts <= newest
        }
        panel = self.config.panel

        def read(device: str, name: str | None) -> Any:
            known = fresh.get(device)
            return None if known is None or name is None else known.points.get(name)

        def read_circuit(circuit: CircuitConfig) -> CircuitReading:
            power = number(read(self.config.device_of(circuit), circuit.power_point))
            control = self.config.control_device_of(circuit)
            on = switched_on(read(control, circuit.switch_point))
            return CircuitReading(
                power_kw=None if power is None else power * circuit.power_scale,
                closed=on if on is None else on != circuit.switch_inverted,
                limit=number(read(control, circuit.limit_point)),
            )

        circuits = {circuit.id: read_circuit(circuit) for circuit in self.config.circuits}
        power = number(read(panel.device, panel.power_point))
        power_kw = None if power is None else power * panel.power_scale
        if panel.power_point is None:
            power_kw = _total([circuit.power_kw for circuit in circuits.values()])
        return Reading(
            ts=min((known.ts for known in fresh.values()), default=now),
            power_kw=power_kw,
            circuits=circuits,
            voltage=number(read(panel.device, panel.voltage_point)),
            current_amps=number(read(panel.device, panel.current_point)),
            battery_soc=number(read(panel.device, panel.battery_soc_point)),
        )

    def _configured(self) -> list[tuple[str, str]]:
        panel = self.config.panel
        names = [
            (panel.device, name)
            for name in (
                panel.power_point,
                panel.voltage_point,
                panel.current_point,
                panel.battery_soc_point,
            )
        ]
        for circuit in self.config.circuits:
            control = self.config.control_device_of(circuit)
            names += [
                (self.config.device_of(circuit), circuit.power_point),
                (control, circuit.switch_point),
                (control, circuit.limit_point),
            ]
        return [(device, name) for device, name in names if name is not None]


def _total(powers: list[float | None]) -> float | None:
    """The sum of the circuits; None if one was not read, for it could be the largest."""
    read = [power for power in powers if power is not None]
    return sum(read) if len(read) == len(powers) else None
