"""Twenty rooftop units: taken in turns, by the comfort that is left, one after the other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.flexible_house import FlexibleHouse, cooling, thermostat, zone_guard
from tests.dr.house import send_event
from VenAgent.dr.comfort_guard import ComfortGuard
from VenAgent.dr.cycling_limits import CyclingLimits
from VenAgent.dr.panel import Panel, PanelReading
from VenAgent.dr.policy import EndurancePolicy, RotationPolicy
from VenAgent.dr.rotation import rotation_order

TURN_SEC = 1800.0
COUNT = 20
NAMES = [f"rtu{number}" for number in range(1, COUNT + 1)]


def roof(count: int = COUNT, *, endurance: EndurancePolicy | None = None) -> FlexibleHouse:
    """Their power shows at once that they are shed, so that only the turns are seen."""
    circuits = []
    for name in NAMES[:count]:
        unit = thermostat(name, cooling(settle_sec=0.0), guard=zone_guard())
        unit = replace(unit, rotation=RotationPolicy("hvac", TURN_SEC))
        circuits.append(unit if endurance is None else replace(unit, endurance=endurance))
    panel = Panel(amperage=1000.0, voltage=240.0, circuits=tuple(circuits))
    draws = dict.fromkeys(NAMES[:count], 4.0)
    house = FlexibleHouse(panel, draws, dict.fromkeys(draws, 2.0))
    house.lag_sec = 0.0
    house.wait(120.0)
    return house


def test_those_with_the_most_comfort_left_are_first() -> None:
    house = roof()
    for index, name in enumerate(NAMES):
        house.values[name] = 22.0 + 0.1 * ((index * 7) % COUNT)
    house.wait(10.0)
    send_event(house, 8.0, duration_sec=600.0)
    coolest = sorted(NAMES, key=lambda name: house.values[name] or 0.0)[:4]
    assert set(house.moved()) == set(coolest)


@pytest.mark.long
def test_none_is_shed_for_longer_than_its_turn_and_all_take_part() -> None:
    house = roof()
    house.report_sec = 10.0
    send_event(house, 8.0, duration_sec=6 * 3600.0)
    since: dict[str, float] = {}
    longest: dict[str, float] = {}
    returned_at_once = 0
    before = set(house.moved())
    for _ in range(6 * 360 - 2):
        house.wait(10.0)
        moved = set(house.moved())
        returned_at_once = max(returned_at_once, len(before - moved))
        before = moved
        since = {name: since.get(name, house.now) for name in moved}
        for name, ts in since.items():
            longest[name] = max(longest.get(name, 0.0), house.now - ts)
        # a house of units that are alike rises and falls with them by room temperature
        for name in NAMES:
            warmer = 0.004 if name in moved else -0.004
            house.values[name] = max(22.0, (house.values[name] or 22.0) + warmer)
        assert 4 <= len(moved) <= 5, "the next one is taken before the former goes back"
        assert house.power_kw <= 4.0 * COUNT - 8.0, "the event has its kW in between"
    assert max(longest.values()) <= TURN_SEC + 20.0
    assert len(longest) == COUNT, "all of them bear a part"
    assert returned_at_once <= 1, "starts are staggered"
    assert max(v for v in house.values.values() if v) < 26.0
    assert {a.get("reason_code") for a in house.acks if a["status"] == "adjusted"} == {"rotation"}
    house.wait_until_over()
    assert house.moved() == {}


def test_without_another_that_can_take_its_place_it_stays() -> None:
    house = roof(2)
    house.values["rtu2"] = 25.9
    send_event(house, 2.0, duration_sec=3 * 3600.0)
    house.wait(2 * TURN_SEC)
    assert set(house.moved()) == {"rtu1"}
    house.values["rtu2"] = 23.0
    house.wait(10.0)
    assert set(house.moved()) == {"rtu2"}


@pytest.mark.long
def test_a_compressor_that_must_run_for_a_while_is_not_next() -> None:
    house = roof(3, endurance=EndurancePolicy(min_on_sec=3600.0))
    send_event(house, 2.0, duration_sec=2.2 * TURN_SEC)
    shed = []
    for _ in range(3):
        shed += sorted(house.moved())
        house.wait(TURN_SEC + 20.0)
    assert len(set(shed)) == 3, "the one that has just come back is not shed again"


@pytest.mark.parametrize("kill", [False, True])
def test_a_turn_goes_on_after_a_restart(kill: bool) -> None:
    house = roof(4)
    send_event(house, 2.0, duration_sec=3 * TURN_SEC)
    (first,) = house.moved()
    house.wait(TURN_SEC - 60.0)
    if kill:
        house.restart()
    house.wait(90.0)
    (second,) = house.moved()
    assert second != first


def slow_roof(count: int, lag_sec: float, effects_kw: float = 2.0) -> FlexibleHouse:
    units = [
        replace(
            thermostat(name, cooling(settle_sec=300.0), guard=zone_guard()),
            rotation=RotationPolicy("hvac", TURN_SEC),
        )
        for name in NAMES[:count]
    ]
    panel = Panel(amperage=1000.0, voltage=240.0, circuits=tuple(units))
    draws = dict.fromkeys(NAMES[:count], 4.0)
    house = FlexibleHouse(panel, draws, dict.fromkeys(draws, effects_kw))
    house.lag_sec = lag_sec
    house.wait(120.0)
    return house


@pytest.mark.long
def test_units_that_are_slow_hold_the_events_kw_through_a_turn() -> None:
    """The former goes back only once the next one shows it: in between both are shed."""
    house = slow_roof(6, lag_sec=240.0)
    send_event(house, 4.0, duration_sec=3 * TURN_SEC)
    house.wait(400.0)
    seen: set[str] = set()
    since: dict[str, float] = {}
    longest = 0.0
    for _ in range(2 * int(TURN_SEC) // 10):
        house.wait(10.0)
        moved = set(house.moved())
        seen |= moved
        since = {name: since.get(name, house.now) for name in moved}
        longest = max([longest, *(house.now - ts for ts in since.values())])
        assert house.power_kw <= 24.0 - 4.0 + 1e-6
    assert len(seen) >= 5
    assert longest <= TURN_SEC + 30.0


@pytest.mark.long
def test_one_that_does_not_respond_takes_nobodys_place() -> None:
    house = slow_roof(3, lag_sec=0.0)
    house.effects_kw["rtu2"] = 0.0
    house.values["rtu3"] = 25.9  # no comfort left: not for its turn
    send_event(house, 2.0, duration_sec=3 * TURN_SEC)
    house.wait(400.0)
    assert set(house.moved()) == {"rtu1"}
    house.wait(TURN_SEC + 400.0)
    assert "rtu1" in house.moved(), "it stays, for its kW are needed"
    assert ("circuit.not_responding", "rtu2") in house.alerts
    assert house.power_kw <= 12.0 - 2.0
    house.values["rtu3"] = 22.0
    house.wait(800.0)
    assert "rtu3" in house.moved(), "another comes for its turn"
    assert "rtu1" not in house.moved()
    house.wait_until_over()
    assert house.moved() == {}


@pytest.mark.long
def test_a_turn_that_is_half_over_goes_on_after_a_kill() -> None:
    house = slow_roof(3, lag_sec=240.0)
    send_event(house, 2.0, duration_sec=3 * TURN_SEC)
    while len(house.moved()) < 2:
        house.wait(10.0)
    both = set(house.moved())
    house.restart()
    house.wait(400.0)
    assert len(house.moved()) == 1
    assert set(house.moved()) < both
    assert house.power_kw <= 12.0 - 2.0
    house.wait_until_over()
    assert house.moved() == {}


@pytest.mark.long
def test_one_turn_is_handed_over_at_a_time() -> None:
    """With many units a turn begins before the one before has shown itself: it waits for that, or
    ever more would be shed."""
    house = slow_roof(len(NAMES), lag_sec=240.0)
    count = len(NAMES) // 2
    send_event(house, 2.0 * count, duration_sec=3 * TURN_SEC)
    house.wait(400.0)
    most, seen = 0, set()
    for _ in range(int(2 * TURN_SEC) // 10):
        house.wait(10.0)
        moved = set(house.moved())
        most, seen = max(most, len(moved)), seen | moved
    assert most == count + 1
    assert len(seen) > count


@pytest.mark.long
def test_a_turn_waits_for_the_compressors_pause() -> None:
    """Two units would change every 900 s; none is let start before it was off for 1500."""
    house = roof(4, endurance=EndurancePolicy(min_off_sec=1_500.0))
    send_event(house, 4.0, duration_sec=4 * TURN_SEC)
    since: dict[str, float] = {}
    shortest = TURN_SEC
    for _ in range(int(3 * TURN_SEC) // 10):
        house.wait(10.0)
        moved = set(house.moved())
        back = [house.now - ts for name, ts in since.items() if name not in moved]
        shortest = min([shortest, *back])
        since = {name: since.get(name, house.now) for name in moved}
    assert shortest >= 1_490.0
    assert shortest < TURN_SEC, "they took turns"


def test_of_units_without_a_guard_the_one_shed_the_longest_time_ago_is_next() -> None:
    limits = CyclingLimits()
    for name, shed_ts in (("rtu1", 300.0), ("rtu2", 100.0), ("rtu3", 200.0)):
        limits.note_shed(name, shed_ts)
    units = [thermostat(name) for name in NAMES[:4]]
    reading = PanelReading(300.0, 16.0, {})
    units.sort(key=lambda unit: rotation_order(unit, reading, limits))
    assert [unit.id for unit in units] == ["rtu4", "rtu2", "rtu3", "rtu1"]


@pytest.mark.long
def test_one_whose_successors_would_bring_too_little_stays() -> None:
    for brings_kw, relieved in ((0.5, False), (1.8, False), (1.95, True), (2.0, True)):
        house = roof(2)
        other = house.panel.by_id["rtu2"]
        small = replace(other, setpoint=cooling(settle_sec=0.0, configured_kw=brings_kw))
        panel = replace(house.panel, circuits=(house.panel.by_id["rtu1"], small))
        house.panel = house.configured = panel
        house.engine.reconfigure(panel, house.engine.ven_id)
        house.effects_kw["rtu2"] = brings_kw
        house.wait(60.0)
        send_event(house, 2.0, duration_sec=5_400.0)
        assert set(house.moved()) == {"rtu1"}
        house.wait(TURN_SEC + 120.0)
        assert ("rtu1" in house.moved()) is not relieved, brings_kw
        assert ("rotation" in {each.get("reason_code") for each in house.acks}) is relieved
        assert ("rtu2" in house.moved()) is relieved


def floors(**values_by_name: float) -> FlexibleHouse:
    """Four units of one kind; the server room's is the most important, the office's next."""
    priorities = {"sales": 5, "storage": 5, "office": 2, "server": 1}
    turns = RotationPolicy("hvac", 900.0)
    units = [
        thermostat(
            name, cooling(settle_sec=0.0), priority=priority, guard=zone_guard(), rotation=turns
        )
        for name, priority in priorities.items()
    ]
    house = FlexibleHouse(
        Panel(amperage=400.0, voltage=240.0, circuits=tuple(units)),
        dict.fromkeys(priorities, 4.0),
        dict.fromkeys(priorities, 2.0),
    )
    house.lag_sec = 0.0
    house.values |= values_by_name
    house.wait(120.0)
    return house


@pytest.mark.long
def test_turns_go_round_among_units_of_one_priority_however_comfortable_others_are() -> None:
    house = floors(sales=24.0, storage=24.5, office=22.0, server=20.0)
    send_event(house, 2.0, duration_sec=7_200.0)
    seen = set()
    for _ in range(700):
        house.wait(10.0)
        seen |= set(house.moved())
    assert seen == {"sales", "storage"}


def test_what_the_less_important_ones_cannot_give_is_asked_of_the_next_priority() -> None:
    house = floors(sales=24.0, storage=24.5, office=22.0, server=20.0)
    send_event(house, 6.0, duration_sec=900.0)
    assert set(house.moved()) == {"sales", "storage", "office"}


def test_a_turn_goes_to_no_more_important_unit_where_the_others_cannot_be_shed() -> None:
    house = floors(sales=24.0, storage=25.9, office=22.0, server=20.0)
    send_event(house, 2.0, duration_sec=7_200.0)
    house.wait(3_600.0)
    assert set(house.moved()) == {"sales"}


def test_comfort_is_compared_across_units() -> None:
    """150 ppm below the bound of the air are less than four degrees below that of the room."""
    air = ComfortGuard(maximum=1_000.0, margin=50.0, unit="ppm")
    room = ComfortGuard(maximum=26.0, margin=0.5, unit="celsius")
    warm = ComfortGuard(maximum=78.8, margin=0.9, unit="fahrenheit")
    assert air.comfort_left(850.0) < room.comfort_left(22.0)
    assert room.comfort_left(22.0) == pytest.approx(warm.comfort_left(71.6))
