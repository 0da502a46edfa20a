"""The event engine: two at once. Precedence decides, the other goes on if time is left."""

from __future__ import annotations

import pytest

from tests.dr.builders import NOW, TOTAL_KW
from tests.dr.house import House, send_event
from VenAgent.dr.policy import Policy


def second(house: House, shed_kw: float, **fields: object) -> list:
    known = {"event_id": "e2", "correlationId": "c2", "duration_sec": 300.0}
    return send_event(house, shed_kw, **{**known, **fields})


def shed_kw(house: House) -> float:
    return TOTAL_KW - house.power_kw


def test_the_higher_priority_takes_over_and_the_lower_resumes(house: House) -> None:
    before = house.setting
    send_event(house, 7.5, duration_sec=600.0)
    second(house, 4.5, event_priority=0)
    assert house.opened() == {"heater1"}, "what is shed already is used, the rest goes back"
    assert house.engine.running.event_id == "e2"
    waiting = house.last("scheduled")
    assert waiting["event_id"] == "e1"
    assert "e2" in waiting["reason"]
    house.wait(301.0)
    assert house.engine.running.event_id == "e1"
    assert shed_kw(house) == pytest.approx(7.5, rel=0.05)
    house.wait(300.0)
    assert house.setting == before
    assert house.statuses("c1") == [
        "accepted", "measured", "scheduled", "adjusted", "measured", "completed",
    ]  # fmt: skip
    assert house.statuses("c2") == ["accepted", "measured", "completed"]


def test_nothing_is_restored_between_the_two(house: House) -> None:
    send_event(house, 4.5, duration_sec=600.0)
    second(house, 7.5, event_priority=0)
    house.wait(301.0)
    heater = [write.value for write in house.written if write.circuit_id == "heater1"]
    assert heater == [False]


def test_at_equal_priority_the_larger_request_rules(house: House) -> None:
    send_event(house, 4.5, event_priority=3)
    second(house, 7.5, event_priority=3)
    assert house.engine.running.event_id == "e2"
    third = send_event(house, 3.0, event_id="e3", correlationId="c3", event_priority=3)
    assert [ack["status"] for ack in third] == ["scheduled"]
    assert "e2" in third[0]["reason"]
    assert house.engine.running.event_id == "e2"


def test_a_lower_one_that_comes_second_waits_and_is_acked(house: House) -> None:
    send_event(house, 4.5, event_priority=1, duration_sec=100.0)
    (ack,) = second(house, 10.0)
    assert (ack["status"], ack["event_id"]) == ("scheduled", "e2")
    assert shed_kw(house) == pytest.approx(4.5)
    house.wait(101.0)
    assert house.engine.running.event_id == "e2"
    assert shed_kw(house) == pytest.approx(10.0, rel=0.05)


def test_the_reason_to_wait_names_the_time_as_a_person_reads_it(house: House) -> None:
    send_event(house, 4.5, event_priority=1, duration_sec=600.0)
    (ack,) = second(house, 10.0)
    assert ack["reason"].startswith("event e1 comes first until 2025-10-09 09:03:20 UTC; ")


def test_one_whose_time_passes_while_it_waits_has_failed(house: House) -> None:
    send_event(house, 4.5, event_priority=1, duration_sec=600.0)
    second(house, 10.0, duration_sec=60.0)
    house.wait(61.0)
    assert house.statuses("c2") == ["scheduled", "failed"]
    assert "before it could begin" in house.last("failed")["reason"]


def test_one_preempted_to_its_end_is_completed_with_what_it_delivered(house: House) -> None:
    send_event(house, 4.5, duration_sec=200.0)
    house.wait(100.0)
    second(house, 7.5, event_priority=0, duration_sec=600.0)
    house.wait(101.0)
    done = house.last("completed")
    assert done["event_id"] == "e1"
    assert done["summary"]["achieved_shed_kw"] == pytest.approx(4.5)
    assert done["summary"]["delivered_kwh"] == pytest.approx(4.5 * 100 / 3600, rel=0.02)
    assert house.engine.running.event_id == "e2"


def test_a_more_important_one_that_is_to_come_takes_over_at_its_start(house: House) -> None:
    second(house, 7.5, event_priority=0, start_ts=NOW + 100.0)
    send_event(house, 4.5)
    house.wait(99.0)
    assert house.engine.running.event_id == "e1"
    house.wait(1.0)
    assert house.engine.running.event_id == "e2"


def test_when_the_ruling_one_is_restored_by_command_the_other_takes_over(house: House) -> None:
    send_event(house, 7.5)
    second(house, 4.5)
    house.send("restore", event_id="e1", correlationId="r1")
    assert house.replies_to("r1") == ["success"]
    assert house.engine.running.event_id == "e2"
    assert shed_kw(house) == pytest.approx(4.5)
    assert house.last("completed")["event_id"] == "e1"


def test_one_that_waits_can_be_cancelled(house: House) -> None:
    send_event(house, 7.5)
    second(house, 4.5)
    house.send("cancel", event_id="e2", correlationId="x1")
    assert house.replies_to("x1") == ["success"]
    house.wait(700.0)
    assert house.statuses("c2") == ["scheduled", "failed"]


def test_while_the_first_still_begins_the_second_waits_for_the_decision(house: House) -> None:
    house.hold = True
    send_event(house, 4.5)
    second(house, 7.5, event_priority=0)
    assert house.acks == []
    house.hold = False
    house.work()
    assert house.engine.running.event_id == "e2"
    assert house.replies_to("c1") == ["accepted"]
    assert house.replies_to("c2") == ["accepted"]


@pytest.mark.parametrize("seconds", [10.0, 400.0])
def test_both_survive_a_restart(house: House, seconds: float) -> None:
    before = house.setting
    send_event(house, 7.5, duration_sec=600.0)
    second(house, 4.5, event_priority=0)
    house.wait(seconds)
    house.restart()
    assert house.engine.running.event_id == ("e2" if seconds < 300.0 else "e1")
    house.wait_until_over()
    assert house.setting == before
    assert house.statuses("c1")[-1] == "completed"
    assert house.statuses("c2")[-1] == "completed"


def test_the_heir_keeps_the_baseline_from_before_both(house: House) -> None:
    house.wait(120.0)
    send_event(house, 7.5, duration_sec=400.0)
    house.wait(350.0)
    second(house, 10.0, duration_sec=600.0)
    assert house.engine.running.baseline_kw == pytest.approx(TOTAL_KW)


def test_no_more_events_wait_than_the_site_takes() -> None:
    house = House(policy=Policy(max_scheduled=3))
    for number in range(3):
        send_event(
            house, event_id=f"s{number}", correlationId=f"s{number}", start_ts=house.now + 600
        )
    (ack,) = send_event(house, event_id="s3", correlationId="s3", start_ts=house.now + 600)
    assert (ack["status"], ack["reason_code"]) == ("rejected", "too_many_scheduled")
    assert set(house.engine.scheduled) == {"s0", "s1", "s2"}
    assert send_event(house, event_id="now", correlationId="now")[0]["status"] == "accepted"
    house.send("cancel", event_id="s1", correlationId="x")
    send_event(house, event_id="s4", correlationId="s4", start_ts=house.now + 600)
    assert "s4" in house.engine.scheduled
