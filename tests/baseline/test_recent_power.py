"""The baseline: the mean of five minutes, or the present power with less than a minute known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from VenAgent.baseline.baseline import Baseline
from VenAgent.baseline.recent_power import RecentPower, robust_recent_power_kw


def history_of(*samples: tuple[float, float]) -> RecentPower:
    history = RecentPower()
    for ts, power_kw in samples:
        history.add(ts, power_kw)
    return history


def test_the_mean_of_the_five_minutes_before_the_event() -> None:
    history = history_of(*((float(ts), 10.0 if ts < 150 else 20.0) for ts in range(0, 300, 5)))
    assert history.baseline(299.0, 99.0) == Baseline(15.0, "pre_event_mean", 60)


def test_the_present_power_with_less_than_a_minute_of_history() -> None:
    history = history_of(*((float(ts), 10.0) for ts in range(0, 60, 5)))
    assert history.baseline(60.0, 22.5) == Baseline(22.5, "present_power", 1)


def test_a_whole_minute_of_history_is_enough() -> None:
    history = history_of(*((float(ts), 10.0) for ts in range(0, 61, 5)))
    assert history.baseline(60.0, 22.5) == Baseline(10.0, "pre_event_mean", 13)


def test_the_present_power_without_any_history() -> None:
    assert RecentPower().baseline(0.0, 3.0) == Baseline(3.0, "present_power", 1)


def test_samples_older_than_five_minutes_do_not_count() -> None:
    history = history_of((0.0, 500.0), (99.0, 500.0), (101.0, 10.0), (250.0, 20.0), (400.0, 30.0))
    assert history.baseline(400.0, 0.0) == Baseline(20.0, "pre_event_mean", 3)


def test_history_that_ended_long_ago_does_not_count() -> None:
    history = history_of(*((float(ts), 10.0) for ts in range(0, 300, 5)))
    assert history.baseline(1000.0, 7.0) == Baseline(7.0, "present_power", 1)


def test_samples_after_the_beginning_do_not_count() -> None:
    history = history_of((0.0, 10.0), (60.0, 10.0), (61.0, 400.0))
    assert history.baseline(60.0, 0.0) == Baseline(10.0, "pre_event_mean", 2)


def test_the_same_reading_twice_counts_once() -> None:
    history = history_of((0.0, 10.0), (60.0, 40.0), (60.0, 40.0), (60.0, 70.0))
    assert history.baseline(60.0, 0.0) == Baseline(25.0, "pre_event_mean", 2)


def test_an_older_reading_that_comes_late_does_not_count() -> None:
    history = history_of((0.0, 10.0), (60.0, 20.0), (30.0, 900.0))
    assert history.baseline(60.0, 0.0) == Baseline(15.0, "pre_event_mean", 2)


@given(
    steps=st.lists(st.tuples(st.floats(0.5, 90.0), st.floats(-20.0, 60.0)), min_size=1, max_size=40)
)
def test_a_baseline_lies_within_what_was_read_in_the_window(
    steps: list[tuple[float, float]],
) -> None:
    history, ts, samples = RecentPower(), 0.0, []
    for step_sec, power_kw in steps:
        ts += step_sec
        history.add(ts, power_kw)
        samples.append((ts, power_kw))
    recent = [power_kw for at, power_kw in samples if at >= ts - history.window_sec]
    baseline = history.baseline(ts, samples[-1][1])
    if baseline.method == "pre_event_mean":
        assert baseline.samples == len(recent)
        assert baseline.power_kw == pytest.approx(robust_recent_power_kw(recent))
    else:
        assert baseline.power_kw == samples[-1][1]
    assert min(recent) - 1e-9 <= baseline.power_kw <= max(recent) + 1e-9


def test_one_absurd_reading_before_the_event_does_not_move_the_baseline() -> None:
    """A circuit of 6,553.5 kW (0xFFFF, in tenths) for one publication on a site of 13 kW."""
    history = history_of(
        *((float(ts), 6_566.0 if ts == 180 else 13.0) for ts in range(0, 300, 5)),
    )
    assert history.baseline(299.0, 13.0).power_kw == pytest.approx(13.0)


@given(
    values_kw=st.lists(st.floats(-50.0, 50.0), min_size=3, max_size=80),
    at=st.integers(0, 79),
    absurd_kw=st.floats(-1e6, 1e6),
)
def test_no_one_value_moves_the_mean_beyond_the_others(
    values_kw: list[float], at: int, absurd_kw: float
) -> None:
    others = [kw for number, kw in enumerate(values_kw) if number != at % len(values_kw)]
    mean_kw = robust_recent_power_kw([*others, absurd_kw])
    assert min(others) - 1e-9 <= mean_kw <= max(others) + 1e-9


def test_the_window_of_a_slow_meter_has_some_readings_all_the_same() -> None:
    """A driver's interval of five minutes."""
    history = history_of(*((ts * 300.0, 10.0 + ts) for ts in range(12)))
    baseline = history.baseline(11 * 300.0, 99.0)
    assert baseline.method == "pre_event_mean"
    assert baseline.samples >= 5


def test_after_the_clock_was_set_back_the_history_begins_again() -> None:
    history = history_of(*((float(ts), 500.0) for ts in range(7200, 7500, 5)))
    for ts in range(3600, 3900, 5):
        history.add(float(ts), 10.0)
    assert history.baseline(3895.0, 0.0) == Baseline(10.0, "pre_event_mean", 60)
