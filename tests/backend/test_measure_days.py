"""Baselines from similar days: the rules one by one, and the same as the agent's."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.measure.days import METHODS, QUARTER_SEC, History, similar_days
from VenAgent.baseline.day_matching import HIGH_4_OF_5, TEN_OF_TEN, EventDays
from VenAgent.baseline.intervals import IntervalHistory, SiteCalendar

THEIRS = {"high_4_of_5": HIGH_4_OF_5, "ten_of_ten": TEN_OF_TEN}
WEDNESDAY = datetime(2026, 3, 25, 14, 0, tzinfo=timezone.utc)


def flat_days(kw_by_days_back: dict[int, float], today_kw: float = 10.0) -> dict[int, float]:
    """Each day before WEDNESDAY's at one power, this morning at another."""
    midnight = round(WEDNESDAY.replace(hour=0).timestamp())
    means = {
        midnight - back * 86_400 + at * QUARTER_SEC: kw
        for back, kw in kw_by_days_back.items()
        for at in range(96)
    }
    return means | {midnight + at * QUARTER_SEC: today_kw for at in range(56)}


def baseline_kw(method: str, history: History, hours: float = 1.0) -> float | None:
    start = WEDNESDAY.timestamp()
    profile = similar_days(method, history, start, start + 3_600 * hours)
    return None if profile is None else sum(profile.kw.values()) / len(profile.kw)


def test_high_4_of_5_takes_the_four_highest_of_the_last_five_weekdays() -> None:
    days = {1: 10.0, 2: 12.0, 5: 6.0, 6: 14.0, 7: 8.0, 8: 99.0}  # 3 and 4 back: the weekend
    history = History(flat_days(days, today_kw=11.0))
    assert baseline_kw("high_4_of_5", history) == pytest.approx(11.0)  # their mean, no change


def test_high_4_of_5_is_moved_by_this_mornings_difference() -> None:
    days = dict.fromkeys((1, 2, 5, 6, 7), 10.0)
    assert baseline_kw("high_4_of_5", History(flat_days(days, 13.0))) == pytest.approx(13.0)


def test_ten_of_ten_is_moved_by_this_mornings_ratio_up_to_a_fifth() -> None:
    days = dict.fromkeys(range(1, 15), 10.0)
    assert baseline_kw("ten_of_ten", History(flat_days(days, 11.0))) == pytest.approx(11.0)
    assert baseline_kw("ten_of_ten", History(flat_days(days, 30.0))) == pytest.approx(12.0)
    assert baseline_kw("ten_of_ten", History(flat_days(days, 1.0))) == pytest.approx(8.0)


def test_a_day_with_an_event_at_any_hour_does_not_count() -> None:
    means = flat_days(dict.fromkeys((1, 2, 5, 6), 10.0))
    assert baseline_kw("high_4_of_5", History(means)) == pytest.approx(10.0)
    evening = round((WEDNESDAY - timedelta(days=2)).replace(hour=22).timestamp())
    assert baseline_kw("high_4_of_5", History(means, shed={evening})) is None


def test_too_few_days_are_no_baseline() -> None:
    assert baseline_kw("high_4_of_5", History({})) is None
    assert baseline_kw("ten_of_ten", History(flat_days({1: 1.0, 2: 1.0, 5: 1.0, 6: 1.0}))) is None


zones = st.sampled_from(["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"])


@given(
    st.integers(0, 2**32),
    zones,
    st.integers(0, 59),
    st.integers(0, 95),
    st.floats(60.0, 8 * 3_600.0),
    st.sampled_from(sorted(METHODS)),
    st.floats(0.0, 0.2),
)
def test_the_agent_and_the_backend_find_the_same_baseline(
    seed: int, name: str, day: int, quarter: int, length_sec: float, method: str, gaps: float
) -> None:
    chance = random.Random(seed)
    zone: tzinfo = ZoneInfo(name)
    first = datetime(2026, 2, 1, tzinfo=timezone.utc)  # over the spring's clock changes
    begin = round(first.timestamp())
    end = begin + (46 + day) * 86_400
    means = {
        at: chance.choice([0.1, 1.0, 1.0]) * chance.uniform(-1.0, 20.0)
        for at in range(begin, end, QUARTER_SEC)
        if chance.random() >= gaps * 0.05
    }
    shed = frozenset(at for at in means if chance.random() < gaps * 0.005)
    holidays = frozenset({date(2026, 2, 16)})
    start = begin + 46 * 86_400 + quarter * QUARTER_SEC + chance.choice([0.0, 400.0])
    ours = similar_days(method, History(means, shed, zone, holidays), start, start + length_sec)
    calendar = SiteCalendar(zone, holidays)
    event = EventDays(IntervalHistory(means, shed, calendar), start, start + length_sec)
    theirs = THEIRS[method].predict(event, event.date, event.window_today)
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        assert tuple(ours.kw.values()) == theirs.values
        assert ours.days == theirs.days
