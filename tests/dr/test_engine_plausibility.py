"""The event engine: what is read cannot be, or is not what was read before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import NOW, TOTAL_KW, house_panel, panel_of, switch
from tests.dr.house import House, send_event
from VenAgent.dr.curtailment_plan import plan_curtailment
from VenAgent.dr.event import Event
from VenAgent.dr.event_request import EventRequest
from VenAgent.dr.panel import Panel
from VenAgent.dr.shed_target import ShedTarget


def delivered_kw(house: House) -> float:
    return TOTAL_KW - house.power_kw


def measured_by(name: str) -> Panel:
    return replace(house_panel(), measured_by=name)


def test_one_absurd_reading_before_the_event_changes_nothing(house: House) -> None:
    """One publication of 6,553.5 kW, two minutes before an event of 10 kW."""
    house.wait(180.0)
    house.meter_scale = 290.0
    house.wait(5.0)
    house.meter_scale = 1.0
    house.wait(120.0)
    send_event(house, 10.0)
    house.wait(300.0)
    assert delivered_kw(house) == pytest.approx(10.0, rel=0.05)
    assert house.engine.running.baseline_kw == pytest.approx(TOTAL_KW)
    house.wait_until_over()
    assert house.last("completed")["summary"]["shed_percent"] == pytest.approx(100.0, abs=6.0)


def test_a_wrong_scale_that_was_corrected_leaves_nothing_behind(house: House) -> None:
    """`power_scale` 1 in place of 0.001 for 40 s, then the right one, then an event."""
    house.reconfigure(measured_by("panel/power*1"))
    house.meter_scale = 1000.0
    house.wait(40.0)
    house.reconfigure(measured_by("panel/power*0.001"))
    house.meter_scale = 1.0
    house.wait(30.0)
    send_event(house, 5.0)
    house.wait(60.0)
    assert house.engine.running.baseline_kw == pytest.approx(TOTAL_KW)
    assert delivered_kw(house) == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize("wrong", [1.5, 0.6])
def test_what_was_measured_under_another_name_is_no_baseline(house: House, wrong: float) -> None:
    """A scale that is wrong by so little that nothing else shows it."""
    house.reconfigure(measured_by("panel/power*0.0015"))
    house.meter_scale = wrong
    house.wait(300.0)
    house.reconfigure(measured_by("panel/power*0.001"))
    house.meter_scale = 1.0
    house.wait(10.0)
    send_event(house, 5.0)
    assert house.engine.running.baseline_kw == pytest.approx(TOTAL_KW)


def test_a_scale_that_was_too_small_does_not_shed_the_whole_site(house: House) -> None:
    house.reconfigure(measured_by("panel/power*1e-6"))
    house.meter_scale = 0.001
    house.wait(300.0)
    house.reconfigure(measured_by("panel/power*0.001"))
    house.meter_scale = 1.0
    house.wait(10.0)
    send_event(house, 5.0)
    house.wait(60.0)
    assert delivered_kw(house) == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize("wrong", [1000.0, 0.001])
def test_a_meter_that_was_wrong_for_minutes_under_the_same_name(house: House, wrong: float) -> None:
    """Its baseline is over the panel's rating, or makes the target negative: neither is used."""
    house.meter_scale = wrong
    house.wait(295.0)
    house.meter_scale = 1.0
    house.wait(5.0)
    send_event(house, 5.0)
    house.wait(60.0)
    assert house.engine.running.baseline_kw == pytest.approx(TOTAL_KW)
    assert delivered_kw(house) == pytest.approx(5.0, rel=0.05)


def test_no_more_is_planned_than_the_site_draws() -> None:
    """The target is never below zero, whatever the circuits' own meters show."""
    panel = panel_of(switch("a"), switch("b"), switch("c"))
    house = House(panel, {"a": 2.0, "b": 2.0, "c": 2.0})
    reading = replace(house.read(), power_kw=2.0)
    event = Event("e1", EventRequest("event", "c1", 6.0, NOW, NOW + 600.0))
    target = ShedTarget(6.0, 0.3)
    plan = plan_curtailment(event, house.engine.site, reading, target, NOW, may_exchange=True)
    assert plan.delta_kw == pytest.approx(2.0)


def test_another_meter_in_mid_event_changes_no_circuit(house: House) -> None:
    house.wait(120.0)
    send_event(house, 5.0)
    house.wait(60.0)
    shed = house.setting
    house.reconfigure(measured_by("another/power*1"))
    house.meter_scale = 1000.0
    house.wait(120.0)
    assert house.setting == shed
    house.wait_until_over()
    summary = house.last("completed")["summary"]
    assert summary["unseen_sec"] == pytest.approx(540.0, abs=10.0)
    assert summary["achieved_shed_kw"] == pytest.approx(5.0, rel=0.05)
