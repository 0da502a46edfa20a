"""The journal: what it says after the process ended, however it ended."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from VenAgent import journal as journal_module
from VenAgent.dr.effects import Record, SendAck
from VenAgent.journal import Journal

ROOT = Path(__file__).parents[1]
NOW = 1_760_000_000.0
PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal._db.close()


def record(event_id: str, state: str = "active", **fields: Any) -> Record:
    return Record(event_id, {"event_id": event_id, "state": state, **fields})


def ack(number: int, *, answer: bool = True) -> SendAck:
    return SendAck({"correlationId": f"c{number}", "status": "success"}, answer=answer)


def event_ids(journal: Journal) -> list[str]:
    return [event["event_id"] for event in journal.unfinished()]


def unsent_ids(journal: Journal) -> list[str]:
    return [body["correlationId"] for _, body in journal.unsent()]


# ---- events -----------------------------------------------------------------------------------


def test_an_event_is_there_after_reopening_as_it_was_written(path: Path, journal: Journal) -> None:
    event = {"event_id": "e1", "state": "active", "shed_kw": 5.5, "circuits": [{"before": True}]}
    journal.write([Record("e1", event)], [], NOW)
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
    journal.write([], [ack(1), ack(2, answer=False), ack(3)], NOW)
    journal.write([], [ack(0)], NOW)
    journal.close()
    answers = Journal(path).answers()
    assert [answer["correlationId"] for answer in answers] == ["c1", "c3", "c0"]


def test_an_ack_that_was_not_sent_comes_again_after_reopening(path: Path, journal: Journal) -> None:
    numbers = journal.write([], [ack(1), ack(2, answer=False)], NOW)
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
    assert [answer["correlationId"] for answer in Journal(path).answers()] == ["c1"]


def test_old_answers_are_pruned_and_unsent_acks_never(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "ACKS_KEPT", 3)
    journal.write([], [ack(0)], NOW)  # never sent
    for number in range(1, 11):
        (written,) = journal.write([], [ack(number)], NOW)
        journal.sent(written)
    journal.write([], [], NOW)
    answers = [answer["correlationId"] for answer in journal.answers()]
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
        journal.write([record("e1")], [ack(1), SendAck({"data": object()})], NOW)
    other = Journal(path)
    assert other.unfinished() == []
    assert other.unsent() == []
    assert other.answers() == []


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


# ---- killed -----------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from VenAgent.dr.effects import Record, SendAck
from VenAgent.journal import Journal

journal = Journal(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    event = {"event_id": f"e{number}", "state": "active", "filling": "x" * 1500}
    journal.write([Record(f"e{number}", event)], [SendAck({"n": number})], float(number))
    print(number, flush=True)
"""


def test_killed_at_any_moment_it_has_all_that_was_written(path: Path) -> None:
    for least in (1, 17, 60):
        path.unlink(missing_ok=True)
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(least)]
            writer.kill()
            told += [int(line) for line in writer.stdout.read().split()]
        journal, complaint = Journal.open(path, NOW)
        assert complaint is None
        written = event_ids(journal)
        # Whole decisions, without a gap: those told, and perhaps one more.
        assert written == [f"e{number}" for number in range(1, len(written) + 1)]
        assert len(told) <= len(written) <= len(told) + 1
        assert [body["n"] for _, body in journal.unsent()] == list(range(1, len(written) + 1))
        journal.close()


# ---- damaged ----------------------------------------------------------------------------------


def test_a_whole_journal_opens_without_complaint(path: Path, journal: Journal) -> None:
    journal.write([record("e1")], [], NOW)
    journal.close()
    again, complaint = Journal.open(path, NOW)
    assert complaint is None
    assert event_ids(again) == ["e1"]
    assert [entry.name for entry in path.parent.glob("*damaged*")] == []


def fill(path: Path) -> bytes:
    """A closed journal of many pages; its bytes."""
    journal = Journal(path)
    for number in range(50):
        journal.write([record(f"e{number}", filling="x" * 1500)], [ack(number)], NOW)
    journal.close()
    return path.read_bytes()


def no_database(path: Path) -> None:
    path.write_bytes(b"not a database at all " * 500)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 3 * PAGE])


def torn_inside(path: Path) -> None:
    """The first page, with the schema, is whole: it is opened before the damage shows."""
    whole = path.read_bytes()
    path.write_bytes(whole[:PAGE] + b"\xa5" * (len(whole) - PAGE))


def not_json(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE events SET event = '{\"event_id\": ' WHERE event_id = 'e7'")
    db.close()


DAMAGES = [no_database, cut_short, torn_inside, not_json]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_put_aside_with_its_time_and_reported(path: Path, damage: Any) -> None:
    fill(path)
    damage(path)
    damaged = path.read_bytes()
    journal, complaint = Journal.open(path, NOW + 0.9)
    aside = path.with_name("journal.sqlite.damaged-1760000000")
    assert aside.read_bytes() == damaged
    assert complaint is not None
    assert "damaged" in complaint
    assert aside.name in complaint
    assert journal.unfinished() == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_new_journal_keeps_what_is_written_to_it(path: Path, damage: Any) -> None:
    """Also when the damaged file's connection is closed late, after the new one was made."""
    fill(path)
    damage(path)
    journal, _ = Journal.open(path, NOW)
    journal.write([record("new")], [ack(1)], NOW)
    seen_by_another = Journal(path)
    assert event_ids(seen_by_another) == ["new"]
    seen_by_another.close()
    journal.close()
    again, complaint = Journal.open(path, NOW)
    assert complaint is None
    assert event_ids(again) == ["new"]


def test_what_stands_beside_a_damaged_journal_is_left_alone(path: Path) -> None:
    fill(path)
    no_database(path)
    others = ["outbox.sqlite", "journal.sqlite.damaged-1750000000", "journal.sqlite.bak"]
    for name in others:
        path.with_name(name).write_text(name)
    Journal.open(path, NOW)
    assert [path.with_name(name).read_text() for name in others] == others


def test_a_second_damage_in_the_same_second_does_not_replace_the_first(path: Path) -> None:
    path.write_bytes(b"first " * 1000)
    first, _ = Journal.open(path, NOW)
    first.close()
    path.write_bytes(b"second " * 1000)
    Journal.open(path, NOW)
    kept = {entry.read_bytes()[:5] for entry in path.parent.glob("*.damaged-*")}
    assert kept == {b"first", b"secon"}


def test_the_newest_events_of_a_damaged_journal_are_put_aside_too(path: Path) -> None:
    """They may stand only in the write-ahead file beside it, and can be recovered from there."""
    fill(path)
    journal = Journal(path)
    journal.write([record("precious")], [], NOW)
    killed = path.with_name("killed") / path.name  # the files as a killed process leaves them
    killed.parent.mkdir()
    killed.write_bytes(path.read_bytes())
    wal = path.with_name("journal.sqlite-wal").read_bytes()
    journal.close()
    assert b"precious" in wal
    torn_inside(killed)
    killed.with_name("journal.sqlite-wal").write_bytes(wal)
    fresh, complaint = Journal.open(killed, NOW)
    assert complaint is not None
    assert fresh.unfinished() == []
    assert any(b"precious" in entry.read_bytes() for entry in killed.parent.glob("*.damaged-*"))


def test_whichever_page_is_torn_the_journal_that_opens_works(path: Path) -> None:
    whole = fill(path)
    assert len(whole) > 20 * PAGE
    for page in range(len(whole) // PAGE):
        torn = whole[: page * PAGE] + b"\xa5" * PAGE + whole[(page + 1) * PAGE :]
        path.write_bytes(torn)
        journal, complaint = Journal.open(path, NOW + page)
        journal.unsent()
        (number,) = journal.write([record("new")], [ack(1)], NOW)
        journal.sent(number)
        journal.close()
        assert complaint is not None


def test_a_journal_that_cannot_be_opened_now_is_not_taken_for_damaged(path: Path) -> None:
    """A full disk or a lock is no damage: its events must be there when it is over."""
    whole = fill(path)
    obstacle = path.with_name("journal.sqlite-wal")
    obstacle.mkdir()  # SQLite cannot open it: as with a full disk, "unable to open"
    with pytest.raises(sqlite3.OperationalError):
        Journal.open(path, NOW)
    assert path.read_bytes() == whole
    obstacle.rmdir()
    journal, complaint = Journal.open(path, NOW)
    assert complaint is None
    assert len(journal.unfinished()) == 50


def test_the_latest_events_come_whatever_their_state_newest_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    for number, state in enumerate(("completed", "active", "cancelled")):
        journal.write([Record(f"e{number}", {"state": state, "n": number})], [], float(number))
    assert [event["n"] for event in journal.latest(10)] == [2, 1, 0]
    assert [event["n"] for event in journal.latest(1)] == [2]
    journal.close()
