"""The power history on a disk that is full, locked, away or damaged."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.storage.history_builders import NOON, feed, stored
from VenAgent.baseline.intervals import INTERVAL_SEC
from VenAgent.storage.power_history import PowerHistory

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture
def history(path: Path) -> Iterator[PowerHistory]:
    history = PowerHistory(path, NOON)
    yield history
    history.close()


# ---- full, locked, away -----------------------------------------------------------------------


def test_a_full_disk_raises_nothing_and_is_made_up_for_later(path: Path) -> None:
    """Nothing can be written past the file's present size, as on a disk that is full."""
    history = PowerHistory(path, NOON)
    feed(history, NOON, NOON + 120)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE, hard))
    try:
        feed(history, NOON + 125, NOON + 1800)
        failure = history.failure
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failure is not None
    assert str(path) in failure
    assert set(history.intervals.means) == {NOON, NOON + 900}  # in memory all the while
    feed(history, NOON + 1805, NOON + 1900)
    assert history.failure is None
    assert [round(row[1]) for row in stored(path).values()][:2] == [900, 900]
    assert stored(path)[NOON][0] == pytest.approx(10.0)


def test_a_file_locked_by_another_process_raises_nothing(path: Path, history: PowerHistory) -> None:
    feed(history, NOON, NOON + 120)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    feed(history, NOON + 125, NOON + 200)
    assert history.failure is not None
    assert "locked" in history.failure
    other.execute("ROLLBACK")
    other.close()
    feed(history, NOON + 205, NOON + 300)
    assert history.failure is None
    history.close()
    assert stored(path)[NOON][1] == pytest.approx(300)


def test_a_file_that_cannot_be_opened_now_is_no_damage_and_joins_in_later(path: Path) -> None:
    first = PowerHistory(path, NOON)
    feed(first, NOON, NOON + 1200)
    first.close()
    whole = path.read_bytes()
    obstacle = path.with_name("history.sqlite-wal")
    obstacle.mkdir()  # SQLite cannot open it: as with a full disk, "unable to open"
    history = PowerHistory(path, NOON + 1210)
    assert history.failure is not None
    feed(history, NOON + 1210, NOON + 1300, 40.0)
    assert history.complaint is None
    assert path.read_bytes() == whole
    obstacle.rmdir()
    feed(history, NOON + 1305, NOON + 1800, 40.0)
    assert history.failure is None
    assert history.intervals.means[NOON] == pytest.approx(10.0)
    mean_kw = (300 * 10 + 590 * 40) / 890
    assert history.intervals.means[NOON + 900] == pytest.approx(mean_kw)
    assert stored(path)[NOON + 900][:2] == (pytest.approx(mean_kw), pytest.approx(890))


def test_a_folder_that_is_not_there_raises_nothing(tmp_path: Path) -> None:
    history = PowerHistory(tmp_path / "gone" / "history.sqlite", NOON)
    feed(history, NOON, NOON + 900)
    assert history.failure is not None
    assert set(history.intervals.means) == {NOON}
    history.close()


# ---- damaged ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many_pages(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A closed file of many pages."""
    path = tmp_path_factory.mktemp("filled") / "history.sqlite"
    history = PowerHistory(path, NOON, max_gap_sec=1000.0)
    feed(history, NOON, NOON + 1000 * INTERVAL_SEC, step_sec=float(INTERVAL_SEC))
    history.close()
    return path.read_bytes()


@pytest.fixture
def filled(path: Path, many_pages: bytes) -> Path:
    path.write_bytes(many_pages)
    return path


def no_database(path: Path) -> None:
    path.write_bytes(b"not a database at all " * 500)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 3 * PAGE])


def torn_inside(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:PAGE] + b"\xa5" * (len(whole) - PAGE))


def set_field(assignment: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with sqlite3.connect(path) as db:
            db.execute(f"UPDATE intervals SET {assignment} WHERE start = {NOON + 900}")
        db.close()

    return damage


DAMAGES = [
    no_database,
    cut_short,
    torn_inside,
    set_field("energy_kj = 'much'"),
    set_field("energy_kj = 9e999"),
    set_field("covered_sec = -5.0"),
    set_field("start = start + 7"),
    set_field("in_event = 7"),
]


@pytest.mark.long
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_put_aside_and_told(filled: Path, damage: Callable[[Path], None]) -> None:
    path = filled
    damage(path)
    damaged = path.read_bytes()
    history = PowerHistory(path, NOON + 0.9)
    aside = path.with_name(f"history.sqlite.damaged-{NOON}")
    assert aside.read_bytes() == damaged
    assert history.complaint is not None
    assert aside.name in history.complaint
    assert history.failure is None
    assert history.intervals.means == {}
    feed(history, NOON, NOON + 900)
    history.close()
    again = PowerHistory(path, NOON + 900)
    assert (again.complaint, set(again.intervals.means)) == (None, {NOON})


def test_a_file_damaged_while_it_is_used_is_written_anew_from_memory(filled: Path) -> None:
    path = filled
    end = NOON + 1000 * INTERVAL_SEC
    history = PowerHistory(path, end)
    history._disconnect()  # as after any failure
    torn_inside(path)
    feed(history, end, end + 1800)
    assert history.failure is None
    assert history.complaint is not None
    assert "written anew" in history.complaint
    history.close()
    again = PowerHistory(path, end + 1800)
    assert again.complaint is None
    assert len(again.intervals.means) == 1002


def test_a_file_that_was_taken_away_is_written_anew_once_it_is_missed(filled: Path) -> None:
    path = filled
    end = NOON + 1000 * INTERVAL_SEC
    history = PowerHistory(path, end)
    history._disconnect()  # as after any failure
    for name in path.parent.glob("history.sqlite*"):
        name.unlink()
    feed(history, end, end + 900)
    history.close()
    assert len(PowerHistory(path, end + 900).intervals.means) == 1001
