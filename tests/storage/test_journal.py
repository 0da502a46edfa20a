"""The journal: what it says after the process ended, however it ended."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.journal_builders import NOW, ack, event_ids, record, unsent_ids
from VenAgent.dr.effects import SaveFactEffect, SaveFingerprintEffect, SendAckEffect
from VenAgent.storage import journal as journal_module
from VenAgent.storage.journal import Journal, JournalStep


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal._db.close()


# ---- events -----------------------------------------------------------------------------------


def test_an_event_is_there_after_reopening_as_it_was_written(path: Path, journal: Journal) -> None:
    event = {"event_id": "e1", "state": "active", "shed_kw": 5.5, "circuits": [{"before": True}]}
    journal.write([event], [], NOW)
    journal.close()
    assert Journal(path).unfinished() == [event]


def test_another_process_sees_a_write_before_the_journal_is_closed(
    path: Path, journal: Journal
) -> None:
    journal.write([record("e1")], [ack(1)], NOW)
    other = Journal(path)
    assert event_ids(other) == ["e1"]
    assert unsent_ids(other) == ["c1"]


def test_the_latest_record_of_an_event_counts(path: Path, journal: Journal) -> None:
    journal.write([record("e1", "scheduled"), record("e1", "shedding")], [], NOW)
    journal.write([record("e1", "active")], [], NOW + 1)
    journal.close()
    assert [event["state"] for event in Journal(path).unfinished()] == ["active"]


@pytest.mark.parametrize("state", ["received", "scheduled", "shedding", "active", "restoring"])
def test_an_event_that_goes_on_is_unfinished(journal: Journal, state: str) -> None:
    journal.write([record("e1", state)], [], NOW)
    assert event_ids(journal) == ["e1"]


@pytest.mark.parametrize("state", ["completed", "cancelled", "rejected"])
def test_an_event_that_is_over_is_not_unfinished(journal: Journal, state: str) -> None:
    journal.write([record("e1", "active")], [], NOW)
    journal.write([record("e1", state)], [], NOW + 1)
    assert event_ids(journal) == []


def test_unfinished_events_come_in_the_order_of_their_change(journal: Journal) -> None:
    for number, event_id in enumerate(["b", "c", "a"]):
        journal.write([record(event_id)], [], NOW + number)
    assert event_ids(journal) == ["b", "c", "a"]


def test_old_events_that_are_over_are_pruned_and_unfinished_ones_never(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "EVENTS_KEPT", 3)
    journal.write([record("old", "active")], [], NOW)
    for number in range(10):
        journal.write([record(f"e{number}", "completed")], [], NOW + 1 + number)
    assert event_ids(journal) == ["old"]
    kept = sqlite3.connect(path).execute("SELECT event_id FROM events WHERE over ORDER BY 1")
    assert [row[0] for row in kept] == ["e7", "e8", "e9"]


# ---- acks -------------------------------------------------------------------------------------


def test_answers_come_oldest_first_and_without_what_is_no_answer(
    path: Path, journal: Journal
) -> None:
    journal.write([], [ack(1), ack(2, is_reply=False), ack(3)], NOW)
    journal.write([], [ack(0)], NOW)
    journal.close()
    answers = Journal(path).replies()
    assert [answer["correlationId"] for answer in answers] == ["c1", "c3", "c0"]


def test_an_ack_that_was_not_sent_comes_again_after_reopening(path: Path, journal: Journal) -> None:
    numbers = journal.write([], [ack(1), ack(2, is_reply=False)], NOW)
    journal.close()
    unsent = Journal(path).unsent()
    assert [number for number, _ in unsent] == numbers
    assert [body["correlationId"] for _, body in unsent] == ["c1", "c2"]


def test_a_sent_ack_does_not_come_again_after_the_next_write(path: Path, journal: Journal) -> None:
    first, _ = journal.write([], [ack(1), ack(2)], NOW)
    journal.sent(first)
    journal.write([record("e1")], [], NOW)
    assert unsent_ids(Journal(path)) == ["c2"]  # without close: as after a kill


def test_a_sent_ack_does_not_come_again_after_close(path: Path, journal: Journal) -> None:
    first, _ = journal.write([], [ack(1), ack(2)], NOW)
    journal.sent(first)
    journal.close()
    assert unsent_ids(Journal(path)) == ["c2"]


def test_an_ack_sent_just_before_a_kill_comes_once_more_rather_than_never(
    path: Path, journal: Journal
) -> None:
    (number,) = journal.write([], [ack(1)], NOW)
    journal.sent(number)
    assert unsent_ids(Journal(path)) == ["c1"]


def test_a_sent_ack_is_noted_once(path: Path, journal: Journal) -> None:
    """What is noted does not grow with the agent's years."""
    (number,) = journal.write([], [ack(1)], NOW)
    journal.sent(number)
    journal.write([], [], NOW)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE acks SET sent = 0")
    db.close()
    journal.write([], [], NOW)
    assert unsent_ids(journal) == ["c1"]


def test_a_sent_ack_is_still_an_answer(path: Path, journal: Journal) -> None:
    (number,) = journal.write([], [ack(1)], NOW)
    journal.sent(number)
    journal.close()
    assert [answer["correlationId"] for answer in Journal(path).replies()] == ["c1"]


def test_old_answers_are_pruned_and_unsent_acks_never(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "ACKS_KEPT", 3)
    journal.write([], [ack(0)], NOW)  # never sent
    for number in range(1, 11):
        (written,) = journal.write([], [ack(number)], NOW)
        journal.sent(written)
    journal.write([], [], NOW)
    answers = [answer["correlationId"] for answer in journal.replies()]
    assert answers == ["c0", "c8", "c9", "c10"]
    assert unsent_ids(journal) == ["c0"]


def test_a_number_is_never_given_twice(path: Path, journal: Journal) -> None:
    """A late `sent` must not mark another ack."""
    (first,) = journal.write([], [ack(1)], NOW)
    journal._db.execute("DELETE FROM acks")
    journal.close()
    again = Journal(path)
    (second,) = again.write([], [ack(2)], NOW)
    assert second > first


# ---- one decision is one transaction ------------------------------------------------------------


def test_a_decision_whose_second_record_fails_leaves_nothing(path: Path, journal: Journal) -> None:
    journal.write([record("e0", "scheduled")], [], NOW)
    cannot_be_json = record("e1", "active", at=object())
    with pytest.raises(TypeError):
        journal.write([record("e0", "shedding"), cannot_be_json], [], NOW + 1)
    with Journal(path)._db as other:
        states = [json.loads(row[0])["state"] for row in other.execute("SELECT event FROM events")]
    assert states == ["scheduled"]


def test_a_decision_whose_ack_fails_leaves_no_record_and_no_ack(
    path: Path, journal: Journal
) -> None:
    with pytest.raises(TypeError):
        journal.write([record("e1")], [ack(1), SendAckEffect({"data": object()})], NOW)
    other = Journal(path)
    assert other.unfinished() == []
    assert other.unsent() == []
    assert other.replies() == []


def test_a_record_of_no_known_state_is_refused_whole(path: Path, journal: Journal) -> None:
    with pytest.raises(ValueError):
        journal.write([record("e1"), record("e2", "dreaming")], [ack(1)], NOW)
    assert Journal(path).unfinished() == []


def test_the_journal_goes_on_after_a_decision_that_failed(path: Path, journal: Journal) -> None:
    (number,) = journal.write([], [ack(1)], NOW)
    journal.sent(number)
    with pytest.raises(TypeError):
        journal.write([record("e1", at=object())], [], NOW)
    journal.write([record("e2")], [], NOW)
    journal.close()
    again = Journal(path)
    assert event_ids(again) == ["e2"]
    assert unsent_ids(again) == []  # what was noted as sent is not forgotten by the failure


# ---- what else it knows ----------------------------------------------------------------------


def test_it_knows_when_it_was_last_written(path: Path, journal: Journal) -> None:
    """By an event that goes on or by a step; a clock that was wrong once is not remembered."""
    assert journal.last_ts() is None
    journal.write([record("wrong", "completed")], [], NOW + 1e9)
    assert journal.last_ts() is None
    journal.write([record("e1", "active")], [], NOW)
    assert journal.last_ts() == NOW
    journal.write([], [], NOW + 5.0, steps=[JournalStep(NOW + 5.0, "e1", "write", {})])
    journal.close()
    assert Journal(path).last_ts() == NOW + 5.0


def test_a_fact_takes_the_place_of_the_last_of_its_name(path: Path, journal: Journal) -> None:
    journal.write(
        [],
        [],
        NOW,
        facts=[SaveFactEffect("opt_out", {"until_ts": 1.0}), SaveFactEffect("cycling_limits", {})],
    )
    journal.write([], [], NOW, facts=[SaveFactEffect("opt_out", None)])
    assert Journal(path).facts() == {"opt_out": None, "cycling_limits": {}}


def test_the_latest_events_come_whatever_their_state_newest_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    for number, state in enumerate(("completed", "active", "cancelled")):
        journal.write([{"event_id": f"e{number}", "state": state, "n": number}], [], float(number))
    assert [event["n"] for event in journal.latest(10)] == [2, 1, 0]
    assert [event["n"] for event in journal.latest(1)] == [2]
    journal.close()


def test_what_commands_asked_for_is_kept_and_the_oldest_forgotten(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "COMMANDS_KEPT", 3)
    for number in (1, 2, 3, 1, 4):
        journal.write([], [], NOW, commands=[SaveFingerprintEffect(f"c{number}", f"f{number}")])
    assert Journal(path).fingerprints() == [("c3", "f3"), ("c1", "f1"), ("c4", "f4")]


def test_the_acks_of_one_event_are_found_in_pieces(journal: Journal) -> None:
    pauses: list[int] = []
    for number in range(600):
        body = {"correlationId": f"c{number}", "status": "success", "event_id": f"e{number % 100}"}
        journal.write([], [SendAckEffect(body, is_reply=True)], NOW)
    found = journal.acks_of("e7", lambda: pauses.append(1))
    assert [ack["correlationId"] for ack in found] == [
        f"c{number}" for number in range(7, 600, 100)
    ]
    assert len(pauses) == 3
    assert journal.acks_of("no such", lambda: None) == []


def test_an_event_is_found_by_its_id(journal: Journal) -> None:
    journal.write([record("e1"), record("e2", "completed")], [], NOW)
    assert journal.event("e2") == record("e2", "completed")
    assert journal.event("e3") is None
