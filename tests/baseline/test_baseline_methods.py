"""The registry of baselines, their error on the last days, and the calendar they go by."""

from __future__ import annotations

from datetime import date

import pytest

from tests.baseline.past_days import (
    NEW_YORK,
    PRESENT_KW,
    WEDNESDAY,
    at,
    baseline,
    load,
    weekdays,
)
from tests.support.each_case import each_case
from VenAgent.baseline.baseline import Baseline
from VenAgent.baseline.baseline_methods import METHODS
from VenAgent.baseline.intervals import IntervalHistory
from VenAgent.baseline.recent_power import RecentPower
from VenAgent.baseline.site_calendar import CalendarDayType, SiteCalendar, nerc_calendar_holidays

DAY_METHODS = ["high_4_of_5", "ten_of_ten"]

# ---- RRMSE --------------------------------------------------------------------------------------


def test_rrmse_by_hand() -> None:
    """High 4 of 5 by hand: four days of 90 kW predict 90 kW, and each tried day was 100 or 90.

    The newest day, 100 kW, was predicted as 90; the nine before it exactly. 10 kW in one of ten
    days: the root of 100/10, and the mean draw is 91 kW.
    """
    history = weekdays([load(100), *[load(90)] * 14], today=load(0))
    found = baseline("high_4_of_5", history)
    assert found.rrmse_percent == pytest.approx(100 * 10**0.5 / 91)


def test_rrmse_adjusts_each_tried_day_by_its_own_morning() -> None:
    """Each day is its morning plus 50 kW: after the adjustment nothing is left to miss."""
    mornings = [30, 70, 45, 60, 20, 55, 80, 33, 47, 61, 29, 44, 58, 77, 25]
    history = weekdays([load(kw + 50, kw) for kw in mornings], today=load(0))
    assert baseline("high_4_of_5", history).rrmse_percent == pytest.approx(0.0, abs=1e-9)
    assert baseline("ten_of_ten", history).rrmse_percent > 5.0


@each_case("method", ["pre_event_mean", "meter_before"])
def test_rrmse_of_as_it_was_before_takes_the_interval_before_the_event(method: str) -> None:
    """100 kW from 13:45, 110 kW from 14:00: 10 kW short of 110, on every day."""
    history = weekdays([lambda hour: 110 if hour >= 14 else 100 if hour >= 13.75 else 1] * 5, None)
    assert baseline(method, history).rrmse_percent == pytest.approx(100 * 10 / 110)


@each_case("method", METHODS)
def test_rrmse_is_not_told_without_enough_days(method: str) -> None:
    assert baseline(method, IntervalHistory()).rrmse_percent is None
    assert baseline(method, weekdays([load(100)] * 4, today=load(0))).rrmse_percent is None


@each_case("method", METHODS)
def test_rrmse_is_not_told_of_a_site_that_feeds_in(method: str) -> None:
    history = weekdays([load(-100, -20)] * 30, today=load(0))
    assert baseline(method, history).rrmse_percent is None


# ---- the registry -------------------------------------------------------------------------------


def recent_of(power_kw: float) -> RecentPower:
    recent = RecentPower()
    for back in range(300, -1, -5):
        recent.add(at(WEDNESDAY, 14) - back, power_kw)
    return recent


def test_pre_event_mean_is_the_mean_of_the_minutes_before() -> None:
    found = baseline("pre_event_mean", IntervalHistory(), recent=recent_of(20.0))
    assert found == Baseline(20.0, "pre_event_mean", 61)
    assert found.kw_at(at(WEDNESDAY, 15)) == 20.0


def test_meter_before_is_the_reading_at_the_start() -> None:
    found = baseline("meter_before", IntervalHistory(), recent=recent_of(20.0))
    assert found == Baseline(PRESENT_KW, "meter_before", 1)


@each_case("method", DAY_METHODS)
def test_without_days_the_mean_of_the_minutes_before_takes_their_place(method: str) -> None:
    found = baseline(method, IntervalHistory(), recent=recent_of(20.0))
    assert (found.power_kw, found.method, found.samples) == (20.0, "pre_event_mean", 61)
    assert found.note is not None
    assert found.note.startswith(f"{method} needs ")
    assert "pre_event_mean takes its place" in found.note


def test_an_unknown_method_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(ValueError, match="pre_event_mean, meter_before, high_4_of_5, ten_of_ten"):
        baseline("high_5_of_10", IntervalHistory())


# ---- the calendar -------------------------------------------------------------------------------


def test_the_nerc_holidays_of_2026_and_of_a_year_whose_july_4th_is_a_sunday() -> None:
    assert sorted(nerc_calendar_holidays(2026)) == [
        date(2026, 1, 1),
        date(2026, 5, 25),
        date(2026, 7, 4),  # a Saturday: not moved
        date(2026, 9, 7),
        date(2026, 11, 26),
        date(2026, 12, 25),
    ]
    assert date(2027, 7, 5) in nerc_calendar_holidays(2027)
    assert date(2027, 7, 4) not in nerc_calendar_holidays(2027)


def test_the_types_of_days() -> None:
    calendar = SiteCalendar(NEW_YORK, nerc=True)
    types = [calendar.day_type(date(2026, 5, day)) for day in (22, 23, 24, 25, 26)]
    assert types == [
        CalendarDayType.WEEKDAY,
        CalendarDayType.SATURDAY,
        CalendarDayType.SUNDAY,
        CalendarDayType.SUNDAY,
        CalendarDayType.WEEKDAY,
    ]
