"""The event engine: `setLoad` and an event that want the same circuit."""

from __future__ import annotations

import itertools

import pytest

from tests.dr.house import House, send_event
from tests.dr.test_engine_equipment import bearing
from tests.support.each_case import each_case
from VenAgent.dr.policy import EndurancePolicy, Policy
from VenAgent.dr.unrestored_circuits import REPORT_LIMIT_SEC


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
    house = House(
        bearing(heater1=EndurancePolicy(min_off_sec=300.0)), policy=Policy(rebound_sec=0.0)
    )
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


def take(house: House, at: int) -> None:
    """One of the pieces of work that wait, whichever the actuator does first."""
    job = house.jobs[at]
    del house.jobs[at]
    house.do(job(house))


@pytest.mark.parametrize("first", [0, -1], ids=["in order", "the last first"])
@pytest.mark.parametrize("during_event", [False, True])
def test_of_two_switches_within_a_moment_the_last_stands(
    house: House, first: int, during_event: bool
) -> None:
    if during_event:
        send_event(house, 4.5)
    house.hold = True
    house.send("setLoad", loadId="dryer1", enabled=False, correlationId="s1")
    house.send("setLoad", loadId="dryer1", enabled=True, correlationId="s2")
    assert house.replies_to("s1") == ["superseded"]
    take(house, first)
    house.hold = False
    house.work()
    assert "dryer1" not in house.opened()
    assert house.replies_to("s1") == ["superseded"]
    assert house.replies_to("s2") == ["success"]


def test_of_many_switches_each_has_one_ack_and_the_last_stands(house: House) -> None:
    house.hold = True
    for number in range(6):
        house.send("setLoad", loadId="dryer1", enabled=number % 2 == 1, correlationId=f"s{number}")
    house.hold = False
    house.work()
    assert "dryer1" not in house.opened()
    assert [house.replies_to(f"s{n}") for n in range(5)] == [["superseded"]] * 5
    assert house.replies_to("s5") == ["success"]
    assert len([w for w in house.written if w.circuit_id == "dryer1"]) == 2


def test_a_switch_while_the_event_writes_the_circuit_comes_after_that(house: House) -> None:
    house.hold = True
    send_event(house, 4.5)
    house.work(1)
    house.send("setLoad", loadId="heater1", enabled=True, correlationId="s1")
    assert len(house.jobs) == 1, "only the event's write is under way"
    house.hold = False
    house.work()
    assert "heater1" not in house.opened()
    assert house.replies_to("s1") == ["success"]


def test_after_a_crash_the_last_of_two_switches_stands(house: House) -> None:
    house.hold = True
    house.send("setLoad", loadId="dryer1", enabled=True, correlationId="s1")
    house.send("setLoad", loadId="dryer1", enabled=False, correlationId="s2")
    house.hold = False
    house.restart(work_was_done=True)
    assert "dryer1" in house.opened()
    assert house.replies_to("s1") == ["superseded"]
    assert house.replies_to("s2") == ["success"]


@pytest.mark.long
@each_case("values", list(itertools.product([True, False], repeat=3)))
@each_case("firsts", list(itertools.product([0, -1], repeat=2)))
@each_case("during", ["nothing", "event", "restore"])
def test_of_three_switches_the_last_stands_whatever_is_done_first(
    during: str, firsts: tuple[int, int], values: tuple[bool, ...]
) -> None:
    house = House()
    if during != "nothing":
        send_event(house, 7.5)
    house.hold = True
    if during == "restore":
        house.send("restore", correlationId="r1")
    for number, enabled in enumerate(values):
        house.send("setLoad", loadId="dryer1", enabled=enabled, correlationId=f"s{number}")
        if house.jobs and number < 2:
            take(house, firsts[number])
    house.hold = False
    house.work()
    house.wait(30.0)
    assert ("dryer1" in house.opened()) is not values[-1]
    assert [len(house.replies_to(f"s{number}")) for number in range(3)] == [1, 1, 1]
    assert house.replies_to("s2") == ["success"]
    assert house.replies_to("r1") == (["success"] if during == "restore" else [])


@pytest.mark.long
@each_case("fails", [False, True])
@each_case("circuit", ["heater1", "ev1"])
@each_case("enabled", [True, False])
@each_case("work", ["shed", "release", "restore"])
def test_a_switch_against_any_write_of_an_event_stands_and_leaves_the_others_alone(
    work: str, enabled: bool, circuit: str, fails: bool
) -> None:
    house = House()
    before = house.setting
    house.hold = work == "shed"
    send_event(house, 11.0)
    house.hold = True
    if work == "release":
        send_event(house, 1.0, modification=1, correlationId="m1")
    if work == "restore":
        house.send("restore", correlationId="r1")
    else:
        house.work(1)  # reserved; the writes are under way
    under_way = len(house.jobs)
    house.send("setLoad", loadId=circuit, enabled=enabled, correlationId="s1")
    assert len(house.jobs) == under_way, "it comes after the event's write"
    house.broken = {circuit} if fails else set()
    house.work(1)
    house.broken = set()
    house.hold = False
    house.work()
    house.wait(900.0)
    assert house.replies_to("s1") == ["success"]
    assert house.closed[circuit] is enabled
    assert house.engine.running is None
    assert {k: v for k, v in house.setting.items() if k != circuit} == {
        k: v for k, v in before.items() if k != circuit
    }
    assert house.limits["ev1"] == 100.0


def test_switches_of_one_moment_without_a_correlation_id_are_two(house: House) -> None:
    """One ack was lost, and its circuit was never again a part of any event."""
    house.hold = True
    house.send("setLoad", loadId="dryer1", enabled=False)
    house.send("setLoad", loadId="heater1", enabled=False)
    house.hold = False
    house.work()
    acked = [ack["data"]["loadId"] for ack in house.acks if ack["status"] == "success"]
    assert acked == ["dryer1", "heater1"]
    for circuit in ("dryer1", "heater1"):
        house.send("setLoad", loadId=circuit, enabled=True)
    house.wait(5.0)
    send_event(house, 7.5)
    assert house.opened() == {"dryer1", "heater1"}


def test_a_switch_that_is_never_heard_of_is_written_again(house: House) -> None:
    house.hold = True
    house.send("setLoad", loadId="dryer1", enabled=False, correlationId="s1")
    house.jobs.clear()  # as if the greenlet had died
    house.hold = False
    house.wait(REPORT_LIMIT_SEC - 1.0)
    assert house.opened() == set()
    house.wait(2.0)
    assert house.opened() == {"dryer1"}
    assert house.replies_to("s1") == ["success"]


def test_a_later_switch_does_not_wait_for_ever_for_one_that_is_never_heard_of(
    house: House,
) -> None:
    house.hold = True
    house.send("setLoad", loadId="dryer1", enabled=True, correlationId="s1")
    house.jobs.clear()
    house.send("setLoad", loadId="dryer1", enabled=False, correlationId="s2")
    house.hold = False
    house.set_clock(-3_600.0)  # which does not make it longer
    house.wait(REPORT_LIMIT_SEC + 1.0)
    assert house.opened() == {"dryer1"}
    assert [house.replies_to("s1"), house.replies_to("s2")] == [["superseded"], ["success"]]


def test_a_clock_that_is_set_back_does_not_keep_a_switched_circuit_from_events(
    house: House,
) -> None:
    house.send("setLoad", loadId="heater1", enabled=False, correlationId="s1")
    house.set_clock(-3_600.0)
    house.closed["heater1"] = True  # by hand
    house.wait(10.0)
    send_event(house, 4.5)
    assert house.opened() == {"heater1"}
