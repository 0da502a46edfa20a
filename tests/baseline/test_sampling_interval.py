"""How often a meter is read, from its readings."""

from __future__ import annotations

from itertools import accumulate

from tests.support.each_case import each_case
from VenAgent.baseline.sampling_interval import SamplingInterval


def read_after(*gaps_sec: float) -> SamplingInterval:
    sampling = SamplingInterval()
    for ts in accumulate(gaps_sec, initial=1_000.0):
        sampling.add(ts)
    return sampling


def test_before_a_few_readings_it_is_not_known() -> None:
    sampling = read_after(60.0, 60.0)
    assert sampling.interval_sec is None
    assert sampling.stale_after_sec(30.0) == 30.0


@each_case("interval_sec", [5.0, 60.0, 300.0])
def test_it_is_what_is_seen(interval_sec: float) -> None:
    sampling = read_after(*[interval_sec] * 10)
    assert sampling.interval_sec == interval_sec
    assert sampling.gap_limit_sec >= 2.0 * interval_sec
    assert sampling.stale_after_sec(30.0) >= 2.0 * interval_sec or interval_sec == 5.0


def test_what_is_read_in_between_makes_it_no_shorter() -> None:
    sampling = read_after(*[300.0] * 6, *[1.0] * 9, 290.0)
    assert sampling.interval_sec == 300.0


def test_an_outage_makes_it_no_longer() -> None:
    sampling = read_after(*[5.0] * 7, 600.0, *[5.0] * 6, 3_600.0)
    assert sampling.interval_sec == 5.0
    assert sampling.stale_after_sec(30.0) == 30.0
    assert sampling.gap_limit_sec == 90.0
