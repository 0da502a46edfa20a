"""The two things that can hang on the panel: a house that lives, or steady loads for tests."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Protocol

from simulator.appliance_loads import (
    HOUR_SEC,
    MINUTE_SEC,
    ApplianceLoad,
    ApplianceNoise,
    AppliancePhase,
    EvAppliance,
    ProgrammeAppliance,
    ThermostatAppliance,
    ThermostatApplianceSpec,
    WanderingAppliance,
)
from simulator.simulated_circuit import CIRCUITS, INDEX_BY_ID, NOMINAL_VOLTAGE

BATTERY_SOC_PERCENT = 85.0


class PanelLoads(Protocol):
    """All that is connected to the panel, in circuit order, and the supply in front of it."""

    @property
    def voltage(self) -> float:
        """Supply voltage in V."""

    @property
    def battery_soc_percent(self) -> float:
        """State of charge of the house battery, 0-100 %."""

    def natural_kw(self) -> Sequence[float]:
        """What each circuit would draw in kW, closed and without a limit."""

    def step(self, duration_sec: float, supplied_kw: Sequence[float]) -> None:
        """Let simulated time pass while each circuit gets `supplied_kw`."""


class SteadyPanelLoads:
    """Constant draws, exactly 240 V: what tests and benchmarks compare against."""

    voltage = NOMINAL_VOLTAGE
    battery_soc_percent = BATTERY_SOC_PERCENT

    def natural_kw(self) -> Sequence[float]:
        """The steady draw of each circuit in kW."""
        return [circuit.steady_kw for circuit in CIRCUITS]

    def step(self, duration_sec: float, supplied_kw: Sequence[float]) -> None:
        """Nothing changes."""


class HousePanelLoads:
    """A house on a hot afternoon that does not end: every circuit with its own physics."""

    BATTERY_SWING_PERCENT = 2.0
    BATTERY_PERIOD_SEC = 6 * HOUR_SEC

    def __init__(self, seed: int) -> None:
        """The same seed gives the same noise, second by second."""
        self._voltage = ApplianceNoise(NOMINAL_VOLTAGE, 0.5, 30.0, _rng(seed, "voltage"))
        self._appliances = _appliances(seed)
        self._elapsed_sec = 0.0

    @property
    def voltage(self) -> float:
        """Supply voltage in V."""
        return self._voltage.value

    @property
    def battery_soc_percent(self) -> float:
        """State of charge of the house battery in %, a slow swing around 85."""
        turn = 2.0 * math.pi * self._elapsed_sec / self.BATTERY_PERIOD_SEC
        return BATTERY_SOC_PERCENT + self.BATTERY_SWING_PERCENT * math.sin(turn)

    def natural_kw(self) -> Sequence[float]:
        """What each circuit would draw in kW, closed and without a limit."""
        return [appliance.demand_kw for appliance in self._appliances]

    def step(self, duration_sec: float, supplied_kw: Sequence[float]) -> None:
        """Let simulated time pass while each circuit gets `supplied_kw`."""
        self._elapsed_sec += duration_sec
        self._voltage.step(duration_sec)
        for appliance, power_kw in zip(self._appliances, supplied_kw, strict=True):
            appliance.step(duration_sec, power_kw)


def _rng(seed: int, name: str) -> random.Random:
    """A stream of its own for each noise, so that adding one does not change the others."""
    return random.Random(f"{seed}:{name}")


def _wandering(circuit_id: str, seed: int) -> WanderingAppliance:
    """Noise of 5 % around the steady draw, over about ten minutes."""
    steady_kw = _steady_kw(circuit_id)
    drift = ApplianceNoise(steady_kw, 0.05 * steady_kw, 10 * MINUTE_SEC, _rng(seed, circuit_id))
    return WanderingAppliance(drift)


def _steady_kw(circuit_id: str) -> float:
    return CIRCUITS[INDEX_BY_ID[circuit_id]].steady_kw


def _hvac() -> ThermostatAppliance:
    """33 °C outside, a house that follows in 4 h; an inverter that works harder when late."""
    return ThermostatAppliance(
        ThermostatApplianceSpec(
            start_c=25.0,
            on_at_c=25.2,
            off_at_c=23.8,
            ambient_c=33.0,
            time_constant_sec=4 * HOUR_SEC,
            degrees_per_kwh=-1.07,
            rated_kw=_steady_kw("hvac1"),
            max_kw=5.0,
            boost_kw_per_degree=2.0,
        )
    )


def _water_heater() -> ThermostatAppliance:
    """200 l, of which 25 l/h are used and replaced at 15 °C: a time constant of 8 h."""
    return ThermostatAppliance(
        ThermostatApplianceSpec(
            start_c=48.0,
            on_at_c=54.0,
            off_at_c=60.0,
            ambient_c=15.0,
            time_constant_sec=8 * HOUR_SEC,
            degrees_per_kwh=3600.0 / (4.186 * 200.0),
            rated_kw=_steady_kw("heater1"),
            max_kw=_steady_kw("heater1"),
        )
    )


def _fridge() -> ThermostatAppliance:
    return ThermostatAppliance(
        ThermostatApplianceSpec(
            start_c=5.9,
            on_at_c=6.0,
            off_at_c=3.0,
            ambient_c=22.0,
            time_constant_sec=7 * HOUR_SEC,
            degrees_per_kwh=-35.0,
            rated_kw=_steady_kw("fridge1"),
            max_kw=0.3,
            boost_kw_per_degree=0.03,
        )
    )


def _dryer() -> ProgrammeAppliance:
    """Heat, cool down, and a pause until the next load of washing."""
    heat = AppliancePhase(40 * MINUTE_SEC, _steady_kw("dryer1"))
    return ProgrammeAppliance(
        [heat, AppliancePhase(10 * MINUTE_SEC, 0.3), AppliancePhase(150 * MINUTE_SEC, 0.0)]
    )


def _range() -> ProgrammeAppliance:
    """Cook, simmer, and a pause until the next meal."""
    cook = AppliancePhase(35 * MINUTE_SEC, _steady_kw("range1"))
    return ProgrammeAppliance(
        [cook, AppliancePhase(25 * MINUTE_SEC, 1.2), AppliancePhase(180 * MINUTE_SEC, 0.0)]
    )


def _appliances(seed: int) -> list[ApplianceLoad]:
    by_id: dict[str, ApplianceLoad] = {
        "hvac1": _hvac(),
        "heater1": _water_heater(),
        "ev1": EvAppliance(_steady_kw("ev1")),
        "dryer1": _dryer(),
        "range1": _range(),
        "lights1": _wandering("lights1", seed),
        "outlets1": _wandering("outlets1", seed),
        "fridge1": _fridge(),
    }
    return [by_id[circuit.circuit_id] for circuit in CIRCUITS]
