"""The curve of the last hour."""

from __future__ import annotations

import pytest

from VenAgent.web.history import KEPT_SEC, POINT_SEC, PowerCurve


def test_readings_of_five_seconds_make_one_point_with_their_mean() -> None:
    curve = PowerCurve()
    for second, power_kw in enumerate((1.0, 2.0, 3.0, 4.0, 5.0)):
        curve.add(1000.0 + second, power_kw, 10.0, float(second))
    curve.add(1005.0, 7.0, None, None)
    columns = curve.columns(1006.0)
    assert columns["ts"] == [1000.0, 1005.0]
    assert columns["power_kw"] == [pytest.approx(3.0), 7.0]
    assert columns["baseline_kw"] == [10.0, None]
    assert columns["target_kw"] == [4.0, None]


def test_what_was_not_read_makes_a_gap_and_no_point() -> None:
    curve = PowerCurve()
    curve.add(1000.0, 1.0, None, None)
    curve.add(1005.0, None, 10.0, 5.0)
    curve.add(1010.0, 2.0, None, None)
    assert curve.columns(1011.0)["ts"] == [1000.0, 1010.0]


def test_a_reading_older_than_the_last_point_changes_nothing() -> None:
    curve = PowerCurve()
    curve.add(1010.0, 2.0, None, None)
    curve.add(1004.0, 9.0, None, None)
    assert curve.columns(1011.0)["power_kw"] == [2.0]


def test_it_keeps_an_hour_however_often_the_meter_is_read() -> None:
    curve = PowerCurve()
    for second in range(10_000):
        curve.add(float(second), 1.0, None, None)
    columns = curve.columns(9_999.0)
    assert len(columns["ts"]) == KEPT_SEC / POINT_SEC
    assert columns["ts"][0] > 9_999.0 - KEPT_SEC - POINT_SEC
    assert curve.columns(20_000.0)["ts"] == []
