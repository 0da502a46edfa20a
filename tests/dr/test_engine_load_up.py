"""The event engine: drawing more, the mirror of a shed."""

from __future__ import annotations

import pytest

from tests.dr.builders import limit, panel_of, switch
from tests.dr.house import House, send_event


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
