"""What the house would draw, and how being shed changes that. Pure: no clock, no I/O.

Every appliance has a `demand_kw` (what it draws when nothing holds it back) and a `step`, which
is told what it really got. The difference drifts into a temperature, a battery or an unfinished
programme, and comes back as a longer or harder run: that is the recovery peak after a shed.

The start values put every appliance in the middle of a run that lasts more than 30 minutes, so
that a panel just started shows something to shed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

HOUR_SEC = 3600.0
MINUTE_SEC = 60.0


class ApplianceLoad(Protocol):
    """One circuit's load."""

    @property
    def demand_kw(self) -> float:
        """What it would draw now in kW."""

    def step(self, duration_sec: float, supplied_kw: float) -> None:
        """Let simulated time pass while it gets `supplied_kw`."""


class ApplianceNoise:
    """Slow noise that returns to its mean (Ornstein-Uhlenbeck), held within three deviations."""

    def __init__(
        self, mean: float, deviation: float, correlation_sec: float, rng: random.Random
    ) -> None:
        self.value = mean
        self._mean = mean
        self._deviation = deviation
        self._correlation_sec = correlation_sec
        self._rng = rng

    def step(self, duration_sec: float) -> None:
        """Move on by `duration_sec`; the spread does not depend on the length of the steps."""
        decay = math.exp(-duration_sec / self._correlation_sec)
        kick = self._deviation * math.sqrt(1.0 - decay * decay) * self._rng.gauss(0.0, 1.0)
        offset = (self.value - self._mean) * decay + kick
        bound = 3.0 * self._deviation
        self.value = self._mean + min(bound, max(-bound, offset))


class WanderingAppliance:
    """Lights and outlets: many small things switched by people; a shed changes nothing later."""

    def __init__(self, drift: ApplianceNoise) -> None:
        self._drift = drift

    @property
    def demand_kw(self) -> float:
        """What it would draw now in kW."""
        return max(0.0, self._drift.value)

    def step(self, duration_sec: float, supplied_kw: float) -> None:
        """Wander on; `supplied_kw` has no effect."""
        self._drift.step(duration_sec)


@dataclass(frozen=True)
class ThermostatApplianceSpec:
    """What a thermostat appliance is made of. Temperatures in °C.

    `degrees_per_kwh` is negative for cooling. It starts at `on_at_c` and stops at `off_at_c`;
    every degree beyond `on_at_c` adds `boost_kw_per_degree`, up to `max_kw`.
    """

    start_c: float
    on_at_c: float
    off_at_c: float
    ambient_c: float
    time_constant_sec: float
    degrees_per_kwh: float
    rated_kw: float
    max_kw: float
    boost_kw_per_degree: float = 0.0


class ThermostatAppliance:
    """A temperature that leaks towards its surroundings, and a machine that pushes it back."""

    def __init__(self, spec: ThermostatApplianceSpec) -> None:
        self._spec = spec
        self._sign = 1.0 if spec.degrees_per_kwh < 0 else -1.0
        self.temperature_c = spec.start_c
        self.running = True

    @property
    def demand_kw(self) -> float:
        """What it would draw now in kW: more the further it is from comfort."""
        if not self.running:
            return 0.0
        spec = self._spec
        boost_kw = spec.boost_kw_per_degree * max(0.0, self._beyond(spec.on_at_c))
        return min(spec.max_kw, spec.rated_kw + boost_kw)

    def step(self, duration_sec: float, supplied_kw: float) -> None:
        """Leak, heat or cool by what was supplied, then let the thermostat decide."""
        spec = self._spec
        leak = (spec.ambient_c - self.temperature_c) / spec.time_constant_sec
        push = spec.degrees_per_kwh * supplied_kw / HOUR_SEC
        self.temperature_c += duration_sec * (leak + push)
        if self._beyond(spec.on_at_c) >= 0.0:
            self.running = True
        elif self._beyond(spec.off_at_c) <= 0.0:
            self.running = False

    def _beyond(self, threshold_c: float) -> float:
        """Degrees past a threshold in the uncomfortable direction."""
        return self._sign * (self.temperature_c - threshold_c)


class EvAppliance:
    """A car's battery: full power, then a taper; once full it is driven and comes back emptier."""

    BATTERY_KWH = 60.0
    CHARGE_EFFICIENCY = 0.92
    TAPER_FROM_SOC = 0.8
    FULL_SOC = 0.995
    RETURN_SOC = 0.4
    AWAY_SEC = 8 * HOUR_SEC
    MIN_KW = 0.6

    def __init__(self, max_kw: float) -> None:
        self._max_kw = max_kw
        self._away_left_sec = 0.0
        self.soc = self.RETURN_SOC

    @property
    def demand_kw(self) -> float:
        """What it would draw now in kW."""
        if self._away_left_sec > 0.0:
            return 0.0
        taper = min(1.0, (1.0 - self.soc) / (1.0 - self.TAPER_FROM_SOC))
        return max(self.MIN_KW, self._max_kw * taper)

    def step(self, duration_sec: float, supplied_kw: float) -> None:
        """Charge by what was supplied, or be away."""
        if self._away_left_sec > 0.0:
            self._away_left_sec -= duration_sec
            if self._away_left_sec <= 0.0:
                self.soc = self.RETURN_SOC
            return
        charged_kwh = supplied_kw * self.CHARGE_EFFICIENCY * duration_sec / HOUR_SEC
        self.soc = min(1.0, self.soc + charged_kwh / self.BATTERY_KWH)
        if self.soc >= self.FULL_SOC:
            self._away_left_sec = self.AWAY_SEC


@dataclass(frozen=True)
class AppliancePhase:
    """One part of a programme; a power of zero is the pause until the next use."""

    duration_sec: float
    power_kw: float


class ProgrammeAppliance:
    """Dryer and range: phases in turn. Work not done while shed is done later, and a bit more."""

    # While shed the drum or the pan cools: each second costs this much of the phase's progress.
    COOLING_LOSS = 0.2

    def __init__(self, phases: Sequence[AppliancePhase]) -> None:
        self._phases = tuple(phases)
        self._index = 0
        self._progress_sec = 0.0

    @property
    def demand_kw(self) -> float:
        """What it would draw now in kW."""
        return self._phases[self._index].power_kw

    def step(self, duration_sec: float, supplied_kw: float) -> None:
        """Progress in proportion to what was supplied."""
        phase = self._phases[self._index]
        share = min(1.0, supplied_kw / phase.power_kw) if phase.power_kw > 0.0 else 1.0
        gained_sec = duration_sec * (share - self.COOLING_LOSS * (1.0 - share))
        self._progress_sec = max(0.0, self._progress_sec + gained_sec)
        if self._progress_sec >= phase.duration_sec:
            self._index = (self._index + 1) % len(self._phases)
            self._progress_sec = 0.0
