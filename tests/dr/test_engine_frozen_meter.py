"""The event engine: a meter that reads the same to the last digit whatever is switched."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from tests.dr.builders import TOTAL_KW, panel_of, switch
from tests.dr.house import House, send_event
from tests.support.each_case import each_case
from VenAgent.dr.meter_stillness import MeterStillness
from VenAgent.dr.panel import Panel, PanelReading


class FrozenMeterHouse(House):
    """`frozen`: its meters go on with the powers of that reading; contactors and limits read true.
    `noise`: by how much what is drawn moves to and fro."""

    def __init__(self, panel: Panel | None = None, noise: float = 0.0, **rest: Any) -> None:
        super().__init__(panel, **rest)
        self.frozen: PanelReading | None = None
        self.noise, self.random = noise, random.Random(26)

    def read(self) -> PanelReading:
        true, old = super().read(), self.frozen
        if old is None:
            return self._noisy(true)
        circuits = {
            name: replace(circuit, power_kw=old.circuit(name).power_kw)
            for name, circuit in true.circuits.items()
        }
        return replace(true, power_kw=old.power_kw, circuits=circuits)

    def _noisy(self, true: PanelReading) -> PanelReading:
        if not self.noise:
            return true
        circuits = {
            name: replace(circuit, power_kw=(circuit.power_kw or 0.0) * self._factor())
            for name, circuit in true.circuits.items()
        }
        total_kw = sum(circuit.power_kw or 0.0 for circuit in circuits.values())
        return replace(true, power_kw=total_kw, circuits=circuits)

    def _factor(self) -> float:
        return 1.0 + self.random.uniform(-self.noise, self.noise)


@each_case("noise", [0.0, 0.01])
def test_at_a_frozen_meter_what_is_shed_is_as_planned_and_not_measured(noise: float) -> None:
    """It took all that can be shed, and reported 0 kW."""
    house = FrozenMeterHouse(noise=noise)
    house.wait(300.0)
    house.frozen = house.read()
    send_event(house, 4.5, duration_sec=600.0)
    house.wait(60.0)
    assert TOTAL_KW - house.power_kw == pytest.approx(4.5, abs=0.25)
    written = len(house.written)
    house.wait(500.0)
    assert len(house.written) == written <= (5 if noise == 0.0 else 3)
    assert house.limits["hvac1"] == 100.0
    believed = house.engine.believed(house.read())
    assert (believed.power_kw, believed.circuit("heater1").power_kw) == (None, None)
    assert believed.circuit("hvac1").power_kw is not None
    assert "heater1" in house.alerts["meter.frozen", ""]
    assert ("circuit.not_responding", "heater1") not in house.alerts
    assert "frozen" in (house.engine.trouble() or "")
    adjusted = house.last("adjusted")
    assert (adjusted["reason_code"], adjusted["shed_basis"]) == ("meter_frozen", "predicted")
    assert adjusted["actual_shed_kw"] == pytest.approx(4.5, abs=0.25)
    house.wait(120.0)
    summary = house.last("completed")["summary"]
    assert summary["achieved_shed_kw"] is None
    assert summary["settlement_note"].startswith("not measured")
    assert house.alerts == {}
    assert house.opened() == set()


def test_a_meter_that_moves_again_is_believed_again() -> None:
    house = FrozenMeterHouse(noise=0.01)
    house.wait(300.0)
    house.frozen = house.read()
    send_event(house, 4.5, duration_sec=900.0)
    house.wait(120.0)
    assert ("meter.frozen", "") in house.alerts
    house.frozen = None
    house.wait(60.0)
    assert house.alerts == {}
    assert house.last("measured")["actual_shed_kw"] == pytest.approx(4.5, abs=0.35)
    house.wait(900.0)
    summary = house.last("completed")["summary"]
    assert 90.0 < summary["unseen_sec"] < 130.0
    assert summary["achieved_shed_kw"] == pytest.approx(4.5, abs=0.35)


def test_one_deaf_circuit_at_a_meter_that_stands_still_is_replaced() -> None:
    """A meter of coarse digits, and nothing that changes: one circuit that did not respond."""
    house = FrozenMeterHouse()
    house.stuck = set()
    house.wait(300.0)
    drawn_kw = house.drawn_kw
    house.drawn_kw = (  # type: ignore[method-assign]
        lambda name: house.demand_kw[name] if name == "heater1" else drawn_kw(name)
    )
    send_event(house, 4.5, duration_sec=600.0)
    house.wait(60.0)
    assert ("circuit.not_responding", "heater1") in house.alerts
    assert "meter.frozen" not in house.alerted
    assert TOTAL_KW - house.power_kw == pytest.approx(4.5, abs=0.25)


def test_two_deaf_circuits_at_a_meter_that_moves_are_replaced() -> None:
    house = FrozenMeterHouse(noise=0.01)
    house.wait(300.0)
    drawn_kw = house.drawn_kw
    house.drawn_kw = (  # type: ignore[method-assign]
        lambda name: house.demand_kw[name] if name in ("heater1", "dryer1") else drawn_kw(name)
    )
    send_event(house, 7.5, duration_sec=600.0)
    house.wait(120.0)
    assert ("circuit.not_responding", "heater1") in house.alerts
    assert "meter.frozen" not in house.alerted
    assert TOTAL_KW - house.power_kw > 5.0


def test_under_a_limit_a_frozen_meter_takes_nothing_more_than_planned() -> None:
    house = FrozenMeterHouse(noise=0.01)
    house.wait(300.0)
    house.frozen = house.read()
    house.send("limit", event_id="grid", correlationId="grid", import_kw=15.0)
    house.wait(1_200.0)
    assert 10.0 < house.power_kw <= 15.0
    assert house.limits["hvac1"] == 100.0
    assert ("meter.frozen", "") in house.alerts
    assert "limit.exceeded" not in house.alerted
    house.frozen = None
    house.wait(600.0)
    assert 13.5 < house.power_kw <= 15.0
    assert house.alerts == {}


def test_a_next_level_at_a_frozen_meter_counts_with_what_is_planned() -> None:
    house = FrozenMeterHouse(noise=0.01)
    house.wait(300.0)
    house.frozen = house.read()
    levels = [{"duration_sec": 300.0, "shed_kw": 4.5}, {"duration_sec": 300.0, "shed_kw": 7.5}]
    house.send("event", event_id="e1", correlationId="c1", intervals=levels)
    house.wait(400.0)
    assert TOTAL_KW - house.power_kw == pytest.approx(7.5, abs=0.4)
    house.wait(400.0)
    assert house.opened() == set()


def test_loads_without_a_meter_and_a_panel_meter_that_freezes() -> None:
    """The circuits' own powers are what they are taken to draw: only the panel's says anything, and
    that always moved."""
    nominal_kw = {"pump1": 2.0, "pump2": 2.0, "heater1": 3.0}
    panel = panel_of(*(switch(name, priority=5) for name in nominal_kw), switch("rest1"))
    house = FrozenMeterHouse(panel, noise=0.01, draws_kw={**nominal_kw, "rest1": 1.0})
    house.wait(300.0)
    house.frozen = replace(
        house.read(),
        circuits={},  # nothing of them is read but their contactors
    )
    frozen_kw = house.frozen.power_kw
    read = house.read

    def nominal() -> PanelReading:
        circuits = {
            name: replace(
                circuit,
                power_kw=nominal_kw.get(name, 1.0) if circuit.closed else 0.0,
            )
            for name, circuit in read().circuits.items()
        }
        return PanelReading(house.now, frozen_kw, circuits)

    house.read = nominal  # type: ignore[method-assign]
    send_event(house, 2.0, duration_sec=600.0)
    house.wait(300.0)
    assert len(house.opened()) == 1
    assert ("meter.frozen", "") in house.alerts


def test_how_long_it_usually_stands_still_is_known_from_its_changes() -> None:
    stillness = MeterStillness()
    for second in range(12):
        stillness.note(float(second), 10.0 + second)
    assert not stillness.is_unusual(12.5)
    assert stillness.is_unusual(13.5)
    assert stillness.has_stood_since(12.0)
    stillness.suspect()
    stillness.note(14.0, 21.0)
    assert stillness.is_suspect, "the same again"
    stillness.note(15.0, 21.01)
    assert not stillness.is_suspect
    stillness.shift(100.0)
    assert stillness.since_ts == 115.0
