"""One-minute means for the page: bounded, and no damage of the file reaches anyone."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from VenAgent.storage import minute_power as module
from VenAgent.storage.minute_power import MinutePower

NOON = 1_781_697_600


def feed(minutes: MinutePower, begin: float, end: float, **circuits: float | None) -> None:
    ts = begin
    while ts < end:
        minutes.add(ts, 10.0, 12.0, None, circuits)
        ts += 5.0


def test_minutes_are_means_and_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "minutes.sqlite"
    minutes = MinutePower(path)
    for second, kw in ((0, 1.0), (20, 2.0), (40, 6.0)):
        minutes.add(NOON + second, 2 * kw, None, 4.5, {"ev": kw, "heater": None})
    minutes.close()
    again = MinutePower(path)
    site = again.site(NOON - 600, 60)
    assert site == {"ts": [NOON], "power_kw": [6.0], "baseline_kw": [None], "target_kw": [4.5]}
    assert again.circuit("ev", NOON, 1) == {"ts": [NOON], "power_kw": [3.0]}
    assert again.circuit("heater", NOON, 1) == {"ts": [NOON], "power_kw": [None]}
    assert again.circuit("no such", NOON, 1) == {"ts": [], "power_kw": []}
    again.close()


def test_circuits_that_come_and_go_keep_their_own_curves(tmp_path: Path) -> None:
    minutes = MinutePower(tmp_path / "minutes.sqlite")
    feed(minutes, NOON, NOON + 60, a=1.0, b=2.0)
    feed(minutes, NOON + 60, NOON + 120, b=3.0, c=4.0)
    feed(minutes, NOON + 120, NOON + 121)
    assert minutes.circuit("b", NOON, 9) == {"ts": [NOON, NOON + 60], "power_kw": [2.0, 3.0]}
    assert minutes.circuit("a", NOON, 9)["ts"] == [NOON]
    assert minutes.circuit("c", NOON, 9)["power_kw"] == [4.0]
    minutes.close()


def test_no_more_is_read_at_once_than_is_quick(tmp_path: Path) -> None:
    minutes = MinutePower(tmp_path / "minutes.sqlite")
    for minute in range(300):
        minutes.add(NOON + 60 * minute, 1.0, None, None, {})
    assert len(minutes.site(NOON, 10_000)["ts"]) == module.ROWS_AT_ONCE
    assert len(minutes.site(NOON + 60 * 290, 10_000)["ts"]) == 9  # the tenth is still open
    minutes.close()


def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 36 * 100)  # a row of the site alone is 12 bytes
    monkeypatch.setattr(module, "PRUNE_EVERY_SEC", 60)
    path = tmp_path / "minutes.sqlite"
    minutes = MinutePower(path)
    for minute in range(250):
        minutes.add(NOON + 60 * minute, 1.0, None, None, {})
    minutes.close()
    (kept,) = sqlite3.connect(path).execute("SELECT count(*) FROM minutes").fetchone()
    assert kept == 100


@pytest.mark.parametrize("damage", [b"no database at all" * 100, b""])
def test_a_damaged_file_begins_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "minutes.sqlite"
    path.write_bytes(damage)
    minutes = MinutePower(path)
    feed(minutes, NOON, NOON + 61, a=1.0)
    assert minutes.circuit("a", NOON, 1)["power_kw"] == [1.0]
    minutes.close()


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    minutes = MinutePower(tmp_path / "gone" / "minutes.sqlite")
    feed(minutes, NOON, NOON + 121, a=1.0)
    assert minutes.site(NOON, 9)["ts"] == []
    os.mkdir(tmp_path / "gone")
    feed(minutes, NOON + 180, NOON + 241, a=1.0)
    assert minutes.site(NOON, 9)["ts"][-1] == NOON + 180  # it goes on by itself
    minutes.close()


def test_odd_readings_and_times_are_left_out(tmp_path: Path) -> None:
    minutes = MinutePower(tmp_path / "minutes.sqlite")
    for ts in (float("nan"), float("inf"), NOON, -1e300, 1e300):
        minutes.add(ts, float("nan"), float("inf"), None, {"a": float("nan")})
    minutes.add(NOON, 1.0, None, None, {})
    minutes.close()
    assert minutes.site(NOON, 1)["power_kw"] == [1.0]
    for start in (1e300, -1e300):
        assert minutes.site(start, 1)["ts"] == []
    minutes.close()
