"""A VEN's baseline from similar days of its stored history: the rules, one by one."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from backend.measure.ven_baseline import choose_ven_baseline
from VenAgent.baseline.intervals import INTERVAL_SEC, IntervalHistory

WEDNESDAY = datetime(2026, 3, 25, 14, 0, tzinfo=timezone.utc)


def flat_days(kw_by_days_back: dict[int, float], today_kw: float = 10.0) -> dict[int, float]:
    """Each day before WEDNESDAY's at one power, this morning at another."""
    midnight = round(WEDNESDAY.replace(hour=0).timestamp())
    means = {
        midnight - back * 86_400 + at * INTERVAL_SEC: kw
        for back, kw in kw_by_days_back.items()
        for at in range(96)
    }
    return means | {midnight + at * INTERVAL_SEC: today_kw for at in range(56)}


def baseline_kw(method: str, history: IntervalHistory, hours: float = 1.0) -> float | None:
    start = WEDNESDAY.timestamp()
    end = start + 3_600 * hours
    found = choose_ven_baseline(method, None, history, start_ts=start, end_ts=end)
    return None if found is None else found.baseline.power_kw


def test_high_4_of_5_takes_the_four_highest_of_the_last_five_weekdays() -> None:
    days = {1: 10.0, 2: 12.0, 5: 6.0, 6: 14.0, 7: 8.0, 8: 99.0}  # 3 and 4 back: the weekend
    history = IntervalHistory(flat_days(days, today_kw=11.0))
    assert baseline_kw("high_4_of_5", history) == pytest.approx(11.0)  # their mean, no change


def test_high_4_of_5_is_moved_by_this_mornings_difference() -> None:
    days = dict.fromkeys((1, 2, 5, 6, 7), 10.0)
    assert baseline_kw("high_4_of_5", IntervalHistory(flat_days(days, 13.0))) == pytest.approx(13.0)


def test_ten_of_ten_is_moved_by_this_mornings_ratio_up_to_a_fifth() -> None:
    days = dict.fromkeys(range(1, 15), 10.0)
    assert baseline_kw("ten_of_ten", IntervalHistory(flat_days(days, 11.0))) == pytest.approx(11.0)
    assert baseline_kw("ten_of_ten", IntervalHistory(flat_days(days, 30.0))) == pytest.approx(12.0)
    assert baseline_kw("ten_of_ten", IntervalHistory(flat_days(days, 1.0))) == pytest.approx(8.0)


def test_a_day_with_an_event_at_any_hour_does_not_count() -> None:
    means = flat_days(dict.fromkeys((1, 2, 5, 6), 10.0))
    assert baseline_kw("high_4_of_5", IntervalHistory(means)) == pytest.approx(10.0)
    evening = round((WEDNESDAY - timedelta(days=2)).replace(hour=22).timestamp())
    assert baseline_kw("high_4_of_5", IntervalHistory(means, frozenset({evening}))) is None


def test_too_few_days_are_no_baseline() -> None:
    assert baseline_kw("high_4_of_5", IntervalHistory()) is None
    assert (
        baseline_kw("ten_of_ten", IntervalHistory(flat_days({1: 1.0, 2: 1.0, 5: 1.0, 6: 1.0})))
        is None
    )
