"""The event engine: what a scheduled event needs is done ahead of its start, and given back."""

from __future__ import annotations

import pytest

from tests.dr.builders import DRAWS_KW, NOW, TOTAL_KW
from tests.dr.house import House, send_event
from tests.support.each_case import each_case
from VenAgent.contract.reasons import ReasonCode
from VenAgent.dr.effects import PrepareEffect, SaveEventEffect, WriteEffect
from VenAgent.dr.event_preparation import PREPARE_AHEAD_SEC
from VenAgent.dr.event_work import WORK_LIMIT_SEC
from VenAgent.dr.policy import Policy
from VenAgent.dr.reservation import TRY_AGAIN_MOST_SEC, TRY_FOR_SEC

START_TS = NOW + 60.0


def scheduled(house: House, **fields: object) -> None:
    send_event(house, 7.5, start_ts=START_TS, **fields)


def near(house: House) -> None:
    """A moment before the start, all prepared."""
    house.wait(START_TS - PREPARE_AHEAD_SEC + 1.0 - house.now)
    assert house.recorded("e1").task_id
    assert house.engine.holds, "the lease is kept meanwhile"
    assert house.written == []


def test_at_its_start_an_event_has_only_to_be_written(house: House) -> None:
    scheduled(house)
    near(house)
    effects = house.engine.tick(START_TS)
    assert [type(e) for e in effects if isinstance(e, (PrepareEffect, WriteEffect))] == [
        WriteEffect
    ]
    house.do(effects)
    assert house.opened() == {"heater1", "dryer1"}
    assert house.statuses()[:2] == ["scheduled", "accepted"]


def test_its_task_is_in_the_journal_before_it_is_reserved(house: House) -> None:
    scheduled(house)
    house.hold = True
    effects = house.engine.tick(START_TS - PREPARE_AHEAD_SEC)
    kinds = [type(e) for e in effects]
    assert kinds.index(SaveEventEffect) < kinds.index(PrepareEffect)
    saved = next(e for e in effects if isinstance(e, SaveEventEffect))
    task = next(e for e in effects if isinstance(e, PrepareEffect)).task_id
    assert saved.event.task_id == task


def test_whatever_takes_the_event_away_gives_back_what_was_prepared(house: House) -> None:
    ways = {
        "cancel": lambda h: h.send("cancel", event_id="e1", correlationId="x"),
        "later": lambda h: (
            scheduled(h, modification=1, correlationId="x", duration_sec=300.0, event_priority=1)
            or h.send("cancel", event_id="e1", correlationId="y")
        ),
        "opt out": lambda h: h.do(h.engine.opt_out("guests", None, h.now)),
        "stop": lambda h: h.do(h.engine.stop(h.now)),
        "clock": lambda h: h.do(h.engine.clock_stepped(-3_600.0, h.now)),
    }
    for name, way in ways.items():
        house = House()
        scheduled(house)
        near(house)
        task_id = house.recorded("e1").task_id
        way(house)
        assert task_id in house.released, name
        assert not house.engine.holds, name
        assert house.recorded("e1").task_id != task_id, name


def test_a_task_given_up_while_it_is_reserved_is_given_back_when_that_is_done(
    house: House,
) -> None:
    scheduled(house)
    house.hold = True
    house.wait(START_TS - PREPARE_AHEAD_SEC + 1.0 - house.now)
    task_id = house.recorded("e1").task_id
    house.send("cancel", event_id="e1", correlationId="x")
    house.hold = False
    house.work()
    assert house.released == [task_id, task_id], "the first may have come before the reservation"
    house.wait(120.0)
    assert house.written == []


def test_a_kill_leaves_nothing_prepared(house: House) -> None:
    scheduled(house)
    near(house)
    task_id = house.recorded("e1").task_id
    house.restart()
    assert task_id in house.released
    house.wait(120.0)
    assert house.opened() == {"heater1", "dryer1"}
    assert house.statuses().count("accepted") == 1


def test_a_kill_with_the_event_cancelled_meanwhile_leaves_nothing(house: House) -> None:
    scheduled(house)
    near(house)
    task_id = house.recorded("e1").task_id
    house.now = START_TS + 700.0
    house.restart()
    assert task_id in house.released
    assert not house.engine.holds
    assert house.written == []


def test_work_that_is_still_under_way_at_the_start_is_waited_for(house: House) -> None:
    scheduled(house)
    house.hold = True
    house.wait(START_TS + 1.0 - house.now)
    assert house.statuses() == ["scheduled"]
    house.hold = False
    house.work()
    assert house.statuses()[:2] == ["scheduled", "accepted"]
    assert house.opened() == {"heater1", "dryer1"}


def test_what_could_not_be_prepared_is_done_at_the_start(house: House) -> None:
    scheduled(house)
    house.refusal = "held by lighting"
    house.wait(START_TS - 1.0 - house.now)
    house.refusal = None
    house.wait(2.0)
    assert house.statuses()[:2] == ["scheduled", "accepted"]


def test_the_plan_is_made_from_the_newest_reading(house: House) -> None:
    """A person switched the heater off in the seconds between."""
    scheduled(house)
    near(house)
    house.closed["heater1"] = False
    house.do(house.engine.reading(house.read(), house.now))
    house.wait(START_TS + 0.1 - house.now)
    assert "heater1" not in {write.circuit_id for write in house.written}


def test_what_another_agent_took_meanwhile_is_reserved_again(house: House) -> None:
    scheduled(house)
    near(house)
    task_id = house.recorded("e1").task_id
    house.do(house.engine.preempted(task_id, "lighting", house.now))
    house.wait(START_TS + 0.1 - house.now)
    assert house.recorded("e1").task_id not in ("", task_id)
    assert house.opened() == {"heater1", "dryer1"}


def test_another_event_that_begins_meanwhile_has_the_devices(house: House) -> None:
    scheduled(house)
    near(house)
    task_id = house.recorded("e1").task_id
    send_event(house, 3.0, event_id="now", correlationId="n1", duration_sec=2.0)
    assert house.replies_to("n1") == ["accepted"]
    assert task_id in house.released
    house.wait(WORK_LIMIT_SEC)
    assert house.replies_to("c1")[0] == "scheduled"
    assert "e1" in {a["event_id"] for a in house.acks if a["status"] == "accepted"}


@pytest.mark.long
@each_case("start_in_sec", [5.0, 2.0, 0.5, 0.0, -100.0])
@each_case("at_sec", [10.0, 55.5, 59.0])
@each_case("hold", [False, True])
def test_an_event_that_is_moved_earlier_begins_then(
    hold: bool, at_sec: float, start_in_sec: float
) -> None:
    house = House()
    scheduled(house)
    house.hold = hold
    house.wait(at_sec)
    task_id = house.recorded("e1").task_id
    start_ts = house.now + start_in_sec
    send_event(house, 7.5, start_ts=start_ts, modification=1, correlationId="m1")
    house.hold = False
    house.work()
    house.wait(max(0.0, start_in_sec) + 0.01)
    assert house.opened() == {"heater1", "dryer1"}
    assert not task_id or task_id in house.released
    house.wait(900.0)
    assert house.opened() == set()
    assert not house.engine.holds
    assert house.statuses().count("completed") == 1


@each_case("op", ["cancel", "restore"])
@each_case("done", [0, 1, 2])
@each_case("before_sec", [1.0, 0.1, 0.0, -0.1])
def test_an_event_that_is_cancelled_about_its_start_leaves_nothing_and_says_so(
    before_sec: float, done: int, op: str
) -> None:
    """Who had heard `scheduled` was told nothing more when the work was under way already."""
    house = House()
    scheduled(house)
    house.hold = True
    house.wait(START_TS - before_sec - house.now)
    task_id = house.recorded("e1").task_id
    house.work(done)
    house.send(op, event_id="e1", correlationId="x")
    house.hold = False
    house.work()
    house.wait(30.0)
    assert house.opened() == set()
    assert not house.engine.holds
    assert task_id in house.released
    assert house.replies_to("x") == ["success"]
    last = [ack for ack in house.acks if ack["correlationId"] == "c1"][-1]
    if last["status"] != "completed":  # its writes were confirmed before
        assert last["status"] == "failed"
        assert last["reason_code"] in ("cancelled_by_command", "ended_by_command")


def test_an_event_whose_end_comes_before_its_writes_are_confirmed_says_so(house: House) -> None:
    scheduled(house, duration_sec=5.0)
    house.hold = True
    house.wait(START_TS + 6.0 - house.now)
    house.hold = False
    house.work()
    house.wait(60.0)
    assert house.statuses("c1") == ["scheduled", "failed"]
    assert house.last("failed")["reason_code"] == "end_passed"


@each_case("back_after_sec", [-3.0, -0.1, 1.0, 5.0])
def test_a_device_that_is_away_at_the_reservation_is_waited_for(back_after_sec: float) -> None:
    house = House()
    scheduled(house)
    house.wait(50.0)
    house.meter_works, house.refusal, house.may_pass = False, "no answer", True
    house.wait(10.0 + back_after_sec)
    house.meter_works, house.refusal = True, None
    house.wait(10.0)
    assert house.statuses()[:2] == ["scheduled", "accepted"]
    assert house.opened() == {"heater1", "dryer1"}
    assert house.alerts == {}


def test_a_device_that_goes_away_after_it_was_prepared_is_waited_for(house: House) -> None:
    scheduled(house)
    near(house)
    house.meter_works, house.refusal, house.may_pass = False, "no answer", True
    house.do(house.engine.reading(house.read(), house.now))
    house.wait(START_TS + 1.0 - house.now)
    assert house.written == []
    house.meter_works, house.refusal = True, None
    house.wait(10.0)
    assert house.statuses()[:2] == ["scheduled", "accepted"]
    assert house.opened() == {"heater1", "dryer1"}


@pytest.mark.long
@each_case("back_after_sec", [0.5, 3.0, 20.0])
@each_case("is_silent", [False, True])
def test_a_device_that_dies_unseen_after_it_was_prepared_is_waited_for(
    is_silent: bool, back_after_sec: float
) -> None:
    """Its event failed at once: nothing had been asked of the device since it was prepared."""
    house = House()
    before = house.setting
    scheduled(house)
    near(house)
    failing = house.silent if is_silent else house.broken
    failing |= set(DRAWS_KW)
    house.wait(START_TS + 0.1 - house.now)
    assert house.statuses() == ["scheduled"]
    assert "write.failed" in house.alerted
    house.wait(back_after_sec)
    failing.clear()
    house.wait(6.0)
    assert house.statuses()[:2] == ["scheduled", "accepted"]
    assert not {"heater1", "dryer1"} & {circuit_id for _, circuit_id in house.alerts}
    house.wait(120.0)
    assert {"heater1", "dryer1"} <= house.opened()
    assert house.power_kw == pytest.approx(TOTAL_KW - 7.5, abs=0.05 * 7.5)
    house.wait(600.0)
    assert house.setting == before
    assert house.alerts == {}
    assert house.statuses().count("completed") == 1


def test_one_that_stays_away_is_waited_for_half_a_minute_and_then_said_to_have_failed(
    house: House,
) -> None:
    """Its write may have reached the device all the same, so it is put back."""
    scheduled(house)
    near(house)
    house.silent |= set(DRAWS_KW)
    house.wait(START_TS + TRY_FOR_SEC - 1.0 - house.now)
    assert house.statuses() == ["scheduled"]
    house.wait(1.0 + TRY_AGAIN_MOST_SEC)
    assert house.statuses() == ["scheduled", "failed"]
    assert house.last("failed")["reason_code"] == "write_failed"
    house.silent.clear()
    house.wait(60.0)
    assert house.opened() == set()
    assert not house.engine.holds
    assert house.alerts == {}


def test_one_whose_meter_stays_away_too_fails_and_does_not_go_on_unshed(house: House) -> None:
    scheduled(house)
    near(house)
    house.broken |= set(DRAWS_KW)
    house.wait(START_TS + 0.1 - house.now)
    house.meter_works, house.refusal, house.may_pass = False, "no answer", True
    house.wait(TRY_FOR_SEC + TRY_AGAIN_MOST_SEC)
    assert house.statuses() == ["scheduled", "failed"]
    house.broken.clear()
    house.meter_works = True
    house.wait(60.0)
    assert house.opened() == set()


@each_case("op", ["cancel", "restore"])
def test_an_event_that_waits_for_its_device_is_ended_by_command(op: str) -> None:
    house = House()
    scheduled(house)
    near(house)
    house.silent |= set(DRAWS_KW)
    house.wait(START_TS + 2.0 - house.now)
    house.silent.clear()
    house.send(op, event_id="e1", correlationId="x")
    house.wait(5.0)
    assert house.replies_to("x") == ["success"]
    assert house.statuses("c1") == ["scheduled", "failed"]
    assert house.opened() == set()
    assert not house.engine.holds


def test_a_kill_while_it_waits_for_its_device_loses_nothing(house: House) -> None:
    scheduled(house)
    near(house)
    house.silent |= set(DRAWS_KW)
    house.wait(START_TS + 2.0 - house.now)
    house.restart()
    house.silent.clear()
    house.wait(30.0)
    assert house.statuses()[:2] == ["scheduled", "accepted"]
    assert house.opened() == {"heater1", "dryer1"}
    house.wait(700.0)
    assert house.opened() == set()


def test_what_another_agent_or_a_person_decided_is_not_waited_for(house: House) -> None:
    scheduled(house)
    near(house)
    house.broken |= set(DRAWS_KW)
    house.failure_code = ReasonCode.DRIVER_OVERRIDE
    house.wait(START_TS + 0.1 - house.now)
    assert house.statuses() == ["scheduled", "failed"]
    assert house.last("failed")["reason_code"] == "driver_override"


@pytest.mark.long
@each_case("may_be_tried", [False, True])
def test_a_circuit_that_was_away_at_the_start_is_shed_once_it_is_back_and_still_wanted(
    may_be_tried: bool,
) -> None:
    """It was out for the whole event, though it was away for a moment."""
    house = House(policy=Policy(restore_stagger_sec=0.0, rebound_sec=0.0))
    before = house.setting
    send_event(house, 18.9, start_ts=START_TS, duration_sec=3_600.0)
    near(house)
    house.broken = {"heater1"}
    house.wait(START_TS + 20.0 - house.now)
    assert "heater1" not in house.opened()
    if may_be_tried:
        house.broken = set()
    house.wait(200.0)
    assert ("heater1" in house.opened()) == may_be_tried
    assert (("write.failed", "heater1") in house.alerts) == (not may_be_tried)
    house.wait(3_400.0)
    tries = [write for write in house.written if write.circuit_id == "heater1"]
    assert len(tries) <= 12, "ever more seldom"
    house.broken = set()
    house.wait(700.0)
    assert house.setting == before
    assert house.alerts == {}


@each_case("fields", [{"op": "limit", "import_kw": 15.0}, {"op": "event", "shed_kw": 7.5}])
def test_what_ends_never_is_prepared_begins_and_is_reserved_anew(
    fields: dict[str, object],
) -> None:
    """A limit until further notice that was sent ahead of its start asked for a reservation that
    ends never: no actuator answered, and nothing was carried out."""
    if fields["op"] == "event":
        fields = {**fields, "duration_sec": 0}
    house, send = House(), {**fields, "event_id": "e1", "start_ts": START_TS}
    house.send(str(send.pop("op")), correlationId="c1", **send)
    near(house)
    house.wait(60.0)
    assert house.opened()
    assert house.statuses("c1")[:2] == ["scheduled", "accepted"]
    if fields["op"] == "limit":
        house.wait(87_000.0)
        assert house.power_kw <= 15.0
        assert house.statuses("c1")[-1] != "failed"
