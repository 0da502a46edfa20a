"""The event engine: drawing more, the mirror of a shed."""

from __future__ import annotations

import pytest

from tests.dr.builders import limit, panel_of, switch
from tests.dr.flexible_house import (
    FlexibleHouse,
    battery,
    cooling,
    shop_panel,
    storage,
    thermostat,
)
from tests.dr.house import House, send_event
from VenAgent.dr.comfort_guard import ComfortGuard
from VenAgent.dr.learned_shed import LearnedShed
from VenAgent.dr.panel import PanelCircuit, PanelLimitScale, PanelLimitUnit
from VenAgent.dr.setpoint_control import SetpointControl


@pytest.fixture
def turned_down() -> House:
    """A charger that is held at 5.4 of 12 kW, a throttled heater, and what cannot draw more."""
    panel = panel_of(
        limit("ev1", 50.0, priority=4),
        limit("heater1", 30.0, priority=5),
        switch("oven", 40.0),
        limit("idle", 50.0, priority=5),
    )
    house = House(panel, {"ev1": 11.0, "heater1": 7.2, "oven": 3.0, "idle": 0.5})
    house.limits |= {"ev1": 45.0, "heater1": 50.0, "idle": 50.0}
    house.wait(120.0)
    return house


def load_up(house: House, raise_kw: float = 5.0, **fields: object) -> list:
    known = {"correlationId": "u1", "event_id": "up", "duration_sec": 600.0}
    return house.send("loadUp", raise_kw=raise_kw, **{**known, **fields})


def test_circuits_that_are_held_back_draw_more_and_go_back_to_what_they_had(
    turned_down: House,
) -> None:
    house = turned_down
    before, before_kw = house.setting, house.power_kw
    ack = load_up(house)[0]
    assert (ack["status"], ack["requested_raise_kw"]) == ("accepted", 5.0)
    assert ack["actual_raise_kw"] == pytest.approx(5.0, rel=0.05)
    assert house.power_kw - before_kw == pytest.approx(5.0, rel=0.05)
    raised = {c["id"]: c for c in ack["circuits_curtailed"]}
    assert raised["heater1"]["final_kw"] > raised["heater1"]["original_kw"]
    assert house.limits["idle"] == 50.0, "its limit is not what holds it back"
    house.wait(60.0)
    measured = house.last("measured")
    assert measured["actual_raise_kw"] == pytest.approx(5.0, rel=0.05)
    house.wait_until_over()
    assert house.setting == before
    summary = house.last("completed")["summary"]
    assert summary["achieved_shed_kw"] == pytest.approx(-5.0, rel=0.05)
    assert summary["shed_percent"] == pytest.approx(100.0, rel=0.05)


def test_one_whose_limit_does_not_hold_it_back_is_not_raised(turned_down: House) -> None:
    load_up(turned_down, 20.0)
    turned_down.wait(60.0)
    assert turned_down.limits["idle"] == 50.0
    assert "idle" not in {w.circuit_id for w in turned_down.written}


def test_where_nothing_can_draw_more_it_fails_with_its_reason(house: House) -> None:
    (ack,) = load_up(house)
    assert (ack["status"], ack["reason_code"]) == ("failed", "nothing_to_raise")
    assert house.written == []


def test_the_loop_follows_what_the_site_draws(turned_down: House) -> None:
    house = turned_down
    before_kw = house.power_kw
    load_up(house, 3.0)
    house.wait(60.0)
    house.demand_kw["oven"] = 1.5
    house.wait(120.0)
    assert house.power_kw - before_kw == pytest.approx(3.0, abs=0.3)
    house.demand_kw["oven"] = 4.5
    house.wait(120.0)
    assert house.power_kw - before_kw == pytest.approx(3.0, abs=0.3)


def test_a_device_that_does_not_draw_more_is_replaced(turned_down: House) -> None:
    """Its power is the proof, not its register."""
    house = turned_down
    before_kw = house.power_kw
    house.demand_kw["heater1"] = house.drawn_kw("heater1")
    house.wait(10.0)
    load_up(house, 3.0)
    house.wait(120.0)
    assert house.power_kw - before_kw == pytest.approx(3.0, abs=0.3)
    assert ("circuit.not_responding", "heater1") in house.alerts


def test_a_limit_is_not_passed_by_it(turned_down: House) -> None:
    house = turned_down
    house.send("limit", import_kw=14.0, event_id="limit", correlationId="l1")
    load_up(house, 8.0)
    house.wait(60.0)
    assert 13.0 < house.power_kw <= 14.0
    house.demand_kw["oven"] = 6.0
    house.wait(120.0)
    assert house.power_kw <= 14.0


def test_the_panels_rating_is_not_passed_by_it() -> None:
    panel = panel_of(limit("ev1", 50.0, priority=4), switch("oven", 40.0), amperage=40.0)
    house = House(panel, {"ev1": 12.0, "oven": 3.0})
    house.limits["ev1"] = 45.0
    house.wait(60.0)
    load_up(house, 6.0)
    house.wait(60.0)
    assert house.power_kw <= panel.max_kw


def test_a_shed_that_comes_first_takes_what_was_raised(turned_down: House) -> None:
    house = turned_down
    before, before_kw = house.setting, house.power_kw
    load_up(house, 3.0)
    house.wait(30.0)
    send_event(house, 4.0, event_priority=0, duration_sec=120.0)
    house.wait(60.0)
    assert before_kw - house.power_kw == pytest.approx(4.0, abs=0.3)
    house.wait(90.0)
    assert house.power_kw - before_kw == pytest.approx(3.0, abs=0.3)
    house.wait_until_over()
    assert house.setting == before


@pytest.mark.parametrize("work_was_done", [False, True])
def test_a_restart_goes_on_with_it(turned_down: House, work_was_done: bool) -> None:
    house = turned_down
    before, before_kw = house.setting, house.power_kw
    house.hold = True
    load_up(house)
    house.work(1)
    house.hold = False
    house.restart(work_was_done=work_was_done)
    house.wait(60.0)
    assert house.power_kw - before_kw == pytest.approx(5.0, rel=0.06)
    house.send("restore", correlationId="x")
    house.wait(30.0)
    assert house.setting == before


def test_a_dry_run_of_it_writes_nothing(turned_down: House) -> None:
    (ack,) = load_up(turned_down, dry_run=True, test=True)
    assert (ack["status"], ack["dry_run"], ack["test"]) == ("success", True, True)
    assert ack["actual_raise_kw"] == pytest.approx(5.0, rel=0.05)
    assert turned_down.written == []


# ---- thermostats, batteries, cars ----------------------------------------------------------------


def flexible(*circuits: PanelCircuit, **draws_kw: float) -> FlexibleHouse:
    panel = shop_panel(*circuits)
    known = {"range1": 2.4, "outlets1": 1.2, "fridge1": 0.2}
    house = FlexibleHouse(panel, {**known, **draws_kw}, {"rtu1": 2.0, "rtu2": 2.0})
    house.raised_kw = {"rtu1": 2.0, "rtu2": 2.0}
    house.wait(120.0)
    return house


def test_a_battery_charges_for_it_and_goes_back_to_its_own_programme() -> None:
    house = flexible(battery(), battery1=-1.0)
    before_kw = house.power_kw
    ack = load_up(house, 4.0)[0]
    assert (ack["status"], ack["actual_raise_kw"]) == ("accepted", pytest.approx(4.0, abs=0.1))
    house.wait(120.0)
    assert house.power_kw - before_kw == pytest.approx(4.0, abs=0.2)
    assert house.drawn_kw("battery1") == pytest.approx(3.0, abs=0.1)
    house.wait_until_over()
    assert not house.remote["battery1"]
    assert house.drawn_kw("battery1") == -1.0


@pytest.mark.long
def test_no_event_charges_a_battery_above_its_most() -> None:
    """A long event is planned by the room that there is; one that is full stops."""
    kept = storage(most_soc_percent=80.0, capacity_kwh=10.0)
    for soc_percent, hours in ((60.0, 4.0), (79.0, 1.0), (60.0, 1.0), (79.9, 0.5)):
        house = flexible(battery(control=kept), thermostat("rtu1"), battery1=0.0, rtu1=3.0)
        house.soc_percent["battery1"] = soc_percent
        house.wait(5.0)
        load_up(house, 4.0, duration_sec=hours * 3600.0)
        highest = 0.0
        while house.engine.running is not None:
            house.wait(30.0)
            highest = max(highest, house.soc_percent["battery1"])
        assert highest <= max(80.0, soc_percent)
        assert not house.remote["battery1"]


def test_a_charge_that_is_not_read_charges_nothing() -> None:
    house = flexible(battery(), battery1=0.0)
    house.told_soc["battery1"] = None
    house.wait(5.0)
    assert load_up(house, 3.0)[0]["reason_code"] == "nothing_to_raise"
    house.told_soc.clear()
    house.wait(5.0)
    load_up(house, 3.0, correlationId="u2", event_id="up2")
    house.told_soc["battery1"] = None
    house.wait(120.0)
    assert not house.remote["battery1"]
    assert ("comfort.guard", "battery1") in house.alerts


def test_thermostats_are_moved_the_other_way_within_their_bounds() -> None:
    house = flexible(thermostat("rtu1"), thermostat("rtu2"), rtu1=3.0, rtu2=3.0)
    before_kw = house.power_kw
    ack = load_up(house, 4.0, duration_sec=3600.0)[0]
    assert (ack["status"], ack["actual_raise_kw"]) == ("accepted", 4.0)
    assert house.moved() == {"rtu1": 20.0, "rtu2": 20.0}
    house.wait(900.0)
    assert house.power_kw - before_kw == pytest.approx(4.0, abs=0.3)
    assert house.statuses().count("adjusted") == 0, "it waits for what moves slowly"
    assert house.engine.site.learned_sheds.as_fact() == {}, "it teaches nothing about sheds"
    house.wait_until_over()
    assert house.moved() == {}


@pytest.mark.long
def test_what_a_rise_brought_is_learned_apart_from_sheds_and_survives_a_restart() -> None:
    house = flexible(thermostat("rtu1"), thermostat("rtu2"), rtu1=3.0, rtu2=3.0)
    house.raised_kw = {"rtu1": 1.2, "rtu2": 0.0}
    for number in range(3):
        named = {"event_id": f"up{number}", "correlationId": f"u{number}"}
        ack = load_up(house, 4.0, duration_sec=1_200.0, **named)[0]
        assert ack["actual_raise_kw"] == 4.0, "as configured, twice 2 kW"
        house.wait_until_over()
        house.wait(600.0)
    for restarted in (False, True):
        if restarted:
            house.restart()
            house.wait(60.0)
        known = [house.engine.panel.by_id[name].setpoint for name in ("rtu1", "rtu2")]
        rises = [None if each is None else each.learned_rise for each in known]
        assert rises == [LearnedShed(3, 1.2, 0.0), LearnedShed(3, 0.0, 0.0)]
        assert all(each is not None and each.learned is None for each in known)
    ack = load_up(house, 4.0, duration_sec=1_200.0, correlationId="u9", event_id="up9")[0]
    assert [c["id"] for c in ack["circuits_curtailed"]] == ["rtu1"], "the other brings nothing"
    assert ack["actual_raise_kw"] == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("setpoint", "own", "goes_to"),
    [
        (cooling(), 18.5, 18.0),  # not below the lowest that it may be set to
        (cooling(), 18.0, None),
        (cooling(), 30.0, None),  # somebody's intention
        (cooling(offset=-2.0, rises=False), 22.0, 24.0),  # heating
        (cooling(offset=-2.0, rises=False), 25.5, 26.0),
        (cooling(offset=None, value=25.0), 22.0, None),  # nobody said where to
        (cooling(offset=None, value=25.0, raise_value=19.0), 22.0, 19.0),
        (cooling(offset=None, value=18.0, raise_value=26.0, rises=False), 20.0, 26.0),  # a tank
        (cooling(offset=0.7), 22.0, 21.5),  # its step is half a degree
    ],
)
def test_where_a_setpoint_goes_to_draw_more(
    setpoint: SetpointControl, own: float, goes_to: float | None
) -> None:
    assert setpoint.raise_setpoint(own) == goes_to


def test_a_guard_protects_from_drawing_more_too() -> None:
    """A room is not cooled, nor a tank heated, past its bound."""
    guard = ComfortGuard(minimum=20.0, maximum=26.0, margin=0.5)
    unit = thermostat("rtu1", guard=guard)
    for value in (20.2, None, 19.0):
        house = flexible(unit, rtu1=3.0)
        house.values["rtu1"] = value
        house.wait(5.0)
        assert load_up(house, 2.0)[0]["reason_code"] == "nothing_to_raise"
    house = flexible(unit, battery(priority=4), rtu1=3.0, battery1=0.0)
    load_up(house, 2.0, duration_sec=3600.0)
    assert house.moved() == {"rtu1": 20.0}
    house.wait(600.0)
    house.values["rtu1"] = 19.9
    house.wait(120.0)
    assert house.moved() == {}
    assert any(a.get("reason_code") == "comfort_guard" for a in house.acks)
    assert house.drawn_kw("battery1") == pytest.approx(2.0, abs=0.3), "another takes its place"


def test_a_charger_never_gets_less_than_it_takes() -> None:
    """One that stands at 0 A charges with 6 A or not at all."""
    scale = PanelLimitScale(PanelLimitUnit.AMPS, 7.2, 230.0, lowest=6.0, phase_factor=3.0)
    panel = panel_of(limit("ev1", 32.0, scale=scale), switch("oven", 40.0))
    for raise_kw, amps in ((2.0, 0.0), (4.5, 6.0), (7.0, 10.0)):
        house = House(panel, {"ev1": 11.0, "oven": 3.0})
        house.limits["ev1"] = 0.0
        house.wait(60.0)
        load_up(house, raise_kw)
        assert house.limits["ev1"] == amps, raise_kw
        house.wait_until_over()
        assert house.limits["ev1"] == 0.0


def test_what_was_not_reached_is_raised_once_its_device_is_there(turned_down: House) -> None:
    """As a shed: it was left out of the event for good."""
    house = turned_down
    house.broken = {"heater1"}
    before, before_kw = house.setting, house.power_kw
    load_up(house, 8.0, duration_sec=1_200.0)
    house.wait(60.0)
    assert house.limits["heater1"] == 50.0
    short_kw = house.power_kw - before_kw
    house.broken = set()
    house.wait(240.0)
    assert house.power_kw - before_kw > short_kw
    assert house.power_kw - before_kw == pytest.approx(8.0, rel=0.06)
    house.wait_until_over()
    assert house.setting == before
