"""When a programme's events may be, by the clocks of its time zone; bodies that cannot be."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from backend.dispatch.programme_schedule import next_programme_start, programme_window_problem
from backend.store.database import Database
from backend.store.tables import PARTICIPANTS

from .api_client import api
from .dispatching import rows

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)


def test_starts_and_windows_are_of_the_programmes_time_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    programme = SimpleNamespace(
        name="P",
        recurring=True,
        active=True,
        days=[6, 7],
        window_start="01:30",
        window_end="04:00",
        timezone="Europe/Berlin",
    )
    friday = datetime(2026, 10, 23, 12, tzinfo=timezone.utc)
    starts = []
    at: datetime | None = friday
    for _ in range(3):
        assert at is not None
        at = next_programme_start(programme, at)
        assert at is not None
        starts.append(at)
    # Summer time ends in the second night: half past one is another time of UTC after it.
    assert [start.astimezone(berlin).strftime("%a %H:%M") for start in starts] == [
        "Sat 01:30",
        "Sun 01:30",
        "Sat 01:30",
    ]
    hour = timedelta(hours=1)
    saturday = starts[0]
    assert programme_window_problem(programme, saturday, saturday + hour) is None
    assert "01:30 to 04:00" in str(
        programme_window_problem(programme, saturday, saturday + 3 * hour)
    )
    assert "Friday" in str(programme_window_problem(programme, friday, friday + hour))
    programme.window_start, programme.window_end, programme.days = "22:00", "02:00", None
    late = datetime(2026, 7, 3, 21, 30, tzinfo=timezone.utc)  # half past eleven
    assert programme_window_problem(programme, late, late + hour) is None
    assert programme_window_problem(programme, late + hour, late + 2 * hour) is None
    assert programme_window_problem(programme, late, late + 4 * hour) is not None
    programme.recurring = False
    assert next_programme_start(programme, friday) is None


def problem(window: tuple[str, str], start: str, hours: float, days: Any = None) -> str | None:
    """Of an event in Berlin; `hours` by a stopwatch."""
    programme = SimpleNamespace(
        name="P", days=days, window_start=window[0], window_end=window[1], timezone="Europe/Berlin"
    )
    begin = datetime.fromisoformat(start)
    return programme_window_problem(programme, begin, begin + hours * HOUR)


def test_a_window_over_midnight_is_of_the_day_on_which_it_opens() -> None:
    night, fridays = ("22:00", "02:00"), [5]  # 2 July 2027 is a Friday
    assert problem(night, "2027-07-02T23:30+02:00", 1, fridays) is None
    assert problem(night, "2027-07-03T00:30+02:00", 1, fridays) is None
    assert "Thursday" in str(problem(night, "2027-07-02T00:30+02:00", 1, fridays))
    assert "Saturday" in str(problem(night, "2027-07-03T23:00+02:00", 1, fridays))
    assert "22:00 to 02:00" in str(problem(night, "2027-07-02T12:00+02:00", 1, fridays))
    assert problem(("22:00", "22:00"), "2027-07-02T21:00+02:00", 1, [4]) is None  # all day
    assert problem(("22:00", "22:00"), "2027-07-02T21:00+02:00", 2, [4, 5]) is not None


def test_a_window_opens_and_closes_by_the_clocks_in_a_night_in_which_they_change() -> None:
    night = ("22:00", "04:00")
    assert problem(night, "2027-10-30T23:00+02:00", 6) is None  # until 04:00 in winter time
    assert problem(night, "2027-10-30T23:00+02:00", 6.5) is not None
    assert problem(night, "2027-10-31T02:30+01:00", 1.5) is None
    assert problem(night, "2027-03-27T23:00+01:00", 4) is None
    assert problem(night, "2027-03-27T23:00+01:00", 5) is not None  # 05:00 in summer time
    for window in (("02:30", "03:15"), ("02:00", "03:00")):  # of an hour that is not there
        for start in ("2027-03-28T10:00+02:00", "2027-03-28T18:00+02:00"):
            assert problem(window, start, 0.25) is not None, window
        assert problem(window, "2027-03-29T02:40+02:00", 0.25) is None


@pytest.mark.asyncio
async def test_a_programmes_body_that_cannot_be_is_refused(database: Database) -> None:
    good = {"name": "P", "powerKw": 3}
    async with api(database) as client:
        for bad in (
            {"recurring": True},
            {"windowEnd": "10:00"},
            {"windowStart": "09:00"},  # until when?
            {"windowStart": "09:00", "windowEnd": "09:30", "durationSec": 3_600, "recurring": True},
            {"windowStart": "23:30", "windowEnd": "00:15", "durationSec": 3_600},
            {"windowStart": "25:00"},
            {"timezone": "Mars/Base"},
            {"baselineMethod": "guess"},
            {"powerKw": 0},
            {"timezone": "localtime"},
            {"timezone": "posix/UTC"},
            {"days": [0]},
            {"days": []},  # an empty choice is no choice, and would be each day
            {"windowStart": "04:00", "windowEnd": "04:00"},
            {"mostEventsPerDay": 0},
            {"mostEventHoursPerDay": 0},
            {"selection": {"groups": ["nobody"]}},
            {"nonsense": 1},
        ):
            answer = await client.post("/api/programmes/", json={**good, **bad})
            assert answer.status_code == 422, bad
    assert await rows(database, PARTICIPANTS) == []
