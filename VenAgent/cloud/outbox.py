"""The durable outbox: every QoS 1 message waits here until the broker has it (SQLite, WAL).

The agent's greenlets put messages in, synced to the disk; the paho thread takes them out and
deletes each when its PUBACK came. Each side has a connection of its own, made in its own thread:
that is the whole of their meeting. Acks and alerts go before telemetry, each kind in order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

BUSY_TIMEOUT_SEC = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rank INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    retain INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS outbox_order ON outbox (rank, id);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT OR IGNORE INTO counters VALUES ('seq', 0);
"""


class Rank(IntEnum):
    """What goes first after an outage."""

    ACK = 0
    STATE = 1
    """Only the latest counts: a newer one takes the place of an older one that still waits."""
    TELEMETRY = 2


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    rank: Rank = Rank.TELEMETRY
    retain: bool = False


@dataclass(frozen=True)
class Waiting:
    """A message in the outbox, under the number that `delete` takes."""

    id: int
    topic: str
    payload: bytes
    retain: bool


class Outbox:
    """One side's connection. Make one in each thread that uses the file at `path`."""

    def __init__(self, path: Path, *, synced: bool) -> None:
        """`synced`: a commit waits for the disk. The putting side needs it, the deleting one not:
        a deletion that is lost only sends a message twice."""
        self._db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_SEC)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={'FULL' if synced else 'NORMAL'}")
        self._db.executescript(_SCHEMA)

    def put(self, messages: Iterable[Message]) -> None:
        """Put all messages in, or none; on return they are on the disk."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._insert(messages)

    def put_numbered(self, make: Callable[[int], tuple[list[Message], int]]) -> None:
        """Put in what `make(next_seq)` returns with how many numbers it used, in one transaction.

        So `seq` grows by one, never repeats and leaves no gap, whenever the process is killed.
        """
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            (last,) = self._db.execute("SELECT value FROM counters WHERE name = 'seq'").fetchone()
            messages, used = make(last + 1)
            self._db.execute("UPDATE counters SET value = ? WHERE name = 'seq'", (last + used,))
            self._insert(messages)

    def _insert(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.rank is Rank.STATE:
                self._db.execute(
                    "DELETE FROM outbox WHERE rank = ? AND topic = ?",
                    (Rank.STATE, message.topic),
                )
            self._db.execute(
                "INSERT INTO outbox (rank, topic, payload, retain) VALUES (?, ?, ?, ?)",
                (message.rank, message.topic, message.payload, message.retain),
            )

    def waiting(self, limit: int, skip: Iterable[int] = ()) -> list[Waiting]:
        """The next messages to send, without those in `skip` (they are in flight)."""
        in_flight = list(skip)
        marks = ",".join("?" * len(in_flight))
        rows = self._db.execute(
            "SELECT id, topic, payload, retain FROM outbox "
            f"WHERE id NOT IN ({marks}) ORDER BY rank, id LIMIT ?",
            (*in_flight, limit),
        )
        return [Waiting(row[0], row[1], row[2], bool(row[3])) for row in rows]

    def delete(self, message_id: int) -> None:
        """The broker has it."""
        self._db.execute("DELETE FROM outbox WHERE id = ?", (message_id,))

    def depth(self) -> int:
        """How many messages wait or are in flight."""
        (count,) = self._db.execute("SELECT COUNT(*) FROM outbox").fetchone()
        return int(count)

    def close(self) -> None:
        self._db.close()
