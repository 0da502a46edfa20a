"""An outbox whose file is broken: put aside, told, and another one begun; nothing stands still."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from VenAgent.cloud import outbox as outbox_module
from VenAgent.cloud import outbox_file
from VenAgent.cloud.outbox import Outbox, OutboxMessage, OutboxRank

PAGE_BYTES = 4_096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def fill(path: Path) -> None:
    outbox = Outbox(path, synced=True)
    for _ in range(50):
        outbox.put_numbered(lambda seq: ([OutboxMessage("t", b"%d" % seq)], 1))
    outbox.close()


def overwrite_all(path: Path) -> None:
    path.write_bytes(b"no database at all " * 1_000)


def overwrite_tables(path: Path) -> None:
    """The first page, which tells what is in the file, stays as it is."""
    content = path.read_bytes()
    path.write_bytes(content[:PAGE_BYTES] + b"\xff" * (len(content) - PAGE_BYTES))


def asides(path: Path) -> list[Path]:
    found = path.parent.glob("outbox.sqlite.damaged-*")
    return [each for each in found if not each.name.endswith("-wal")]


@pytest.fixture(params=[overwrite_all, overwrite_tables])
def broken(path: Path, request: pytest.FixtureRequest) -> Iterator[Outbox]:
    """Opened by the putting side, after something was put in."""
    fill(path)
    damage: Callable[[Path], None] = request.param
    damage(path)
    outbox = Outbox(path, synced=True)
    outbox.put([OutboxMessage("ack", b"first", OutboxRank.ACK)])
    yield outbox
    outbox.close()


def test_a_broken_file_is_put_aside_and_what_is_put_has_its_place(
    path: Path, broken: Outbox
) -> None:
    assert [one.payload for one in broken.urgent(10)] == [b"first"]
    (aside,) = asides(path)
    assert broken.damage is not None
    assert aside.name in broken.damage
    assert [one.payload for one in Outbox(path, synced=False).urgent(10)] == [b"first"]


def test_seq_goes_on_beyond_every_number_that_was_used(broken: Outbox) -> None:
    before = (time.time() - 60) * 1e3
    given: list[int] = []

    def make(seq: int) -> tuple[list[OutboxMessage], int]:
        given.append(seq)
        return [], 1

    broken.put_numbered(make)
    broken.put_numbered(make)
    assert before < given[0] <= time.time() * 1e3 + 1  # the next one after the time in ms
    assert given[1] == given[0] + 1


def take(path: Path) -> None:
    """As the link does it."""
    taking = Outbox(path, synced=False)
    try:
        taking.urgent(10)
    except sqlite3.DatabaseError as error:
        taking.report(error)
        raise


@pytest.mark.parametrize("damage", [overwrite_all, overwrite_tables])
def test_what_the_taking_side_finds_is_mended_at_the_next_put(
    path: Path, damage: Callable[[Path], None]
) -> None:
    putting = Outbox(path, synced=True)
    putting.close()
    putting = Outbox(path, synced=True)  # its pages are not in its cache
    fill(path)
    putting._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(path)
    with pytest.raises(sqlite3.DatabaseError):
        take(path)
    assert len(asides(path)) == 0, "what is put meanwhile must not end in a file put aside"
    putting.put([OutboxMessage("ack", b"after", OutboxRank.ACK)])
    assert putting.damage is not None
    again = Outbox(path, synced=False)
    assert [one.payload for one in again.urgent(10)] == [b"after"]
    putting.put([OutboxMessage("ack", b"later", OutboxRank.ACK)])
    assert len(asides(path)) == 1
    assert len(again.urgent(10)) == 2


def test_the_taking_side_sees_that_another_file_was_begun(path: Path) -> None:
    putting, taking = Outbox(path, synced=True), Outbox(path, synced=False)
    assert taking.is_current()
    putting._begin_anew("a test")
    assert not taking.is_current()
    assert putting.is_current()
    taking.report(sqlite3.DatabaseError("malformed"))  # of the old file, and too late
    putting.put([OutboxMessage("ack", b"after", OutboxRank.ACK)])
    assert len(asides(path)) == 1


def test_a_busy_file_or_a_fault_of_ours_is_no_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_file, "BUSY_TIMEOUT_SEC", 0.05)
    outbox = Outbox(path, synced=True)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError):
        outbox.put([OutboxMessage("t", b"")])
    other.execute("ROLLBACK")
    with pytest.raises(sqlite3.IntegrityError):
        outbox.put([OutboxMessage("t", None)])  # type: ignore[arg-type]
    assert outbox.damage is None
    assert asides(path) == []


def test_a_broken_file_that_cannot_be_put_aside_is_an_error_that_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overwrite_all(path)

    def read_only(*_: object) -> Path:
        raise PermissionError("read-only file system")

    monkeypatch.setattr(outbox_module, "put_in_quarantine", read_only)
    with pytest.raises(sqlite3.OperationalError, match="read-only file system"):
        Outbox(path, synced=True)
