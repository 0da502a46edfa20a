"""Commands: numbers, times and ids, however they are written."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.builders import NOW, parse
from tests.support.each_case import each_case
from tests.support.example_count import example_count
from VenAgent.contract.commands import ShedCommand, event_command_window


@each_case("sent", ["4.5", " 4.5 ", "45e-1", 4.5])
def test_numbers_are_read_from_numeric_strings_too(sent: Any) -> None:
    command = parse({"op": "event", "shed_kw": sent, "duration_sec": "60", "modification": "2"})
    assert isinstance(command, ShedCommand)
    assert (command.shed_kw, command.duration_sec, command.modification) == (4.5, 60.0, 2)


@settings(deadline=None, max_examples=example_count(100))
@given(end_ts=st.floats(NOW + 2, NOW + 86_000) | st.integers(int(NOW) + 2, int(NOW) + 86_000))
def test_times_are_read_from_numeric_strings_too(end_ts: float) -> None:
    command = parse({"op": "event", "shed_kw": 1, "end_ts": str(end_ts)})
    assert isinstance(command, ShedCommand)
    assert command.end_ts == end_ts


@each_case(
    ("sent", "expected"),
    [
        ("2025-10-09T08:53:20Z", NOW),
        ("2025-10-09T08:53:20", NOW),
        ("2025-10-09T08:53:20.250Z", NOW + 0.25),
        ("2025-10-09T10:53:20+02:00", NOW),
        (" 2025-10-09 08:53:20Z ", NOW),
    ],
)
def test_times_are_read_from_iso_8601(sent: str, expected: float) -> None:
    command = parse({"op": "event", "shed_kw": 1, "startTime": sent})
    assert isinstance(command, ShedCommand)
    assert command.start_ts == pytest.approx(expected)


def test_a_time_without_a_zone_is_utc_wherever_the_house_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        command = parse({"op": "event", "shed_kw": 1, "startTime": "2025-10-09T08:53:20"})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert isinstance(command, ShedCommand)
    assert command.start_ts == NOW


def test_ids_that_are_numbers_are_read_as_text() -> None:
    command = parse({"op": "restore", "correlationId": 17, "event_id": 4})
    assert (command.correlation_id, command.event_id) == ("17", "4")


@each_case(
    ("fields", "window"),
    [
        ({}, (NOW, NOW + 3600)),
        ({"duration_sec": 60}, (NOW, NOW + 60)),
        ({"start_ts": NOW + 10}, (NOW + 10, NOW + 3610)),
        ({"start_ts": NOW + 10, "duration_sec": 60}, (NOW + 10, NOW + 70)),
        ({"end_ts": NOW + 100}, (NOW, NOW + 100)),
        ({"start_ts": NOW + 10, "end_ts": NOW + 100}, (NOW + 10, NOW + 100)),
        ({"end_ts": NOW + 100, "duration_sec": 7}, (NOW + 93, NOW + 100)),
        ({"end_ts": NOW + 100, "duration_sec": 300}, (NOW - 200, NOW + 100)),
        ({"start_ts": NOW - 10, "duration_sec": 60}, (NOW - 10, NOW + 50)),
    ],
)
def test_when_an_event_begins_and_ends(fields: dict[str, Any], window: tuple[float, float]) -> None:
    command = parse({"op": "event", "shed_kw": 1, **fields})
    assert isinstance(command, ShedCommand)
    assert event_command_window(command, NOW) == window
