"""The event engine: what comes while other work is under way for the event."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import NOW
from tests.dr.house import House, send_event
from tests.dr.test_engine_equipment import bearing
from VenAgent.dr.event_state import EventState
from VenAgent.dr.policy import EndurancePolicy, Policy
from VenAgent.dr.reservation import TRY_FOR_SEC, TRY_NEW_SEC
from VenAgent.dr.restoration import REPORT_LIMIT_SEC

SILENT = "the devices could not be reserved: platform.actuator is not running"


def under_way(house: House, shed_kw: float = 7.5) -> None:
    """An event whose change to `shed_kw` is being worked on."""
    send_event(house, 4.5)
    house.hold = True
    send_event(house, shed_kw, modification=1, correlationId="m1")


def go_on(house: House) -> None:
    house.hold = False
    house.work()


# ---- others --------------------------------------------------------------------------------------


def test_devices_that_went_back_by_themselves_are_shed_again_when_the_work_is_done(
    house: House,
) -> None:
    under_way(house)
    house.go_back_by_themselves()
    house.do(house.engine.lease_lapsed(house.now))
    go_on(house)
    house.wait(30.0)
    assert "heater1" in house.opened()
    assert house.engine.running.measured_kw == pytest.approx(7.5, rel=0.05)
    assert "circuit.manual_override" not in house.alerted


def test_devices_taken_by_another_agent_are_put_back_when_the_work_is_done(house: House) -> None:
    before = house.setting
    send_event(house, 4.5)
    house.hold = True
    send_event(house, 7.5, modification=1, correlationId="m1")
    house.work(1)  # reserved; the writes are under way
    house.do(house.engine.preempted(house.engine.running.task_id, "lighting", house.now))
    house.refusal = "held by lighting"
    go_on(house)
    assert house.setting == before
    assert "lighting" in house.last("adjusted")["reason"]
    assert "devices.preempted" in house.alerted


def test_the_agent_stops_at_once_although_writes_are_under_way() -> None:
    house = House(policy=Policy(restore_stagger_sec=60.0, rebound_sec=0.0))
    before = house.setting
    house.hold = True
    send_event(house, 15.0)
    house.work(1)  # reserved; the writes are under way
    house.do(house.engine.stop(house.now))
    go_on(house)
    assert house.setting == before
    assert house.engine.running is None


def test_nothing_begins_while_the_agent_stops() -> None:
    house = House(policy=Policy(restore_stagger_sec=0.0, rebound_sec=0.0))
    send_event(house, 4.5)
    house.hold = True
    send_event(house, 7.5, modification=1, correlationId="m1", start_ts=NOW + 10.0)
    house.do(house.engine.stop(house.now))
    house.now += 20.0  # what waited for the end of the first is due
    go_on(house)
    send_event(house, 3.0, event_id="e2", correlationId="c2")
    assert not house.opened()
    assert house.engine.running is None
    house.restart()
    assert house.opened(), "both begin at the next start"


def test_a_restore_by_command_is_not_kept_waiting_by_work_that_never_comes_back(
    house: House,
) -> None:
    send_event(house, 4.5, duration_sec=3600.0)
    house.engine.running.to(EventState.SHEDDING)  # as if the confirmation were lost
    house.send("restore", correlationId="r1")
    house.wait(31.0)
    assert not house.opened()
    assert house.replies_to("r1") == ["success"]


def test_a_restore_that_is_never_heard_of_is_written_again(house: House) -> None:
    send_event(house, 4.5, duration_sec=60.0)
    house.hold = True
    house.wait(61.0)
    house.jobs.clear()  # as if the greenlet had died
    house.hold = False
    house.wait(REPORT_LIMIT_SEC - 5.0)
    assert house.opened()
    house.wait(6.0)
    assert not house.opened()
    assert house.engine.running is None


# ---- commands ------------------------------------------------------------------------------------


def test_who_asks_the_same_change_gets_the_same_ack(house: House) -> None:
    under_way(house)  # of a change that
    send_event(house, 9.0, modification=2, correlationId="m2")  # this one overtakes
    send_event(house, 9.0, modification=2, correlationId="m3")  # and this one repeats
    go_on(house)
    house.wait(30.0)
    for each in ("m2", "m3"):
        assert house.replies_to(each) == ["accepted"]
    assert {a["modification"] for a in house.acks if a["correlationId"] in ("m2", "m3")} == {2}


def test_who_asks_the_same_as_an_overtaken_change_gets_its_ack(house: House) -> None:
    under_way(house)
    send_event(house, 9.0, modification=2, correlationId="m2")
    send_event(house, 9.0, modification=2, correlationId="m3")
    send_event(house, 12.0, modification=3, correlationId="m4")
    go_on(house)
    assert [house.replies_to(each) for each in ("m2", "m3", "m4")] == [
        ["superseded"],
        ["superseded"],
        ["accepted"],
    ]


def test_a_repeated_change_is_acked_although_the_agent_was_killed(house: House) -> None:
    under_way(house)
    send_event(house, 9.0, modification=2, correlationId="m2")
    send_event(house, 9.0, modification=2, correlationId="m3")
    house.hold = False
    house.restart()
    house.wait(30.0)
    assert house.replies_to("m3") == ["accepted"]


def test_an_event_without_a_correlation_id_acks_one_with(house: House) -> None:
    house.send("event", event_id="e1", shed_kw=4.5, duration_sec=600.0)
    send_event(house, 4.5)
    assert house.replies_to("c1") == ["accepted"]


def test_an_event_without_a_correlation_id_is_not_called_accepted_before_it_is(
    house: House,
) -> None:
    fields = {"event_id": "e1", "shed_kw": 4.5, "duration_sec": 60.0, "start_ts": NOW + 60.0}
    house.send("event", **fields)
    house.send("event", **fields)
    assert house.statuses() == ["scheduled", "scheduled"]


# ---- agents that are not there yet ---------------------------------------------------------------


def test_a_change_that_meets_an_actuator_just_starting_is_made_within_seconds(house: House) -> None:
    send_event(house, 4.5)
    house.refusal, house.may_pass = SILENT, True
    send_event(house, 7.5, modification=1, correlationId="m1")
    assert house.opened() == {"heater1"}
    assert house.replies_to("m1") == []
    house.wait(1.5)
    house.refusal = None
    house.wait(5.0)
    assert house.opened() == {"heater1", "dryer1"}
    assert house.replies_to("m1") == ["accepted"]
    assert "shed.short" not in dict(house.alerts)


def test_a_change_is_not_tried_for_ever(house: House) -> None:
    send_event(house, 4.5)
    house.refusal, house.may_pass = SILENT, True
    send_event(house, 7.5, modification=1, correlationId="m1")
    house.wait(TRY_FOR_SEC + 6.0)
    assert house.opened() == {"heater1"}
    assert house.replies_to("m1") == ["accepted"]
    assert "not running" in house.last("accepted")["reason"]
    assert ("shed.short", "") in house.alerts
    assert house.engine.running.state is EventState.ACTIVE


def test_a_change_that_another_agent_stands_in_the_way_of_is_acked_at_once(
    house: House,
) -> None:
    send_event(house, 4.5)
    house.refusal = "held by lighting"
    send_event(house, 7.5, modification=1, correlationId="m1")
    assert house.replies_to("m1") == ["accepted"]


def test_an_event_whose_time_has_come_begins_when_the_actuator_is_there(house: House) -> None:
    send_event(house, 4.5, start_ts=NOW + 60.0)
    house.refusal, house.may_pass = SILENT, True
    house.wait(62.0)
    assert house.statuses() == ["scheduled"]
    house.refusal = None
    house.wait(5.0)
    assert house.statuses() == ["scheduled", "accepted", "measured"]
    assert house.opened() == {"heater1"}


def test_an_event_whose_actuator_stays_away_fails_and_leaves_no_alert(house: House) -> None:
    send_event(house, 4.5, start_ts=NOW + 60.0)
    house.refusal, house.may_pass = SILENT, True
    house.wait(60.0 + TRY_FOR_SEC + 6.0)
    assert house.statuses() == ["scheduled", "failed"]
    assert house.engine.running is None
    assert not house.alerts


def test_who_asks_for_an_event_now_is_refused_at_once_when_no_one_answers(house: House) -> None:
    house.refusal, house.may_pass = SILENT, True
    assert send_event(house, 4.5)[0]["status"] == "failed"


def test_an_event_now_whose_reading_was_lost_begins_with_the_next(house: House) -> None:
    """Nine of twenty were refused, on a bus that loses every tenth request."""
    house.refusal, house.may_pass, house.failed_alone = "lost", True, True
    assert send_event(house, 7.5) == []
    house.refusal = None
    house.wait(1.0)
    assert house.opened() == {"heater1", "dryer1"}
    assert house.replies_to("c1") == ["accepted"]


def test_an_event_now_is_tried_for_a_moment_only(house: House) -> None:
    house.refusal, house.may_pass, house.failed_alone = "lost", True, True
    send_event(house, 4.5)
    house.wait(TRY_NEW_SEC + 6.0)
    assert house.statuses() == ["failed"]
    assert house.engine.running is None


@pytest.mark.parametrize("how", ["restore", "opt_out", "end"])
def test_an_event_that_is_still_tried_can_be_ended(house: House, how: str) -> None:
    send_event(house, 4.5, start_ts=NOW + 60.0, duration_sec=10.0)
    house.refusal, house.may_pass = SILENT, True
    house.wait(60.0)
    assert house.engine.running is not None
    if how == "restore":
        house.send("restore", correlationId="r1")
    elif how == "opt_out":
        house.do(house.engine.opt_out("baking", None, house.now))
    else:
        house.wait(10.0)
    assert house.engine.running is None
    assert house.written == []


# ---- what a journal may hold ---------------------------------------------------------------------


def test_two_events_under_way_in_the_journal_are_both_brought_to_their_end(house: House) -> None:
    """The end of the first could not be written: the disk was full for a moment."""
    before = house.setting
    send_event(house, 4.5, duration_sec=60.0)
    stale = house.journal["e1"]
    house.wait(61.0)
    send_event(house, 3.0, event_id="e2", correlationId="c2", duration_sec=600.0)
    assert house.opened()
    house.journal["e1"] = stale
    house.put_back.clear()
    house.restart()
    house.wait(30.0)
    assert house.engine.running.event_id == "e2"
    assert house.opened() == {"dryer1"}
    house.wait(600.0)
    assert house.setting == before
    assert house.engine.running is None


def test_what_may_begin_again_is_the_same_after_a_restart(house: House) -> None:
    house.do(house.engine.opt_out("baking", NOW + 60.0, house.now))
    assert send_event(house)[0]["status"] == "opted_out"
    house.wait(61.0)
    for restart in (False, True):
        if restart:
            house.restart()
        (ack,) = send_event(house, correlationId=f"again-{restart}")
        assert ack["status"] == "rejected"


# ---- the lease -----------------------------------------------------------------------------------


def test_the_lease_is_renewed_while_circuits_wait_for_their_turn_to_go_back() -> None:
    house = House(
        bearing(heater1=EndurancePolicy(min_off_sec=300.0)), policy=Policy(rebound_sec=0.0)
    )
    send_event(house, 4.5)
    house.send("restore", correlationId="r1")
    assert house.engine.holds, "or the device would not keep the compressor off"
    house.wait(301.0)
    assert not house.engine.holds


def test_the_lease_is_not_renewed_for_a_circuit_that_does_not_go_back(house: House) -> None:
    send_event(house, 4.5, duration_sec=60.0)
    house.broken = {"heater1"}
    house.wait(61.0)
    assert house.opened() == {"heater1"}
    assert not house.engine.holds


# ---- registers -----------------------------------------------------------------------------------


def test_a_register_of_32_bits_is_back_when_it_reads_nearly_as_it_was_written() -> None:
    house = House(policy=Policy(restore_stagger_sec=0.0, rebound_sec=0.0, limit_ramp_sec=20.0))
    house.send("shedLoad", loadId="ev1", reduceKw=4.0, duration_sec=600.0, correlationId="c1")
    read = house.read

    def of_32_bits():
        reading = read()
        circuits = {
            name: replace(c, limit=None if c.limit is None else c.limit * (1 + 5e-8))
            for name, c in reading.circuits.items()
        }
        return replace(reading, circuits=circuits)

    house.read = of_32_bits
    house.send("restore", correlationId="r1")
    house.wait(60.0)
    assert house.engine.running is None
    assert "restore.failed" not in house.alerted
