"""The event engine: a clock that is set, while the agent runs and while it does not."""

from __future__ import annotations

import pytest

from tests.dr.builders import NOW
from tests.dr.house import House, send_event
from tests.dr.test_engine_equipment import bearing
from tests.support.each_case import each_case
from VenAgent.dr.event_work import WORK_LIMIT_SEC
from VenAgent.dr.policy import EndurancePolicy, Policy

DAY_SEC = 86_400.0
BACK = pytest.mark.parametrize("step_sec", [-20.0, -3600.0, -DAY_SEC])
BOTH = pytest.mark.parametrize("step_sec", [-DAY_SEC, DAY_SEC])


@BACK
def test_set_back_it_does_not_make_the_event_longer(house: House, step_sec: float) -> None:
    send_event(house, 4.5, duration_sec=600.0)
    house.wait(300.0)
    house.set_clock(step_sec)
    house.wait(299.0)
    assert house.opened() == {"heater1"}
    house.wait(2.0)
    assert not house.opened()
    assert house.statuses()[-1] == "completed"


def test_set_forward_it_ends_the_event_early_and_not_late(house: House) -> None:
    send_event(house, 4.5, duration_sec=600.0)
    house.set_clock(3600.0)
    house.wait(1.0)
    assert not house.opened()


def test_set_forward_it_makes_no_energy(house: House) -> None:
    send_event(house, 4.5, duration_sec=600.0)
    house.wait(360.0)
    house.set_clock(DAY_SEC)
    house.wait(5.0)
    summary = house.last("completed")["summary"]
    assert summary["delivered_kwh"] == pytest.approx(4.5 * 0.1, rel=0.05)


def test_set_back_while_work_is_awaited_it_does_not_lengthen_the_wait(house: House) -> None:
    house.hold = True
    send_event(house, 4.5)
    house.do(house.engine.opt_out("baking today", None, house.now))
    house.set_clock(-3600.0)
    house.wait(WORK_LIMIT_SEC + 1.0)
    assert house.replies_to("c1") == ["opted_out"]
    assert house.engine.running is None


def test_set_back_on_the_way_back_it_does_not_keep_circuits_waiting() -> None:
    house = House(policy=Policy(restore_stagger_sec=5.0, rebound_sec=0.0))
    before = house.setting
    send_event(house, 15.0)
    house.send("restore", correlationId="r1")
    house.set_clock(-3600.0)
    house.wait(30.0)
    assert house.setting == before


def test_set_forward_on_the_way_back_it_keeps_the_pause_between_two_circuits() -> None:
    house = House(policy=Policy(restore_stagger_sec=5.0, rebound_sec=0.0))
    send_event(house, 15.0)
    house.send("restore", correlationId="r1")
    left = len(house.opened())
    house.set_clock(3600.0)
    house.wait(1.0)
    assert len(house.opened()) == left
    house.wait(5.0)
    assert len(house.opened()) == left - 1


@each_case("step_sec", [-DAY_SEC, 3600.0, DAY_SEC])
def test_set_in_mid_event_it_keeps_a_compressor_off_as_long_as_it_must_be(step_sec: float) -> None:
    house = House(bearing(heater1=EndurancePolicy(min_off_sec=300.0)))
    send_event(house, 4.5, duration_sec=600.0)
    house.wait(60.0)
    house.set_clock(step_sec)
    house.send("restore", correlationId="r1")
    house.wait(230.0)
    assert house.opened() == {"heater1"}
    house.wait(20.0)
    assert not house.opened()


@BOTH
def test_set_after_an_event_it_keeps_a_compressor_on_as_long_as_it_must_be(step_sec: float) -> None:
    house = House(bearing(heater1=EndurancePolicy(min_on_sec=600.0)))
    send_event(house, 4.5, duration_sec=60.0)
    house.wait(61.0)
    house.set_clock(step_sec)
    send_event(house, 4.5, event_id="e2", correlationId="c2", duration_sec=60.0)
    assert "heater1" not in house.opened()


def test_corrected_by_a_year_it_does_not_bar_a_circuit_for_one() -> None:
    house = House(bearing(heater1=EndurancePolicy(max_sheds_per_day=1)))
    send_event(house, 4.5, duration_sec=60.0)
    house.wait(61.0)
    house.set_clock(-365 * DAY_SEC)
    house.report_sec = 600.0
    house.wait(DAY_SEC)
    send_event(house, 4.5, event_id="e2", correlationId="c2", duration_sec=60.0)
    assert house.opened() == {"heater1"}


def test_set_back_it_does_not_lengthen_an_event_that_is_preempted(house: House) -> None:
    send_event(house, 4.5, duration_sec=600.0)
    send_event(house, 7.5, event_id="e2", correlationId="c2", duration_sec=120.0)
    assert house.engine.running.event_id == "e2"
    house.set_clock(-DAY_SEC)
    house.wait(121.0)
    assert house.engine.running.event_id == "e1", "it goes on with the time that is left"
    house.wait(480.0)
    assert house.engine.running is None
    assert not house.opened()


def test_set_back_it_leaves_an_event_that_is_to_come_at_its_time(house: House) -> None:
    send_event(house, 4.5, start_ts=NOW + 100.0)
    house.set_clock(-3600.0)
    house.wait(3600.0)
    assert not house.opened()
    house.wait(101.0)
    assert house.opened() == {"heater1"}


@BOTH
def test_set_while_the_site_has_opted_out_it_leaves_that_as_long_as_it_was(
    house: House, step_sec: float
) -> None:
    house.do(house.engine.opt_out("baking today", NOW + 7200.0, house.now))
    house.set_clock(step_sec)
    house.restart()
    house.wait(7190.0)
    assert house.engine.opted_out(house.now) is not None
    house.wait(11.0)
    assert house.engine.opted_out(house.now) is None


def test_set_back_it_does_not_keep_the_time_after_waiting() -> None:
    house = House(policy=Policy(restore_stagger_sec=0.0, rebound_sec=900.0))
    send_event(house, 4.5, duration_sec=60.0)
    house.wait(100.0)
    house.set_clock(-DAY_SEC)
    house.wait(900.0)
    assert house.last("rebound")["summary"]["rebound_kw"] is not None


def test_set_back_it_does_not_hide_that_the_meter_is_gone(house: House) -> None:
    send_event(house, 4.5)
    house.wait(20.0)
    house.set_clock(-DAY_SEC)
    house.meter_works = False
    house.wait(60.0)
    assert ("meter.stale", "") in house.alerts


@BACK
def test_a_clock_without_a_battery_does_not_make_an_event_longer(
    house: House, step_sec: float
) -> None:
    """After a power cut it goes on from some time before."""
    send_event(house, 4.5, duration_sec=600.0)
    house.wait(300.0)
    house.move_clock(step_sec)
    house.restart()
    house.wait(301.0)
    assert not house.opened()
    assert house.engine.running is None


def test_a_circuit_that_was_shed_in_the_future_does_not_stay_off_until_then() -> None:
    """The clock was set, and the agent has not heard of it yet."""
    house = House(bearing(heater1=EndurancePolicy(min_off_sec=300.0)))
    send_event(house, 4.5, duration_sec=600.0)
    house.move_clock(-DAY_SEC)
    house.send("restore", correlationId="r1")
    house.wait(301.0)
    assert not house.opened()
