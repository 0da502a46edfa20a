"""Limits on what the site feeds in, beside events and after them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import limit, switch
from tests.dr.flexible_house import (
    FlexibleHouse,
    battery,
    inverter,
    storage,
    thermostat,
)
from tests.dr.house import House, send_event
from tests.dr.limited_house import (
    SLOWEST_SEC,
    import_mean_kw,
    live_under_export_limit,
    send_export_limit,
    sunny_house,
    sunny_shop,
)
from tests.support.each_case import each_case
from VenAgent.dr.event import Event
from VenAgent.dr.event_baseline import EventBaseline
from VenAgent.dr.event_request import EventRequest, EventRequestKind
from VenAgent.dr.panel import PanelCircuit
from VenAgent.dr.policy import EndurancePolicy
from VenAgent.dr.shed_target import ShedTarget


def home(*more: PanelCircuit, **draws_kw: float) -> FlexibleHouse:
    """With a battery and an inverter in full sun."""
    circuits = (battery(control=storage(capacity_kwh=40.0), priority=2), inverter(), *more)
    return sunny_shop(*circuits, **{"pv": -8.0, "battery1": 0.0, **draws_kw})


def more_load(house: House, raise_kw: float, **fields: object) -> list:
    known = {"correlationId": "u", "event_id": "up", "duration_sec": 900.0}
    return house.send("loadUp", raise_kw=raise_kw, **{**known, **fields})


@pytest.mark.long
@each_case("window_sec", [60.0, 300.0, 900.0])
@each_case("export_kw", [0.0, 2.0])
def test_what_was_fed_in_before_keeps_no_load_from_being_shed_for_a_limit(
    export_kw: float, window_sec: float
) -> None:
    """A cloud: what is drawn was over its limit until the sun had left the window."""
    house = sunny_house()
    send_export_limit(house, export_kw, import_kw=4.0, window_sec=window_sec)
    house.wait(window_sec + 400.0)
    house.demand_kw |= {"pv": 0.0, "oven": 7.0, "heater": 3.0}
    for _ in range(int(window_sec / 5.0) + 40):
        house.wait(5.0)
        assert import_mean_kw(house, window_sec) <= 4.0
    assert house.alerts == {}


@pytest.mark.long
def test_no_import_and_no_export_is_said_as_it_is() -> None:
    """It cannot be steered for exactly; there are loads to shed, but the sun would be fed in."""
    house = sunny_house()
    send_export_limit(house, 0.0, import_kw=0.0)
    house.wait(600.0)
    message = house.alerts["limit.exceeded", ""]
    assert "draws 0.10 kW, and with less load it would feed in more than the 0 kW" in message
    oven = replace(switch("oven", 40.0), critical=True)
    house = sunny_house(inverter(), oven, switch("heater", 30.0), pv=-0.5)
    send_export_limit(house, 0.0, import_kw=0.0)
    house.wait(600.0)
    assert "no load is left to shed" in house.alerts["limit.exceeded", ""]
    house = home(pv=-1.0)  # the battery makes it as good as 0
    send_export_limit(house, 0.0, import_kw=0.0)
    house.wait(600.0)
    assert (house.alerts, round(house.power_kw, 9)) == ({}, 0.0)


def test_an_inverter_held_back_by_a_limit_is_no_rise_of_another_event() -> None:
    """How much the sun would give is not measured, and its energy is not what was asked for."""
    house = sunny_house()
    send_export_limit(house)
    live_under_export_limit(house, 400.0, since_sec=60.0 + SLOWEST_SEC)
    ack = more_load(house, 3.0)[0]  # it goes on with what the limit holds
    assert (ack["status"], ack["reason_code"]) == ("accepted", "nothing_to_raise")
    assert (ack["actual_raise_kw"], ack["circuits_curtailed"]) == (0.0, [])
    assert house.limits["pv"] < 100.0, "the limit has it all the same"
    live_under_export_limit(house, 300.0)
    house = home(thermostat("rtu1"), rtu1=3.0, pv=-12.0)  # its limits of load are used up
    house.raised_kw = {"rtu1": 2.0}
    house.soc_percent["battery1"] = 99.9
    send_export_limit(house)
    live_under_export_limit(house, 400.0, since_sec=60.0 + SLOWEST_SEC)
    before_kw, allowed = house.power_kw, house.limits["pv"]
    ack = more_load(house, 2.0)[0]
    assert (ack["status"], ack["actual_raise_kw"]) == ("accepted", pytest.approx(2.0))
    assert [c["id"] for c in ack["circuits_curtailed"]] == ["rtu1"]
    assert ack["baseline_kw"] == pytest.approx(before_kw, abs=0.15)
    live_under_export_limit(house, 600.0)
    assert house.power_kw - before_kw == pytest.approx(2.0, abs=0.15)
    assert house.limits["pv"] == allowed, "let go, it would take the rise away again"
    live_under_export_limit(house, 600.0, since_sec=60.0 + SLOWEST_SEC)
    summary = house.last("completed")["summary"]
    assert summary["achieved_shed_kw"] < -0.5, "so long as the unit takes to follow, it is less"
    assert house.moved() == {}
    house.send("cancel", event_id="export", correlationId="c")
    house.wait(60.0)
    assert house.limits["pv"] == 100.0


@pytest.mark.long
def test_a_limit_that_is_over_holds_nothing_of_another_event() -> None:
    """It is given back then, and what the other has asked for stays."""
    for op in ("limit", "event", "loadUp"):
        house = home(thermostat("rtu1"), rtu1=1.0, pv=-10.0)
        house.raised_kw = {"rtu1": 2.0}
        send_export_limit(house, 1.0)
        live_under_export_limit(house, 300.0, 1.0, since_sec=60.0 + SLOWEST_SEC)
        assert (house.remote["battery1"], house.limits["pv"] < 100.0) == (True, True)
        asked = {"event_id": "other", "correlationId": "o"}
        if op == "limit":
            house.send("limit", import_kw=15.0, **asked)
        elif op == "event":
            send_event(house, 0.3, duration_sec=2_400.0, **asked)
        else:
            more_load(house, 2.0, **{**asked, "duration_sec": 2_400.0})
        house.wait(60.0)
        house.send("cancel", event_id="export", correlationId="c")
        house.wait(600.0)
        assert house.limits["pv"] == 100.0, op
        assert house.remote["battery1"] is (op == "loadUp"), "it counts for that"
        if op == "limit":
            house.send("cancel", event_id="other", correlationId="c2")
        if op == "loadUp":
            assert house.last("adjusted")["reason_code"] == "not_needed"
        house.wait(2_400.0)
        assert (house.remote["battery1"], house.moved()) == (False, {}), op
        assert house.limits["pv"] == 100.0


@pytest.mark.long
def test_an_event_that_is_over_leaves_nothing_with_a_limit_that_does_not_need_it() -> None:
    """A limit that rules until further notice takes the circuits over, and gives them back at once;
    a compressor after its minimum off time."""
    rests = replace(switch("cold", 20.0, priority=5), endurance=EndurancePolicy(min_off_sec=250.0))
    charger = limit("ev1", 50.0, priority=4)
    more = {"export_kw": 5.0}, {"import_kw": 30.0}, {"import_kw": 30.0, "export_kw": 5.0}
    for asked in more:
        for op in ("event", "loadUp"):
            house = home(thermostat("rtu1"), rests, charger, pv=0.0, rtu1=3.0, cold=1.5, ev1=9.0)
            house.raised_kw, house.effects_kw = {"rtu1": 2.0}, {"rtu1": 2.0}
            house.limits["ev1"] = 50.0
            house.wait(120.0)
            before = house.setting
            house.send("limit", event_id="limit", correlationId="l", **asked)
            if op == "event":
                send_event(house, 13.0, duration_sec=300.0)
                house.wait(60.0)
                assert not house.closed["cold"]
            else:
                more_load(house, 9.0, duration_sec=300.0)
            assert house.setting != before
            house.send("cancel", event_id="up" if op == "loadUp" else "e1", correlationId="c")
            house.wait(60.0)
            assert house.statuses().count("completed") == 1
            assert house.opened() == ({"cold"} if op == "event" else set()), (op, asked)
            house.wait(600.0)
            assert house.setting == before, (op, asked)
            assert not house.remote["battery1"]
            assert house.engine.running is not None, "the limit rules on"
            assert not house.engine.holds


def test_a_load_up_that_asks_for_more_than_the_limit_needs_is_not_held_to_that() -> None:
    """What it may use, such as thermostats, a limit of what is fed in may not."""
    house = home(thermostat("rtu1"), rtu1=1.0, pv=-6.0)
    send_export_limit(house, 1.0)
    up = Event("up", replace(request_of(house), kind=EventRequestKind.LOAD_UP, raise_kw=4.0))
    up.measure_against(EventBaseline(-3.0, -3.0, "test"))
    for held_kw, missing_kw, is_export in (
        (0.0, -4.0, False),
        (-2.0, -2.0, False),
        (-3.5, None, True),
    ):
        target = ShedTarget.of(up, house.engine.site, -2.0, held_kw, house.now)
        assert target.is_export is is_export
        if missing_kw is not None:
            assert target.missing_kw == missing_kw
        else:
            assert -1.5 < target.missing_kw <= -1.0


def request_of(house: House) -> EventRequest:
    event = house.engine.running
    assert event is not None
    return event.request
