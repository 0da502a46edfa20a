"""Baselines from similar days: examples worked out by hand from the tariffs."""

from __future__ import annotations

from datetime import date, timedelta
from datetime import timezone as fixed

import pytest

from tests.baseline.past_days import (
    CALENDAR,
    NEW_YORK,
    PRESENT_KW,
    WEDNESDAY,
    at,
    baseline,
    flat,
    load,
    past_of,
    weekdays,
    weekdays_before,
)
from tests.support.each_case import each_case
from VenAgent.baseline.intervals import INTERVAL_SEC, IntervalHistory
from VenAgent.baseline.site_calendar import SiteCalendar

DAY_METHODS = ["high_4_of_5", "ten_of_ten"]

# ---- PJM's high 4 of 5 --------------------------------------------------------------------------


def test_of_the_last_five_weekdays_the_four_highest_are_averaged() -> None:
    history = weekdays(map(load, [100, 110, 90, 120, 80, 999]), today=load(0))
    found = baseline("high_4_of_5", history)
    assert found.power_kw == pytest.approx((100 + 110 + 90 + 120) / 4)
    assert (found.method, found.samples) == ("high_4_of_5", 4)


def test_the_difference_of_the_three_hours_that_end_an_hour_before_is_added() -> None:
    """Days of 50, 60, 40 and 70 kW in the morning, 58 today: 3 kW more than their mean of 55."""
    days = [load(100, 50), load(110, 60), load(90, 40), load(120, 70), load(80, 500)]
    found = baseline("high_4_of_5", weekdays(days, today=load(0, 58)))
    assert found.power_kw == pytest.approx(105 + 3)
    assert found.note == "adjusted by +3.000 kW"


def test_the_hour_just_before_the_event_does_not_adjust() -> None:
    """A building that was pre-cooled for the event would be paid for it."""

    def today(hour: float) -> float:
        return 50.0 if 10 <= hour < 13 else 5000.0

    found = baseline("high_4_of_5", weekdays([load(100)] * 5, today))
    assert found.power_kw == pytest.approx(100)


def test_a_day_of_very_low_use_gives_way_to_an_earlier_one() -> None:
    """The mean of the five is 82; 10 is less than a quarter of it, the sixth day steps in."""
    history = weekdays(map(load, [100, 100, 10, 100, 100, 60]), today=load(0))
    assert baseline("high_4_of_5", history).power_kw == pytest.approx(100)
    history = weekdays(map(load, [100, 100, 10, 10, 100, 60, 80]), today=load(0))
    assert baseline("high_4_of_5", history).power_kw == pytest.approx((100 + 100 + 100 + 80) / 4)


def test_four_weekdays_are_enough_for_it_and_three_are_not() -> None:
    four = baseline("high_4_of_5", weekdays([load(100)] * 4, today=load(0)))
    assert (four.method, four.samples) == ("high_4_of_5", 4)
    three = baseline("high_4_of_5", weekdays([load(100)] * 3, today=load(0)))
    assert (three.method, three.power_kw) == ("present_power", PRESENT_KW)
    assert three.note == (
        "high_4_of_5 needs 4 days like this one without an event in the last 45; "
        "there are fewer, present_power takes its place"
    )


def test_on_a_saturday_two_of_three_saturdays_count() -> None:
    saturday = date(2026, 6, 20)
    days = {saturday - timedelta(days=n): flat(1000) for n in range(1, 30)}
    for weeks, power_kw in enumerate([10, 40, 30], start=1):
        days[saturday - timedelta(weeks=weeks)] = flat(power_kw)
    found = baseline("high_4_of_5", past_of(days), at(saturday, 14))
    assert found.power_kw == pytest.approx(35)
    assert found.samples == 2


def test_holidays_are_like_sundays_and_no_weekdays() -> None:
    calendar = SiteCalendar(NEW_YORK, nerc=True)
    day_after = date(2026, 5, 26)  # Memorial Day was the 25th
    days = {day: load(100) for day in weekdays_before(day_after, 6)}
    days[date(2026, 5, 25)] = load(7)
    found = baseline("high_4_of_5", past_of(days, calendar=calendar), at(day_after, 14))
    assert found.power_kw == pytest.approx(100)
    sundays = {date(2026, 5, day): flat(20) for day in (10, 17, 24)}
    found = baseline("high_4_of_5", past_of(sundays, calendar=calendar), at(date(2026, 5, 25), 14))
    assert found.power_kw == pytest.approx(20)


def test_the_site_s_own_holidays_count_too() -> None:
    calendar = SiteCalendar(NEW_YORK, holidays=frozenset({date(2026, 6, 16)}))
    days = dict(zip(weekdays_before(WEDNESDAY, 6), map(load, [7] + [100] * 5), strict=True))
    history = past_of(days, calendar=calendar)
    assert baseline("high_4_of_5", history).power_kw == pytest.approx(100)


# ---- CAISO's ten in ten -------------------------------------------------------------------------


def test_the_last_ten_weekdays_are_averaged() -> None:
    history = weekdays(map(load, [*range(91, 101), 999]), today=load(0))
    found = baseline("ten_of_ten", history)
    assert found.power_kw == pytest.approx(95.5)
    assert (found.method, found.samples, found.note) == (
        "ten_of_ten",
        10,
        "adjusted by the factor 1.000",
    )


@each_case(
    ("morning_kw", "factor"),
    [(55, 1.1), (60, 1.2), (70, 1.2), (500, 1.2), (45, 0.9), (30, 0.8), (0, 0.8), (-20, 0.8)],
)
def test_the_ratio_of_the_morning_is_held_within_20_percent(
    morning_kw: float, factor: float
) -> None:
    found = baseline("ten_of_ten", weekdays([load(100, 50)] * 10, today=load(0, morning_kw)))
    assert found.power_kw == pytest.approx(100 * factor)
    assert found.note == f"adjusted by the factor {factor:.3f}"


def test_a_site_that_fed_in_during_the_morning_is_not_adjusted() -> None:
    found = baseline("ten_of_ten", weekdays([load(100, -5)] * 10, today=load(0, 10)))
    assert found.power_kw == pytest.approx(100)
    assert found.note == "not adjusted: the site drew nothing in the hours before"


def test_five_weekdays_are_enough_for_it_and_four_are_not() -> None:
    assert baseline("ten_of_ten", weekdays([load(100)] * 5, load(0))).samples == 5
    assert baseline("ten_of_ten", weekdays([load(100)] * 4, load(0))).method == "present_power"


def test_on_a_weekend_the_last_four_days_of_weekends_count() -> None:
    saturday = date(2026, 6, 20)
    days = {saturday - timedelta(days=n): flat(1000) for n in range(1, 30)}
    for day, power_kw in [(14, 10), (13, 20), (7, 30), (6, 40)]:
        days[date(2026, 6, day)] = flat(power_kw)
    found = baseline("ten_of_ten", past_of(days), at(saturday, 14))
    assert found.power_kw == pytest.approx(25)
    assert found.samples == 4


def test_days_more_than_45_days_ago_do_not_count() -> None:
    monday = date(2026, 6, 22)
    days = {monday - timedelta(days=n): flat(100) for n in range(41, 60)}
    weekdays_inside = [date(2026, 5, day) for day in (8, 11, 12)]
    assert (monday - weekdays_inside[0]).days == 45
    days.update({day: flat(100) for day in weekdays_inside})
    assert baseline("high_4_of_5", past_of(days), at(monday, 14)).method == "present_power"
    days[date(2026, 5, 13)] = flat(100)
    assert baseline("high_4_of_5", past_of(days), at(monday, 14)).samples == 4


# ---- which intervals ----------------------------------------------------------------------------


@each_case("method", DAY_METHODS)
def test_the_first_and_the_last_interval_count_by_their_part(method: str) -> None:
    """14:10 to 14:40: 5 minutes of 10 kW, 15 of 20 kW, 10 of 30 kW."""

    def day(hour: float) -> float:
        return {14.0: 10.0, 14.25: 20.0, 14.5: 30.0}.get(hour, 15.0)

    found = baseline(
        method, weekdays([day] * 10, today=flat(15)), at(WEDNESDAY, 14, 10), at(WEDNESDAY, 14, 40)
    )
    assert found.power_kw == pytest.approx((5 * 10 + 15 * 20 + 10 * 30) / 30)
    assert [kw for _, kw in found.profile] == pytest.approx([10, 20, 30])
    assert [start for start, _ in found.profile] == [
        at(WEDNESDAY, 14),
        at(WEDNESDAY, 14, 15),
        at(WEDNESDAY, 14, 30),
    ]
    assert found.kw_at(at(WEDNESDAY, 14, 20)) == pytest.approx(20)
    assert found.kw_at(at(WEDNESDAY, 13)) == pytest.approx(10)
    assert found.kw_at(at(WEDNESDAY, 14, 45)) == pytest.approx(30)


@each_case("method", DAY_METHODS)
def test_an_event_over_midnight_is_compared_with_nights(method: str) -> None:
    def day(hour: float) -> float:
        return 80.0 if hour >= 22 else 40.0 if hour < 2 else 50.0

    days = {WEDNESDAY - timedelta(days=n): day for n in range(1, 20)}
    days[WEDNESDAY] = day
    found = baseline(method, past_of(days), at(WEDNESDAY, 23), at(WEDNESDAY, 23) + 3 * 3600)
    assert found.method == method
    assert [kw for _, kw in found.profile] == pytest.approx([80] * 4 + [40] * 8)


@each_case("method", DAY_METHODS)
def test_after_the_clocks_were_changed_the_same_wall_clock_is_compared(method: str) -> None:
    monday = date(2026, 3, 9)  # summer time began on the 8th
    days = {monday - timedelta(days=n): load(100) for n in range(1, 40)}
    found = baseline(method, past_of(days), at(monday, 13), at(monday, 14))
    assert [kw for _, kw in found.profile] == pytest.approx([100] * 4)


def test_the_day_on_which_the_clocks_were_changed_does_not_count() -> None:
    sunday = date(2026, 3, 15)
    sundays = {sunday - timedelta(weeks=n): flat(20) for n in range(1, 5)}
    sundays[date(2026, 3, 8)] = flat(999)
    found = baseline("high_4_of_5", past_of(sundays), at(sunday, 14))
    assert found.power_kw == pytest.approx(20)


def test_a_site_with_a_fixed_offset_has_its_own_days() -> None:
    """Five and three quarter hours ahead: its Wednesday begins on Tuesday, 18:15 UTC."""
    calendar = SiteCalendar(fixed(timedelta(hours=5, minutes=45)))
    days = dict(zip(weekdays_before(WEDNESDAY, 5), [load(100)] * 5, strict=True))
    start_ts = calendar.midnight(WEDNESDAY) + 13.0 * 3600
    found = baseline("high_4_of_5", past_of(days, calendar=calendar), start_ts)
    assert [kw for _, kw in found.profile] == pytest.approx([100] * 8)


@each_case("method", DAY_METHODS)
def test_a_day_of_which_an_interval_is_not_known_gives_way_to_an_earlier_one(method: str) -> None:
    history = weekdays([load(500), *[load(100)] * 10], today=load(0))
    yesterday = WEDNESDAY - timedelta(days=1)
    means = {start: kw for start, kw in history.means.items() if start != at(yesterday, 15)}
    found = baseline(method, IntervalHistory(means, frozenset(), CALENDAR))
    assert found.power_kw == pytest.approx(100)


@each_case("method", DAY_METHODS)
def test_without_today_s_morning_it_is_not_adjusted(method: str) -> None:
    found = baseline(method, weekdays([load(100)] * 10, today=None))
    assert found.power_kw == pytest.approx(100)
    assert found.note == "not adjusted: too little is known of the hours before"


@each_case("method", DAY_METHODS)
def test_half_of_today_s_morning_is_enough_to_adjust(method: str) -> None:
    history = weekdays([load(100, 50)] * 10, today=load(0, 55))
    for hour, adjusted in ((11.5, True), (11.75, False)):
        begin = at(WEDNESDAY, 0) + hour * 3600
        means = {s: kw for s, kw in history.means.items() if s < at(WEDNESDAY, 0) or s >= begin}
        found = baseline(method, IntervalHistory(means, frozenset(), CALENDAR))
        assert (found.power_kw > 101) is adjusted


# ---- events -------------------------------------------------------------------------------------


@each_case("method", DAY_METHODS)
def test_a_day_with_an_event_at_any_hour_does_not_count(method: str) -> None:
    yesterday = WEDNESDAY - timedelta(days=1)
    days = dict(zip(weekdays_before(WEDNESDAY, 11), [load(500)] + [load(100)] * 10, strict=True))
    for hour in (0, 9, 15, 23):
        found = baseline(method, past_of(days, events=[at(yesterday, hour, 45)]))
        assert found.power_kw == pytest.approx(100)


@each_case("method", DAY_METHODS)
def test_an_event_earlier_today_does_not_adjust(method: str) -> None:
    history = weekdays([load(100, 50)] * 10, today=load(0, 5))
    shed = [at(WEDNESDAY, 10) + n * INTERVAL_SEC for n in range(12)]
    found = baseline(method, IntervalHistory(history.means, frozenset(map(int, shed)), CALENDAR))
    assert found.power_kw == pytest.approx(100)
