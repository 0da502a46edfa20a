"""Baselines from similar days: what holds whatever the site drew."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.baseline.past_days import (
    WEDNESDAY,
    at,
    baseline,
    load,
    past_of,
    weekdays,
    weekdays_before,
)
from tests.support.example_count import example_count
from VenAgent.baseline.intervals import IntervalHistory

DAY_METHODS = ["high_4_of_5", "ten_of_ten"]

powers = st.floats(1.0, 500.0)
days_of_powers = st.lists(st.tuples(powers, powers), min_size=10, max_size=10)


def of_powers(
    days: list[tuple[float, float]], today_kw: float, scale: float = 1.0
) -> IntervalHistory:
    loads = [load(scale * event_kw, scale * morning_kw) for event_kw, morning_kw in days]
    return weekdays(loads, today=load(0.0, scale * today_kw))


@settings(max_examples=example_count(40), deadline=None)
@given(days=days_of_powers, today_kw=st.floats(-500.0, 5000.0))
def test_ten_of_ten_never_leaves_the_days_mean_by_more_than_the_cap(
    days: list[tuple[float, float]], today_kw: float
) -> None:
    mean_kw = sum(event_kw for event_kw, _ in days) / 10
    found = baseline("ten_of_ten", of_powers(days, today_kw))
    assert 0.8 * mean_kw - 1e-9 <= found.power_kw <= 1.2 * mean_kw + 1e-9


@settings(max_examples=example_count(40), deadline=None)
@given(data=st.data(), days=days_of_powers, today_kw=powers)
@pytest.mark.parametrize(("method", "basis"), [("high_4_of_5", 5), ("ten_of_ten", 10)])
def test_the_order_of_the_days_does_not_matter(
    method: str, basis: int, data: st.DataObject, days: list[tuple[float, float]], today_kw: float
) -> None:
    """All at least a quarter of their mean, so that the same days count in any order."""
    days = [(200.0 + event_kw, morning_kw) for event_kw, morning_kw in days]
    mixed = data.draw(st.permutations(days[:basis])) + days[basis:]
    powers_kw = [baseline(method, of_powers(d, today_kw)).power_kw for d in (days, mixed)]
    if len({event_kw for event_kw, _ in days[:basis]}) == basis:
        assert powers_kw[0] == pytest.approx(powers_kw[1])


@settings(max_examples=example_count(40), deadline=None)
@given(days=days_of_powers, today_kw=powers, scale=st.floats(0.01, 100.0))
@pytest.mark.parametrize("method", DAY_METHODS)
def test_a_site_ten_times_as_large_has_a_baseline_ten_times_as_high(
    method: str, days: list[tuple[float, float]], today_kw: float, scale: float
) -> None:
    small, large = (baseline(method, of_powers(days, today_kw, s)) for s in (1.0, scale))
    assert large.method == small.method
    if large.method == method:  # else the power present took its place, which is the same for both
        assert large.power_kw == pytest.approx(scale * small.power_kw)
    assert large.samples == small.samples
    assert large.rrmse_percent == pytest.approx(small.rrmse_percent)


@settings(max_examples=example_count(40), deadline=None)
@given(days=days_of_powers, event_days=st.sets(st.integers(0, 9)), shed_kw=powers)
@pytest.mark.parametrize("method", DAY_METHODS)
def test_what_was_drawn_on_days_with_an_event_changes_nothing(
    method: str, days: list[tuple[float, float]], event_days: set[int], shed_kw: float
) -> None:
    dates = weekdays_before(WEDNESDAY, 10)
    shed_times = [at(dates[n], 15) for n in event_days]
    found = []
    for with_event in (lambda kw: kw, lambda kw: kw - shed_kw):
        loads = {
            day: load(with_event(kw) if n in event_days else kw, morning)
            for n, (day, (kw, morning)) in enumerate(zip(dates, days, strict=True))
        }
        found.append(baseline(method, past_of(loads, events=shed_times)))
    assert found[0] == found[1]
