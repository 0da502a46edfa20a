"""The power while an event was active, and what is settled of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from VenAgent.baseline.measured_power import MeasuredPower
from VenAgent.baseline.settlement import SettledTime, settlement_of

GAP_SEC = 90.0


def metered(*samples: tuple[float, float], baseline_kw: float | None = 20.0) -> MeasuredPower:
    found = MeasuredPower()
    for ts, power_kw in samples:
        found = found.add(ts, power_kw, baseline_kw, GAP_SEC)
    return found


def test_the_mean_is_weighted_by_time() -> None:
    settlement = metered((0.0, 10.0), (10.0, 20.0), (40.0, 99.0)).settle(40.0)
    assert settlement.average_kw == pytest.approx((10.0 * 10 + 20.0 * 30) / 40)
    assert settlement.samples == 3


def test_the_same_or_an_older_reading_is_not_metered_again() -> None:
    found = metered((0.0, 10.0), (10.0, 20.0), (10.0, 500.0), (5.0, 500.0), (20.0, 20.0))
    assert found.samples == 3
    assert found.settle(20.0).average_kw == pytest.approx(15.0)


def test_one_reading_is_its_own_mean_and_none_has_no_mean() -> None:
    assert MeasuredPower().settle(60.0).average_kw is None
    assert metered((3.0, 7.0)).settle(60.0).average_kw == 7.0


def test_when_the_meter_dies_only_the_time_that_was_seen_is_delivered() -> None:
    """The meter is read for 4 min of a 10 min event: 6 kW below the baseline while it was seen."""
    samples = [(float(ts), 14.0) for ts in range(0, 241, 5)]
    settlement = metered(*samples).until(600.0, GAP_SEC).settle(600.0)
    assert settlement.delivered_kwh == pytest.approx(6.0 * 240.0 / 3600.0)
    assert settlement.achieved_kw == pytest.approx(6.0)
    assert (settlement.seen_sec, settlement.unseen_sec) == (240.0, 360.0)
    assert settlement.note == "360 of 600 s were not seen by the meter"


def test_a_gap_in_the_middle_was_not_seen() -> None:
    samples = [*((float(ts), 14.0) for ts in range(0, 101, 5)), (400.0, 20.0), (405.0, 20.0)]
    settlement = metered(*samples).settle(405.0)
    assert settlement.unseen_sec == 300.0
    assert settlement.delivered_kwh == pytest.approx(6.0 * 100.0 / 3600.0)


def test_two_readings_are_no_settlement() -> None:
    settlement = metered((0.0, 14.0), (25.0, 14.0)).settle(600.0)
    assert settlement.note == "not measured: 2 readings of 25 s"
    assert (settlement.achieved_kw, settlement.delivered_kwh) == (None, None)
    assert settlement.unseen_sec == 575.0


@pytest.mark.parametrize("interval_sec", [60.0, 300.0, 600.0])
def test_two_readings_of_a_slow_meter_are_no_settlement_and_three_are(interval_sec: float) -> None:
    gap_sec = 2.5 * interval_sec
    found = MeasuredPower()
    for reading in range(2):
        found = found.add(reading * interval_sec, 14.0, 20.0, gap_sec)
    seen = found.until(2.0 * interval_sec, gap_sec).settle(2.0 * interval_sec)
    assert seen.unseen_sec == 0.0
    assert seen.delivered_kwh is None
    assert seen.note == f"not measured: 2 readings of {2.0 * interval_sec:.0f} s"
    found = found.add(2.0 * interval_sec, 14.0, 20.0, gap_sec)
    settlement = found.until(3.0 * interval_sec, gap_sec).settle(3.0 * interval_sec)
    assert settlement.note is None
    assert settlement.delivered_kwh == pytest.approx(6.0 * 3.0 * interval_sec / 3600.0)


@pytest.mark.parametrize(("event_sec", "seen_sec"), [(10.0, 4.0), (60.0, 25.0), (3_600.0, 50.0)])
def test_too_small_a_part_of_the_event_is_no_settlement(event_sec: float, seen_sec: float) -> None:
    samples = [(seen_sec * part / 10.0, 14.0) for part in range(11)]
    settlement = metered(*samples).settle(event_sec)
    assert settlement.delivered_kwh is None
    assert settlement.note == f"not measured: 11 readings of {seen_sec:.0f} s"
    longer = metered(*((ts * 3.0, kw) for ts, kw in samples)).settle(event_sec)
    assert longer.delivered_kwh == pytest.approx(6.0 * min(event_sec, 3.0 * seen_sec) / 3600.0)


def test_what_was_paused_is_neither_seen_nor_unseen() -> None:
    found = metered(*((float(ts), 14.0) for ts in range(0, 101, 5))).pause(100.0, GAP_SEC)
    for ts in range(400, 501, 5):
        found = found.go_on(400.0).add(float(ts), 14.0, 20.0, GAP_SEC)
    settlement = found.settle(500.0)
    assert settlement.unseen_sec == 0.0
    assert settlement.delivered_kwh == pytest.approx(6.0 * 200.0 / 3600.0)


def test_without_a_baseline_nothing_is_delivered() -> None:
    settlement = metered((0.0, 14.0), (50.0, 14.0), (99.0, 14.0), baseline_kw=None).settle(99.0)
    assert settlement.average_kw == 14.0
    assert settlement.delivered_kwh is None


@given(
    powers_kw=st.lists(st.floats(0.0, 50.0), min_size=20, max_size=60),
    baselines_kw=st.lists(st.floats(0.0, 50.0), min_size=60, max_size=60),
    outage=st.integers(1, 19),
)
def test_reading_by_reading_and_part_by_part_give_the_same(
    powers_kw: list[float], baselines_kw: list[float], outage: int
) -> None:
    """As the agent meters, and as the operator sums what it stored."""
    found, parts, ts = MeasuredPower(), [], 0.0
    for number, (power_kw, baseline_kw) in enumerate(zip(powers_kw, baselines_kw, strict=False)):
        step_sec = 300.0 if number == outage else 5.0
        if number and step_sec == 5.0:
            parts.append(SettledTime(5.0, powers_kw[number - 1], baselines_kw[number - 1]))
        ts += step_sec
        found = found.add(ts, power_kw, baseline_kw, GAP_SEC)
    event_sec = ts - 5.0
    by_reading = found.settle(event_sec)
    by_part = settlement_of(len(powers_kw), event_sec, parts)
    assert by_reading.seen_sec == pytest.approx(by_part.seen_sec)
    assert by_reading.delivered_kwh == pytest.approx(by_part.delivered_kwh, abs=1e-9)
