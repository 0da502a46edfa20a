"""The power history: means weighted by time, and what is there however the last process ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from datetime import timezone as fixed
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storage.history_builders import NOON, feed, stored
from tests.support.example_count import example_count
from VenAgent.baseline.baseline_methods import baseline_by_method
from VenAgent.baseline.intervals import DAY_SEC, INTERVAL_SEC
from VenAgent.baseline.recent_power import RecentPower
from VenAgent.baseline.site_calendar import SiteCalendar
from VenAgent.storage.power_history import KEPT_DAYS, PowerHistory

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture
def history(path: Path) -> Iterator[PowerHistory]:
    history = PowerHistory(path, NOON)
    yield history
    history.close()


# ---- means ------------------------------------------------------------------------------------


def test_a_closed_interval_has_the_mean_of_its_readings(history: PowerHistory) -> None:
    feed(history, NOON, NOON + 900, lambda ts: 10.0 if ts <= NOON + 300 else 40.0)
    # 300 s of 10 kW, 5 s from 10 to 40, 595 s of 40 kW
    mean_kw = (300 * 10 + 5 * 25 + 595 * 40) / 900
    assert history.intervals.means == {NOON: pytest.approx(mean_kw)}


def test_the_open_interval_is_no_sample_yet(history: PowerHistory) -> None:
    feed(history, NOON, NOON + 895)
    assert history.intervals.means == {}
    history.add(NOON + 900, 10.0, False)
    assert history.intervals.means == {NOON: pytest.approx(10.0)}


def test_readings_at_uneven_times_count_by_their_time(history: PowerHistory) -> None:
    for ts, power_kw in [
        (0, 10),
        (60, 10),
        (61, 100),
        (62, 100),
        (63, 10),
        *((63 + 60 * n, 10) for n in range(1, 15)),
    ]:
        history.add(NOON + ts, power_kw, False)
    # 10 kW throughout, and 90 kW more for one second, half at each flank
    assert history.intervals.means[NOON] == pytest.approx(10 + 90 * 2 / 900)


def test_a_reading_across_the_border_is_shared_by_both_intervals(history: PowerHistory) -> None:
    for ts in (0, 90, 180, 270, 360, 450, 540, 630, 720, 810, 890, 910):
        history.add(NOON + ts, 10.0, False)
    feed(history, NOON + 920, NOON + 1800)
    assert history.intervals.means == {NOON: pytest.approx(10), NOON + 900: pytest.approx(10)}
    assert stored(history.path)[NOON][1] == pytest.approx(900)


@pytest.mark.parametrize(("covered_sec", "known"), [(445, False), (450, True)])
def test_an_interval_covered_by_less_than_a_half_is_no_sample(
    history: PowerHistory, covered_sec: int, known: bool
) -> None:
    feed(history, NOON, NOON + covered_sec)
    feed(history, NOON + 900, NOON + 905)
    assert (NOON in history.intervals.means) is known


def test_time_without_readings_is_not_covered(history: PowerHistory) -> None:
    """A meter that says 50 kW and is then silent has not drawn 50 kW all the while."""
    feed(history, NOON, NOON + 300, 10.0)
    history.add(NOON + 305, 50.0, False)
    feed(history, NOON + 700, NOON + 900, 10.0)
    mean_kw = (300 * 10 + 5 * 30 + 200 * 10) / 505
    assert history.intervals.means[NOON] == pytest.approx(mean_kw)
    assert stored(history.path)[NOON][1] == pytest.approx(505)


def test_a_slow_meter_is_covered_when_the_gap_is_set_for_it(path: Path) -> None:
    history = PowerHistory(path, NOON, max_gap_sec=400.0)
    feed(history, NOON, NOON + 900, step_sec=300.0)
    assert history.intervals.means == {NOON: pytest.approx(10.0)}


@pytest.mark.parametrize("power_kw", [None, float("nan"), float("inf")])
def test_what_was_not_read_adds_nothing(history: PowerHistory, power_kw: float | None) -> None:
    feed(history, NOON, NOON + 450)
    history.add(NOON + 455, power_kw, False)
    feed(history, NOON + 460, NOON + 900)
    assert history.intervals.means == {NOON: pytest.approx(10.0)}
    assert history.failure is None


def test_generation_is_negative(history: PowerHistory) -> None:
    feed(history, NOON, NOON + 900, -7.5)
    assert history.intervals.means == {NOON: pytest.approx(-7.5)}


# ---- events -----------------------------------------------------------------------------------


def test_an_interval_in_which_an_event_shed_for_a_moment_is_marked(history: PowerHistory) -> None:
    feed(history, NOON, NOON + 1000)
    history.add(NOON + 1005, 5.0, True)
    feed(history, NOON + 1010, NOON + 2700)
    assert history.intervals.touched == {NOON + 900}
    assert history.intervals.mean_kw(NOON) == pytest.approx(10.0)
    assert history.intervals.mean_kw(NOON + 900) is None


def test_an_event_of_which_one_reading_is_known_marks_its_day(
    history: PowerHistory, path: Path
) -> None:
    history.add(NOON + 5, 5.0, True)
    feed(history, NOON + 900, NOON + 905)
    assert history.intervals.touched == {NOON}
    assert stored(path)[NOON][2] == 1


def test_the_mark_of_an_event_is_there_after_reopening(path: Path, history: PowerHistory) -> None:
    feed(history, NOON, NOON + 1000, in_event=True)
    history.close()
    again = PowerHistory(path, NOON + 1900)
    assert again.intervals.touched == {NOON, NOON + 900}


# ---- the view -----------------------------------------------------------------------------------


def test_the_view_is_made_once_an_interval_and_does_not_change(history: PowerHistory) -> None:
    feed(history, NOON, NOON + 900)
    view = history.intervals
    feed(history, NOON + 905, NOON + 1795)
    assert history.intervals is view
    history.add(NOON + 1800, 10.0, False)
    assert history.intervals is not view
    assert set(view.means) == {NOON}
    assert set(history.intervals.means) == {NOON, NOON + 900}


def test_a_new_calendar_keeps_what_is_known(history: PowerHistory) -> None:
    feed(history, NOON, NOON + 900)
    calendar = SiteCalendar(fixed(timedelta(hours=2)), frozenset({date(2026, 6, 17)}))
    history.calendar = calendar
    assert history.intervals.calendar == calendar
    assert set(history.intervals.means) == {NOON}


def test_what_is_older_than_60_days_is_not_in_the_view(history: PowerHistory) -> None:
    feed(history, NOON, NOON + 900)
    later = NOON + KEPT_DAYS * DAY_SEC
    feed(history, later - 900, later + 895)
    assert set(history.intervals.means) == {NOON, later - 900}
    feed(history, later + 900, later + 905)
    assert set(history.intervals.means) == {later - 900, later}


@pytest.mark.long
def test_a_baseline_from_similar_days_out_of_the_file(path: Path) -> None:
    """Eleven days of readings, 20 kW at noon; then a new process begins an event at noon."""
    history = PowerHistory(path, NOON - 11 * DAY_SEC, max_gap_sec=400.0)
    begin = NOON - 14 * DAY_SEC
    feed(
        history,
        begin,
        NOON,
        lambda ts: 20.0 if (ts - NOON) % DAY_SEC < 3600 else 9.0,
        step_sec=300.0,
    )
    history.close()
    again = PowerHistory(path, NOON)
    found = baseline_by_method(
        "ten_of_ten",
        RecentPower(),
        again.intervals,
        start_ts=NOON + 600.0,
        end_ts=NOON + 2400.0,
        now=NOON + 600.0,
        present_kw=3.0,
    )
    assert found.power_kw == pytest.approx(20.0, rel=0.1)
    assert (found.method, found.samples) == ("ten_of_ten", 10)


# ---- ended, in order or not ---------------------------------------------------------------------


def test_an_interval_goes_on_after_a_restart(path: Path, history: PowerHistory) -> None:
    feed(history, NOON, NOON + 300, 10.0)
    history.close()
    again = PowerHistory(path, NOON + 330)
    feed(again, NOON + 330, NOON + 900, 40.0)
    assert again.intervals.means == {NOON: pytest.approx((300 * 10 + 570 * 40) / 870)}


def test_closed_twice_it_does_no_harm(history: PowerHistory, path: Path) -> None:
    feed(history, NOON, NOON + 30)
    history.close()
    history.close()
    assert stored(path)[NOON][1] == pytest.approx(30)


def test_the_open_interval_is_written_once_a_minute_and_no_more(
    history: PowerHistory, path: Path
) -> None:
    found = []
    for n in range(37):
        history.add(NOON + 5.0 * n, 10.0, False)
        found.append(stored(path).get(NOON, (0.0, 0.0, 0))[1])
    assert sorted(set(found)) == [0.0, 60.0, 120.0, 180.0]


def test_an_interval_that_is_on_the_disk_is_not_written_again(history: PowerHistory) -> None:
    feed(history, NOON, NOON + 3600)
    assert history._db is not None
    before = history._db.total_changes
    feed(history, NOON + 3605, NOON + 3660)
    assert history._db.total_changes == before + 1


WRITER = """
import sys
from pathlib import Path
from VenAgent.storage.power_history import PowerHistory

history = PowerHistory(Path(sys.argv[1]), 1_781_697_600)
ts = 1_781_697_600.0
while True:
    history.add(ts, 10.0, False)
    print(int(ts), flush=True)
    ts += 5.0
"""


@pytest.mark.long
def test_killed_at_any_moment_it_loses_a_minute_at_most(path: Path) -> None:
    for least in (3, 200, 1500):
        path.unlink(missing_ok=True)
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(least)]
            writer.kill()
            told += [int(line) for line in writer.stdout.read().split()]
        again = PowerHistory(path, told[-1])
        assert (again.failure, again.complaint) == (None, None)
        again.close()
        covered_sec = sum(covered for _, covered, _ in stored(path).values())
        assert told[-1] - NOON - 60 <= covered_sec <= told[-1] - NOON + 5


# ---- the clock --------------------------------------------------------------------------------


def test_a_clock_set_forward_leaves_the_time_between_out(history: PowerHistory) -> None:
    feed(history, NOON, NOON + 900)
    feed(history, NOON + 9000, NOON + 9900)
    assert set(history.intervals.means) == {NOON, NOON + 9000}


def test_a_clock_set_back_goes_on_in_the_intervals_it_comes_through_again(
    history: PowerHistory, path: Path
) -> None:
    feed(history, NOON, NOON + 1000, 10.0)
    feed(history, NOON + 400, NOON + 1800, 40.0)
    mean_kw = (900 * 10 + 500 * 40) / 1400
    assert history.intervals.means[NOON] == pytest.approx(mean_kw)
    assert stored(path)[NOON][1] == pytest.approx(1400)
    assert history.intervals.means[NOON + 900] == pytest.approx((100 * 10 + 900 * 40) / 1000)


def test_after_a_clock_set_back_what_lies_in_the_future_is_not_in_the_view(
    history: PowerHistory,
) -> None:
    feed(history, NOON + 30 * DAY_SEC, NOON + 30 * DAY_SEC + 900)
    feed(history, NOON, NOON + 900)
    assert set(history.intervals.means) == {NOON}


def test_a_clock_that_is_years_ahead_for_an_hour_costs_no_history(
    history: PowerHistory, path: Path
) -> None:
    feed(history, NOON, NOON + 1800)
    feed(history, NOON + 5000 * DAY_SEC, NOON + 5000 * DAY_SEC + 3600, step_sec=60.0)
    feed(history, NOON + 6300, NOON + 7200)
    assert set(history.intervals.means) == {NOON, NOON + 900, NOON + 6300}
    history.close()
    again = PowerHistory(path, NOON + 7200)
    assert set(again.intervals.means) == {NOON, NOON + 900, NOON + 6300}


def test_what_a_wrong_clock_left_is_forgotten_after_a_day(
    history: PowerHistory, path: Path
) -> None:
    feed(history, NOON + 5000 * DAY_SEC, NOON + 5000 * DAY_SEC + 1800)
    feed(history, NOON, NOON + DAY_SEC - 60, step_sec=60.0)
    assert max(stored(path)) > NOON + 4000 * DAY_SEC
    feed(history, NOON + DAY_SEC, NOON + DAY_SEC + 120, step_sec=60.0)
    assert max(stored(path)) <= NOON + DAY_SEC


def test_what_is_older_than_60_days_is_forgotten(path: Path) -> None:
    days = [0, 1, *range(2, 64)]
    for day in days:  # a new process every day, as on a site that is switched off at night
        history = PowerHistory(path, NOON + day * DAY_SEC)
        feed(history, NOON + day * DAY_SEC, NOON + day * DAY_SEC + 1800, step_sec=60.0)
        history.close()
    kept = sorted(stored(path))
    assert kept[0] == NOON + 3 * DAY_SEC
    assert kept[-1] == NOON + 63 * DAY_SEC + 1800 - 900


@settings(max_examples=example_count(60), deadline=None)
@given(
    readings=st.lists(
        st.tuples(
            st.one_of(st.floats(0.0, 30.0), st.floats(-7200.0, 7200.0)),
            st.floats(-50.0, 200.0),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_whatever_the_clock_does_no_time_is_negative_and_no_mean_is_out_of_range(
    tmp_path_factory: pytest.TempPathFactory, readings: list[tuple[float, float, bool]]
) -> None:
    path = tmp_path_factory.mktemp("history") / "history.sqlite"
    history, ts, gone_on, marks = PowerHistory(path, NOON), float(NOON), 0.0, set()
    for step_sec, power_kw, in_event in readings:
        ts += step_sec
        gone_on += max(step_sec, 0.0)
        history.add(ts, power_kw, in_event)
        if in_event:
            marks.add(int(ts // INTERVAL_SEC) * INTERVAL_SEC)
    history.close()
    rows = stored(path)
    powers = [power_kw for _, power_kw, _ in readings]
    for mean_kw, covered_sec, _ in rows.values():
        assert covered_sec >= 0.0
        if covered_sec > 0.001:
            assert min(powers) - 1e-6 <= mean_kw <= max(powers) + 1e-6
    assert sum(covered for _, covered, _ in rows.values()) <= gone_on + 1e-6
    assert marks <= {start for start, row in rows.items() if row[2]}


def test_what_another_meter_measured_is_set_aside_and_used_again_with_that_meter(
    path: Path,
) -> None:
    """A scale of 1 in place of 0.001 for an hour, and then the right one."""
    history = PowerHistory(path, NOON, measured_by="panel*0.001")
    for ts in range(NOON, NOON + 1800, 60):
        history.add(float(ts), 10.0, False)
    history.measure_by("panel*1")
    assert history.intervals.means == {}
    for ts in range(NOON + 1800, NOON + 3600, 60):
        history.add(float(ts), 10_000.0, False)
    history.add(NOON + 3600.0, 10_000.0, False)
    assert NOON + 1800 in history.intervals.means
    history.measure_by("panel*0.001")
    history.add(NOON + 3660.0, 10.0, False)
    assert max(history.intervals.means.values()) == pytest.approx(10.0)
    history.close()
    again = PowerHistory(path, NOON + 3700.0, measured_by="panel*1")
    assert again.intervals.means[NOON + 1800] == pytest.approx(10_000.0)
    again.close()


def test_a_person_sees_what_is_known_of_a_stretch_of_time(tmp_path: Path) -> None:
    history = PowerHistory(tmp_path / "history.sqlite", NOON)
    feed(history, NOON, NOON + 900, 8.0)
    feed(history, NOON + 1800, NOON + 2000, 4.0, in_event=True)
    rows = history.interval_rows(NOON - 900.0, 96)
    assert rows == [(NOON, 8.0, 900.0, False), (NOON + 1800, 4.0, 200.0, True)]
    assert history.interval_rows(NOON, 1) == rows[:1]
    assert history.interval_rows(NOON + 90_000, 96) == []
    history.close()
