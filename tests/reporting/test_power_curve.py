"""The curve of the last hour."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from VenAgent.reporting.power_curve import (
    KEPT_SEC,
    POINT_SEC,
    WRITE_SEC,
    PowerCurve,
    PowerCurveFile,
)

NOON = 1_800_000_000.0


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


def test_a_clock_that_is_set_back_goes_on_from_there() -> None:
    curve = PowerCurve()
    for second in range(0, 300, 5):
        curve.add(NOON + second, 1.0, None, None)
    curve.add(NOON + 100.0, 2.0, None, None)
    columns = curve.columns(NOON + 100.0)
    assert columns["ts"][-1] == NOON + 100.0
    assert len(columns["ts"]) == 21


def kept(path: Path, now: float) -> dict[str, list[float]]:
    """What an agent that is started at `now` finds."""
    curve = PowerCurve()
    PowerCurveFile(path, curve).load(now)
    return curve.columns(now)


def an_hour(path: Path) -> PowerCurveFile:
    curve = PowerCurve()
    for second in range(0, 3600, 5):
        curve.add(NOON + second, 20.0 + second / 1000, 22.6, 17.6 if second > 1800 else None)
    return PowerCurveFile(path, curve)


def test_the_hour_outlives_the_agent_in_a_small_file(tmp_path: Path) -> None:
    path = tmp_path / "curve.json"
    file = an_hour(path)
    file.save(NOON + 3600.0)
    assert path.stat().st_size < 40_000
    assert list(tmp_path.iterdir()) == [path]
    found = kept(path, NOON + 3600.0)
    assert (len(found["ts"]), found["target_kw"][0], found["target_kw"][-1]) == (719, None, 17.6)
    assert kept(path, NOON + 5400.0)["ts"] == found["ts"][360:]
    assert kept(path, NOON + 8000.0)["ts"] == []
    assert kept(path, NOON + 60.0)["ts"] == [NOON + second for second in range(5, 65, 5)]


def test_what_another_meter_measured_is_not_drawn_on(tmp_path: Path) -> None:
    path, curve = tmp_path / "curve.json", PowerCurve()
    curve.add(NOON, 12_700.0, None, None)
    file = PowerCurveFile(path, curve, "panel*1")
    file.measure_by("panel*1")
    assert curve.columns(NOON)["ts"]
    file.save(NOON)
    again = PowerCurve()
    PowerCurveFile(path, again, "panel*0.001").load(NOON)
    assert again.columns(NOON)["ts"] == []
    file.measure_by("panel*0.001")
    assert curve.columns(NOON)["ts"] == []


def test_it_is_written_once_a_minute(tmp_path: Path) -> None:
    path = tmp_path / "curve.json"
    file = an_hour(path)
    written = []
    for second in range(0, 300, 5):
        file.save_if_due(NOON + 3600.0 + second)
        if path.exists():
            written.append(second)
            path.unlink()
    assert written == [0, 60, 120, 180, 240]
    file.save_if_due(NOON - WRITE_SEC)  # the clock was set back
    assert path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"ts": [1], "power_kw": [1.0]}',
        json.dumps({"ts": [NOON], "power_kw": [], "baseline_kw": [], "target_kw": []}),
        json.dumps({"ts": [NOON], "power_kw": ["x"], "baseline_kw": [1], "target_kw": [1]}),
        json.dumps({"ts": [NOON], "power_kw": [None], "baseline_kw": [1], "target_kw": [1]}),
        '{"ts": [NaN], "power_kw": [1.0], "baseline_kw": [1.0], "target_kw": [null]}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_a_curve_that_begins_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "curve.json"
    path.write_text(text)
    assert kept(path, NOON)["ts"] == []


def test_a_disk_that_refuses_costs_nothing_else_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "gone" / "curve.json"
    file = an_hour(path)
    file.save(NOON)
    file.save(NOON)
    assert caplog.text.count("is not kept") == 1
    path.parent.mkdir()
    file.save(NOON + 3600.0)
    assert kept(path, NOON + 3600.0)["ts"]
