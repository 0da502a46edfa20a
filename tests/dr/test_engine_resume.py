"""The event engine: stopping the agent, and starting it again after a crash."""

from __future__ import annotations

import json

import pytest

from tests.dr.builders import NOW, TOTAL_KW, VEN_ID
from tests.dr.house import House, send_event
from VenAgent.dr.effects import SaveEventEffect
from VenAgent.dr.engine import Engine
from VenAgent.dr.engine_recovery import RecoveredEngineState
from VenAgent.dr.event_preparation import PREPARE_AHEAD_SEC
from VenAgent.storage.event_record import from_event_record


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
    assert house.replies_to("c1") == ["failed"]
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
    received = from_event_record({**record, "state": "received", "task_id": ""})
    house.do([SaveEventEffect(received)])
    house.hold = False
    house.restart()
    house.wait(700.0)
    assert len(house.replies_to("c1")) == 1
    assert house.setting == before
    assert house.engine.running is None


def test_a_scheduled_event_is_waited_for_after_a_crash(house: House) -> None:
    send_event(house, start_ts=NOW + 300.0)
    house.restart()
    assert house.engine.next_deadline() == NOW + 300.0 - PREPARE_AHEAD_SEC
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
    assert house.replies_to("c1") == ["accepted"]


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
    assert house.replies_to("c1") == ["accepted"]


def test_what_failed_before_a_crash_and_is_written_again_after_it_is_reported_as_it_is(
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
    assert house.replies_to("c1") == ["failed"]
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
    assert house.statuses() == ["accepted", "measured", "measured", "completed"]
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
    assert house.replies_to("c2") == ["success"]


@pytest.mark.parametrize("work_was_done", [True, False])
def test_a_restore_under_way_is_done_again_after_a_crash(house: House, work_was_done: bool) -> None:
    before = house.setting
    send_event(house)
    house.hold = True
    house.send("restore", correlationId="c2")
    house.hold = False
    house.restart(work_was_done=work_was_done)
    assert house.setting == before
    assert house.replies_to("c2") == ["success"]
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
    assert house.replies_to("c1") == ["failed"]
    assert house.replies_to("c2") == ["success"]
    assert len(house.written) == 4  # two there and back: nothing is shed once more


def test_a_restore_command_delivered_again_after_a_crash_is_acked_once(house: House) -> None:
    send_event(house)
    house.hold = True
    house.send("restore", correlationId="c2")
    house.restart()
    house.send("restore", correlationId="c2")
    house.hold = False
    house.work()
    assert house.replies_to("c2") == ["success"]


def test_a_restore_command_that_failed_before_a_crash_is_not_acked_again(house: House) -> None:
    send_event(house)
    house.broken = {"heater1"}
    house.send("restore", correlationId="c2")
    assert house.replies_to("c2") == ["failed"]
    house.restart()
    house.broken = set()
    house.wait(100.0)
    assert not house.opened()
    assert house.replies_to("c2") == ["failed"]


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


def test_replies_survive_a_restart(house: House) -> None:
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
    assert house.replies_to("c1") == ["accepted"]


def test_nothing_is_taken_over_from_events_that_are_over(house: House) -> None:
    send_event(house, duration_sec=60.0)
    house.wait(100.0)
    over = house.recorded("e1")
    assert over.done
    engine = Engine(house.panel, VEN_ID)
    assert engine.resume(RecoveredEngineState(past=[("e1", 0)]), house.now) == []
    assert engine.running is None


@pytest.mark.parametrize("absent", ["actuator", "driver"])
def test_after_a_power_cut_it_sheds_again_as_soon_as_the_others_are_up(
    house: House, absent: str
) -> None:
    send_event(house, 4.5)
    house.closed["heater1"] = True  # the device's lease has ended it
    house.refusal = "platform.actuator is not running" if absent == "actuator" else None
    house.meter_works = absent != "driver"
    house.restart()
    house.wait(20.0)
    assert not house.opened()
    house.refusal, house.meter_works = None, True
    house.wait(12.0)
    assert house.opened() == {"heater1"}
    house.wait(600.0)
    assert not house.opened()
    assert house.alerts == {}


def test_a_restore_while_it_waits_for_the_others_ends_it(house: House) -> None:
    send_event(house, 4.5)
    house.refusal = "platform.actuator is not running"
    house.restart()
    house.send("restore", correlationId="r1")
    assert house.replies_to("r1") == ["success"]
    assert not house.opened()
