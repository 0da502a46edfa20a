"""Which events are over, whatever becomes of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from VenAgent.storage.ended_events import KEPT, EndedEvents


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ended-events.jsonl"


def test_what_was_added_is_known_to_the_next_process(path: Path) -> None:
    ended = EndedEvents(path)
    ended.add("e1", 0)
    ended.add("e1", 0)
    ended.add("with \n \u2028 in it", 3)
    assert ("e1", 0) in EndedEvents(path)
    assert ("with \n \u2028 in it", 3) in EndedEvents(path)
    assert ("e1", 1) not in EndedEvents(path), "a later modification is another event"


def test_a_line_that_was_cut_off_costs_that_line_only(path: Path) -> None:
    EndedEvents(path).add("e1", 0)
    path.write_text(path.read_text() + '["e2"')
    ended = EndedEvents(path)
    ended.add("e3", 0)
    again = EndedEvents(path)
    assert ("e1", 0) in again
    assert ("e2", 0) not in again
    assert ("e3", 0) in again


def test_it_stays_small_and_keeps_the_latest(path: Path) -> None:
    ended = EndedEvents(path)
    for number in range(KEPT + 20):
        ended.add(f"e{number}", 0)
    again = EndedEvents(path)
    assert ("e19", 0) not in again
    assert ("e20", 0) in again
    assert len(path.read_text().splitlines()) == KEPT


def test_a_disk_that_does_not_take_it_stops_nothing(tmp_path: Path) -> None:
    ended = EndedEvents(tmp_path / "not there" / "ended-events.jsonl")
    ended.add("e1", 0)
    assert ("e1", 0) in ended
