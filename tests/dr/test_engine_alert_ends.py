"""Every alert that the engine raises has its end: when the trouble is over, or with its event."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.dr.house import House, send_event
from tests.support.each_case import each_case


def write_fails(house: House) -> None:
    house.broken = {"heater1"}
    send_event(house, 4.5, duration_sec=600)
    house.wait(5.0)
    house.broken = set()


def contactor_is_stuck(house: House) -> None:
    house.stuck = {"heater1"}
    send_event(house, 4.5, duration_sec=600)
    house.wait(20.0)
    house.stuck = set()


def person_switches(house: House) -> None:
    send_event(house, 4.5, duration_sec=600)
    house.closed["heater1"] = True
    house.wait(60.0)


def nothing_is_left_to_shed(house: House) -> None:
    send_event(house, 18.9, duration_sec=600)
    house.demand_kw["hvac1"] += 6.0
    house.wait(300.0)


def meter_is_gone(house: House) -> None:
    send_event(house, 4.5, duration_sec=600)
    house.meter_works = False
    house.wait(200.0)
    house.meter_works = True


def devices_are_taken(house: House) -> None:
    send_event(house, 4.5, duration_sec=600)
    house.refusal = "held by lighting.agent"
    task_id = house.engine.running.task_id
    house.do(house.engine.preempted(task_id, "lighting.agent", house.now))
    house.wait(30.0)
    house.refusal = None


def restore_fails(house: House) -> None:
    send_event(house, 4.5, duration_sec=60)
    house.broken = {"heater1"}
    house.wait(300.0)
    assert house.alerts
    house.broken = set()


def until_all_is_over(house: House) -> None:
    for _ in range(40):
        if house.engine.running is None and not house.engine.scheduled and not house.alerts:
            break
        house.wait(60.0)
    assert house.engine.running is None
    # With every report the agent looks at the meter itself (Timers): that ends this one.
    house.alerts.pop(("meter.stale", ""), None)
    assert house.alerts == {}


TROUBLES = [
    (write_fails, "write.failed"),
    (contactor_is_stuck, "circuit.not_responding"),
    (person_switches, "circuit.manual_override"),
    (nothing_is_left_to_shed, "shed.short"),
    (meter_is_gone, "meter.stale"),
    (devices_are_taken, "devices.preempted"),
    (restore_fails, "restore.failed"),
]
IN_AN_EVENT = [each for each in TROUBLES if each[0] is not restore_fails]


@each_case(("trouble", "code"), TROUBLES)
def test_an_alert_is_over_when_all_is_well_and_its_event_is_over(
    trouble: Callable[[House], None], code: str
) -> None:
    house = House()
    trouble(house)
    assert code in house.alerted
    until_all_is_over(house)


@pytest.mark.long
@each_case(("trouble", "code"), IN_AN_EVENT)
def test_it_is_over_too_when_another_event_takes_the_circuits_over(
    trouble: Callable[[House], None], code: str
) -> None:
    """The first event ends while the other runs; what it had raised is not for ever."""
    house = House()
    trouble(house)
    assert code in house.alerted
    house.send(
        "event",
        event_id="first",
        correlationId="c-first",
        shed_kw=2.0,
        duration_sec=1_200,
        event_priority=0,
    )
    until_all_is_over(house)


@pytest.mark.long
@each_case(("trouble", "code"), IN_AN_EVENT)
def test_it_is_over_too_after_a_command_an_opt_out_and_an_event_that_was_waiting(
    trouble: Callable[[House], None], code: str
) -> None:
    for end in (
        lambda house: house.send("restore", correlationId="r1"),
        lambda house: house.do(house.engine.opt_out("guests", None, house.now)),
    ):
        house = House()
        house.send(
            "event",
            event_id="later",
            correlationId="c-later",
            shed_kw=2.0,
            start_ts=house.now + 5.0,
            duration_sec=1_200,
        )
        trouble(house)
        end(house)
        until_all_is_over(house)
        assert code in house.alerted
