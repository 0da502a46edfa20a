"""The event engine: an event that is ended by command."""

from __future__ import annotations

import pytest

from tests.dr.builders import NOW
from tests.dr.house import House, send_event


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


def test_a_restore_is_acked_only_when_the_circuits_are_back(house: House) -> None:
    send_event(house)
    house.hold = True
    assert house.send("restore", correlationId="c2") == []
    assert house.opened()
    house.work()
    assert not house.opened()
    assert house.replies_to("c2") == ["success"]


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
    assert house.replies_to("c2") == ["success"]
    assert house.replies_to("c1") == ["failed"]
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


def test_a_second_restore_while_the_first_is_carried_out_gets_an_ack_too(house: House) -> None:
    send_event(house)
    house.hold = True
    house.send("restore", correlationId="c2")
    house.send("restore", correlationId="c3")
    house.work()
    assert house.replies_to("c2") == ["success"]
    assert house.replies_to("c3") == ["success"]


def test_a_restore_that_comes_while_the_time_is_over_is_acked(house: House) -> None:
    send_event(house, duration_sec=60.0)
    house.wait(59.0)
    house.hold = True
    house.wait(2.0)
    house.send("restore", correlationId="c2")
    house.work()
    assert house.replies_to("c2") == ["success"]
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


def test_a_restore_that_meets_an_event_just_over_succeeds(house: House) -> None:
    send_event(house)
    house.wait_until_over()
    (ack,) = house.send("restore", event_id="e1", correlationId="late")
    assert (ack["status"], ack["reason_code"]) == ("success", "event_over")
    (ack,) = house.send("restore", event_id="other", correlationId="late-2")
    assert (ack["status"], ack["reason_code"]) == ("rejected", "unknown_event")
