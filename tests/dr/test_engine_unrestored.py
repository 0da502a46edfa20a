"""The event engine: circuits that do not go back, and restorations that take long."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import panel_of, switch
from tests.dr.house import House, send_event
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.point_write import PointWrite
from VenAgent.dr.policy import Policy
from VenAgent.reporting.event_view import event_view_for_page


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


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
def test_a_change_of_the_event_that_is_being_restored_is_acked_at_once() -> None:
    house = eighty_circuits()
    house.send("restore", correlationId="r1")
    house.wait(20.0)
    (ack,) = send_event(house, 10.0, modification=1, correlationId="m1")
    assert (ack["status"], ack["reason_code"]) == ("scheduled", "restoring")
    assert (ack["event_id"], ack["modification"]) == ("e1", 1)
    house.wait(50.0)
    assert house.statuses("m1")[:2] == ["scheduled", "accepted"]
    assert house.replies_to("r1") == ["success"]


@pytest.mark.long
def test_a_change_to_a_later_start_that_takes_long_to_put_back_is_acked_at_once() -> None:
    house = eighty_circuits()
    change = {"modification": 1, "correlationId": "m1", "start_ts": house.now + 300.0}
    acks = send_event(house, 10.0, **change)
    assert [(ack["status"], ack["reason_code"]) for ack in acks] == [("scheduled", "restoring")]
    house.wait(320.0)
    assert house.statuses("m1")[:3] == ["scheduled", "scheduled", "accepted"]


@pytest.mark.long
def test_one_of_eighty_that_does_not_go_back_keeps_itself_for_an_hour() -> None:
    house = eighty_circuits()
    house.broken = {"c7"}
    house.send("restore", correlationId="r1")
    house.wait(61.0)
    assert house.opened() == {"c7"}
    assert event_view_for_page(house.engine.running)["restored"]["restored"] == 78
    house.wait(60.0)
    assert house.replies_to("r1") == ["failed"]
    assert house.last("completed")["reason_code"] == "restore_failed"
    written = len(house.written)
    house.wait(3_600.0)
    assert 50 <= len(house.written) - written <= 70, "once a minute"
    house.broken = set()
    house.wait(70.0)
    assert house.opened() == set()
    assert house.alerts == {}
    assert house.engine.is_restored


@pytest.mark.parametrize("restarted", [False, True])
def test_a_device_that_answers_again_after_an_hour_is_put_back_within_a_minute(
    house: House, restarted: bool
) -> None:
    send_event(house, 7.5, duration_sec=60.0)
    house.broken, house.away = {"heater1", "dryer1"}, {"site/panel"}
    house.wait(3_600.0)
    if restarted:
        house.restart()
    assert house.opened() == {"heater1", "dryer1"}
    house.broken, house.away = set(), set()
    house.wait(65.0)
    assert house.opened() == set()
    assert house.engine.trouble() is None


# ---- devices that show a write late ----------------------------------------------------------


class LateHouse(House):
    """Its contactors' state is not known for 8 s after each write."""

    def __init__(self) -> None:
        self.last_written_ts = 0.0
        panel = panel_of(switch("heater1", priority=5), switch("dryer1", priority=5))
        circuits = tuple(replace(c, shown_after_sec=8.0) for c in panel.circuits)
        super().__init__(replace(panel, circuits=circuits), {"heater1": 4.5, "dryer1": 4.5})

    def _write(self, writes: tuple[PointWrite, ...]) -> dict[str, str]:
        self.last_written_ts = self.now
        return super()._write(writes)

    def read(self) -> PanelReading:
        reading = super().read()
        if self.now > self.last_written_ts + 8.0:
            return reading
        circuits = {name: replace(c, closed=None) for name, c in reading.circuits.items()}
        return replace(reading, circuits=circuits)


@pytest.mark.parametrize("duration_sec", [5.0, 60.0])
def test_a_late_device_that_confirms_and_stays_off_is_said_so_and_tried_on(
    duration_sec: float,
) -> None:
    """The event was completed, and the circuit off for ever, without a word."""
    house = LateHouse()
    send_event(house, 4.5, duration_sec=duration_sec)
    (name,) = house.opened()
    house.stuck = {name}
    house.wait(duration_sec + 60.0)
    assert house.statuses()[-1] == "completed"
    assert ("restore.failed", name) in house.alerts
    assert name in (house.engine.trouble() or "")
    house.stuck = set()
    house.wait(200.0)
    assert house.opened() == set()
    assert house.alerts == {}
    assert house.engine.trouble() is None


def test_a_late_device_that_goes_back_is_no_trouble_and_written_once() -> None:
    house = LateHouse()
    send_event(house, 4.5, duration_sec=5.0)
    house.wait(200.0)
    assert house.opened() == set()
    assert house.alerted == []
    assert len(house.written) == 2


def test_a_late_device_that_stays_off_is_found_after_a_restart_too() -> None:
    """Killed before it was looked at it was forgotten; killed after, its first write in the new
    process was believed."""
    for killed_after_sec in (2.0, 300.0):
        house = LateHouse()
        send_event(house, 4.5, duration_sec=60.0)
        (name,) = house.opened()
        house.wait(58.0)
        house.stuck = {name}
        house.wait(2.0 + killed_after_sec)
        house.restart()
        house.wait(300.0)
        assert ("restore.failed", name) in house.alerts, killed_after_sec
        assert name in (house.engine.trouble() or "")
        house.stuck = set()
        house.wait(1_800.0)
        assert house.opened() == set(), killed_after_sec
        assert house.alerts == {}
        assert house.engine.trouble() is None


def test_a_late_device_that_does_not_follow_a_release_in_mid_event_is_tried_on() -> None:
    """It was let go at once, for its answer was believed, and nobody held it any more."""
    house = LateHouse()
    send_event(house, 9.0, duration_sec=600.0)
    house.wait(60.0)
    house.stuck = house.opened()
    changed = {"event_id": "e1", "correlationId": "c2", "modification": 1}
    send_event(house, 4.5, duration_sec=600.0, **changed)
    house.wait(5.0)
    house.stuck = set()
    house.wait(300.0)
    assert len(house.opened()) == 1
    house.wait(600.0)
    assert house.opened() == set()
    assert house.alerts == {}


def test_a_late_device_that_is_back_leaves_nothing_in_the_journal() -> None:
    house = LateHouse()
    send_event(house, 4.5, duration_sec=5.0)
    house.wait(200.0)
    assert house.facts["unrestored"] == "[]"


@pytest.mark.parametrize("how", ["event", "setLoad"])
def test_what_is_shed_or_switched_again_before_a_late_device_shows_it_stays_so(how: str) -> None:
    house = LateHouse()
    send_event(house, 9.0, duration_sec=5.0)
    house.wait(7.0)
    assert house.opened() == set()
    if how == "event":
        send_event(house, 9.0, event_id="e2", correlationId="c2")
    else:
        for name in house.closed:
            house.send("setLoad", loadId=name, enabled=False, correlationId=name)
    house.wait(100.0)
    assert house.opened() == {"heater1", "dryer1"}
    assert "restore.failed" not in house.alerted
