"""The event engine: events of several levels, until cancelled, and with a start that is drawn."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.dr.builders import NOW, TOTAL_KW, house_panel
from tests.dr.house import House, Killed, send_event
from VenAgent.dr.policy import EndurancePolicy, Policy


def levels(*powers_kw: float, each_sec: float = 300.0) -> dict[str, object]:
    return {
        "intervals": [{"duration_sec": each_sec, "shed_kw": kw} for kw in powers_kw],
        "duration_sec": each_sec * len(powers_kw),
        "shed_kw": max(powers_kw),
    }


def shed_kw(house: House) -> float:
    return TOTAL_KW - house.power_kw


# ---- from one level to the next ------------------------------------------------------------------


def test_each_level_is_shed_for_its_time_without_a_restore_in_between(house: House) -> None:
    send_event(house, **levels(4.5, 7.5, 3.0))
    assert house.opened() == {"heater1"}
    house.wait(299.0)
    assert house.opened() == {"heater1"}
    house.wait(2.0)
    assert house.opened() == {"heater1", "dryer1"}
    house.wait(300.0)
    assert shed_kw(house) == pytest.approx(3.0)
    house.wait(300.0)
    assert not house.opened()
    # Each circuit was written when its level asked for it, and not in between.
    assert [(w.circuit_id, w.value) for w in house.written] == [
        ("heater1", False),
        ("dryer1", False),
        ("heater1", True),
        ("dryer1", True),
    ]
    assert house.statuses() == [
        *("accepted", "measured", "adjusted", "measured", "adjusted", "measured", "completed"),
    ]


def test_the_acks_and_the_summary_tell_of_each_interval(house: House) -> None:
    send_event(house, **levels(4.5, 7.5))
    house.wait(301.0)
    ack = house.last("adjusted")
    assert (ack["reason_code"], ack["requested_shed_kw"]) == ("next_interval", 7.5)
    assert ack["interval"] == {"number": 2, "of": 2}
    house.wait_until_over()
    summary = house.last("completed")["summary"]
    first, second = summary["intervals"]
    assert (first["number"], first["requested_shed_kw"], first["end_ts"]) == (1, 4.5, NOW + 300.0)
    assert (second["number"], second["requested_shed_kw"]) == (2, 7.5)
    assert first["achieved_shed_kw"] == pytest.approx(4.5)
    assert second["achieved_shed_kw"] == pytest.approx(7.5, rel=0.01)
    assert summary["requested_shed_kw"] == pytest.approx(6.0)
    assert summary["shed_percent"] == pytest.approx(100.0, rel=0.01)
    energy_kwh = [each["delivered_kwh"] for each in summary["intervals"]]
    assert sum(energy_kwh) == pytest.approx(summary["delivered_kwh"], abs=1e-5)


def test_an_interval_of_nothing_puts_all_back_and_the_next_sheds_again(house: House) -> None:
    send_event(house, **levels(4.5, 0.0, 7.5))
    house.wait(301.0)
    assert not house.opened()
    assert house.engine.running is not None
    house.demand_kw["ev1"] += 3.0  # what is drawn meanwhile is not the event's
    house.wait(290.0)
    assert house.written[-1].value is True
    house.demand_kw["ev1"] -= 3.0
    house.wait(20.0)
    assert shed_kw(house) == pytest.approx(7.5)


def test_an_event_may_begin_with_an_interval_of_nothing(house: House) -> None:
    ack = send_event(house, **levels(0.0, 4.5))[0]
    assert (ack["status"], ack["actual_shed_kw"]) == ("accepted", 0.0)
    house.wait(301.0)
    assert house.opened() == {"heater1"}


def test_a_circuit_that_must_stay_off_does_so_into_a_lower_level() -> None:
    """It is over what is asked, which is not said to be short of it."""
    bears = EndurancePolicy(min_off_sec=500.0)
    panel = house_panel()
    circuits = [replace(c, endurance=bears) if c.id == "heater1" else c for c in panel.circuits]
    house = House(replace(panel, circuits=tuple(circuits)))
    send_event(house, **levels(4.5, 0.0, 0.0))
    house.wait(310.0)
    assert house.opened() == {"heater1"}
    assert "shed.short" not in house.alerted
    house.wait(290.0)
    assert not house.opened()


# ---- what else happens meanwhile -----------------------------------------------------------------


def test_a_power_cut_in_the_middle_goes_on_in_the_interval_of_then(house: House) -> None:
    send_event(house, **levels(4.5, 7.5, 3.0))
    house.wait(100.0)
    house.now += 560.0  # from the first into the third
    house.restart()
    house.wait(5.0)
    assert shed_kw(house) == pytest.approx(3.0)
    assert house.last("adjusted")["interval"] == {"number": 3, "of": 3}
    house.wait_until_over()
    numbers = [each["number"] for each in house.last("completed")["summary"]["intervals"]]
    assert numbers == [1, 3]


@pytest.mark.long
@pytest.mark.parametrize("effects", range(1, 12))
def test_a_kill_at_a_boundary_leaves_the_next_level(house: House, effects: int) -> None:
    send_event(house, **levels(4.5, 7.5))
    house.wait(299.0)
    house.kill_after = effects
    try:
        house.wait(1.5)
    except Killed:
        house.restart(work_was_done=bool(effects % 2))
    house.kill_after = None
    house.wait(20.0)
    assert shed_kw(house) == pytest.approx(7.5)
    house.wait_until_over()
    assert not house.opened()
    assert house.statuses().count("completed") == 1


def test_a_boundary_that_comes_while_writes_are_under_way_is_not_missed(house: House) -> None:
    house.hold = True
    send_event(house, **levels(4.5, 7.5, each_sec=20.0))
    house.now += 25.0
    house.hold = False
    house.work()
    house.wait(1.0)
    assert shed_kw(house) == pytest.approx(7.5)


def test_a_preempted_event_goes_on_in_the_interval_of_then(house: House) -> None:
    send_event(house, **levels(4.5, 7.5))
    house.wait(100.0)
    send_event(house, 3.0, correlationId="c2", event_id="e2", duration_sec=300.0, event_priority=0)
    house.wait(290.0)
    assert shed_kw(house) == pytest.approx(3.0)
    house.wait(20.0)
    assert house.engine.running is not None
    assert house.engine.running.event_id == "e1"
    assert shed_kw(house) == pytest.approx(7.5)


def test_a_modification_may_bring_other_levels(house: House) -> None:
    send_event(house, **levels(4.5, 7.5))
    house.wait(100.0)
    send_event(house, **levels(3.0, 4.5), modification=1, correlationId="c2")
    assert shed_kw(house) == pytest.approx(3.0)
    house.wait(301.0)
    assert shed_kw(house) == pytest.approx(4.5, rel=0.05)


def test_a_clock_that_is_set_back_makes_no_level_longer(house: House) -> None:
    send_event(house, **levels(4.5, 7.5))
    house.wait(200.0)
    house.set_clock(-3600.0)
    house.wait(99.0)
    assert shed_kw(house) == pytest.approx(4.5)
    house.wait(2.0)
    assert shed_kw(house) == pytest.approx(7.5)


@pytest.mark.long
def test_as_many_levels_as_a_day_has_five_minutes(house: House) -> None:
    powers = [3.0 if number % 2 else 7.5 for number in range(48)]
    send_event(house, **levels(*powers, each_sec=60.0))
    house.wait_until_over()
    summary = house.last("completed")["summary"]
    assert [each["number"] for each in summary["intervals"]] == list(range(1, 49))
    assert all(b["start_ts"] == a["end_ts"] for a, b in pairwise(summary["intervals"]))


# ---- until cancelled -----------------------------------------------------------------------------


@pytest.mark.long
def test_without_a_duration_it_sheds_until_cancelled(house: House) -> None:
    house.report_sec = 60.0
    ack = send_event(house, 4.5, duration_sec=0)[0]
    assert ack["end_ts"] == NOW + 86_400.0
    house.wait(80_000.0)
    assert house.opened() == {"heater1"}
    house.send("cancel", correlationId="x", event_id="e1")
    house.wait(1.0)
    assert not house.opened()
    assert house.statuses("x") == ["success"]


def test_no_one_who_forgets_it_leaves_a_site_without_its_load() -> None:
    house = House(policy=Policy(restore_stagger_sec=0.0, rebound_sec=0.0, max_duration_sec=1_800.0))
    send_event(house, 4.5, duration_sec="PT0S")
    house.wait(1_799.0)
    assert house.opened() == {"heater1"}
    house.wait(2.0)
    assert not house.opened()
    assert house.statuses()[-1] == "completed"


# ---- a start that is drawn -----------------------------------------------------------------------


def test_each_site_begins_at_its_own_time_once_drawn(house: House) -> None:
    house.lot = 0.25
    (ack,) = send_event(house, 4.5, start_ts=NOW + 100.0, randomize_start_sec=400.0)
    assert (ack["status"], ack["start_ts"]) == ("scheduled", NOW + 200.0)
    assert ack["end_ts"] == NOW + 800.0
    assert json.loads(house.journal["e1"])["request"]["start_delay_sec"] == 100.0
    house.lot = 0.9
    house.restart()
    house.wait(199.0)
    assert house.written == []
    house.wait(2.0)
    assert house.opened() == {"heater1"}
    house.wait(598.0)
    assert house.opened() == {"heater1"}
    house.wait(2.0)
    assert not house.opened()


def test_the_same_event_again_or_changed_keeps_what_was_drawn(house: House) -> None:
    fields = {"start_ts": NOW + 100.0, "randomize_start_sec": 400.0}
    house.lot = 0.25
    send_event(house, 4.5, **fields)
    house.lot = 0.9
    (again,) = send_event(house, 4.5, **fields, correlationId="c2")
    assert (again["status"], again["start_ts"]) == ("scheduled", NOW + 200.0)
    (changed,) = send_event(house, 3.0, **fields, modification=1, correlationId="c3")
    assert (changed["status"], changed["start_ts"]) == ("scheduled", NOW + 200.0)


def test_an_event_from_now_on_waits_for_its_lot_too(house: House) -> None:
    house.lot = 0.5
    (ack,) = send_event(house, 4.5, randomize_start_sec=60.0)
    assert ack["status"] == "scheduled"
    house.wait(31.0)
    assert house.opened() == {"heater1"}


def test_one_that_runs_draws_nothing_when_it_is_changed(house: House) -> None:
    send_event(house, 4.5)
    house.lot = 0.9
    send_event(house, 7.5, modification=1, correlationId="c2", randomize_start_sec=300.0)
    assert shed_kw(house) == pytest.approx(7.5)


def test_an_end_that_was_said_stays_when_the_start_is_drawn(house: House) -> None:
    house.lot = 0.999
    fields = {"start_ts": NOW + 100.0, "end_ts": NOW + 400.0, "randomize_start_sec": 299.9}
    (ack,) = send_event(house, 4.5, duration_sec=None, **fields)
    assert (ack["start_ts"], ack["end_ts"]) == (NOW + 399.0, NOW + 400.0)


def test_a_fleet_does_not_begin_together_just_before_the_end(house: House) -> None:
    """Who drew more than the event lasts would shed for its last second, with nearly all others."""
    said = {"start_ts": NOW + 100.0, "end_ts": NOW + 160.0}
    for fields in (
        {**said, "duration_sec": None},
        {**said, "duration_sec": 60.0},
        {"end_ts": NOW + 160.0, "duration_sec": 60.0},
    ):
        for house.lot in (0.01, 0.5):
            (ack,) = send_event(house, 4.5, **fields, randomize_start_sec=3_600.0)
            assert ack["reason_code"] == "contradiction"
            assert "duration_sec in place of end_ts" in ack["reason"]
    (ack,) = send_event(
        house, 4.5, start_ts=NOW + 100.0, duration_sec=60.0, randomize_start_sec=3_600.0
    )
    assert (ack["status"], ack["end_ts"] - ack["start_ts"]) == ("scheduled", 60.0)


def test_levels_move_with_the_start_that_was_drawn(house: House) -> None:
    house.lot = 0.5
    send_event(house, **levels(4.5, 7.5), randomize_start_sec=100.0)
    house.wait(51.0)
    assert shed_kw(house) == pytest.approx(4.5)
    house.wait(298.0)
    assert shed_kw(house) == pytest.approx(4.5)
    house.wait(2.0)
    assert shed_kw(house) == pytest.approx(7.5)


def test_a_change_that_comes_while_the_site_opts_out_leaves_no_command_without_its_ack(
    house: House,
) -> None:
    """Found by the attack machine: the overtaken modification and the refused one, in order."""
    house.hold = True
    send_event(house, 3.0)
    send_event(house, 3.0, event_id="e2", correlationId="c2")
    house.do(house.engine.opt_out("cooking", None, house.now))
    send_event(house, 4.5, event_id="e2", correlationId="c3", modification=1)
    assert house.statuses("c2") == ["superseded"]
    assert house.statuses("c3") == ["opted_out"]


def test_levels_that_come_late_begin_with_the_one_of_now(house: House) -> None:
    house.wait(120.0)
    levels = [{"duration_sec": 300.0, "shed_kw": kw} for kw in (2.0, 5.0, 3.0)]
    start_ts = house.now - 400.0
    (ack, *_) = send_event(house, 5.0, intervals=levels, start_ts=start_ts, duration_sec=None)
    assert (ack["status"], ack["requested_shed_kw"]) == ("accepted", 5.0)
    assert ack["interval"] == {"number": 2, "of": 3}
    house.wait_until_over()
    rows = house.last("completed")["summary"]["intervals"]
    assert [row["number"] for row in rows] == [2, 3]
    assert rows[0]["end_ts"] - rows[0]["start_ts"] == pytest.approx(200.0, abs=1.0)
