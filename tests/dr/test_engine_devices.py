"""The event engine: whose hand was it? Devices that restart, go away, or are configured anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import limit, panel_of, switch
from tests.dr.house import House, send_event
from tests.support.each_case import each_case
from VenAgent.dr.circuit_watch import CHANGED_READINGS, RESTARTS_MOST
from VenAgent.dr.panel import Panel

DRAWS_KW = {"a": 2.0, "b": 2.0, "c": 2.0, "d": 2.0, "hvac": 3.0}
BOARD = "site/board"


def board_panel() -> Panel:
    """Four relays on one board, and a critical circuit beside it."""
    relays = [
        replace(switch(name, priority=5), point=f"{BOARD}/{name}", switch_point=f"{BOARD}/{name}")
        for name in "abcd"
    ]
    return panel_of(*relays, switch("hvac", priority=1))


@pytest.fixture
def board() -> House:
    house = House(board_panel(), dict(DRAWS_KW))
    send_event(house, 8.0)
    house.wait(60.0)
    assert house.opened() == set("abcd")
    return house


def test_a_board_that_was_power_cycled_is_shed_again(board: House) -> None:
    """For 3 s, between two readings: it comes back with its relays closed."""
    for name in "abcd":
        board.closed[name] = True
    board.wait(5.0 * CHANGED_READINGS)
    assert board.opened() == set("abcd")
    assert board.last("adjusted")["reason_code"] == "device_restarted"
    assert "circuit.manual_override" not in board.alerted
    assert board.closed["hvac"], "no critical circuit is shed in its place"


def test_a_single_circuit_of_a_board_that_was_away_is_shed_again() -> None:
    house = House(board_panel(), dict(DRAWS_KW))
    send_event(house, 2.0)
    house.wait(60.0)
    (shed,) = house.opened()
    house.away = {BOARD}
    house.wait(10.0)
    house.away, house.closed[shed] = set(), True
    house.wait(5.0 * CHANGED_READINGS)
    assert house.opened() == {shed}


@each_case("changed", ["a", "b", "c", "d"])
def test_a_board_that_was_away_and_is_back_with_one_relay_changed_restarted(changed: str) -> None:
    """Its other relays hold their state without power, or are read first."""
    house = House(board_panel(), dict(DRAWS_KW))
    send_event(house, 8.0)
    house.wait(60.0)
    house.away = {BOARD}
    house.wait(10.0)
    house.away, house.closed[changed] = set(), True
    house.wait(5.0 * CHANGED_READINGS)
    assert house.opened() == set("abcd")
    assert house.last("adjusted")["reason_code"] == "device_restarted"
    assert "circuit.manual_override" not in house.alerted


@each_case("own_limit", [100.0, 50.0, 12.0])
def test_a_charger_that_lost_its_connection_and_went_to_its_own_limit_is_limited_again(
    own_limit: float,
) -> None:
    """Its fail-safe current, or what it begins with: it keeps that until it is told again."""
    chargers = [limit("ev1", 50.0, priority=5), limit("ev2", 50.0, priority=5)]
    chargers = [
        replace(each, point=f"site/{each.id}/limit", switch_point=f"site/{each.id}/on")
        for each in chargers
    ]
    house = House(panel_of(*chargers), {"ev1": 7.2, "ev2": 7.2})
    send_event(house, 10.8)
    house.wait(60.0)
    told = dict(house.limits)
    for charger in chargers:
        house.away = {f"site/{charger.id}"}
        house.wait(10.0)
        house.away, house.limits[charger.id] = set(), own_limit
        house.wait(60.0)
        assert house.limits == told
    assert "circuit.manual_override" not in house.alerted


def test_a_single_change_of_a_board_that_is_there_is_a_hand(board: House) -> None:
    board.closed["a"] = True
    board.wait(5.0 * CHANGED_READINGS)
    assert ("circuit.manual_override", "a") in board.alerts
    assert board.closed["a"]


def test_a_hand_on_a_board_that_was_away_before_and_is_back_as_it_was(board: House) -> None:
    board.away = {BOARD}
    board.wait(10.0)
    board.away = set()
    board.wait(10.0)
    board.closed["a"] = True
    board.wait(5.0 * CHANGED_READINGS)
    assert ("circuit.manual_override", "a") in board.alerts


def test_a_board_that_restarts_again_and_again_is_left_alone(board: House) -> None:
    for _ in range(RESTARTS_MOST + 1):
        for name in "abcd":
            board.closed[name] = True
        board.wait(5.0 * (CHANGED_READINGS + 2))
    assert not board.opened() & set("abcd")


def charger_house() -> House:
    """A car of 7.2 kW, of which a limit of 13 kW leaves 3, beside loads that it does not touch."""
    car = replace(
        limit("car1", 50.0, priority=5), point="site/wallbox/amps", switch_point="site/wallbox/on"
    )
    panel = panel_of(car, switch("pump1", priority=1), switch("oven1", priority=1))
    house = House(panel, {"car1": 7.2, "pump1": 6.0, "oven1": 4.0})
    house.report_sec = 20.0
    return house


def lose_power(house: House, own_limit: float) -> None:
    house.away = {"site/wallbox"}
    house.wait(60.0)
    house.away, house.limits["car1"] = set(), own_limit
    house.wait(120.0)


@each_case("own_limit", [12.0, 100.0])
def test_a_charger_that_restarts_now_and_then_under_a_limit_of_weeks_is_limited_each_time(
    own_limit: float,
) -> None:
    house = charger_house()
    house.wait(600.0)
    house.send("limit", event_id="L", correlationId="1", import_kw=13.0)
    house.wait(600.0)
    told = house.limits["car1"]
    assert told < 100.0
    for _ in range(2 * RESTARTS_MOST):
        lose_power(house, own_limit)
        house.wait(600.0)
        assert house.limits["car1"] == told
        house.wait(3_600.0)
    assert "circuit.manual_override" not in house.alerted
    house.send("cancel", event_id="L", correlationId="x")
    house.wait(600.0)
    assert house.limits["car1"] == 100.0


def test_a_charger_that_restarts_again_and_again_is_left_and_gets_its_own_limit_at_the_end() -> (
    None
):
    """No person sets a fail-safe current after a power cut: at the end it is as it was before."""
    house = charger_house()
    house.wait(600.0)
    send_event(house, 4.0, duration_sec=3_000.0)
    house.wait(60.0)
    for _ in range(RESTARTS_MOST + 2):
        lose_power(house, 12.0)
    assert house.limits["car1"] == 12.0, "left as it is"
    said = [ack for ack in house.acks if "again and again" in ack.get("reason", "")]
    assert [ack["reason_code"] for ack in said] == ["device_restarted"]
    house.wait(3_600.0)
    assert house.limits["car1"] == 100.0
    assert house.alerts == {}


@each_case("wired_inverted", [False, True])
def test_an_edit_of_the_polarity_in_mid_event_leaves_nothing_off(wired_inverted: bool) -> None:
    """The event keeps its points and its polarity, also when they are read."""
    panel = panel_of(*(replace(switch(name, priority=5), inverted=wired_inverted) for name in "ab"))
    house = House(panel, {"a": 2.0, "b": 2.0})
    send_event(house, 4.0)
    house.wait(30.0)
    assert house.opened() == {"a", "b"}
    edited = [replace(circuit, inverted=not wired_inverted) for circuit in panel.circuits]
    house.reconfigure(replace(panel, circuits=tuple(edited)))
    house.wait(200.0)
    assert house.opened() == {"a", "b"}
    assert "circuit.manual_override" not in house.alerted
    assert "adjusted" not in house.statuses()
    house.wait(600.0)
    assert house.opened() == set()


# ---- an override in the driver -----------------------------------------------------------------


@pytest.mark.long
@each_case("lasts_sec", [20.0, 535.0, 580.0, 900.0])
@each_case("reverts", [False, True])
@each_case("names", ["abcd", "a"])
def test_an_override_that_comes_in_mid_event_leaves_nothing_off(
    names: str, reverts: bool, lasts_sec: float
) -> None:
    """It refuses every write of a board; at its beginning it may put all back, too. The event has
    540 s to go then."""
    house = House(board_panel(), dict(DRAWS_KW))
    send_event(house, 8.0)
    house.wait(60.0)
    house.broken = set(names)
    for name in names if reverts else "":
        house.closed[name] = True
    began = house.now
    house.wait(lasts_sec)
    house.broken = set()
    house.wait(max(began + 540.0, house.now) + 130.0 - house.now)
    assert house.opened() == set()
    assert house.alerts == {}
    assert house.engine.running is None
    assert house.engine.is_restored
    assert house.statuses()[-1] == "completed"
