"""Comfort guards: past its bound, or not known, a circuit goes back and is not shed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import DRAWS_KW as HOUSE_DRAWS_KW
from tests.dr.builders import house_panel, limit, switch
from tests.dr.flexible_house import (
    ZONE_MAX_C,
    FlexibleHouse,
    battery,
    shop_panel,
    storage,
    thermostat,
    zone_guard,
)
from tests.dr.house import send_event
from VenAgent.dr.comfort_guard import ComfortGuard
from VenAgent.dr.policy import EndurancePolicy

DRAWS_KW = {"rtu1": 4.0, "rtu2": 4.0, "range1": 2.4, "outlets1": 1.2, "fridge1": 0.2}
STALE_SEC = 30.0


def shop() -> FlexibleHouse:
    panel = shop_panel(
        thermostat("rtu1", guard=zone_guard()), thermostat("rtu2", guard=zone_guard())
    )
    house = FlexibleHouse(panel, DRAWS_KW, {"rtu1": 2.0, "rtu2": 2.0})
    house.wait(120.0)
    return house


@pytest.mark.parametrize(
    ("guard", "value", "may"),
    [
        (zone_guard(), 25.5, True),
        (zone_guard(), 25.6, False),  # within the margin: it would be back at once
        (zone_guard(), 27.0, False),
        (zone_guard(), None, False),
        (ComfortGuard(minimum=50.0, margin=2.0), 51.0, False),  # a tank that gets cold
        (ComfortGuard(minimum=50.0, margin=2.0), 52.0, True),
        (ComfortGuard(minimum=18.0, maximum=26.0), 17.9, False),
    ],
)
def test_it_may_be_shed_well_inside_the_bounds_only(
    guard: ComfortGuard, value: float | None, may: bool
) -> None:
    assert guard.may_be_shed(value) is may


def test_one_past_its_bound_is_not_shed_and_the_page_says_why() -> None:
    house = shop()
    house.values["rtu1"] = 26.5
    house.wait(10.0)
    send_event(house, 4.0)
    assert set(house.moved()) == {"rtu2"}
    reason = house.engine.reasons_spared(house.now)["rtu1"]
    assert reason.code.value == "comfort_guard"
    assert reason.text == "its guard point reads 26.5 celsius, and must be at most 26 celsius"


def test_past_its_bound_it_is_released_and_another_takes_its_place() -> None:
    house = shop()
    send_event(house, 2.0, duration_sec=3600.0)
    house.wait(600.0)
    (first,) = house.moved()
    house.values[first] = ZONE_MAX_C + 0.1
    house.wait(6.0)
    assert first not in house.moved()
    assert len(house.moved()) == 1
    ack = next(a for a in house.acks if a.get("reason_code") == "comfort_guard")
    assert ack["status"] == "adjusted"
    assert f"{first} is released: its guard point reads 26.1 celsius" in ack["reason"]
    assert ("comfort.guard", first) in house.alerts
    house.values[first] = ZONE_MAX_C - 0.1
    house.demand_kw["range1"] += 3.0
    house.wait(120.0)
    assert first not in house.moved(), "not while it is near its bound"
    house.wait_until_over()
    assert house.moved() == {}
    assert house.alerts == {}


def test_one_that_falls_silent_is_released() -> None:
    house = shop()
    send_event(house, 2.0, duration_sec=3600.0)
    (first,) = house.moved()
    house.wait(60.0)
    house.values[first] = None
    house.wait(STALE_SEC - 10.0)
    assert first in house.moved(), "a single reading may be lost"
    house.wait(20.0)
    assert first not in house.moved()
    assert "is not read" in house.alerts["comfort.guard", first]


@pytest.mark.parametrize(
    ("unknown", "words"),
    [
        ({"guard_silent_sec": 1021.0}, "is not read since 1021 s ago"),
        ({"guard_unmoved_sec": 21_600.0}, "has not changed for 360 minutes"),
    ],
)
def test_what_is_known_not_to_be_believed_releases_at_once(
    unknown: dict[str, float], words: str
) -> None:
    """It was waited for already; a second wait would be as long as the first."""
    house = shop()
    send_event(house, 2.0, duration_sec=3600.0)
    (first,) = house.moved()
    house.wait(60.0)
    read = house.read

    def without_guard():  # type: ignore[no-untyped-def]
        reading = read()
        circuit = replace(reading.circuit(first), guard=None, **unknown)
        return replace(reading, circuits={**reading.circuits, first: circuit})

    house.read = without_guard  # type: ignore[method-assign]
    house.wait(6.0)
    assert first not in house.moved()
    assert words in house.alerts["comfort.guard", first]
    assert any(words in ack.get("reason", "") for ack in house.acks)
    assert words in house.engine.reasons_spared(house.now)[first].text


def test_it_is_released_when_no_reading_comes_at_all() -> None:
    """The meter is away too: no reading wakes the loop, and the circuit goes back all the same."""
    house = shop()
    send_event(house, 2.0, duration_sec=3600.0)
    (first,) = house.moved()
    house.wait(60.0)
    house.report_sec = 1e6
    house.wait(STALE_SEC + 10.0)
    assert first not in house.moved()


def test_it_is_released_while_the_panels_power_is_not_read() -> None:
    house = shop()
    send_event(house, 2.0, duration_sec=3600.0)
    (first,) = house.moved()
    house.wait(60.0)
    read = house.read

    def without_total():  # type: ignore[no-untyped-def]
        return replace(read(), power_kw=None)

    house.read = without_total  # type: ignore[method-assign]
    house.values[first] = 27.0
    house.wait(6.0)
    assert first not in house.moved()


def test_a_release_that_fails_is_tried_again() -> None:
    house = shop()
    send_event(house, 2.0, duration_sec=3600.0)
    (first,) = house.moved()
    house.wait(60.0)
    house.broken = {first}
    house.values[first] = 27.0
    house.wait(20.0)
    assert first in house.moved()
    house.broken = set()
    house.wait(40.0)
    assert first not in house.moved()


def test_after_a_restart_what_is_past_its_bound_is_not_shed_once_more() -> None:
    house = shop()
    send_event(house, 4.0, duration_sec=3600.0)
    assert set(house.moved()) == {"rtu1", "rtu2"}
    house.values["rtu1"] = 27.0
    writes = len(house.written)
    house.restart()
    again = [w for w in house.written[writes:] if w.circuit_id == "rtu1"]
    assert [write.value for write in again] == [22.0]
    assert set(house.moved()) == {"rtu2"}


@pytest.mark.long
def test_it_is_released_while_the_event_waits_for_its_reservation() -> None:
    """After a restart the actuator is not there yet: what is shed may get too warm meanwhile."""
    house = shop()
    send_event(house, 4.0, duration_sec=3600.0)
    house.refusal, house.may_pass = "the actuator does not answer", True
    house.restart()
    house.wait(30.0)
    assert set(house.moved()) == {"rtu1", "rtu2"}
    house.values["rtu1"] = 27.0
    house.wait(20.0)
    assert set(house.moved()) == {"rtu2"}
    writes = len(house.written)
    house.refusal = None
    house.wait(30.0)
    assert [w.circuit_id for w in house.written[writes:] if w.circuit_id == "rtu1"] == []
    assert "rtu2" in {w.circuit_id for w in house.written[writes:]}, "it is asserted once more"
    house.wait_until_over()
    assert house.moved() == {}


def test_a_guard_protects_a_contactor_too_but_not_from_its_compressors_pause() -> None:
    """A tank that gets cold; the heater's contactor must stay off for five minutes."""
    tank = replace(
        switch("heater1", priority=5),
        guard=ComfortGuard(minimum=50.0, margin=2.0, unit="celsius"),
        endurance=EndurancePolicy(min_off_sec=300.0),
    )
    circuits = [tank if c.id == "heater1" else c for c in house_panel().circuits]
    house = FlexibleHouse(replace(house_panel(), circuits=tuple(circuits)), HOUSE_DRAWS_KW, {})
    house.values["heater1"] = 60.0
    house.wait(120.0)
    send_event(house, 4.5, duration_sec=1800.0)
    assert house.opened() == {"heater1"}
    house.wait(60.0)
    house.values["heater1"] = 49.0
    house.wait(180.0)
    assert "heater1" in house.opened()
    house.wait(120.0)
    assert "heater1" not in house.opened()
    assert house.opened(), "others are shed in its place"


def test_a_guard_released_while_nothing_else_can_be_shed_says_it_is_short() -> None:
    panel = replace(shop_panel(), circuits=(thermostat("rtu1", guard=zone_guard()),))
    house = FlexibleHouse(panel, DRAWS_KW, {"rtu1": 2.0})
    house.wait(120.0)
    send_event(house, 2.0, duration_sec=3600.0)
    house.wait(600.0)
    house.values["rtu1"] = 27.0
    house.wait(60.0)
    assert house.moved() == {}
    assert ("shed.short", "") in house.alerts
    house.wait_until_over()
    assert house.last("completed")["event_id"] == "e1"


@pytest.mark.long
def test_a_switch_command_and_a_guard_do_not_write_at_once() -> None:
    """What a command is switching is not the event's to release."""
    house = shop()
    send_event(house, 4.0, duration_sec=3600.0)
    house.hold = True
    house.values["rtu1"] = 27.0
    house.wait(6.0)
    house.hold = False
    house.work()
    house.wait_until_over()
    assert house.moved() == {}


def test_an_event_that_holds_nothing_yet_begins_once_after_a_lapsed_lease() -> None:
    """Its first interval asks for nothing: there is nothing to write once more."""
    house = shop()
    steps = [{"duration_sec": 60, "shed_kw": 0}, {"duration_sec": 600, "shed_kw": 2.0}]
    house.send("event", event_id="e1", correlationId="c1", intervals=steps)
    house.do(house.engine.lease_lapsed(house.now))
    house.wait(120.0)
    assert len(house.moved()) == 1
    house.wait_until_over()
    assert house.moved() == {}


@pytest.mark.parametrize("restarts", [False, True])
def test_past_its_bound_a_circuit_does_not_wait_for_its_turn_to_go_back(restarts: bool) -> None:
    """It waited for the pauses of all before it, while its room went on warming up."""
    names = ["rtu1", "rtu2", "rtu3", "rtu4"]
    panel = shop_panel(*(thermostat(name, guard=zone_guard()) for name in names))
    house = FlexibleHouse(panel, DRAWS_KW | {"rtu3": 4.0, "rtu4": 4.0}, dict.fromkeys(names, 2.0))
    house.policy = replace(house.policy, restore_stagger_sec=60.0, restore_within_sec=600.0)
    house.restart()
    house.wait(120.0)
    send_event(house, 8.0, duration_sec=1800.0)
    house.wait(600.0)
    assert len(house.moved()) == 4
    house.send("restore", correlationId="r")
    house.wait(6.0)
    if restarts:
        house.restart()
        house.wait(6.0)
    waiting = list(house.moved())
    assert len(waiting) >= 2
    house.values[waiting[-1]] = ZONE_MAX_C + 0.1
    house.wait(6.0)
    assert list(house.moved()) == waiting[:-1], "the others have their turns"
    assert ("comfort.guard", waiting[-1]) in house.alerts
    house.wait(600.0)
    assert (house.moved(), house.alerts) == ({}, {})
    writes = [w for w in house.written if w.circuit_id == waiting[-1]]
    assert len(writes) == 2, "shed once, given back once"


def test_past_its_bound_a_charger_has_no_ramp() -> None:
    """A car that is needed below a charge, and a battery at its reserve."""
    car = replace(limit("ev1", 30.0, priority=5), guard=ComfortGuard(minimum=30.0, unit="percent"))
    store = battery(control=storage(), priority=5)
    house = FlexibleHouse(shop_panel(car, store), DRAWS_KW | {"ev1": 6.0, "battery1": 0.0}, {})
    house.values["ev1"] = 50.0
    house.policy = replace(house.policy, restore_stagger_sec=90.0, limit_ramp_sec=300.0)
    house.restart()
    house.wait(120.0)
    send_event(house, 10.5, duration_sec=1800.0)
    house.wait(120.0)
    assert (house.limits["ev1"] < 100.0, house.remote["battery1"]) == (True, True)
    house.send("restore", correlationId="r")
    house.wait(1.0)
    house.values["ev1"], house.soc_percent["battery1"] = 29.0, 19.0
    house.wait(6.0)
    assert (house.limits["ev1"], house.remote["battery1"]) == (100.0, False)
    house.wait(600.0)
    assert house.alerts == {}
