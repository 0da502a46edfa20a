"""The event engine: circuits that do not go back, and restorations that take long."""

from __future__ import annotations

import pytest

from tests.dr.builders import panel_of, switch
from tests.dr.house import House, send_event
from VenAgent.dr.policy import Policy


def event_with_a_dead_circuit(house: House) -> None:
    send_event(house, 7.5, duration_sec=60.0)
    house.broken = {"heater1"}
    house.wait(125.0)


def test_a_circuit_that_does_not_go_back_keeps_itself_and_not_the_site(house: House) -> None:
    event_with_a_dead_circuit(house)
    assert house.engine.running is None
    assert house.last("completed")["reason_code"] == "restore_failed"
    assert "heater1" in house.last("completed")["reason"]
    assert ("restore.failed", "heater1") in house.alerts
    assert "heater1" in (house.engine.trouble() or "")
    assert not house.engine.is_restored, "the device's lease is what is left to end it"
    send_event(house, 3.0, event_id="e2", correlationId="c2")
    assert house.replies_to("c2") == ["accepted"]
    held = {circuit.circuit_id for circuit in house.engine.running.circuits}
    assert "heater1" not in held


def test_a_driver_that_needs_a_while_after_a_power_cut_is_waited_for(house: House) -> None:
    """`completed` means that the circuits are back: none is given up within the time that all may
    take to go back."""
    send_event(house, 7.5, duration_sec=60.0)
    house.broken = {"heater1", "dryer1"}
    house.wait(60.0 + 25.0)
    assert house.engine.running is not None
    assert "completed" not in house.statuses()
    house.broken = set()
    house.wait(35.0)
    assert house.opened() == set()
    assert "reason_code" not in house.last("completed")
    assert house.alerts == {}


def test_another_event_waits_for_a_dead_circuit_for_some_tries_only(house: House) -> None:
    send_event(house, 7.5, duration_sec=60.0)
    send_event(house, 3.0, event_id="e2", correlationId="c2", start_ts=house.now + 65.0)
    house.broken = {"heater1"}
    house.wait(60.0 + 10.0)
    assert house.last("completed")["reason_code"] == "restore_failed"
    assert house.engine.running is not None
    assert house.engine.running.event_id == "e2"


@pytest.mark.parametrize("restarted", [False, True])
def test_it_is_tried_until_it_is_back(house: House, restarted: bool) -> None:
    event_with_a_dead_circuit(house)
    if restarted:
        house.restart()
    house.broken = set()
    house.wait(130.0)
    assert house.opened() == set()
    assert house.engine.trouble() is None
    assert house.engine.is_restored
    if not restarted:
        assert house.alerts == {}
    written = len(house.written)
    house.wait(300.0)
    assert len(house.written) == written


def test_one_that_is_back_by_itself_is_not_written_any_more(house: House) -> None:
    event_with_a_dead_circuit(house)
    house.closed["heater1"] = True
    house.wait(10.0)
    assert house.engine.trouble() is None
    assert house.alerts == {}


def test_one_that_a_command_switches_is_a_persons(house: House) -> None:
    event_with_a_dead_circuit(house)
    house.broken = set()
    house.send("setLoad", loadId="heater1", enabled=False, correlationId="s1")
    house.wait(300.0)
    assert house.opened() == {"heater1"}
    assert house.engine.trouble() is None


def eighty_circuits() -> House:
    names = [f"c{number}" for number in range(80)]
    panel = panel_of(*(switch(name, priority=5) for name in names), amperage=1_000.0)
    policy = Policy(restore_stagger_sec=2.0, rebound_sec=0.0)
    house = House(panel, dict.fromkeys(names, 1.0), policy)
    send_event(house, 79.0)
    assert len(house.opened()) >= 76
    return house


def test_eighty_circuits_are_back_within_a_minute() -> None:
    house = eighty_circuits()
    house.send("restore", correlationId="r1")
    house.wait(30.0)
    assert house.opened(), "one after the other"
    house.wait(31.0)
    assert not house.opened()
    assert house.replies_to("r1") == ["success"]


def test_who_ends_a_long_restoration_hears_how_far_it_is() -> None:
    house = eighty_circuits()
    (first,) = (ack for ack in house.send("restore", correlationId="r1"))
    assert (first["status"], first["reason_code"], first["data"]["restored"]) == (
        "scheduled",
        "restoring",
        0,
    )
    house.wait(25.0)
    last = [ack for ack in house.acks if ack["correlationId"] == "r1"][-1]
    assert 20 <= last["data"]["restored"] <= 40
    assert f"{last['data']['restored']} of {last['data']['circuits']}" in last["reason"]


def test_an_event_that_comes_meanwhile_is_acked_at_once() -> None:
    house = eighty_circuits()
    house.send("restore", correlationId="r1")
    (ack,) = send_event(house, 10.0, event_id="e2", correlationId="c2")
    assert (ack["status"], ack["reason_code"]) == ("scheduled", "restoring")
    house.wait(70.0)
    assert house.statuses("c2")[:2] == ["scheduled", "accepted"]


def test_an_event_that_comes_while_a_circuit_does_not_go_back_is_acked_at_once(
    house: House,
) -> None:
    send_event(house, 7.5)
    house.broken = {"heater1"}
    house.send("restore", correlationId="r1")
    (ack,) = send_event(house, 3.0, event_id="e2", correlationId="c2")
    assert (ack["status"], ack["reason_code"]) == ("scheduled", "restoring")
    house.wait(20.0)
    assert house.statuses("c2")[:2] == ["scheduled", "accepted"]


def test_an_event_that_comes_after_an_opt_out_is_refused_before_all_is_back() -> None:
    house = eighty_circuits()
    house.do(house.engine.opt_out("cooking", None, house.now))
    (ack,) = send_event(house, 3.0, event_id="e2", correlationId="c2")
    assert ack["status"] == "opted_out"
