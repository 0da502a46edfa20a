"""The event engine: limits on what the site feeds in, while the sun and the loads come and go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import limit, panel_of, switch
from tests.dr.flexible_house import (
    battery,
    inverter,
    storage,
    thermostat,
)
from tests.dr.house import House, send_event
from tests.dr.limited_house import (
    SLOWEST_SEC,
    export_mean_kw,
    live_under_export_limit,
    send_export_limit,
    sunny_house,
    sunny_shop,
)


def test_what_is_fed_in_is_kept_under_its_limit_by_an_inverter_that_generates_less() -> None:
    house = sunny_house()
    before = house.setting
    ack = send_export_limit(house)[0]
    assert (ack["status"], ack["export_kw"], ack["import_kw"]) == ("accepted", 2.0, None)
    assert ack["limit_state"] == "limited"
    live_under_export_limit(house, 900.0, since_sec=60.0 + SLOWEST_SEC)
    assert 1.5 < -house.power_kw <= 2.0, "what is allowed is fed in"
    assert house.closed["oven"]
    assert house.replies_to("x1") == ["accepted"]
    house.send("cancel", event_id="export", correlationId="c")
    house.wait(30.0)
    assert house.setting == before
    assert -house.power_kw == pytest.approx(5.0)
    summary = house.last("completed")["summary"]
    assert (summary["export_kw"], summary["window_sec"]) == (2.0, 60.0)
    assert summary["highest_export_kw"] >= 2.0
    assert summary["over_export_sec"] <= 60.0 + SLOWEST_SEC


def test_a_site_that_feeds_in_less_is_left_alone() -> None:
    house = sunny_house()
    send_export_limit(house, 6.0)
    live_under_export_limit(house, 3_600.0, 6.0)
    assert house.written == []
    assert not house.engine.holds


@pytest.mark.long
def test_the_sun_and_the_loads_come_and_go() -> None:
    """Clouds of minutes, and a cloud that ends at once: what is allowed while it is cloudy must
    hold when the sun is back."""
    house = sunny_house()
    send_export_limit(house)
    live_under_export_limit(house, 120.0, since_sec=60.0 + SLOWEST_SEC)

    def weather(since_sec: float) -> None:
        house.demand_kw["pv"] = -8.0 if since_sec % 400.0 < 200.0 else -0.5
        house.demand_kw["oven"] = 1.0 if since_sec % 1_000.0 < 500.0 else 0.0

    began = house.now
    over_sec = 0.0
    while house.now < began + 7_200.0:
        weather(house.now - began)
        house.wait(5.0)
        over_sec += 5.0 * (export_mean_kw(house) > 2.0)
    assert over_sec <= 0.01 * 7_200.0
    house.demand_kw |= {"pv": -8.0, "oven": 7.0}
    live_under_export_limit(house, 1_800.0, since_sec=1.0)
    assert house.limits["pv"] == 100.0, "it may generate all it can again"


def test_an_inverter_that_had_a_limit_of_its_own_gets_no_more_than_that_back() -> None:
    house = sunny_house()
    house.limits["pv"] = 60.0
    house.wait(60.0)
    send_export_limit(house)
    live_under_export_limit(house, 120.0, since_sec=60.0 + SLOWEST_SEC)
    assert house.limits["pv"] < 60.0
    house.demand_kw["oven"] = 9.0
    house.wait(600.0)
    assert house.limits["pv"] == 60.0
    assert max(w.value for w in house.written if w.circuit_id == "pv") == 60.0


def test_zero_feed_in() -> None:
    house = sunny_house()
    send_export_limit(house, 0.0)
    live_under_export_limit(house, 600.0, 0.0, since_sec=60.0 + SLOWEST_SEC)
    assert 0.0 <= house.power_kw <= 0.5, "not much of the sun is lost"
    writes = len(house.written)
    live_under_export_limit(house, 1_800.0, 0.0)
    assert len(house.written) - writes <= 2, "it does not swing"


def test_limits_overlap_and_the_strictest_rules_at_each_moment() -> None:
    house = sunny_house()
    send_export_limit(house, 4.0)
    send_export_limit(house, 1.0, event_id="other", correlationId="x2", duration_sec=600.0)
    assert house.replies_to("x2") == ["accepted"]
    live_under_export_limit(house, 500.0, 1.0, since_sec=60.0 + SLOWEST_SEC)
    house.wait(1_200.0)
    assert 3.0 < -house.power_kw <= 4.0


def test_both_directions_in_one_limit() -> None:
    house = sunny_house()
    send_export_limit(house, 2.0, import_kw=4.0)
    live_under_export_limit(house, 300.0, since_sec=60.0 + SLOWEST_SEC)
    house.demand_kw |= {"pv": 0.0, "oven": 5.0}
    house.wait(90.0)
    for _ in range(60):
        house.wait(5.0)
        assert house.engine.site.limits.mean_kw(60.0, house.now) <= 4.0  # type: ignore[operator]
    assert house.opened()
    house.demand_kw |= {"pv": -9.0, "oven": 1.0}
    live_under_export_limit(house, 900.0, since_sec=60.0 + SLOWEST_SEC)


def test_a_shed_beside_it_feeds_in_no_more_than_is_allowed() -> None:
    house = sunny_house(oven=4.0, heater=3.0)
    house.wait(300.0)
    send_export_limit(house, 2.0)
    send_event(house, 4.0)
    assert house.replies_to("c1") == ["accepted"]
    live_under_export_limit(house, 500.0, since_sec=60.0 + SLOWEST_SEC)
    house = sunny_house()
    send_export_limit(house, 2.0)
    house.wait(120.0)
    (asked,) = send_event(house, 2.0, dry_run=True, correlationId="d")
    assert (asked["status"], asked["reason_code"]) == ("failed", "nothing_to_shed")
    ack = send_event(house, 2.0)[0]  # it goes on with what the limit holds
    assert (ack["status"], ack["reason_code"]) == ("accepted", "nothing_to_shed")
    assert "feeds in as much as a limit allows" in ack["reason"]
    live_under_export_limit(house, 300.0)


def test_a_battery_charges_before_an_inverter_is_turned_down() -> None:
    small = battery(control=storage(capacity_kwh=10.0), priority=2)
    house = sunny_shop(small, inverter(), pv=-5.0, battery1=0.0)
    send_export_limit(house, 1.0)
    live_under_export_limit(house, 300.0, 1.0, since_sec=60.0 + SLOWEST_SEC)
    assert house.drawn_kw("battery1") > 2.0
    assert house.limits["pv"] == 100.0
    house.demand_kw["pv"] = -10.0  # more than the battery takes
    live_under_export_limit(house, 600.0, 1.0, since_sec=60.0 + SLOWEST_SEC)
    assert house.limits["pv"] < 100.0
    house.soc_percent["battery1"] = 99.5
    house.wait(60.0)
    live_under_export_limit(house, 600.0, 1.0, since_sec=60.0 + SLOWEST_SEC)
    assert house.drawn_kw("battery1") == 0.0, "it is full"
    assert ("comfort.guard", "battery1") in house.alerts
    assert any(a.get("reason_code") == "soc_full" for a in house.acks)
    house.send("cancel", event_id="export", correlationId="c")
    house.wait(30.0)
    assert not house.remote["battery1"]
    assert house.limits["pv"] == 100.0


def test_an_inverter_behind_a_contactor_is_switched_off_as_the_last_resort() -> None:
    pv = replace(switch("pv", 50.0), generates=True)
    house = sunny_house(pv, switch("oven", 40.0), switch("heater", 30.0))
    send_export_limit(house)
    live_under_export_limit(house, 300.0, since_sec=60.0 + SLOWEST_SEC)
    assert house.opened() == {"pv"}
    house.send("cancel", event_id="export", correlationId="c")
    house.wait(30.0)
    assert not house.opened()


def test_an_inverter_that_does_not_follow_is_not_told_the_same_with_each_reading() -> None:
    """Its register holds the limit, and it goes on as before: said, and left at that."""
    house = sunny_house()
    house.drawn_kw = lambda name: house.demand_kw[name]  # type: ignore[method-assign]
    send_export_limit(house)
    house.wait(1_200.0)
    assert house.limits["pv"] < 100.0
    assert len([w for w in house.written if w.circuit_id == "pv"]) <= 3
    assert "limit_not_kept" in {a.get("reason_code") for a in house.acks}
    assert ("limit.exceeded", "") in house.alerts


def test_what_cannot_be_kept_is_said_while_it_lasts() -> None:
    other = switch("other", 50.0)  # generates too, and nobody can tell it to do less
    house = sunny_house(inverter(), other, switch("oven", 40.0), other=-4.0)
    house.wait(60.0)
    send_export_limit(house, 1.0)
    told = [a for a in house.acks if a.get("reason_code") == "limit_not_kept"]
    assert told
    assert "feeds in" in told[0]["reason"]
    assert "nothing is left that can feed in less or draw more" in told[0]["reason"]
    assert ("limit.exceeded", "") in house.alerts
    house.wait(300.0)
    assert ("limit.exceeded", "") in house.alerts
    house.demand_kw["other"] = 0.0
    house.wait(120.0)
    assert ("limit.exceeded", "") not in house.alerts


def test_it_is_refused_only_where_no_circuit_can_feed_in_less() -> None:
    for circuits in (
        (switch("pv", 50.0),),
        (replace(inverter(), critical=True),),
        (limit("ev1", 50.0), thermostat("rtu1")),
    ):
        house = House(panel_of(*circuits), dict.fromkeys([c.id for c in circuits], 1.0))
        (ack,) = send_export_limit(house)
        assert (ack["status"], ack["reason_code"]) == ("rejected", "not_supported")
        assert "export_kw" in ack["reason"]
        assert house.journal == {}
    for circuits in ((inverter(),), (replace(switch("pv", 50.0), generates=True),), (battery(),)):
        house = House(panel_of(*circuits), dict.fromkeys([c.id for c in circuits], 0.0))
        house.limits.setdefault("battery1", 0.0)
        assert send_export_limit(house)[0]["status"] == "accepted"


def test_an_inverter_is_never_shed_and_never_reduced_for_more_load() -> None:
    """At night it draws a little; and its energy is not thrown away to draw more from the grid."""
    house = sunny_house(pv=0.05)
    send_event(house, 3.05)
    assert house.limits["pv"] == 100.0
    house = sunny_house()
    (ack,) = house.send("loadUp", raise_kw=3.0, correlationId="u", event_id="up")
    assert ack["reason_code"] == "nothing_to_raise"


@pytest.mark.parametrize("work_was_done", [False, True])
def test_a_restart_goes_on_with_it(work_was_done: bool) -> None:
    house = sunny_house()
    before = house.setting
    house.hold = True
    send_export_limit(house)
    house.work(1)
    house.hold = False
    house.restart(work_was_done=work_was_done)
    live_under_export_limit(house, 300.0, since_sec=60.0 + SLOWEST_SEC)
    house.send("restore", correlationId="r")
    house.wait(30.0)
    assert house.setting == before


def test_without_its_sender_the_failsafe_is_of_what_is_fed_in() -> None:
    """EEBus LPP has a failsafe limit of production; one that limits both directions has its
    failsafe for what is drawn, and keeps the other."""
    house = sunny_house()
    send_export_limit(house, 4.0, failsafe_kw=1.0, heartbeat_sec=60.0)
    house.wait(70.0)
    assert ("limit.failsafe", "export") in house.alerts
    live_under_export_limit(house, 600.0, 1.0, since_sec=60.0 + SLOWEST_SEC)
    send_export_limit(house, 4.0, failsafe_kw=1.0, heartbeat_sec=60.0, correlationId="x2")
    assert house.last("adjusted")["reason_code"] == "failsafe_left"
    house = sunny_house()
    send_export_limit(house, 2.0, import_kw=9.0, failsafe_kw=4.0, heartbeat_sec=60.0)
    house.wait(300.0)
    event = house.engine.running
    assert event is not None
    assert (event.limit_terms.import_kw, event.limit_terms.export_kw) == (4.0, 2.0)


def test_a_dry_run_says_what_it_would_come_to() -> None:
    house = sunny_house()
    (ack,) = send_export_limit(house, dry_run=True)
    assert (ack["status"], ack["dry_run"], ack["export_kw"]) == ("success", True, 2.0)
    assert [c["id"] for c in ack["circuits_curtailed"]] == ["pv"]
    assert (house.written, house.journal) == ([], {})


def test_thermostats_are_too_slow_for_it() -> None:
    """One that more load has moved already is not counted on either, until it shows."""
    house = sunny_shop(thermostat("rtu1"), inverter(), rtu1=2.0, pv=-10.0)
    house.raised_kw = {"rtu1": 2.0}
    send_export_limit(house, 1.0)
    live_under_export_limit(house, 300.0, 1.0, since_sec=60.0 + SLOWEST_SEC)
    assert house.moved() == {}
    house.send("cancel", event_id="export", correlationId="c")
    house.wait(400.0)
    house.send("loadUp", raise_kw=1.5, duration_sec=1_200.0, correlationId="u", event_id="up")
    assert house.moved()
    send_export_limit(house, 1.0, event_id="later", correlationId="x2")
    writes = len(house.written)
    live_under_export_limit(
        house, 1_000.0, 1.0, since_sec=60.0 + 2.0 * SLOWEST_SEC
    )  # what is under way comes first
    assert len(house.written) - writes <= 12, "the two do not undo each other's work"
