"""The house, second by second, without a clock."""

from __future__ import annotations

import random
import statistics

import pytest

from simulator.appliance_loads import (
    ApplianceNoise,
    AppliancePhase,
    EvAppliance,
    ProgrammeAppliance,
    ThermostatAppliance,
    ThermostatApplianceSpec,
)
from simulator.panel_loads import HousePanelLoads, SteadyPanelLoads
from simulator.simulated_circuit import CIRCUITS, INDEX_BY_ID
from tests.support.each_case import each_case

STEADY_KW = [circuit.steady_kw for circuit in CIRCUITS]


def run_sec(house: HousePanelLoads, duration_sec: int, shed: tuple[str, ...] = ()) -> None:
    """Let time pass in steps of 1 s, with some circuits open."""
    for _ in range(duration_sec):
        supplied_kw = list(house.natural_kw())
        for circuit_id in shed:
            supplied_kw[INDEX_BY_ID[circuit_id]] = 0.0
        house.step(1.0, supplied_kw)


def oven() -> ThermostatAppliance:
    return ThermostatAppliance(
        ThermostatApplianceSpec(
            start_c=50.0,
            on_at_c=54.0,
            off_at_c=60.0,
            ambient_c=20.0,
            time_constant_sec=3600.0,
            degrees_per_kwh=60.0,
            rated_kw=2.0,
            max_kw=3.0,
            boost_kw_per_degree=0.5,
        )
    )


def test_a_house_just_started_is_near_its_steady_draw() -> None:
    assert list(HousePanelLoads(seed=1).natural_kw()) == pytest.approx(STEADY_KW)


@each_case("seed", [1, 2, 3])
def test_the_first_half_hour_stays_near_the_steady_draw(seed: int) -> None:
    house = HousePanelLoads(seed)
    for _ in range(30):
        run_sec(house, 60)
        assert list(house.natural_kw()) == pytest.approx(STEADY_KW, rel=0.2)
        assert 20.0 <= sum(house.natural_kw()) <= 23.5


@pytest.mark.long
def test_a_day_has_cycles_and_stays_within_the_breakers() -> None:
    house = HousePanelLoads(seed=1)
    seen = [list(house.natural_kw())]
    for _ in range(24 * 12):
        run_sec(house, 300)
        seen.append(list(house.natural_kw()))
    for circuit, draws_kw in zip(CIRCUITS, zip(*seen, strict=True), strict=True):
        assert all(0.0 <= draw_kw <= circuit.breaker_kw for draw_kw in draws_kw)
        if circuit.circuit_id not in ("lights1", "outlets1"):
            assert min(draws_kw) < 0.2 * circuit.steady_kw < 0.9 * circuit.steady_kw
            assert max(draws_kw) >= 0.9 * circuit.steady_kw


def test_the_same_seed_gives_the_same_hour_and_another_seed_another() -> None:
    houses = [HousePanelLoads(seed) for seed in (7, 7, 8)]
    for house in houses:
        run_sec(house, 600)
    first, second, other = (list(house.natural_kw()) for house in houses)
    assert first == second
    assert first != other


def test_after_a_shed_the_house_draws_more_than_without_it() -> None:
    shed, free = HousePanelLoads(seed=1), HousePanelLoads(seed=1)
    run_sec(shed, 15 * 60, shed=("hvac1", "fridge1"))
    run_sec(free, 15 * 60)
    hvac, fridge = INDEX_BY_ID["hvac1"], INDEX_BY_ID["fridge1"]
    assert shed.natural_kw()[hvac] > free.natural_kw()[hvac] + 0.3
    assert shed.natural_kw()[fridge] > free.natural_kw()[fridge]


def test_a_shed_heater_runs_longer_afterwards() -> None:
    def minutes_until_off(shed_minutes: int) -> int:
        house = HousePanelLoads(seed=1)
        run_sec(house, 60 * shed_minutes, shed=("heater1",))
        minutes = 0
        while house.natural_kw()[INDEX_BY_ID["heater1"]] > 0.0:
            run_sec(house, 60)
            minutes += 1
        return minutes

    assert minutes_until_off(shed_minutes=30) > minutes_until_off(shed_minutes=0) + 5


def test_voltage_and_battery_move_a_little() -> None:
    house = HousePanelLoads(seed=1)
    voltages, charges = [], []
    for _ in range(360):
        run_sec(house, 60)
        voltages.append(house.voltage)
        charges.append(house.battery_soc_percent)
    assert 238.0 < min(voltages) < max(voltages) < 242.0
    assert 80.0 < min(charges) < max(charges) < 90.0
    assert len(set(voltages)) > 1


def test_steady_loads_never_move() -> None:
    loads = SteadyPanelLoads()
    loads.step(3600.0, [0.0] * len(CIRCUITS))
    assert list(loads.natural_kw()) == STEADY_KW
    assert sum(loads.natural_kw()) == pytest.approx(22.6)
    assert loads.voltage == 240.0


def test_a_thermostat_stops_at_its_upper_and_starts_at_its_lower_mark() -> None:
    load = oven()
    while load.running:
        load.step(1.0, load.demand_kw)
    assert load.temperature_c == pytest.approx(60.0, abs=0.1)
    assert load.demand_kw == 0.0
    while not load.running:
        load.step(1.0, load.demand_kw)
    assert load.temperature_c == pytest.approx(54.0, abs=0.1)
    assert load.demand_kw >= 2.0


def test_the_further_from_comfort_the_harder_it_runs_up_to_its_maximum() -> None:
    load = oven()  # 4 degrees too cold: 2 kW and 4 x 0.5 kW, held at 3 kW
    assert load.demand_kw == 3.0
    while load.temperature_c < 53.0:
        load.step(1.0, load.demand_kw)
    assert load.demand_kw == pytest.approx(2.5, abs=0.02)


def test_an_ev_tapers_is_driven_and_comes_back() -> None:
    car = EvAppliance(max_kw=7.2)
    at_soc = {}
    while car.demand_kw > 0.0:
        at_soc[round(car.soc, 2)] = car.demand_kw
        car.step(60.0, car.demand_kw)
    assert at_soc[0.5] == at_soc[0.79] == 7.2
    assert at_soc[0.9] == pytest.approx(3.6, rel=0.1)
    car.step(EvAppliance.AWAY_SEC, 0.0)
    assert car.soc == EvAppliance.RETURN_SOC
    assert car.demand_kw == 7.2


def test_a_limited_ev_charges_slower_by_as_much() -> None:
    free, held = EvAppliance(max_kw=7.2), EvAppliance(max_kw=7.2)
    for _ in range(60):
        free.step(60.0, 7.2)
        held.step(60.0, 3.6)
    assert free.soc == pytest.approx(0.4 + 7.2 * 0.92 / 60.0)
    assert free.soc - 0.4 == pytest.approx(2 * (held.soc - 0.4))


def test_a_programme_waits_while_shed_and_loses_some_heat() -> None:
    dryer = ProgrammeAppliance([AppliancePhase(100.0, 3.0), AppliancePhase(50.0, 0.0)])
    dryer.step(60.0, 3.0)
    dryer.step(50.0, 0.0)  # cools: 10 s of work are lost
    dryer.step(49.0, 3.0)
    assert dryer.demand_kw == 3.0
    dryer.step(1.0, 3.0)
    assert dryer.demand_kw == 0.0
    dryer.step(50.0, 0.0)
    assert dryer.demand_kw == 3.0


def test_noise_keeps_its_spread_whatever_the_step() -> None:
    for step_sec in (1.0, 20.0):
        drift = ApplianceNoise(10.0, 1.0, 5.0, random.Random(3))
        values = []
        for _ in range(4000):
            drift.step(step_sec)
            values.append(drift.value)
        assert statistics.mean(values) == pytest.approx(10.0, abs=0.2)
        assert statistics.stdev(values) == pytest.approx(1.0, abs=0.15)
        assert 7.0 <= min(values) <= max(values) <= 13.0
