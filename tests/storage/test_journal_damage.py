"""The journal of a process that was killed, and one that is damaged."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.storage.journal_builders import NOW, ack, event_ids, record
from VenAgent.storage.journal import Journal

ROOT = Path(__file__).parents[2]
PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


# ---- killed -----------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from VenAgent.dr.effects import SendAckEffect
from VenAgent.storage.journal import Journal

journal = Journal(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    event = {"event_id": f"e{number}", "state": "active", "filling": "x" * 1500}
    journal.write([event], [SendAckEffect({"n": number})], float(number))
    print(number, flush=True)
"""


@pytest.mark.long
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


def test_a_whole_journal_opens_without_complaint(path: Path) -> None:
    journal = Journal(path)
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


@pytest.mark.parametrize("first", ["journal.sqlite", "journal.sqlite-wal"])
def test_copied_while_it_is_written_it_opens_or_says_what_was_put_aside(
    path: Path, tmp_path: Path, first: str
) -> None:
    """`vctl install --force` of 9 and 11 copies file by file; the log may begin anew between."""
    fill(path)
    other = {"journal.sqlite": "journal.sqlite-wal"}.get(first, "journal.sqlite")
    living = Journal(path)
    for number in range(12):
        living.write([record(f"before{number}", filling="y" * 3_000)], [], NOW)
        copy = tmp_path / f"copy{number}"
        copy.mkdir()
        (copy / first).write_bytes(path.with_name(first).read_bytes())
        with sqlite3.connect(path) as between:  # what was written is in the file now
            between.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if number % 2 else 'RESTART'})")
        between.close()
        living.write([record(f"after{number}", filling="z" * 9_000)], [], NOW)
        (copy / other).write_bytes(path.with_name(other).read_bytes())
        journal, complaint = Journal.open(copy / "journal.sqlite", NOW)
        assert complaint is not None or "e49" in event_ids(journal)
        journal.write([record("new")], [ack(1)], NOW)
        assert "new" in event_ids(journal)
        journal.close()
    living.close()
