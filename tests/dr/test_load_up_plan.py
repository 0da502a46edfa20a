"""What is planned to draw more, or less of that again: one plan from one reading."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import NOW, limit, panel_of, switch
from tests.dr.flexible_house import FlexibleHouse, battery, cooling, inverter, thermostat
from VenAgent.dr.circuit_raise import CircuitRaise
from VenAgent.dr.curtailment_plan import CurtailmentPlan
from VenAgent.dr.event import Event
from VenAgent.dr.event_request import EventRequest, EventRequestKind
from VenAgent.dr.load_up_plan import plan_load_up
from VenAgent.dr.panel import PanelCircuit, PanelCircuitReading, PanelLimitScale, PanelLimitUnit
from VenAgent.dr.policy import EndurancePolicy
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.dr.shed_target import ShedTarget


def load_up(*held: ShedCircuit) -> Event:
    request = EventRequest(
        "loadUp", None, 0.0, NOW, NOW + 3_600.0, kind=EventRequestKind.LOAD_UP, raise_kw=4.0
    )
    return Event("up", request, circuits=held)


def house_of(*circuits: PanelCircuit, **draws_kw: float) -> FlexibleHouse:
    house = FlexibleHouse(panel_of(*circuits), {c.id: 0.0 for c in circuits} | draws_kw, {})
    house.wait(120.0)
    return house


def raised(house: FlexibleHouse, name: str, by_kw: float, **fields: object) -> ShedCircuit:
    """Held by an event, confirmed and seen to respond."""
    circuit, read = house.panel.by_id[name], house.read().circuit(name)
    made = CircuitRaise(circuit, read, None, house.now).by(by_kw, 3_600.0)
    assert made is not None
    return replace(made.write_ended(None), responded=True, shed_ts=house.now - 60.0, **fields)


def plan(house: FlexibleHouse, event: Event, missing_kw: float) -> CurtailmentPlan:
    """`missing_kw` negative: so much more is to be drawn."""
    target = ShedTarget(missing_kw, 0.2)
    return plan_load_up(event, house.engine.site, house.read(), target, house.now)


def test_what_a_setpoint_will_bring_is_not_asked_of_others_too() -> None:
    house = house_of(thermostat("rtu1"), battery(priority=4), rtu1=3.0)
    unit = raised(house, "rtu1", 2.0)
    for missing_kw, planned in ((-2.0, ()), (-2.1, ()), (-4.0, ("battery1",))):
        assert plan(house, load_up(unit), missing_kw).circuit_ids == planned
    shown = replace(unit, shed_ts=house.now - 3_600.0)
    assert plan(house, load_up(shown), -2.0).circuit_ids == ("battery1",)
    assert plan(house, load_up(), -2.0).circuit_ids == ("rtu1",)


def test_a_unit_that_brings_too_much_is_taken_only_where_nothing_nearer_is_left() -> None:
    def chosen(missing_kw: float, *sizes_kw: float) -> tuple[str, ...]:
        units = [
            thermostat(f"rtu{n}", cooling(configured_kw=size_kw))
            for n, size_kw in enumerate(sizes_kw, 1)
        ]
        house = house_of(*units, **dict.fromkeys([u.id for u in units], 3.0))
        return plan(house, load_up(), -missing_kw).circuit_ids

    assert chosen(2.0, 3.0, 2.0) == ("rtu2",)
    assert chosen(2.0, 2.08) == ("rtu1",), "near enough"
    assert chosen(2.0, 3.9, 3.5) == ("rtu2",), "the smallest of those that are too large"
    assert chosen(2.0, 4.5) == (), "more than twice what is asked"


def test_a_limit_is_raised_to_its_full_scale_and_its_breaker_and_no_further() -> None:
    for full_kw, amps, most_kw in ((6.0, 50.0, 6.0), (12.0, 25.0, 6.0), (9.0, 50.0, 9.0)):
        scale = PanelLimitScale(PanelLimitUnit.PERCENT, full_kw, 240.0)
        circuit = replace(limit("ev1", amps), limit=scale, voltage=240.0)
        present = 25.0
        read = PanelCircuitReading(power_kw=scale.kw_of(present), closed=True, limit=present)
        made = CircuitRaise(circuit, read, None, NOW).by(20.0, 3_600.0)
        assert made is not None
        assert made.final_kw == pytest.approx(most_kw, abs=scale.step_kw)
        assert made.final_kw <= most_kw + 1e-6


def test_what_is_switched_off_or_given_up_draws_no_more() -> None:
    for circuit in (limit("ev1", 50.0), battery("ev1"), thermostat("ev1")):
        house = house_of(circuit, ev1=3.0)
        house.limits["ev1"] = 25.0 if circuit.limit else house.limits["ev1"]
        read = replace(house.read().circuit("ev1"), power_kw=3.0)
        known = replace(circuit, guard=None)
        made = CircuitRaise(known, read, None, NOW).by(2.0, 3_600.0)
        assert made is not None
        for closed in (False, True, None):
            got = CircuitRaise(known, replace(read, closed=closed), None, NOW).by(2.0, 3_600.0)
            assert (got is None) is (closed is False)
        given_up = replace(made.write_ended(None), responded=False)
        assert CircuitRaise(known, read, given_up, NOW).by(2.0, 3_600.0) is None


def test_an_inverter_is_not_told_to_generate_what_it_is_told_already() -> None:
    circuit = inverter(rating_kw=10.0)
    for present, most_kw, value in ((100.0, 3.0, 50.0), (40.0, 3.0, None), (60.0, 3.0, 50.0)):
        read = PanelCircuitReading(power_kw=-8.0, closed=True, limit=present)
        made = CircuitRaise(circuit, read, None, NOW, at_least=True).by(most_kw, 60.0)
        assert (None if made is None else made.value) == value


def test_what_was_raised_is_lowered_after_its_minimum_time_and_once_it_shows() -> None:
    rests = EndurancePolicy(min_off_sec=300.0)
    for circuit, since_sec, goes in (
        (replace(thermostat("rtu1", cooling(settle_sec=300.0))), 100.0, False),
        (thermostat("rtu1", cooling(settle_sec=300.0)), 301.0, True),
        (replace(thermostat("rtu1", cooling(settle_sec=0.0)), endurance=rests), 100.0, False),
        (replace(thermostat("rtu1", cooling(settle_sec=0.0)), endurance=rests), 301.0, True),
        (battery("rtu1"), 1.0, True),
    ):
        house = house_of(circuit, rtu1=0.0 if circuit.storage else 3.0)
        held = replace(raised(house, "rtu1", 2.0), shed_ts=house.now - since_sec)
        lowered = plan(house, load_up(held), 2.0)
        assert (lowered.circuit_ids == ("rtu1",)) is goes, (circuit.id, since_sec)
        assert all(each.releasing for each in lowered.circuits)
    house = house_of(switch("oven", 40.0), thermostat("rtu1"), oven=1.0, rtu1=3.0)
    late = replace(raised(house, "rtu1", 2.0), shed_ts=house.now - 900.0)
    assert plan(house, load_up(late), 1.0).circuits == (), "it brings more than is too much"


def test_an_inverter_with_a_limit_of_its_own_goes_back_to_that() -> None:
    for own, left_kw, goes in ((60.0, 2.5, None), (60.0, 1.5, 55.0), (100.0, 2.5, 65.0)):
        house = house_of(inverter(), pv=-9.0)
        house.limits["pv"] = own
        held = raised(house, "pv", 2.0 if own < 100.0 else 5.0)
        held = held.rewritten(40.0, -4.0).write_ended(None)
        house.limits["pv"] = 40.0
        target = ShedTarget(left_kw, 0.1, is_limit=True, is_export=True)
        event = load_up(replace(held, responded=True))
        (circuit,) = plan_load_up(
            event, house.engine.site, house.read(), target, house.now
        ).circuits
        assert circuit.releasing is (goes is None)
        assert goes is None or circuit.value == goes
