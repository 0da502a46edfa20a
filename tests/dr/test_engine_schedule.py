"""The event engine: events to come."""

from __future__ import annotations

import pytest

from tests.dr.builders import NOW
from tests.dr.house import House, send_event
from VenAgent.dr.event_preparation import PREPARE_AHEAD_SEC


def test_an_event_to_come_is_scheduled_and_begins_on_time(house: House) -> None:
    (ack,) = send_event(house, start_ts=NOW + 302.5)
    assert ack["status"] == "scheduled"
    assert ack["end_ts"] == NOW + 902.5
    assert house.engine.next_deadline() == NOW + 302.5 - PREPARE_AHEAD_SEC
    house.wait(302.4)
    assert house.written == []
    house.wait(0.1)
    assert house.opened()
    assert house.last("accepted")["ts_ms"] == (NOW + 302.5) * 1_000
    house.wait(599.9)
    assert house.opened()
    house.wait(0.2)
    assert not house.opened()
    assert house.statuses() == ["scheduled", "accepted", "measured", "completed"]


def test_a_cancel_that_names_none_is_refused_where_it_may_be_meant_for_one_that_waits(
    house: House,
) -> None:
    send_event(house, start_ts=NOW + 600.0)
    (ack,) = house.send("cancel", correlationId="x1")
    assert (ack["status"], ack["reason_code"]) == ("rejected", "missing_field")
    send_event(house, event_id="e2", correlationId="c2")
    (ack,) = house.send("cancel", correlationId="x2")
    assert ack["reason_code"] == "missing_field"
    assert house.engine.running is not None
    house.send("cancel", event_id="e1", correlationId="x3")
    house.send("cancel", correlationId="x4")
    assert house.statuses("x4") == ["success"]
    assert house.engine.running is None


@pytest.mark.long
def test_an_event_with_an_end_and_a_duration_begins_so_long_before_its_end(house: House) -> None:
    (ack,) = send_event(house, end_ts=NOW + 21_600.0, duration_sec=3_600)
    assert (ack["status"], ack["end_ts"]) == ("scheduled", NOW + 21_600.0)
    house.wait(18_000.0 - 10.0)
    assert not house.opened()
    house.wait(20.0)
    assert house.opened()


def test_an_event_that_should_have_begun_runs_to_its_end(house: House) -> None:
    send_event(house, end_ts=NOW + 60.0, duration_sec=600)
    assert house.opened()
    house.wait(70.0)
    assert not house.opened()


@pytest.mark.parametrize("op", ["cancel", "restore"])
def test_an_event_to_come_can_be_withdrawn(house: House, op: str) -> None:
    send_event(house, start_ts=NOW + 300.0)
    house.send(op, correlationId="c2", event_id="e1")
    assert house.replies_to("c2") == ["success"]
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
    assert house.replies_to("c3") == ["success"]


def test_the_same_event_is_not_scheduled_twice(house: House) -> None:
    send_event(house, start_ts=NOW + 300.0)
    (ack,) = send_event(house, start_ts=NOW + 400.0, correlationId="c2")
    assert ack["status"] == "rejected"
    assert house.engine.next_deadline() == NOW + 300.0 - PREPARE_AHEAD_SEC


def test_an_event_to_come_waits_for_the_one_that_runs(house: House) -> None:
    send_event(house, 3.0, correlationId="c2", event_id="e2", start_ts=NOW + 300.0)
    send_event(house, 4.5, duration_sec=500.0)
    house.wait(499.0)
    assert house.opened() == {"heater1"}
    house.wait(1.0)
    assert house.opened() == {"dryer1"}
    house.wait_until_over()
    assert house.now == pytest.approx(NOW + 900.0, abs=6.0)
    assert house.statuses("c2") == ["scheduled", "scheduled", "accepted", "measured", "completed"]


def test_an_event_whose_time_passes_while_another_runs_is_withdrawn(house: House) -> None:
    send_event(house, 3.0, correlationId="c2", event_id="e2", start_ts=NOW + 300.0, duration_sec=60)
    send_event(house, 4.5, duration_sec=500.0)
    house.wait(361.0)
    assert house.statuses("c2") == ["scheduled", "scheduled", "failed"]
    house.wait(1000.0)
    assert {write.circuit_id for write in house.written} == {"heater1"}


def test_of_two_events_that_are_due_the_earlier_begins(house: House) -> None:
    send_event(house, 3.0, correlationId="c2", event_id="e2", start_ts=NOW + 200.0)
    send_event(house, 4.5, start_ts=NOW + 100.0)
    house.now += 250.0
    house.wait(0.0)
    assert house.opened() == {"heater1"}
