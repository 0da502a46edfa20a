"""The event engine: what happens to a building, told as scenarios.

Commands go in as bytes and a small house carries the effects out; see `house.py`, which also
checks that nothing is written or answered before the journal has it.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from tests.dr.builders import DRAWS_KW, NOW, TOTAL_KW, VEN_ID, limit, panel_of, switch
from tests.dr.house import House
from VenAgent.dr.effects import Prepare, Prepared, Record, Release, Restore, SendAck, Write
from VenAgent.dr.engine import Engine
from VenAgent.dr.event import EventState
from VenAgent.dr.pacing import RETRY_SEC
from VenAgent.dr.panel import Reading

EVENT_FIELDS = {
    "event_id",
    "requested_shed_kw",
    "actual_shed_kw",
    "shed_basis",
    "baseline_kw",
    "end_ts",
    "modification",
    "circuits_curtailed",
}


@pytest.fixture
def house() -> House:
    return House()


def send_event(house: House, shed_kw: float = 5.0, **fields: Any) -> Any:
    known = {"correlationId": "c1", "event_id": "e1", "duration_sec": 600.0}
    return house.send("event", shed_kw=shed_kw, **{**known, **fields})


# ---- an event from beginning to end -----------------------------------------------------------


def test_an_event_sheds_what_was_asked_and_restores_what_was_there_before(house: House) -> None:
    before = house.setting
    send_event(house, 5.0)
    assert house.opened() == {"heater1"}
    assert house.limits["ev1"] == 56.0
    assert TOTAL_KW - house.power_kw == pytest.approx(5.0, rel=0.05)
    house.wait(700.0)
    assert house.setting == before
    assert house.power_kw == pytest.approx(TOTAL_KW)


def test_an_event_is_accepted_then_measured_then_completed(house: House) -> None:
    send_event(house)
    house.wait(700.0)
    assert house.statuses() == ["accepted", "measured", "completed"]
    for ack in house.acks:
        assert set(ack) >= EVENT_FIELDS
        assert (ack["op"], ack["correlationId"], ack["venId"]) == ("event", "c1", VEN_ID)
        assert ack["event_id"] == "e1"
        assert ack["ok"] is True


def test_the_accepted_ack_tells_the_circuits_and_their_sum(house: House) -> None:
    (accepted, *_) = send_event(house, 8.5)
    entries = accepted["circuits_curtailed"]
    assert {entry["id"] for entry in entries} == {"heater1", "dryer1", "ev1"}
    assert accepted["shed_basis"] == "predicted"
    assert accepted["actual_shed_kw"] == pytest.approx(sum(e["shedKw"] for e in entries), abs=0.002)
    assert accepted["requested_shed_kw"] == 8.5
    assert accepted["end_ts"] == NOW + 600.0
    assert "reason" not in accepted


def test_limits_go_back_to_what_they_were_and_not_to_full(house: House) -> None:
    house.limits["ev1"] = 80.0
    send_event(house, 12.0)
    assert house.limits["ev1"] < 80.0
    house.wait(700.0)
    assert house.limits["ev1"] == 80.0


def test_what_was_off_before_stays_off_after(house: House) -> None:
    house.closed["dryer1"] = False
    send_event(house, 48.0)
    assert "heater1" in house.opened()
    house.wait(700.0)
    assert house.opened() == {"dryer1"}


def test_an_event_lasts_exactly_its_duration(house: House) -> None:
    send_event(house, duration_sec=300.0)
    house.wait(299.9)
    assert house.opened()
    house.wait(0.1)
    assert not house.opened()
    assert house.last("completed")["summary"]["end_ts"] == NOW + 300.0


def test_an_event_without_a_duration_lasts_an_hour(house: House) -> None:
    house.send("shedPanel", shed_kw=3.0, correlationId="c1")
    house.wait(3599.0)
    assert house.opened()
    house.wait(2.0)
    assert not house.opened()


def test_an_event_without_ids_is_carried_out_and_answered(house: House) -> None:
    house.send("shedPanel", requestedReductionKw="3", durationS=60)
    house.wait(100.0)
    assert house.statuses() == ["accepted", "measured", "completed"]
    assert {ack["correlationId"] for ack in house.acks} == {None}
    assert len({ack["event_id"] for ack in house.acks}) == 1


def test_critical_circuits_are_never_switched(house: House) -> None:
    send_event(house, 48.0)
    assert house.closed["fridge1"]
    assert house.drawn_kw("hvac1") >= 0.8 * DRAWS_KW["hvac1"]
    assert "fridge1" not in {write.circuit_id for write in house.written}


def test_the_devices_are_reserved_beyond_the_end_and_released_after_it(house: House) -> None:
    house.hold = True
    send_event(house)
    task_id = house.recorded("e1").task_id
    house.hold = False
    house.work()
    house.wait(599.0)
    assert house.released == []
    house.wait(2.0)
    assert house.released == [task_id]


def test_the_bus_is_told_of_each_change(house: House) -> None:
    send_event(house)
    house.wait(700.0)
    assert [event["state"] for event in house.announced] == ["active", "restoring", "completed"]


def test_after_an_event_another_one_can_run(house: House) -> None:
    send_event(house, duration_sec=60.0)
    house.wait(100.0)
    send_event(house, 3.0, correlationId="c2", event_id="e2", duration_sec=60.0)
    assert house.opened() == {"dryer1"}
    house.wait(100.0)
    assert house.answers_to("c2") == ["accepted"]
    assert not house.opened()


# ---- baseline, measurement, summary -----------------------------------------------------------


def test_the_baseline_is_the_mean_before_the_event(house: House) -> None:
    house.demand_kw["range1"] = 0.0
    house.wait(150.0)
    house.demand_kw["range1"] = 2.4
    house.wait(150.0)
    send_event(house)
    assert house.acks[0]["baseline_kw"] == pytest.approx(TOTAL_KW - 1.2, abs=0.1)
    house.wait_until_over()
    assert house.last("completed")["summary"]["baseline_method"] == "pre_event_mean"


def test_without_history_the_baseline_is_the_present_power(house: House) -> None:
    send_event(house)
    assert house.acks[0]["baseline_kw"] == pytest.approx(TOTAL_KW)
    house.wait_until_over()
    assert house.last("completed")["summary"]["baseline_method"] == "present_power"


def test_what_is_read_during_an_event_is_no_history(house: House) -> None:
    house.wait(120.0)
    send_event(house, 15.0, duration_sec=240.0)
    house.wait(240.0)
    send_event(house, 15.0, correlationId="c2", event_id="e2")
    assert house.last("accepted")["baseline_kw"] == pytest.approx(TOTAL_KW)


def test_the_shed_is_measured_after_the_meter_settles(house: House) -> None:
    house.meter_lag_sec = 1.5
    send_event(house, 5.0)
    house.wait(1.9)
    assert house.statuses() == ["accepted"]
    house.wait(0.1)
    measured = house.last("measured")
    assert measured["ts"] == NOW + 2.0
    assert measured["shed_basis"] == "measured"
    assert measured["actual_shed_kw"] == pytest.approx(4.98)


def test_the_shed_is_measured_at_once_when_the_meter_is_quick(house: House) -> None:
    send_event(house, 5.0)
    assert house.statuses() == ["accepted", "measured"]


def test_what_is_measured_counts_and_not_what_was_hoped(house: House) -> None:
    house.stuck = {"heater1"}  # confirms the write, and draws on
    send_event(house, 7.5)
    house.wait(10.0)
    assert house.last("accepted")["actual_shed_kw"] == pytest.approx(7.5)
    assert house.last("measured")["actual_shed_kw"] == pytest.approx(3.0)


def test_a_meter_that_never_settles_is_taken_as_it_is(house: House) -> None:
    house.stuck = {"heater1", "dryer1"}
    send_event(house, 7.5)
    for second in range(20):
        house.demand_kw["range1"] = 2.4 + second % 2 * 5.0
        house.wait(1.0)
    assert house.statuses().count("measured") == 1


def test_a_reading_from_before_the_writes_does_not_measure_them(house: House) -> None:
    old = house.read()
    house.hold = True
    send_event(house)
    house.wait(1.0)
    while house.engine.running is None or house.engine.running.state is not EventState.ACTIVE:
        house.work(1)
    for _ in range(20):
        house.do(house.engine.reading(old, house.now))
    assert "measured" not in house.statuses()


def test_the_same_reading_again_is_no_meter_that_stands_still(house: House) -> None:
    house.meter_lag_sec = 1.5
    send_event(house, 5.0)
    again = house.read()
    for _ in range(20):  # published for each device, and read at once
        house.do(house.engine.reading(again, house.now))
    assert "measured" not in house.statuses()
    house.wait(3.0)
    assert house.last("measured")["actual_shed_kw"] == pytest.approx(4.98)


def test_the_summary_is_right(house: House) -> None:
    house.wait(300.0)
    send_event(house, 7.5, duration_sec=1800.0)
    house.wait(1900.0)
    summary = house.last("completed")["summary"]
    assert summary["start_ts"] == NOW + 300.0
    assert summary["end_ts"] == NOW + 2100.0
    assert summary["baseline_kw"] == pytest.approx(TOTAL_KW)
    assert summary["avg_kw"] == pytest.approx(TOTAL_KW - 7.5)
    assert summary["achieved_shed_kw"] == pytest.approx(7.5)
    assert summary["requested_shed_kw"] == 7.5
    assert summary["shed_percent"] == 100.0
    assert summary["delivered_kwh"] == pytest.approx(3.75)
    assert summary["samples"] >= 360


def test_telemetry_names_the_event_while_its_writes_hold(house: House) -> None:
    assert house.engine.shedding is None
    house.hold = True
    send_event(house)
    assert house.engine.shedding is None
    house.hold = False
    house.work()
    assert house.engine.shedding is not None
    assert house.engine.baseline_kw(house.now) == pytest.approx(TOTAL_KW)
    house.wait(700.0)
    assert house.engine.shedding is None


def test_without_an_event_the_baseline_is_what_one_would_have(house: House) -> None:
    assert house.engine.baseline_kw(house.now) is None
    house.wait(5.0)
    assert house.engine.baseline_kw(house.now) == pytest.approx(TOTAL_KW)


def test_a_lost_meter_during_an_event_ends_nothing(house: House) -> None:
    send_event(house)
    house.meter_works = False
    house.wait(700.0)
    assert not house.opened()
    assert house.statuses() == ["accepted", "measured", "completed"]


def test_an_event_that_was_never_metered_is_completed_without_invented_figures(
    house: House,
) -> None:
    house.hold = True
    send_event(house)
    house.work(2)
    house.meter_works = False
    house.hold = False
    house.work()
    house.wait(700.0)
    summary = house.last("completed")["summary"]
    assert summary["avg_kw"] is None
    assert summary["delivered_kwh"] is None
    assert summary["samples"] == 0


# ---- ended by command -------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["restore", "restorePanel", "cancel"])
@pytest.mark.parametrize("fields", [{}, {"event_id": "e1"}], ids=["the active one", "by its id"])
def test_an_event_is_ended_by_command(house: House, op: str, fields: dict[str, str]) -> None:
    before = house.setting
    send_event(house)
    house.wait(60.0)
    house.send(op, correlationId="c2", **fields)
    assert house.setting == before
    assert house.statuses("c2") == ["success"]
    assert house.statuses("c1") == ["accepted", "measured", "completed"]
    assert house.last("success")["event_id"] == "e1"
    assert house.last("success")["op"] == op
    assert house.last("completed")["summary"]["end_ts"] == NOW + 60.0


def test_a_restore_is_answered_only_when_the_circuits_are_back(house: House) -> None:
    send_event(house)
    house.hold = True
    assert house.send("restore", correlationId="c2") == []
    assert house.opened()
    house.work()
    assert not house.opened()
    assert house.answers_to("c2") == ["success"]


@pytest.mark.parametrize("done", [0, 1], ids=["during preparation", "during the writes"])
def test_a_restore_while_an_event_begins_ends_it(house: House, done: int) -> None:
    before = house.setting
    house.hold = True
    send_event(house)
    house.work(done)
    assert house.send("restore", correlationId="c2") == []
    house.hold = False
    house.work()
    house.wait(10.0)
    assert house.setting == before
    assert house.answers_to("c2") == ["success"]
    assert house.answers_to("c1") == ["failed"]
    assert "reason" in house.last("failed")
    assert len(house.released) == 1
    assert house.engine.running is None
    assert len(house.written) == (4 if done else 0)  # two there and back, or none at all


def test_no_more_is_shed_after_a_restore_came_during_the_writes(house: House) -> None:
    house.broken = {"dryer1"}
    house.hold = True
    send_event(house, 3.0)
    house.work(1)
    house.send("restore", correlationId="c2")
    house.broken = set()
    house.hold = False
    house.work()
    assert {write.circuit_id for write in house.written} == {"dryer1"}


def test_a_second_restore_while_the_first_is_carried_out_gets_an_answer_too(house: House) -> None:
    send_event(house)
    house.hold = True
    house.send("restore", correlationId="c2")
    house.send("restore", correlationId="c3")
    house.work()
    assert house.answers_to("c2") == ["success"]
    assert house.answers_to("c3") == ["success"]


def test_a_restore_that_comes_while_the_time_is_over_is_answered(house: House) -> None:
    send_event(house, duration_sec=60.0)
    house.wait(59.0)
    house.hold = True
    house.wait(2.0)
    house.send("restore", correlationId="c2")
    house.work()
    assert house.answers_to("c2") == ["success"]
    assert not house.opened()


def test_a_restore_without_an_event_succeeds_and_does_nothing(house: House) -> None:
    (ack,) = house.send("restore", correlationId="c2")
    assert ack["status"] == "success"
    assert house.written == []


def test_an_unknown_event_is_not_ended(house: House) -> None:
    send_event(house)
    (ack,) = house.send("restore", correlationId="c2", event_id="other")
    assert (ack["status"], ack["ok"]) == ("rejected", False)
    assert "other" in ack["reason"]
    assert house.opened()


# ---- the same again ---------------------------------------------------------------------------


def test_the_same_command_again_gets_the_same_ack_and_changes_nothing(house: House) -> None:
    first = send_event(house)[0]
    written = list(house.written)
    house.wait(10.0)
    assert send_event(house) == [first]
    assert house.written == written
    house.wait_until_over()
    assert send_event(house) == [first]
    assert len(house.journal) == 1
    assert not house.opened()


def test_the_same_command_while_it_is_worked_on_gets_one_answer(house: House) -> None:
    house.hold = True
    send_event(house)
    assert send_event(house) == []
    house.work(1)
    assert send_event(house) == []
    house.hold = False
    house.work()
    assert house.answers_to("c1") == ["accepted"]


def test_the_same_restore_while_it_is_worked_on_gets_one_answer(house: House) -> None:
    send_event(house)
    house.hold = True
    house.send("restore", correlationId="c2")
    assert house.send("restore", correlationId="c2") == []
    house.work()
    assert house.answers_to("c2") == ["success"]


def test_a_command_that_comes_again_after_its_time_gets_the_same_ack(house: House) -> None:
    fields = {"end_ts": NOW + 60.0, "expires_ts": NOW + 30.0}
    first = send_event(house, **fields)[0]
    house.wait(100.0)
    assert send_event(house, **fields) == [first]


def test_a_refused_command_again_is_refused_again(house: House) -> None:
    first = house.send("event", shed_kw=-1, correlationId="c9")
    again = house.send("event", shed_kw=-1, correlationId="c9")
    assert [ack["status"] for ack in first + again] == ["rejected", "rejected"]
    assert first == again


def test_a_ping_is_answered(house: House) -> None:
    (ack,) = house.send("ping", correlationId="p1")
    assert (ack["status"], ack["ok"], ack["pong"]) == ("success", True, True)
    assert house.send("ping", correlationId="p1") == [ack]


@pytest.mark.parametrize("op", ["set", "setConfig"])
def test_what_is_not_supported_yet_is_said_so(house: House, op: str) -> None:
    (ack,) = house.send(op, correlationId="s1", report_interval_sec=10)
    assert ack["status"] == "rejected"
    assert op in ack["reason"]


def test_a_command_that_does_not_parse_is_answered_with_its_reason(house: House) -> None:
    (ack,) = house.send_payload(b"{")
    assert (ack["status"], ack["ok"], ack["correlationId"]) == ("rejected", False, None)
    assert "JSON" in ack["reason"]
    (ack,) = house.send("event", shed_kw=-2, event_id="e7", correlationId="c7")
    assert (ack["event_id"], ack["correlationId"], ack["op"]) == ("e7", "c7", "event")


# ---- when something fails ---------------------------------------------------------------------


def test_a_failed_write_is_left_out_and_the_next_load_takes_its_place(house: House) -> None:
    house.broken = {"heater1"}
    send_event(house, 4.5)
    accepted = house.last("accepted")
    assert "heater1" in accepted["reason"]
    assert "heater1" not in {entry["id"] for entry in accepted["circuits_curtailed"]}
    assert accepted["actual_shed_kw"] == pytest.approx(4.5, rel=0.05)
    assert TOTAL_KW - house.power_kw == pytest.approx(4.5, rel=0.05)


def test_replacements_that_fail_are_replaced_too(house: House) -> None:
    house.broken = {"heater1", "dryer1"}
    send_event(house, 4.5)
    assert house.last("accepted")["actual_shed_kw"] == pytest.approx(4.5, rel=0.05)
    attempts = [write.circuit_id for write in house.written]
    assert attempts.count("heater1") == attempts.count("dryer1") == 1


def test_with_nothing_to_take_its_place_the_rest_is_confirmed_honestly(house: House) -> None:
    house.broken = {"ev1"}
    send_event(house, 18.9)
    assert house.last("accepted")["actual_shed_kw"] == pytest.approx(18.9 - 7.2 + 0.692, abs=0.01)


def test_a_circuit_that_obeyed_without_saying_so_is_put_back_too(house: House) -> None:
    before = house.setting
    house.silent = {"heater1"}
    send_event(house, 4.5)
    assert "heater1" in house.opened()
    house.silent = set()
    house.wait(700.0)
    assert house.setting == before


def test_nothing_confirmed_is_a_failure_and_every_attempt_is_put_back(house: House) -> None:
    before = house.setting
    house.silent = set(DRAWS_KW)
    send_event(house, 7.5)
    assert house.statuses("c1") == ["failed"]
    assert house.last("failed")["ok"] is False
    assert "heater1" in house.last("failed")["reason"]
    assert house.last("failed")["circuits_curtailed"] == []
    attempted = {write.circuit_id for write in house.written}
    house.silent = set()
    house.wait(100.0)
    put_back = house.written[-len(attempted) :]
    assert {write.circuit_id for write in put_back} == attempted
    assert house.setting == before
    assert house.engine.running is None


def test_a_refused_reservation_is_a_failure_with_the_reason(house: House) -> None:
    house.refusal = "the actuator refused the reservation: held by lighting.agent"
    (ack,) = send_event(house)
    assert (ack["status"], ack["ok"]) == ("failed", False)
    assert ack["reason"] == house.refusal
    assert house.written == []
    assert house.engine.running is None
    house.refusal = None
    assert send_event(house, correlationId="c2", event_id="e2")[0]["status"] == "accepted"


def test_a_meter_that_cannot_be_read_is_a_failure(house: House) -> None:
    house.meter_works = False
    (ack,) = send_event(house)
    assert ack["status"] == "failed"
    assert "meter" in ack["reason"]
    assert house.written == []
    assert house.engine.running is None
    assert len(house.released) == 1


def test_no_reading_at_all_is_a_failure(house: House) -> None:
    house.hold = True
    send_event(house)
    house.do(house.engine.prepared("e1", Prepared(), house.now))
    assert house.statuses() == ["failed"]


def test_a_house_with_nothing_to_shed_is_a_failure() -> None:
    house = House(draws_kw=dict.fromkeys(DRAWS_KW, 0.0))
    (ack,) = send_event(house)
    assert ack["status"] == "failed"
    assert house.written == []


def test_a_restore_that_fails_is_tried_again_until_it_succeeds(house: House) -> None:
    before = house.setting
    send_event(house, 7.5, duration_sec=60.0)
    house.broken = {"heater1"}
    house.wait(60.0)
    assert house.opened() == {"heater1"}
    assert "heater1" in (house.engine.trouble() or "")
    assert "dryer1" not in (house.engine.trouble() or "")
    assert house.statuses() == ["accepted", "measured"]
    house.wait(1000.0)
    assert house.opened() == {"heater1"}
    house.broken = set()
    house.wait(61.0)
    assert house.setting == before
    assert house.engine.trouble() is None
    assert house.statuses() == ["accepted", "measured", "completed"]
    assert len(house.released) == 1


def test_a_failed_restore_backs_off(house: House) -> None:
    send_event(house, 4.5, duration_sec=60.0)
    house.broken = {"heater1"}
    house.wait(59.0)
    tries: list[float] = []
    known = len(house.written)
    for _ in range(3000):
        house.wait(0.1)
        if len(house.written) > known:
            known = len(house.written)
            tries.append(house.now)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    expected = [*RETRY_SEC, *[RETRY_SEC[-1]] * 9]
    assert gaps == pytest.approx(expected[: len(gaps)], abs=0.11)
    assert len(gaps) >= len(RETRY_SEC)
    assert list(RETRY_SEC) == sorted(RETRY_SEC)


def test_only_what_is_not_back_is_written_again(house: House) -> None:
    send_event(house, 7.5, duration_sec=60.0)
    house.broken = {"heater1"}
    house.wait(60.0)
    known = len(house.written)
    house.wait(20.0)
    assert {write.circuit_id for write in house.written[known:]} == {"heater1"}


def test_a_restore_command_that_fails_at_first_is_answered_once(house: House) -> None:
    send_event(house)
    house.broken = {"heater1"}
    house.send("restore", correlationId="c2")
    assert house.statuses("c2") == ["failed"]
    assert "heater1" in house.last("failed")["reason"]
    house.broken = set()
    house.wait(10.0)
    assert house.answers_to("c2") == ["failed"]
    assert house.statuses("c1")[-1] == "completed"
    assert not house.opened()


def test_a_restore_that_said_nothing_but_is_seen_to_be_back_is_done(house: House) -> None:
    send_event(house, duration_sec=60.0)
    house.silent = {"heater1"}
    house.wait(60.0)
    assert house.engine.running is None
    assert house.statuses()[-1] == "completed"


def test_reports_about_another_event_or_at_another_time_change_nothing(house: House) -> None:
    send_event(house)
    engine, record = house.engine, house.journal["e1"]
    assert engine.prepared("e1", Prepared(reading=house.read()), house.now) == []
    assert engine.written("e1", {"heater1": "late"}, house.now) == []
    assert engine.restored("e1", {}, house.now) == []
    assert engine.prepared("other", Prepared(reading=house.read()), house.now) == []
    assert house.journal["e1"] == record
    assert house.engine.running is not None
    assert house.engine.running.state is EventState.ACTIVE


# ---- what is refused --------------------------------------------------------------------------


def test_a_second_event_while_one_runs_is_rejected(house: House) -> None:
    send_event(house, 3.0)
    setting = house.setting
    (ack,) = send_event(house, 10.0, correlationId="c2", event_id="e2")
    assert (ack["status"], ack["ok"], ack["event_id"]) == ("rejected", False, "e2")
    assert "e1" in ack["reason"]
    assert house.setting == setting
    house.wait(700.0)
    assert house.statuses("c1")[-1] == "completed"
    assert house.answers_to("c2") == ["rejected"]


def test_a_second_event_while_the_first_begins_is_rejected(house: House) -> None:
    house.hold = True
    send_event(house, 3.0)
    (ack,) = send_event(house, 3.0, correlationId="c2", event_id="e2")
    assert ack["status"] == "rejected"


def test_a_shed_of_one_load_touches_only_that_load(house: House) -> None:
    house.send("shedLoad", loadId="ev1", reduceKw=3.0, correlationId="c1", duration_sec=60)
    assert {write.circuit_id for write in house.written} == {"ev1"}
    assert house.limits["ev1"] == 35.0  # 4.2 of 12 kW
    assert house.last("accepted")["actual_shed_kw"] == pytest.approx(3.0)
    house.wait(100.0)
    assert house.limits["ev1"] == 100.0


def test_a_load_that_cannot_give_so_much_gives_all(house: House) -> None:
    house.send("shedLoad", circuitId="dryer1", amountKw=9.0, correlationId="c1")
    assert house.opened() == {"dryer1"}
    assert house.last("accepted")["actual_shed_kw"] == pytest.approx(3.0)


def test_a_failed_load_is_not_replaced_by_another(house: House) -> None:
    house.broken = {"dryer1"}
    house.send("shedLoad", loadId="dryer1", reduceKw=3.0, correlationId="c1")
    assert house.answers_to("c1") == ["failed"]
    assert {write.circuit_id for write in house.written} == {"dryer1"}


def test_a_shed_load_without_a_load_sheds_the_panel(house: House) -> None:
    house.send("shedLoad", amountKw=7.5, correlationId="c1")
    assert house.opened() == {"heater1", "dryer1"}


@pytest.mark.parametrize(
    ("load_id", "words"),
    [("pool1", ["pool1", "ev1"]), ("fridge1", ["critical"]), ("hvac1", ["critical"])],
    ids=["unknown", "critical switch", "critical limit"],
)
def test_a_load_that_may_not_be_shed_is_refused(
    house: House, load_id: str, words: list[str]
) -> None:
    (ack,) = house.send("shedLoad", loadId=load_id, reduceKw=1.0, correlationId="c1")
    assert (ack["status"], ack["ok"]) == ("rejected", False)
    assert all(word in ack["reason"] for word in words)
    assert house.written == []


# ---- events to come ---------------------------------------------------------------------------


def test_an_event_to_come_is_scheduled_and_begins_on_time(house: House) -> None:
    (ack,) = send_event(house, start_ts=NOW + 302.5)
    assert ack["status"] == "scheduled"
    assert ack["end_ts"] == NOW + 902.5
    assert house.engine.next_deadline() == NOW + 302.5
    house.wait(302.4)
    assert house.written == []
    house.wait(0.1)
    assert house.opened()
    assert house.last("accepted")["ts"] == NOW + 302.5
    house.wait(599.9)
    assert house.opened()
    house.wait(0.2)
    assert not house.opened()
    assert house.statuses() == ["scheduled", "accepted", "measured", "completed"]


@pytest.mark.parametrize("op", ["cancel", "restore"])
def test_an_event_to_come_can_be_withdrawn(house: House, op: str) -> None:
    send_event(house, start_ts=NOW + 300.0)
    house.send(op, correlationId="c2", event_id="e1")
    assert house.answers_to("c2") == ["success"]
    assert house.statuses("c1") == ["scheduled", "failed"]
    assert "reason" in house.last("failed")
    house.wait(1000.0)
    assert house.written == []
    assert house.engine.next_deadline() is None


def test_withdrawing_one_event_leaves_the_running_one(house: House) -> None:
    send_event(house, 3.0, correlationId="c2", event_id="e2", start_ts=NOW + 300.0)
    send_event(house, 3.0)
    house.send("cancel", correlationId="c3", event_id="e2")
    assert house.opened() == {"dryer1"}
    assert house.answers_to("c3") == ["success"]


def test_the_same_event_is_not_scheduled_twice(house: House) -> None:
    send_event(house, start_ts=NOW + 300.0)
    (ack,) = send_event(house, start_ts=NOW + 400.0, correlationId="c2")
    assert ack["status"] == "rejected"
    assert house.engine.next_deadline() == NOW + 300.0


def test_an_event_to_come_waits_for_the_one_that_runs(house: House) -> None:
    send_event(house, 3.0, correlationId="c2", event_id="e2", start_ts=NOW + 300.0)
    send_event(house, 4.5, duration_sec=500.0)
    house.wait(499.0)
    assert house.opened() == {"heater1"}
    house.wait(1.0)
    assert house.opened() == {"dryer1"}
    house.wait_until_over()
    assert house.now == pytest.approx(NOW + 900.0, abs=6.0)
    assert house.statuses("c2") == ["scheduled", "accepted", "measured", "completed"]


def test_an_event_whose_time_passes_while_another_runs_is_withdrawn(house: House) -> None:
    send_event(house, 3.0, correlationId="c2", event_id="e2", start_ts=NOW + 300.0, duration_sec=60)
    send_event(house, 4.5, duration_sec=500.0)
    house.wait(361.0)
    assert house.statuses("c2") == ["scheduled", "failed"]
    house.wait(1000.0)
    assert {write.circuit_id for write in house.written} == {"heater1"}


def test_of_two_events_that_are_due_the_earlier_begins(house: House) -> None:
    send_event(house, 3.0, correlationId="c2", event_id="e2", start_ts=NOW + 200.0)
    send_event(house, 4.5, start_ts=NOW + 100.0)
    house.now += 250.0
    house.wait(0.0)
    assert house.opened() == {"heater1"}


# ---- stopping and starting again --------------------------------------------------------------


def test_stopping_the_agent_restores(house: House) -> None:
    before = house.setting
    send_event(house)
    house.wait(30.0)
    house.do(house.engine.stop(house.now))
    assert house.setting == before
    assert house.statuses("c1") == ["accepted", "measured", "completed"]


@pytest.mark.parametrize("done", [0, 1], ids=["during preparation", "during the writes"])
def test_stopping_the_agent_while_an_event_begins_leaves_nothing_shed(
    house: House, done: int
) -> None:
    before = house.setting
    house.hold = True
    send_event(house)
    house.work(done)
    house.do(house.engine.stop(house.now))
    house.hold = False
    house.work()
    assert house.setting == before
    assert house.answers_to("c1") == ["failed"]
    assert house.engine.running is None


def test_stopping_without_an_event_or_while_it_restores_does_nothing_more(house: House) -> None:
    assert house.engine.stop(house.now) == []
    send_event(house)
    house.hold = True
    house.send("restore", correlationId="c2")
    assert house.engine.stop(house.now) == []


def test_an_event_received_but_not_begun_is_taken_up_after_a_crash(house: House) -> None:
    before = house.setting
    house.hold = True
    send_event(house)
    record = json.loads(house.journal["e1"])
    house.do([Record("e1", {**record, "state": "received", "task_id": ""})])
    house.hold = False
    house.restart()
    house.wait(700.0)
    assert len(house.answers_to("c1")) == 1
    assert house.setting == before
    assert house.engine.running is None


def test_a_scheduled_event_is_waited_for_after_a_crash(house: House) -> None:
    send_event(house, start_ts=NOW + 300.0)
    house.restart()
    assert house.engine.next_deadline() == NOW + 300.0
    house.wait(301.0)
    assert house.opened()
    house.wait(700.0)
    assert not house.opened()
    assert house.statuses() == ["scheduled", "accepted", "measured", "completed"]


def test_a_scheduled_event_that_should_have_begun_meanwhile_begins_late(house: House) -> None:
    send_event(house, start_ts=NOW + 300.0)
    house.now += 400.0
    house.restart()
    assert house.opened()
    house.wait_until_over()
    assert house.last("completed")["summary"]["end_ts"] == NOW + 900.0


def test_a_scheduled_event_whose_end_passed_meanwhile_is_withdrawn(house: House) -> None:
    send_event(house, start_ts=NOW + 300.0)
    house.now += 1000.0
    house.restart()
    assert house.statuses() == ["scheduled", "failed"]
    assert house.written == []


def test_an_event_that_had_not_written_yet_goes_on_after_a_crash(house: House) -> None:
    before = house.setting
    house.hold = True
    send_event(house)
    house.hold = False
    house.restart()
    assert house.opened() == {"heater1"}
    house.wait(700.0)
    assert house.setting == before
    assert house.answers_to("c1") == ["accepted"]


@pytest.mark.parametrize("work_was_done", [True, False])
def test_an_event_that_was_writing_writes_the_same_again_after_a_crash(
    house: House, work_was_done: bool
) -> None:
    house.limits["ev1"] = 90.0
    before = house.setting
    house.hold = True
    send_event(house)
    house.work(1)
    house.hold = False
    house.restart(work_was_done=work_was_done)
    assert house.opened() == {"heater1"}
    assert house.limits["ev1"] == 56.0
    house.wait(700.0)
    assert house.setting == before
    assert house.answers_to("c1") == ["accepted"]


def test_what_failed_before_a_crash_and_is_written_again_after_it_is_told_as_it_is(
    house: House,
) -> None:
    house.broken = {"heater1"}
    house.hold = True
    send_event(house, 4.5)
    house.work(2)
    assert house.jobs, "the writes of the replacement are under way"
    house.broken = set()
    house.hold = False
    house.restart()
    shed_kw = house.last("accepted")["actual_shed_kw"]
    assert shed_kw == pytest.approx(TOTAL_KW - house.power_kw, abs=0.01)
    house.wait(700.0)
    assert house.power_kw == pytest.approx(TOTAL_KW)


@pytest.mark.parametrize("done", [0, 1])
def test_an_event_that_began_and_ended_while_the_agent_was_down_is_undone(
    house: House, done: int
) -> None:
    before = house.setting
    house.hold = True
    send_event(house)
    house.work(done)
    house.now += 1000.0
    house.hold = False
    house.restart(work_was_done=True)
    assert house.setting == before
    assert house.answers_to("c1") == ["failed"]
    assert house.engine.running is None


def test_an_active_event_goes_on_after_a_crash(house: House) -> None:
    before = house.setting
    send_event(house)
    house.wait(60.0)
    shed = house.setting
    house.restart()
    assert house.setting == shed
    assert house.engine.shedding is not None
    house.wait(539.0)
    assert house.setting == shed
    house.wait(2.0)
    assert house.setting == before
    assert house.statuses() == ["accepted", "measured", "completed"]
    summary = house.last("completed")["summary"]
    assert summary["achieved_shed_kw"] == pytest.approx(4.98, abs=0.01)


def test_an_active_event_is_measured_after_a_crash_if_it_was_not_before(house: House) -> None:
    house.meter_lag_sec = 2.0
    send_event(house)
    house.restart()
    house.wait(20.0)
    assert house.statuses() == ["accepted", "measured"]


def test_an_active_event_whose_end_passed_meanwhile_is_restored_at_once(house: House) -> None:
    before = house.setting
    send_event(house)
    house.now += 1000.0
    house.restart()
    assert house.setting == before
    assert house.statuses()[-1] == "completed"


def test_an_active_event_can_be_ended_by_command_after_a_crash(house: House) -> None:
    before = house.setting
    send_event(house)
    house.restart()
    house.send("restore", correlationId="c2")
    assert house.setting == before
    assert house.answers_to("c2") == ["success"]


@pytest.mark.parametrize("work_was_done", [True, False])
def test_a_restore_under_way_is_done_again_after_a_crash(house: House, work_was_done: bool) -> None:
    before = house.setting
    send_event(house)
    house.hold = True
    house.send("restore", correlationId="c2")
    house.hold = False
    house.restart(work_was_done=work_was_done)
    assert house.setting == before
    assert house.answers_to("c2") == ["success"]
    assert house.statuses("c1") == ["accepted", "measured", "completed"]


def test_a_restore_asked_for_while_the_event_began_is_done_after_a_crash(house: House) -> None:
    before = house.setting
    house.hold = True
    send_event(house)
    house.work(1)
    house.send("restore", correlationId="c2")
    house.hold = False
    house.restart(work_was_done=True)
    house.wait(10.0)
    assert house.setting == before
    assert house.answers_to("c1") == ["failed"]
    assert house.answers_to("c2") == ["success"]
    assert len(house.written) == 4  # two there and back: nothing is shed once more


def test_a_restore_command_delivered_again_after_a_crash_is_answered_once(house: House) -> None:
    send_event(house)
    house.hold = True
    house.send("restore", correlationId="c2")
    house.restart()
    house.send("restore", correlationId="c2")
    house.hold = False
    house.work()
    assert house.answers_to("c2") == ["success"]


def test_a_restore_command_that_failed_before_a_crash_is_not_answered_again(house: House) -> None:
    send_event(house)
    house.broken = {"heater1"}
    house.send("restore", correlationId="c2")
    assert house.answers_to("c2") == ["failed"]
    house.restart()
    house.broken = set()
    house.wait(100.0)
    assert not house.opened()
    assert house.answers_to("c2") == ["failed"]


def test_a_restore_that_failed_is_tried_again_after_a_crash(house: House) -> None:
    before = house.setting
    send_event(house, 7.5, duration_sec=60.0)
    house.broken = {"heater1"}
    house.wait(70.0)
    house.restart()
    assert {write.circuit_id for write in house.written[-1:]} == {"heater1"}
    assert "heater1" in (house.engine.trouble() or "")
    house.broken = set()
    house.wait(100.0)
    assert house.setting == before
    assert house.statuses()[-1] == "completed"


def test_answers_survive_a_restart(house: House) -> None:
    first = send_event(house)[0]
    ping = house.send("ping", correlationId="p1")
    house.restart()
    written = list(house.written)
    assert send_event(house) == [first]
    assert house.send("ping", correlationId="p1") == ping
    assert house.written == written


def test_the_same_command_after_a_crash_while_it_is_worked_on_is_not_begun_twice(
    house: House,
) -> None:
    house.hold = True
    send_event(house)
    house.restart()
    assert send_event(house) == []
    house.hold = False
    house.work()
    assert house.answers_to("c1") == ["accepted"]


def test_nothing_is_taken_over_from_events_that_are_over(house: House) -> None:
    send_event(house, duration_sec=60.0)
    house.wait(100.0)
    over = house.recorded("e1")
    assert Engine(house.panel, VEN_ID).resume([over], [], house.now) == []


# ---- a changed configuration ------------------------------------------------------------------


def test_a_running_event_ends_as_it_began_though_the_panel_was_changed(house: House) -> None:
    before = house.setting
    send_event(house)
    smaller = panel_of(switch("range1", 40.0))
    house.engine.reconfigure(smaller, VEN_ID)
    house.wait(700.0)
    assert house.setting == before


def test_later_events_see_the_changed_panel_and_name(house: House) -> None:
    house.engine.reconfigure(panel_of(switch("range1", 40.0)), "site-2")
    send_event(house, 9.0)
    assert house.opened() == {"range1"}
    assert {ack["venId"] for ack in house.acks} == {"site-2"}


# ---- the order of effects ---------------------------------------------------------------------


def test_a_record_stands_before_each_write_restore_and_answer() -> None:
    """In one list: the house checks the same against its journal at every step."""
    panel = panel_of(switch("a", priority=5), limit("b", priority=4))
    house, lists = House(panel, {"a": 3.0, "b": 2.0}), []
    do = house.do

    def spy(effects: list[Any]) -> None:
        lists.append(list(effects))
        do(effects)

    house.do = spy  # type: ignore[method-assign]
    house.broken = {"a"}
    send_event(house, 3.0, duration_sec=60.0)
    house.broken = set()
    house.wait(100.0)
    send_event(house, 3.0, correlationId="c2", event_id="e2", start_ts=house.now + 10.0)
    house.wait(20.0)
    house.send("restore", correlationId="c3")
    kinds = set()
    for effects in lists:
        recorded = False
        for effect in effects:
            kinds.add(type(effect))
            recorded = recorded or isinstance(effect, Record)
            if isinstance(effect, (Prepare, Write, Restore, SendAck, Release)):
                assert recorded, f"{effect} before its record"
    assert {Prepare, Write, Restore, SendAck, Release, Record} <= kinds


def test_a_reading_that_knows_nothing_is_no_trouble(house: House) -> None:
    assert house.engine.reading(Reading(NOW, None, {}), NOW) == []
    assert house.engine.baseline_kw(NOW) is None
    assert house.engine.next_deadline() is None
    assert house.engine.tick(NOW) == []
