"""The event engine: each command gets its ack, once, and some are refused."""

from __future__ import annotations

import pytest

from tests.dr.builders import NOW
from tests.dr.house import House, send_event

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


def test_the_same_command_while_it_is_worked_on_gets_one_ack(house: House) -> None:
    house.hold = True
    send_event(house)
    assert send_event(house) == []
    house.work(1)
    assert send_event(house) == []
    house.hold = False
    house.work()
    assert house.replies_to("c1") == ["accepted"]


def test_the_same_restore_while_it_is_worked_on_gets_one_ack(house: House) -> None:
    send_event(house)
    house.hold = True
    house.send("restore", correlationId="c2")
    assert house.send("restore", correlationId="c2") == []
    house.work()
    assert house.replies_to("c2") == ["success"]


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


def test_a_ping_is_acked(house: House) -> None:
    (ack,) = house.send("ping", correlationId="p1")
    assert (ack["status"], ack["ok"], ack["pong"]) == ("success", True, True)
    assert house.send("ping", correlationId="p1") == [ack]


@pytest.mark.parametrize("op", ["set", "setConfig"])
def test_what_is_not_supported_yet_is_said_so(house: House, op: str) -> None:
    (ack,) = house.send(op, correlationId="s1", report_interval_sec=10)
    assert ack["status"] == "rejected"
    assert op in ack["reason"]


def test_a_command_that_does_not_parse_is_acked_with_its_reason(house: House) -> None:
    (ack,) = house.send_payload(b"{")
    assert (ack["status"], ack["ok"], ack["correlationId"]) == ("rejected", False, None)
    assert "JSON" in ack["reason"]
    (ack,) = house.send("event", shed_kw=-2, event_id="e7", correlationId="c7")
    assert (ack["event_id"], ack["correlationId"], ack["op"]) == ("e7", "c7", "event")


# ---- the same correlation id, other content ----------------------------------------------------


def test_other_content_under_a_known_correlation_id_is_refused(house: House) -> None:
    first = send_event(house)[0]
    (ack,) = send_event(house, shed_kw=2.0, event_id="tuesday")
    assert (ack["status"], ack["reason_code"]) == ("rejected", "correlation_id_reused")
    assert (ack["correlationId"], ack["event_id"]) == ("c1", "tuesday")
    assert send_event(house) == [first]
    assert list(house.journal) == ["e1"]


def test_other_content_is_refused_while_the_first_is_worked_on(house: House) -> None:
    house.hold = True
    send_event(house)
    (ack,) = house.send("ping", correlationId="c1")
    assert ack["reason_code"] == "correlation_id_reused"
    house.hold = False
    house.work()
    assert house.replies_to("c1") == ["accepted"]


@pytest.mark.parametrize("hold", [False, True])
def test_other_content_is_refused_after_a_restart_too(house: House, hold: bool) -> None:
    house.hold = hold
    send_event(house)
    house.restart()
    (ack,) = send_event(house, shed_kw=2.0)
    assert ack["reason_code"] == "correlation_id_reused"
    house.hold = False
    house.work()
    assert house.replies_to("c1") == ["accepted"]


def test_a_command_that_an_earlier_version_wrote_down_is_no_other_one(house: House) -> None:
    first = send_event(house)[0]
    house.engine.replies.recall_fingerprint("c1", "0123456789abcdef")
    assert send_event(house) == [first]


def test_what_cannot_be_read_under_a_known_correlation_id_is_refused_for_itself(
    house: House,
) -> None:
    first = send_event(house)[0]
    (ack,) = send_event(house, shed_kW=2.0)
    assert ack["reason_code"] == "unknown_field"
    assert send_event(house) == [first]


def test_a_command_dated_anew_is_the_same_command(house: House) -> None:
    first = send_event(house, issued_ts=NOW)[0]
    house.wait(5.0)
    assert send_event(house, issued_ts=NOW + 5.0) == [first]
