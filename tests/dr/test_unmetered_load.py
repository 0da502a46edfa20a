"""Loads without a meter of their own: the loop closes on the panel's meter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import panel_of, switch
from tests.dr.house import House, send_event
from VenAgent.dr.panel import PanelCircuitReading

NOMINAL_KW = {"pump1": 2.0, "pump2": 2.0, "heater1": 3.0}


class UnmeteredHouse(House):
    """Each circuit is taken to draw its nominal power while its contactor is closed."""

    def __init__(self) -> None:
        panel = panel_of(*(switch(name, priority=5) for name in NOMINAL_KW), switch("rest1"))
        super().__init__(panel, {**NOMINAL_KW, "rest1": 1.0})

    def _read_circuit(self, circuit_id: str, power_kw: float) -> PanelCircuitReading:
        read = super()._read_circuit(circuit_id, power_kw)
        nominal_kw = NOMINAL_KW.get(circuit_id)
        if nominal_kw is None:
            return read
        return replace(read, power_kw=nominal_kw if read.closed else 0.0)


@pytest.fixture
def house() -> UnmeteredHouse:
    house = UnmeteredHouse()
    house.wait(120.0)
    return house


def test_one_that_draws_less_than_its_nominal_power_is_made_up_for(house: UnmeteredHouse) -> None:
    house.demand_kw["pump1"] = house.demand_kw["pump2"] = 0.8  # they run on part load
    house.wait(400.0)
    send_event(house, 2.0, duration_sec=1800.0)
    assert len(house.opened()) == 1
    house.wait(120.0)
    assert house.engine.running is not None
    assert house.engine.running.shed_at(house.power_kw) >= 1.6 * 0.95
    assert house.last("adjusted")["reason_code"] == "off_target"
    house.wait_until_over()
    assert house.opened() == set()


def test_one_that_draws_more_lets_others_return(house: UnmeteredHouse) -> None:
    house.demand_kw["heater1"] = 5.0
    house.wait(400.0)
    send_event(house, 5.0, duration_sec=1800.0)
    assert house.opened() == {"heater1", "pump1"} or house.opened() == {"heater1", "pump2"}
    house.wait(120.0)
    assert house.opened() == {"heater1"}, "5 kW by the panel's meter"


def test_a_contactor_that_is_stuck_is_seen_by_the_panels_meter(house: UnmeteredHouse) -> None:
    """It says that it is open, and its load goes on."""
    house.demand_kw["pump1"] = house.demand_kw["pump2"] = 2.0
    stuck_kw = 2.0
    drawn = house.drawn_kw

    def welded(circuit_id: str) -> float:
        return stuck_kw if circuit_id.startswith("pump") else drawn(circuit_id)

    house.drawn_kw = welded  # type: ignore[method-assign]
    send_event(house, 2.0, duration_sec=1800.0)
    assert house.opened() & {"pump1", "pump2"}
    house.wait(180.0)
    assert "heater1" in house.opened(), "what does not help is made up for"
    assert house.engine.running is not None
    assert house.engine.running.shed_at(house.power_kw) == pytest.approx(3.0, abs=0.1)


def test_what_was_measured_is_the_panels_not_the_sum_of_the_nominal(house: UnmeteredHouse) -> None:
    house.demand_kw["pump1"] = house.demand_kw["pump2"] = 1.95
    house.wait(400.0)
    send_event(house, 2.0, duration_sec=600.0)
    house.wait(60.0)
    measured = house.last("measured")
    assert (measured["actual_shed_kw"], measured["shed_basis"]) == (1.95, "measured")
