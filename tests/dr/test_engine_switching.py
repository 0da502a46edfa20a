"""The event engine: `setLoad` and an event that want the same circuit."""

from __future__ import annotations

import pytest

from tests.dr.house import House, send_event
from tests.dr.test_engine_equipment import bearing
from VenAgent.dr.policy import Endurance, Policy


def test_a_circuit_switched_off_by_command_being_restored_stays_off() -> None:
    house = House(policy=Policy(restore_stagger_sec=60.0, rebound_sec=0.0))
    send_event(house, 15.0)
    house.send("restore", correlationId="r1")
    (*_, last) = sorted(house.opened())
    house.send("setLoad", loadId=last, enabled=False, correlationId="s1")
    house.wait(600.0)
    assert house.opened() == {last}
    assert house.engine.running is None
    assert house.replies_to("r1") == ["success"]


def test_the_last_circuit_being_restored_switched_by_command_ends_the_event() -> None:
    house = House(bearing(heater1=Endurance(min_off_sec=300.0)), policy=Policy(rebound_sec=0.0))
    send_event(house, 4.5)
    house.send("restore", correlationId="r1")
    house.send("setLoad", loadId="heater1", enabled=False, correlationId="s1")
    house.wait(1.0)
    assert house.engine.running is None
    assert house.replies_to("r1") == ["success"]
    house.wait(600.0)
    assert house.opened() == {"heater1"}


def test_a_circuit_that_is_being_switched_off_by_command_is_not_the_events_to_put_back(
    house: House,
) -> None:
    house.hold = True
    house.send("setLoad", loadId="heater1", enabled=False, correlationId="s1")
    send_event(house, 4.5, duration_sec=60.0)
    house.jobs.rotate(-1)  # the event's reading is from before the switch
    house.hold = False
    house.work()
    house.wait(61.0)
    assert house.engine.running is None
    assert house.opened() == {"heater1"}


def test_a_circuit_switched_by_command_just_now_may_not_read_so_yet(house: House) -> None:
    house.send("setLoad", loadId="heater1", enabled=False, correlationId="s1")
    house.closed["heater1"] = True  # as a reading that was under way shows it
    send_event(house, 4.5)
    assert "heater1" not in {write.circuit_id for write in house.written[1:]}


def test_a_circuit_switched_on_by_command_just_now_can_be_shed(house: House) -> None:
    house.send("setLoad", loadId="heater1", enabled=False, correlationId="s1")
    house.send("setLoad", loadId="heater1", enabled=True, correlationId="s2")
    send_event(house, 4.5)
    assert house.opened() == {"heater1"}


@pytest.mark.parametrize("circuit", ["heater1", "ev1"])
@pytest.mark.parametrize("enabled", [True, False])
def test_a_circuit_that_could_not_be_switched_goes_back_with_its_event(
    house: House, circuit: str, enabled: bool
) -> None:
    before = house.setting
    send_event(house, 11.0)
    assert {c.circuit_id for c in house.engine.running.circuits} >= {"heater1", "ev1"}
    house.broken = {circuit}
    house.send("setLoad", loadId=circuit, enabled=enabled, correlationId="s1")
    assert house.replies_to("s1") == ["failed"]
    house.broken = set()
    house.wait(700.0)
    assert house.setting == before
    assert all(house.closed.values())


@pytest.mark.parametrize("killed", [False, True])
def test_a_circuit_being_switched_by_command_is_waited_for_on_the_way_back(
    house: House, killed: bool
) -> None:
    send_event(house, 4.5)
    house.hold = True
    house.send("setLoad", loadId="heater1", enabled=False, correlationId="s1")
    house.send("restore", correlationId="r1")
    if killed:
        house.restart()
    house.hold = False
    house.work()
    house.wait(10.0)
    assert house.engine.running is None
    assert house.replies_to("s1") == ["success"]
    assert house.opened() == {"heater1"}
