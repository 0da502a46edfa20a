"""The outbox stays within its bound: telemetry is thinned evenly, acks and alerts stay."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from VenAgent.cloud.outbox import MAX_BYTES, Outbox, OutboxMessage, OutboxRank

KB_4 = 4_096
DAY_SEC, INTERVAL_SEC = 86_400, 5
SMALL_BYTES = 1_000_000
"""Room for some 210 messages of 4 KB."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def small(path: Path) -> Iterator[Outbox]:
    outbox = Outbox(path, synced=False, max_bytes=SMALL_BYTES)
    yield outbox
    outbox.close()


def telemetry(topic: str, seq: int) -> OutboxMessage:
    return OutboxMessage(topic, str(seq).encode().ljust(KB_4))


def report(outbox: Outbox, *topics: str, parts: int = 1) -> None:
    """One telemetry in `parts`, on each of the topics."""

    def make(seq: int) -> tuple[list[OutboxMessage], int]:
        numbers = range(seq, seq + parts)
        return [telemetry(topic, number) for topic in topics for number in numbers], parts

    outbox.put_numbered(make)


def seqs(outbox: Outbox, topic: str) -> list[int]:
    return [int(one.payload) for one in outbox.telemetry(100_000) if one.topic == topic]


def gaps(numbers: list[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise(numbers)]


def are_even(kept: list[int], unit: int = 1) -> bool:
    """Whether the gaps double with age, but for one where a gap meets the next smaller."""
    found = gaps(kept)
    doubled = {unit * 2**level for level in range(8)}
    odd = [gap for gap in found if gap not in doubled]
    return found == sorted(found, reverse=True) and len(odd) <= len(set(found))


def test_a_day_of_two_topics_fits_the_default_bound_whole(path: Path) -> None:
    """The twelfth part of it the twelfth part."""
    outbox = Outbox(path, synced=False, max_bytes=MAX_BYTES // 12)
    lot = 480
    for _ in range(DAY_SEC // INTERVAL_SEC // 12 // lot):
        outbox.put_numbered(
            lambda seq: (
                [telemetry(topic, seq + n) for n in range(lot) for topic in ("a", "b")],
                lot,
            )
        )
    backlog = outbox.backlog()
    assert backlog.messages * 12 == 2 * DAY_SEC // INTERVAL_SEC
    assert backlog.thinned == 0
    assert backlog.used_mb < MAX_BYTES / 12 / 1e6 * 0.75
    outbox.close()


def test_when_it_is_full_the_older_telemetry_keeps_every_second_report(small: Outbox) -> None:
    reports = 140
    for _ in range(reports):
        report(small, "a", "b")
    kept = seqs(small, "a")
    assert set(gaps(kept)) == {1, 2}
    assert kept[-1] == reports
    # The gaps are where it is old, and only there.
    assert gaps(kept) == sorted(gaps(kept), reverse=True)


def test_then_every_fourth_and_so_on_and_the_newest_stay_whole(small: Outbox) -> None:
    for _ in range(1_000):
        report(small, "a", "b")
    kept = seqs(small, "a")
    assert are_even(kept)
    assert set(gaps(kept)) >= {1, 4, 8}
    newest = kept[-(len(kept) // 4) :]
    assert set(gaps(newest)) == {1}
    assert kept[0] <= 16, "the beginning of the outage is still told of"


def test_both_topics_keep_the_same_reports(small: Outbox) -> None:
    for _ in range(500):
        report(small, "a", "b")
    of_a, of_b = seqs(small, "a"), seqs(small, "b")
    assert len(set(of_a) ^ set(of_b)) <= 1  # one may go before the other


def test_what_is_sent_more_rarely_is_thinned_evenly_too(small: Outbox) -> None:
    """The loads go with every sixth telemetry: by the number in common all would go, or none."""
    for number in range(600):
        report(small, *(("a", "loads") if number % 6 == 0 else ("a",)))
    kept = seqs(small, "loads")
    assert are_even(kept, unit=6)
    assert len(kept) > 10
    assert are_even(seqs(small, "a"))


def test_the_parts_of_a_report_stay_or_go_together(small: Outbox) -> None:
    for _ in range(300):
        report(small, "a", parts=2)
    kept = seqs(small, "a")
    whole = {(number + 1) // 2 for number in kept}
    # But for the one that the last thinning stopped in.
    assert len(whole) * 2 - len(kept) <= 1
    assert small.backlog().thinned > 300


def test_acks_and_alerts_are_never_thinned(small: Outbox) -> None:
    for number in range(400):
        body = f"ack{number}".encode().ljust(KB_4)
        small.put(
            [
                OutboxMessage("ack", body, OutboxRank.ACK),
                OutboxMessage("alert", body, OutboxRank.ALERT),
            ]
        )
        report(small, "a")
    assert len(small.urgent(10_000)) == 800
    assert seqs(small, "a")[-1] == 400, "the newest telemetry gets in all the same"
    assert small.backlog().messages < 800 + 300


def test_acks_and_alerts_are_one_line(small: Outbox) -> None:
    ranks = [OutboxRank.ACK, OutboxRank.ALERT, OutboxRank.ALERT, OutboxRank.ACK]
    for number, rank in enumerate(ranks):
        small.put([OutboxMessage("t", b"%d" % number, rank)])
    assert [one.payload for one in small.urgent(10)] == [b"0", b"1", b"2", b"3"]


def test_the_file_does_not_grow_beyond_the_bound(path: Path, small: Outbox) -> None:
    for _ in range(1_000):
        report(small, "a")
    assert path.stat().st_size < SMALL_BYTES * 1.1
    assert path.with_name(path.name + "-wal").stat().st_size < 2 * 4_200_000
    assert small.backlog().used_mb <= SMALL_BYTES / 1e6 * 1.05


def test_it_tells_that_it_is_full_until_there_is_room(small: Outbox) -> None:
    for _ in range(150):
        report(small, "a")
    assert not small.full
    for _ in range(150):
        report(small, "a")
        was_full = small.full
    assert was_full
    small.delete([one.id for one in small.telemetry(120)])
    report(small, "a")
    assert not small.full


def test_what_was_thinned_is_counted_over_restarts(path: Path, small: Outbox) -> None:
    for _ in range(400):
        report(small, "a")
    thinned = small.backlog().thinned
    assert thinned == 400 - small.depth()
    small.close()
    assert Outbox(path, synced=False).backlog().thinned == thinned


def test_thinning_goes_on_evenly_after_a_restart(path: Path, small: Outbox) -> None:
    for _ in range(400):
        report(small, "a")
    small.close()
    again = Outbox(path, synced=False, max_bytes=SMALL_BYTES)
    for _ in range(401):
        report(again, "a")
    assert are_even(seqs(again, "a"))
    assert again.depth() < 220


def test_a_bound_that_was_lowered_is_reached_little_by_little(small: Outbox) -> None:
    small.max_bytes = 10 * SMALL_BYTES
    for _ in range(1_500):
        report(small, "a")
    small.max_bytes = SMALL_BYTES
    before = small.depth()
    report(small, "a")
    assert before - 300 < small.depth() < before
    for _ in range(40):
        report(small, "a")
    assert small.backlog().used_mb <= SMALL_BYTES / 1e6 * 1.05


def test_a_put_that_fails_has_thinned_nothing(small: Outbox) -> None:
    for _ in range(205):
        report(small, "a")
    small.max_bytes = SMALL_BYTES // 2
    broken = OutboxMessage("a", None)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.Error):
        small.put([telemetry("a", 0), broken])
    assert small.depth() == 205
    assert small.backlog().thinned == 0


def test_its_figures(small: Outbox) -> None:
    empty = small.backlog()
    assert (empty.messages, empty.oldest_ts, empty.thinned) == (0, None, 0)
    report(small, "a", "b")
    backlog = small.backlog()
    assert backlog.messages == 2
    assert backlog.oldest_ts is not None
    assert backlog.used_mb > 2 * KB_4 / 1e6


@pytest.mark.long
def test_the_room_of_what_was_sent_is_given_back_little_by_little(path: Path) -> None:
    outbox = Outbox(path, synced=False)
    outbox.put([telemetry("a", seq) for seq in range(5_000)])
    large = path.stat().st_size
    outbox.delete([one.id for one in outbox.telemetry(5_000)])
    outbox.shrink(64)
    outbox.shrink(100_000)
    outbox.close()  # and the WAL is in the file
    assert large > 20_000_000
    assert path.stat().st_size < 10_000_000, "but for some free pages"


FIRST_VERSION = """
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rank INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    retain INTEGER NOT NULL
);
CREATE INDEX outbox_order ON outbox (rank, id);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO counters VALUES ('seq', 60);
"""


def test_a_file_of_the_first_version_keeps_its_messages_and_numbers(path: Path) -> None:
    old = sqlite3.connect(path)
    old.executescript("PRAGMA journal_mode=WAL;" + FIRST_VERSION)
    insert = "INSERT INTO outbox (rank, topic, payload, retain) VALUES (?, ?, ?, ?)"
    for seq in range(1, 61):
        for topic in ("a", "b"):
            old.execute(insert, (2, topic, str(seq).encode().ljust(KB_4), 0))
    old.execute(insert, (0, "ack", b"done", 0))
    old.commit()
    old.close()
    outbox = Outbox(path, synced=True)
    assert [one.payload for one in outbox.urgent(10)] == [b"done"]
    assert seqs(outbox, "a") == seqs(outbox, "b") == list(range(1, 61))
    report(outbox, "a")
    assert seqs(outbox, "a")[-1] == 61
    outbox.thin(40)
    assert seqs(outbox, "a")[:20] == seqs(outbox, "b")[:20] == list(range(2, 42, 2))
    outbox.close()
    assert Outbox(path, synced=True).depth() == 121 + 1 - 40
