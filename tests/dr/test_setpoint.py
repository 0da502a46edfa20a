"""Shedding by setpoint: where it goes, what it brings, how the closed loop waits for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.flexible_house import (
    OWN_SETPOINT_C,
    SETTLE_SEC,
    FlexibleHouse,
    cooling,
    shop_panel,
    thermostat,
)
from tests.dr.house import send_event
from VenAgent.dr.learned_shed import LearnedShed, LearnedSheds
from VenAgent.dr.panel import Panel
from VenAgent.dr.setpoint_control import SetpointControl

DRAWS_KW = {"rtu1": 4.0, "rtu2": 4.0, "range1": 2.4, "outlets1": 1.2, "fridge1": 0.2}
HEATING = SetpointControl(minimum=15.0, maximum=24.0, rises=False, offset=-3.0, step=0.5)


@pytest.mark.parametrize(
    ("control", "present", "shed"),
    [
        (cooling(), 22.0, 24.0),
        (cooling(offset=1.3), 22.0, 23.0),  # to a whole step, never further than was asked
        (cooling(), 25.5, 26.0),  # as far as the maximum
        (cooling(), 26.0, None),  # there already
        (cooling(), 28.0, None),  # night setback: cooling it down would draw more
        (cooling(), 0.0, None),  # no setpoint at all: an absurd reading moves nothing
        (cooling(offset=None, value=25.0), 22.0, 25.0),
        (cooling(offset=None, value=25.0), 25.5, None),  # warmer already than it would be set to
        (HEATING, 21.0, 18.0),
        (HEATING, 16.0, 15.0),
        (replace(HEATING, offset=-1.3), 21.0, 20.0),
        (replace(HEATING, offset=None, value=17.0), 16.0, None),
    ],
)
def test_a_setpoint_moves_towards_less_power_only(
    control: SetpointControl, present: float, shed: float | None
) -> None:
    assert control.shed_setpoint(present) == shed


def test_what_it_brings_is_configured_until_it_is_learned() -> None:
    learned = LearnedSheds()
    for shed_kw in (1.0, 2.0):
        learned.note("rtu1", "p", shed_kw)
    assert cooling(learned=learned.of("rtu1", "p")).expected_kw(4.0) == 2.0
    learned.note("rtu1", "p", 3.0)
    known = learned.of("rtu1", "p")
    assert known == LearnedShed(3, 2.0, pytest.approx(0.816, abs=1e-3))
    assert cooling(learned=known).expected_kw(4.0) == pytest.approx(1.184, abs=1e-3)
    assert cooling(learned=known).expected_kw(0.5) == 0.5, "never more than it draws"
    assert learned.of("rtu1", "another point") is None


def test_without_any_knowledge_half_of_the_draw_is_tried() -> None:
    assert cooling(configured_kw=None).expected_kw(4.0) == 2.0


def test_only_the_last_twenty_sheds_count() -> None:
    learned = LearnedSheds()
    for shed_kw in [9.0] * 5 + [1.0] * 20:
        learned.note("rtu1", "p", shed_kw)
    assert LearnedSheds(learned.as_fact()).of("rtu1", "p") == LearnedShed(20, 1.0, 0.0)


def test_what_was_learned_belongs_to_what_was_measured() -> None:
    """A circuit whose power was read a thousand times too high teaches nothing about kW."""
    learned = LearnedSheds()
    for _ in range(3):
        learned.note("rtu1", "p", 2_000.0, "roof/power*1")
    assert learned.of("rtu1", "p", "roof/power*0.001") is None
    assert learned.of("rtu1", "p", "roof/power*1") == LearnedShed(3, 2_000.0, 0.0)
    again = LearnedSheds(learned.as_fact())
    assert again.of("rtu1", "p", "roof/power*1") == LearnedShed(3, 2_000.0, 0.0)


# ---- in an event -----------------------------------------------------------------------------


def shop(panel: Panel | None = None, effect_kw: float = 2.0) -> FlexibleHouse:
    panel = panel or shop_panel(thermostat("rtu1"), thermostat("rtu2"))
    house = FlexibleHouse(panel, DRAWS_KW, {"rtu1": effect_kw, "rtu2": effect_kw})
    house.wait(120.0)
    return house


def test_a_setpoint_is_moved_and_put_back_as_it_was() -> None:
    house = shop()
    house.limits["rtu1"] = house.own["rtu1"] = 21.5
    send_event(house, 2.0, duration_sec=1800.0)
    house.wait(900.0)
    assert house.moved() == {"rtu2": 24.0} or house.moved() == {"rtu1": 23.5}
    house.wait_until_over()
    assert house.moved() == {}
    assert house.last("completed")["summary"]["achieved_shed_kw"] == pytest.approx(2.0, abs=0.3)
    house.acks.clear()
    house.wait(3600.0)
    assert house.acks == [], "given back once, and nothing comes after"


def test_fast_circuits_fill_the_gap_and_go_back_when_it_shows() -> None:
    house = shop()
    send_event(house, 4.0, duration_sec=1800.0)
    assert set(house.moved()) == {"rtu1", "rtu2"}
    assert house.opened() == {"range1", "outlets1"}, "3.6 kW at once, for the 4 kW to come"
    house.wait(SETTLE_SEC - 100.0)
    assert house.opened() == {"range1", "outlets1"}
    house.wait(200.0)
    assert house.opened() == set(), "the thermostats have it"
    assert set(house.moved()) == {"rtu1", "rtu2"}
    assert house.last("adjusted")["reason_code"] == "off_target"
    assert house.engine.running is not None
    assert house.engine.running.shed_at(house.power_kw) == pytest.approx(4.0, abs=0.2)


def test_a_setpoint_alone_is_waited_for_without_an_alarm() -> None:
    panel = replace(shop_panel(), circuits=(thermostat("rtu1"), thermostat("rtu2")))
    house = FlexibleHouse(panel, DRAWS_KW, {"rtu1": 2.0, "rtu2": 2.0})
    house.wait(120.0)
    send_event(house, 4.0, duration_sec=1800.0)
    house.wait(SETTLE_SEC - 100.0)
    assert house.alerts == {}, "it is on its way"
    assert house.statuses() == ["accepted", "measured"]
    house.wait(300.0)
    assert house.alerts == {}
    house.wait_until_over()
    assert house.last("completed")["summary"]["achieved_shed_kw"] > 3.0


def test_one_that_does_not_follow_is_replaced_once_its_time_is_over() -> None:
    house = shop()
    house.effects_kw["rtu1"] = house.effects_kw["rtu2"] = 0.0
    send_event(house, 2.0, duration_sec=1800.0)
    house.wait(SETTLE_SEC - 100.0)
    assert house.alerts == {}
    house.wait(250.0)
    assert {code for code, _ in house.alerts} >= {"circuit.not_responding"}
    assert house.opened() == {"range1"}, "what had filled the gap stays in its place"
    house.wait_until_over()
    assert house.moved() == {}


def test_what_it_brought_is_learned_and_survives_a_restart() -> None:
    house = shop(effect_kw=1.5)
    for number in range(3):
        send_event(
            house,
            4.0,
            event_id=f"e{number}",
            correlationId=f"c{number}",
            duration_sec=900.0,
        )
        house.wait_until_over()
        house.wait(600.0)
    assert learned_of(house) == LearnedShed(3, 1.5, 0.0)
    house.restart()
    assert learned_of(house) == LearnedShed(3, 1.5, 0.0)
    house.reconfigure(house.panel)
    assert learned_of(house) == LearnedShed(3, 1.5, 0.0)


def learned_of(house: FlexibleHouse) -> LearnedShed | None:
    setpoint = house.engine.panel.by_id["rtu1"].setpoint
    return None if setpoint is None else setpoint.learned


def test_a_night_setback_is_not_cooled_for_an_event() -> None:
    house = shop()
    house.limits["rtu1"] = house.own["rtu1"] = 28.0
    send_event(house, 4.0, duration_sec=600.0)
    assert house.moved() == {"rtu2": 24.0}
    assert house.limits["rtu1"] == 28.0


def test_a_thermostat_that_a_person_sets_in_mid_event_is_theirs() -> None:
    house = shop()
    send_event(house, 4.0, duration_sec=1800.0)
    house.wait(30.0)
    house.limits["rtu1"] = house.own["rtu1"] = 20.0
    house.wait(60.0)
    assert house.last("adjusted")["reason_code"] in ("manual_override", "off_target")
    assert "manual_override" in {a.get("reason_code") for a in house.acks}
    house.wait_until_over()
    assert house.limits["rtu1"] == 20.0, "what a person set is not written over"


def test_a_schedule_at_a_lower_priority_has_its_way_after() -> None:
    """A thermostat that changes from day to night meanwhile must not get its day back."""
    house = shop()
    house.is_bacnet = True
    send_event(house, 2.0, duration_sec=900.0)
    (name,) = house.moved()
    house.own[name] = 25.0
    house.wait_until_over()
    assert house.relinquished == {name}
    assert house.limits[name] == 25.0


def test_a_kill_in_mid_event_gives_it_back_too() -> None:
    house = shop()
    send_event(house, 4.0, duration_sec=900.0)
    before = dict(house.limits)
    house.restart()
    assert house.limits == before
    house.wait_until_over()
    assert house.moved() == {}


def test_after_a_lost_journal_only_what_is_relinquished_is_known_to_go_back() -> None:
    house = shop()
    house.is_bacnet = True
    send_event(house, 4.0, duration_sec=900.0)
    house.journal.clear()
    house.facts.clear()
    house.restart()
    house.do(house.engine.recover(house.read(), house.now))
    house.wait_until_over()
    assert house.moved() == {}


def test_a_unit_without_a_meter_counts_with_what_is_configured() -> None:
    panel = shop_panel(thermostat("rtu1", cooling(configured_kw=1.8)), thermostat("rtu2"))

    class Unmetered(FlexibleHouse):
        def _read_circuit(self, circuit_id: str, power_kw: float):  # type: ignore[no-untyped-def]
            read = super()._read_circuit(circuit_id, power_kw)
            return replace(read, power_kw=None) if circuit_id.startswith("rtu") else read

    house = Unmetered(panel, DRAWS_KW, {"rtu1": 1.8, "rtu2": 2.0})
    house.wait(120.0)
    send_event(house, 3.8, duration_sec=1800.0)
    assert set(house.moved()) == {"rtu1", "rtu2"}
    house.wait(600.0)
    assert house.engine.running is not None
    assert house.engine.running.shed_at(house.power_kw) == pytest.approx(3.8, abs=0.2)
    assert house.opened() == set()


def test_a_smaller_request_lets_a_setpoint_go() -> None:
    house = shop()
    send_event(house, 4.0, duration_sec=3600.0)
    house.wait(600.0)
    assert set(house.moved()) == {"rtu1", "rtu2"}
    send_event(house, 2.0, duration_sec=3600.0, modification=1, correlationId="c2")
    house.wait(120.0)
    assert len(house.moved()) == 1
    assert OWN_SETPOINT_C in house.limits.values()


def test_a_setpoint_that_did_not_respond_is_a_persons_too() -> None:
    """Its compressor was off anyway: the night schedule's 19.0 was written over at the end."""
    house = FlexibleHouse(
        shop_panel(thermostat("rtu1")),
        {n: kw for n, kw in DRAWS_KW.items() if n != "rtu2"},
        {"rtu1": 0.0},
    )
    house.wait(300.0)
    send_event(house, 2.0, duration_sec=3_600)
    house.wait(900.0)
    assert house.limits["rtu1"] == 24.0
    house.limits["rtu1"] = house.own["rtu1"] = 19.0
    house.wait(3_600.0)
    assert house.limits["rtu1"] == 19.0
    assert "circuit.manual_override" in house.alerted
