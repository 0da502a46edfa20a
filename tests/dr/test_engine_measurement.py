"""The event engine: the baseline, what is measured, and the summary."""

from __future__ import annotations

import pytest

from tests.dr.builders import NOW, TOTAL_KW
from tests.dr.house import House, send_event
from VenAgent.dr.event_state import EventState
from VenAgent.dr.panel import PanelReading


def test_the_baseline_is_the_mean_before_the_event(house: House) -> None:
    house.demand_kw["range1"] = 0.0
    house.wait(150.0)
    house.demand_kw["range1"] = 2.4
    house.wait(150.0)
    send_event(house)
    assert house.acks[0]["baseline_kw"] == pytest.approx(TOTAL_KW - 1.2, abs=0.1)
    house.wait_until_over()
    assert house.last("completed")["summary"]["baseline_method"] == "pre_event_mean"


def test_without_history_the_baseline_is_the_present_power(house: House) -> None:
    send_event(house)
    assert house.acks[0]["baseline_kw"] == pytest.approx(TOTAL_KW)
    house.wait_until_over()
    assert house.last("completed")["summary"]["baseline_method"] == "present_power"


def test_what_is_read_during_an_event_is_no_history(house: House) -> None:
    house.wait(120.0)
    send_event(house, 15.0, duration_sec=240.0)
    house.wait(240.0)
    send_event(house, 15.0, correlationId="c2", event_id="e2")
    assert house.last("accepted")["baseline_kw"] == pytest.approx(TOTAL_KW)


def test_the_shed_is_measured_after_the_meter_settles(house: House) -> None:
    house.meter_lag_sec = 1.5
    send_event(house, 5.0)
    house.wait(1.9)
    assert house.statuses() == ["accepted"]
    house.wait(0.1)
    measured = house.last("measured")
    assert measured["ts"] == NOW + 2.0
    assert measured["shed_basis"] == "measured"
    assert measured["actual_shed_kw"] == pytest.approx(4.98)


def test_the_shed_is_measured_at_once_when_the_meter_is_quick(house: House) -> None:
    send_event(house, 5.0)
    assert house.statuses() == ["accepted", "measured"]


def test_what_is_measured_counts_and_not_what_was_hoped(house: House) -> None:
    house.stuck = {"heater1"}  # confirms the write, and draws on
    send_event(house, 7.5)
    house.wait(10.0)
    assert house.last("accepted")["actual_shed_kw"] == pytest.approx(7.5)
    first = next(ack for ack in house.acks if ack["status"] == "measured")
    assert first["actual_shed_kw"] == pytest.approx(3.0)


def test_a_meter_that_never_settles_is_taken_as_it_is(house: House) -> None:
    send_event(house, 7.5)
    assert house.statuses().count("measured") == 1
    house = House()
    house.meter_lag_sec = 15.0  # long enough for the meter to swing
    send_event(house, 7.5)
    for second in range(14):
        house.demand_kw["range1"] = 2.4 + second % 2 * 5.0
        house.meter_lag_sec = 0.0
        house.wait(1.0)
    assert house.statuses().count("measured") == 1


def test_a_reading_from_before_the_writes_does_not_measure_them(house: House) -> None:
    old = house.read()
    house.hold = True
    send_event(house)
    house.wait(1.0)
    while house.engine.running is None or house.engine.running.state is not EventState.ACTIVE:
        house.work(1)
    for _ in range(20):
        house.do(house.engine.reading(old, house.now))
    assert "measured" not in house.statuses()


def test_the_same_reading_again_is_no_meter_that_stands_still(house: House) -> None:
    house.meter_lag_sec = 1.5
    send_event(house, 5.0)
    again = house.read()
    for _ in range(20):  # published for each device, and read at once
        house.do(house.engine.reading(again, house.now))
    assert "measured" not in house.statuses()
    house.wait(3.0)
    assert house.last("measured")["actual_shed_kw"] == pytest.approx(4.98)


def test_the_summary_is_right(house: House) -> None:
    house.wait(300.0)
    send_event(house, 7.5, duration_sec=1800.0)
    house.wait(1900.0)
    summary = house.last("completed")["summary"]
    assert summary["start_ts"] == NOW + 300.0
    assert summary["end_ts"] == NOW + 2100.0
    assert summary["baseline_kw"] == pytest.approx(TOTAL_KW)
    assert summary["avg_kw"] == pytest.approx(TOTAL_KW - 7.5)
    assert summary["achieved_shed_kw"] == pytest.approx(7.5)
    assert summary["requested_shed_kw"] == 7.5
    assert summary["shed_percent"] == 100.0
    assert summary["delivered_kwh"] == pytest.approx(3.75)
    assert summary["samples"] >= 360


def test_telemetry_names_the_event_while_its_writes_hold(house: House) -> None:
    assert house.engine.shedding is None
    house.hold = True
    send_event(house)
    assert house.engine.shedding is None
    house.hold = False
    house.work()
    assert house.engine.shedding is not None
    assert house.engine.baseline_kw(house.now) == pytest.approx(TOTAL_KW)
    house.wait(700.0)
    assert house.engine.shedding is None


def test_without_an_event_the_baseline_is_what_one_would_have(house: House) -> None:
    assert house.engine.baseline_kw(house.now) is None
    house.wait(5.0)
    assert house.engine.baseline_kw(house.now) == pytest.approx(TOTAL_KW)


def test_a_lost_meter_during_an_event_ends_nothing(house: House) -> None:
    send_event(house)
    house.meter_works = False
    house.wait(700.0)
    assert not house.opened()
    assert house.statuses() == ["accepted", "measured", "completed"]


def test_an_event_that_was_never_metered_is_completed_without_invented_figures(
    house: House,
) -> None:
    house.hold = True
    send_event(house)
    house.work(2)
    house.meter_works = False
    house.hold = False
    house.work()
    house.wait(700.0)
    summary = house.last("completed")["summary"]
    assert summary["avg_kw"] is None
    assert summary["delivered_kwh"] is None
    assert summary["samples"] == 0
    assert house.statuses() == ["accepted", "completed"]
    for ack in house.acks:
        assert ack["shed_basis"] == "predicted", "a confirmed write is believed, not measured"


def test_a_reading_that_knows_nothing_is_no_trouble(house: House) -> None:
    assert house.engine.reading(PanelReading(NOW, None, {}), NOW) == []
    assert house.engine.baseline_kw(NOW) is None
    assert house.engine.next_deadline() is None
    assert house.engine.tick(NOW) == []
