"""Car chargers: whole amperes a phase, nothing between 0 and the least, and the phases in use."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import VOLTAGE, house_panel, switch
from tests.dr.flexible_house import FlexibleHouse
from tests.dr.house import House, send_event
from VenAgent.dr.circuit_selection import circuit_selection_candidate
from VenAgent.dr.panel import (
    PanelCircuit,
    PanelCircuitControl,
    PanelCircuitReading,
    PanelLimitScale,
    PanelLimitUnit,
)
from VenAgent.dr.policy import Policy

KW_PER_AMP = 0.69
"""Three phases of 230 V."""


def charger(lowest: float = 6.0) -> PanelCircuit:
    scale = PanelLimitScale(
        PanelLimitUnit.AMPS, 16 * KW_PER_AMP, 230.0, phase_factor=3.0, lowest=lowest
    )
    return PanelCircuit(
        id="car1",
        name="Car",
        type="ev",
        breaker_amps=16.0,
        voltage=230.0,
        phase_factor=3.0,
        priority=5,
        control=PanelCircuitControl.LIMIT,
        limit=scale,
        point="site/car1/amps",
    )


def home(
    ramp_sec: float = 0.0, lowest: float = 6.0, beside: tuple[str, ...] = ("range1", "fridge1")
) -> FlexibleHouse:
    others = [c for c in house_panel().circuits if c.id in beside]
    panel = replace(house_panel(), circuits=(charger(lowest), *others))
    policy = Policy(restore_stagger_sec=0.0, rebound_sec=0.0, limit_ramp_sec=ramp_sec)
    house = FlexibleHouse(panel, {"car1": 11.04, "range1": 2.4, "fridge1": 0.2}, {}, policy=policy)
    house.limits["car1"] = 16.0
    house.wait(120.0)
    return house


@pytest.mark.parametrize(
    ("shed_kw", "amps"),
    [(2.07, 13.0), (6.9, 6.0), (7.6, 6.0), (9.9, 0.0), (11.0, 0.0)],
)
def test_a_limit_is_amps_by_phases_by_voltage_and_never_1_to_5(shed_kw: float, amps: float) -> None:
    house = home(beside=("fridge1",))
    send_event(house, shed_kw)
    assert house.limits["car1"] == amps
    house.wait_until_over()
    assert house.limits["car1"] == 16.0


def test_a_car_that_needs_8_amps_gets_8_or_none() -> None:
    house = home(lowest=8.0, beside=("fridge1",))
    send_event(house, 6.9)
    assert house.limits["car1"] == 8.0


@pytest.mark.long
def test_what_falls_into_the_gap_of_a_charger_is_made_up_by_others() -> None:
    """Of 9 kW it gave 6.9 for the whole event, "no load is left", beside loads that were exact."""
    loads = {"dryer": 2.0, "boiler": 1.5, "fan": 0.5}
    for priority in (5, 4):
        others = [switch(name, priority=priority) for name in loads]
        panel = replace(house_panel(), circuits=(charger(), *others))
        for shed_kw in (7.0, 7.25, 7.5, 8.0, 8.5, 9.0, 9.4, 10.5, 12.5):
            house = FlexibleHouse(panel, {"car1": 11.04, **loads}, {})
            house.limits["car1"] = 16.0
            house.wait(120.0)
            before_kw = house.power_kw
            send_event(house, shed_kw, duration_sec=600.0)
            house.wait(300.0)
            shed = (before_kw - house.power_kw) / shed_kw
            assert 0.95 <= shed <= 1.0516, (priority, shed_kw, shed)
            assert ("shed.short", "") not in house.alerts
            house.wait_until_over()
            assert (house.limits["car1"], house.opened()) == (16.0, set())


def test_a_ramp_goes_over_what_the_charger_does_not_take() -> None:
    house = home(ramp_sec=60.0)
    send_event(house, 11.0, duration_sec=60.0)
    house.wait_until_over()
    values = [w.value for w in house.written if w.circuit_id == "car1"]
    assert values[0] == 0.0
    assert values[-1] == 16.0
    assert [v for v in values if 0.0 < v < 6.0] == []
    assert sorted(values) == values


@pytest.mark.parametrize(("phases", "value"), [(1, 11.0), (2, 11.0), (3, 11.0)])
def test_the_phases_in_use_decide_what_an_ampere_is(phases: int, value: float) -> None:
    """A car on one phase of a three-phase charger: 16 A are 3.7 kW, and 11 A are 2.5 kW."""
    circuit = charger()
    power_kw = 16.0 * 0.23 * phases
    read = PanelCircuitReading(power_kw, True, 16.0, phases=phases)
    panel = replace(house_panel(), circuits=(circuit,))
    house = FlexibleHouse(panel, {"car1": power_kw}, {})
    found = circuit_selection_candidate(circuit, read)
    assert found is not None
    assert found.max_shed_kw == pytest.approx(power_kw)
    house.limits["car1"] = 16.0
    plain = house._read_circuit
    house._read_circuit = lambda name, kw: replace(plain(name, kw), phases=phases)  # type: ignore
    send_event(house, 5.0 * 0.23 * phases)
    assert house.limits["car1"] == value


def test_two_readings_of_other_phases_do_not_change_the_panel() -> None:
    circuit = charger()
    assert circuit.as_read(PanelCircuitReading(phases=None)) is circuit
    one = circuit.as_read(PanelCircuitReading(phases=1))
    assert one.limit is not None
    assert one.limit.kw_of(16.0) == pytest.approx(3.68)
    assert one.limit.voltage == 230.0
    assert VOLTAGE == 240.0


# ---- under a limit of the site -------------------------------------------------------------------


class ChargingHouse(House):
    """A car on one or three lines, whose charger tells which while it charges."""

    phases = 3
    is_there = True

    def drawn_kw(self, circuit_id: str) -> float:
        if circuit_id != "car1":
            return super().drawn_kw(circuit_id)
        amps = min(self.limits["car1"], 16.0)
        return amps * 0.23 * self.phases if amps >= 6.0 and self.is_there else 0.0

    def _read_circuit(self, circuit_id: str, power_kw: float) -> PanelCircuitReading:
        read = super()._read_circuit(circuit_id, power_kw)
        charges = circuit_id == "car1" and power_kw > 0.0
        return replace(read, phases=self.phases if charges else None)


def charging(import_kw: float, base_kw: float = 2.0) -> ChargingHouse:
    base = switch("base", 60.0, priority=1, critical=True)
    panel = replace(house_panel(), circuits=(charger(), base))
    house = ChargingHouse(panel, {"car1": 11.04, "base": base_kw})
    house.limits["car1"] = 16.0
    house.wait(60.0)
    house.send("limit", event_id="l", correlationId="l", import_kw=import_kw)
    house.wait(90.0)
    return house


@pytest.mark.long
def test_a_limit_pauses_a_charger_whose_least_amps_are_too_much() -> None:
    """Beside 2 kW the least 4.14 kW are more than the 5 kW allowed: half of it is no answer, and it
    is not let back to that either."""
    house = charging(5.0)
    for _ in range(60):
        house.wait(10.0)
        assert house.power_kw <= 5.0
    assert house.limits["car1"] == 0.0
    house.demand_kw["base"] = 0.5
    house.wait(120.0)
    assert house.limits["car1"] == 6.0, "they fit now"
    writes = len(house.written)
    for half in range(40):
        house.demand_kw["base"] = 0.5 if half % 2 else 2.0
        house.wait(60.0)
    assert len(house.written) - writes <= 10, "with each change of the load it would be 40"


def test_a_charger_that_changes_its_lines_under_a_limit() -> None:
    """On one line all its amps are allowed: it is given back once, not with each reading."""
    house = charging(8.0)
    assert 6.0 <= house.limits["car1"] <= 8.0
    writes = len(house.written)
    house.phases = 1
    house.wait(600.0)
    assert house.limits["car1"] == 16.0
    assert len(house.written) - writes <= 3
    house.phases = 3
    house.wait(80.0)
    for _ in range(60):
        house.wait(5.0)
        assert house.engine.site.limits.mean_kw(60.0, house.now) <= 8.0  # type: ignore[operator]


def test_more_load_never_gives_a_charger_on_one_line_more_amps_than_its_breaker_has() -> None:
    """On one line 16 A are 3.7 kW: that its breaker carries 11 kW on three is no room for 48 A."""
    for phases, raise_kw, amps in ((1, 5.0, 16.0), (1, 0.7, 13.0), (3, 2.1, 13.0), (3, 9.0, 16.0)):
        base = switch("base", 60.0, priority=1, critical=True)
        house = ChargingHouse(replace(house_panel(), circuits=(charger(), base)), {"base": 2.0})
        house.phases, house.demand_kw["car1"] = phases, 11.04
        house.limits["car1"] = 10.0
        house.wait(60.0)
        house.send("loadUp", raise_kw=raise_kw, event_id="u", correlationId="u", duration_sec=300)
        assert house.limits["car1"] == amps, (phases, raise_kw)
        house.wait_until_over()
        assert house.limits["car1"] == 10.0
    plain = charger()
    assert plain.limit is not None
    twice = replace(plain.limit, full_scale_kw=2.0 * plain.limit.full_scale_kw)
    for car in (replace(plain, breaker_amps=32.0), replace(plain, limit=twice)):
        one_line = car.as_read(PanelCircuitReading(phases=1))
        assert one_line.limit is not None
        room_kw = min(one_line.limit.full_scale_kw, one_line.rating_kw)
        assert room_kw == pytest.approx(3.68), "the smaller of charger and breaker, on one line"


def test_a_car_that_leaves_in_mid_event_and_comes_back() -> None:
    """Its limit is given back with it, and written anew once it draws again."""
    base = switch("base", 60.0, priority=1, critical=True)
    house = ChargingHouse(
        replace(house_panel(), circuits=(charger(), base)), {"car1": 11.04, "base": 2.0}
    )
    house.limits["car1"] = 16.0
    house.wait(120.0)
    send_event(house, 6.0, duration_sec=1_800.0)
    assert house.limits["car1"] == 7.0
    for is_there, amps in ((False, 16.0), (True, 7.0)):
        house.is_there = is_there
        house.wait(300.0)
        assert house.limits["car1"] == amps
    house.wait_until_over()
    assert house.limits["car1"] == 16.0
    assert house.alerts == {}
