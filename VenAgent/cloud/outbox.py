"""The durable outbox: every QoS 1 message waits here until the broker has it (SQLite, WAL).

The agent's greenlets put messages in, synced to the disk; the MQTT thread takes them out and
deletes each when its PUBACK came. Each side has a connection of its own, made in its own thread:
that is the whole of their meeting. Acks and alerts go before telemetry, each kind in order.

It is bounded: when it is full, telemetry is thinned, the older three quarters of it evenly: of
each topic every second report goes, oldest first, then every second of what is left, and so on.
Acks and alerts are never thinned.

A file that is broken is put aside by the putting side, and another one begun; `seq` goes on from
the time of day in ms, which is beyond every number that was used. So it does in the first file of
an agent: an earlier one may have been removed with its data.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from VenAgent.cloud.outbox_file import (
    connect_outbox_file,
    is_outbox_file_damage,
    mark_outbox_file_broken,
    outbox_file_damage_mark,
    unused_outbox_file_seq,
)
from VenAgent.cloud.outbox_thinning import OutboxThinning
from VenAgent.storage.quarantine import put_in_quarantine

_log = logging.getLogger(__name__)

MAX_BYTES = 256_000_000
"""24 h at 5 s on two topics are 35,000 messages of 4 KB: 167 MB with what SQLite adds."""
CHECKPOINT_SEC = 120.0
"""The taking side copies the log into the file that often, when it has nothing to do."""
FREE_PAGES_KEPT = 2_048
THIN_AT_ONCE = 32
THIN_ROUNDS = 3
"""A telemetry put waits for no more of it; a bound that was lowered is reached little by little."""
RECENT_ROWS = 500
"""Among so many are the last reports of each topic, the rare ones too."""
NEWEST = 2**63 - 1


class OutboxRank(IntEnum):
    """What goes first after an outage."""

    ACK = 0
    ALERT = 0
    """As acks, and in one order with them: both tell what happened, and when."""
    STATE = 1
    """Only the latest counts: a newer one takes the place of an older one that still waits."""
    TELEMETRY = 2
    BULK = 3
    """What may be late, and is bounded by who puts it in: messages of the VOLTTRON bus."""


@dataclass(frozen=True)
class OutboxMessage:
    topic: str
    payload: bytes
    rank: OutboxRank = OutboxRank.TELEMETRY
    retain: bool = False


@dataclass(frozen=True)
class OutboxWaitingMessage:
    """A message in the outbox, under the number that `delete` takes."""

    id: int
    topic: str
    payload: bytes
    retain: bool


@dataclass(frozen=True)
class OutboxBacklog:
    """How full the outbox is."""

    messages: int
    """Waiting or in flight."""
    used_mb: float
    oldest_ts: float | None
    """When the oldest was put in, epoch s; None when it is empty."""
    thinned: int
    """Telemetry messages given up for want of room, since the file was made."""


class Outbox:
    """One side's connection. Make one in each thread that uses the file at `path`."""

    def __init__(
        self, path: Path, *, synced: bool, max_bytes: int = MAX_BYTES, first_seq: int = 1
    ) -> None:
        """`synced`: a commit waits for the disk. The putting side needs it, the deleting one not:
        a deletion that is lost only sends a message twice. `first_seq` is for a new file."""
        self.max_bytes = max_bytes
        self.full = False
        """Whether telemetry is thinned at present, or was and half of the room is still taken."""
        self.damage: str | None = None
        """What a person should know about a file that was broken."""
        self._path = path
        self._synced = synced
        self._first_seq = first_seq
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if not is_outbox_file_damage(error):
                raise
            if not synced:
                mark_outbox_file_broken(path, error)
                raise
            self._begin_anew(str(error))

    def _open(self) -> None:
        self._db = connect_outbox_file(self._path, synced=self._synced, first_seq=self._first_seq)
        self._page_bytes = self._number("PRAGMA page_size")
        self._nth: dict[str, int] = {}
        self._thinning = OutboxThinning(self._db, OutboxRank.TELEMETRY)
        self._file = os.stat(self._path).st_ino

    def _begin_anew(self, why: str) -> None:
        """Put the broken file aside. The putting side does: nothing it puts must end in there."""
        with suppress(sqlite3.Error, AttributeError):  # it may not have been opened at all
            self._db.close()
        try:
            aside = put_in_quarantine(self._path, time.time())
            outbox_file_damage_mark(self._path).unlink(missing_ok=True)
        except OSError as error:
            raise sqlite3.OperationalError(
                f"the outbox is damaged ({why}) and cannot be put aside: {error}"
            ) from None
        self._open()
        with self._db:  # the other side may have been quicker to make it
            self._db.execute(
                "UPDATE counters SET value = ? WHERE name = 'seq'", (unused_outbox_file_seq(),)
            )
        self.damage = (
            f"the outbox was damaged ({why}) and put aside as {aside.name}: "
            f"what waited in it is not sent; is the disk failing?"
        )
        _log.error("%s", self.damage)

    def belong_to(self, ven_id: str) -> None:
        """What waits is sent as this VEN. For the putting side.

        Another one's messages are put aside: AWS IoT Core ends the connection of a client that
        publishes on a foreign topic, so they would stand before all others for good.
        """
        number = zlib.crc32(ven_id.encode()) & 0x7FFFFFFF or 1
        try:
            known = self._number("PRAGMA application_id")
            if known not in (0, number) and self.depth():
                self._begin_for(ven_id)
        except sqlite3.DatabaseError as error:
            if not is_outbox_file_damage(error):
                raise
            self._begin_anew(str(error))
        self._db.execute(f"PRAGMA application_id={number}")

    def _begin_for(self, ven_id: str) -> None:
        waiting = self.depth()
        last = self._number("SELECT value FROM counters WHERE name = 'seq'")
        self._db.close()
        aside = put_in_quarantine(self._path, time.time(), why="former-ven")
        self._first_seq = last + 1
        self._open()
        _log.warning(
            "%d messages of another VEN are not sent as %s: they are in %s",
            *(waiting, ven_id, aside.name),
        )

    def _number(self, statement: str) -> int:
        (value,) = self._db.execute(statement).fetchone()
        return int(value)

    # ---- the putting side ----------------------------------------------------------------

    def put(self, messages: Iterable[OutboxMessage]) -> None:
        """Put all messages in, or none; on return they are on the disk."""
        kept = list(messages)
        self._write(lambda: self._insert(kept))

    def put_numbered(self, make: Callable[[int], tuple[list[OutboxMessage], int]]) -> None:
        """Put in what `make(next_seq)` returns with how many numbers it used, in one transaction.

        So `seq` grows by one, never repeats and leaves no gap, whenever the process is killed.
        """

        def write() -> None:
            last = self._number("SELECT value FROM counters WHERE name = 'seq'")
            messages, used = make(last + 1)
            self._db.execute("UPDATE counters SET value = ? WHERE name = 'seq'", (last + used,))
            self._insert(messages)

        self._write(write)

    def _write(self, work: Callable[[], None]) -> None:
        """In one transaction; in a new file if this one turns out to be broken."""
        mark = outbox_file_damage_mark(self._path)
        if mark.exists():
            self._begin_anew(mark.read_text())
        try:
            self._transact(work)
        except sqlite3.DatabaseError as error:
            if not is_outbox_file_damage(error):
                raise
            self._begin_anew(str(error))
            self._transact(work)

    def _transact(self, work: Callable[[], None]) -> None:
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                work()
        except BaseException:
            self._thinning.forget()
            raise

    def _insert(self, messages: Iterable[OutboxMessage]) -> None:
        now = time.time()
        report: dict[str, int] = {}
        """Which report of its topic a telemetry belongs to: its parts stay or go together."""
        for message in messages:
            if message.rank is OutboxRank.STATE:
                self._db.execute(
                    "DELETE FROM outbox WHERE rank = ? AND topic = ?",
                    (OutboxRank.STATE, message.topic),
                )
            nth = 0
            if message.rank is OutboxRank.TELEMETRY:
                if not report:
                    self._make_room()
                nth = report.setdefault(message.topic, self._nth_of(message.topic) + 1)
            self._db.execute(
                "INSERT INTO outbox (rank, nth, put_ts, retain, topic, payload) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (message.rank, nth, now, message.retain, message.topic, message.payload),
            )
        self._nth.update(report)

    def _nth_of(self, topic: str) -> int:
        """The number of the topic's last report; after a start, among the newest that wait."""
        if not self._nth:
            rows = self._db.execute(
                "SELECT topic, MAX(nth) FROM (SELECT topic, nth FROM outbox WHERE rank = ? "
                "ORDER BY id DESC LIMIT ?) GROUP BY topic",
                (OutboxRank.TELEMETRY, RECENT_ROWS),
            )
            self._nth = {topic: int(nth) for topic, nth in rows}
        return self._nth.get(topic, 0)

    def _make_room(self) -> None:
        used = self._used_bytes()
        self.full = used > self.max_bytes or (self.full and used > self.max_bytes / 2)
        for _ in range(THIN_ROUNDS):
            if self._used_bytes() <= self.max_bytes or not self.thin(THIN_AT_ONCE):
                return

    def thin(self, most: int) -> int:
        """Give up to `most` telemetry messages up, evenly over time; how many it was."""
        found = self._thinning.choose(most)
        if found:
            self._db.executemany("DELETE FROM outbox WHERE id = ?", [(each,) for each in found])
            self._db.execute(
                "UPDATE counters SET value = value + ? WHERE name = 'thinned'", (len(found),)
            )
        return len(found)

    def _used_bytes(self) -> int:
        free = self._number("PRAGMA freelist_count")
        return (self._number("PRAGMA page_count") - free) * self._page_bytes

    # ---- the taking side -----------------------------------------------------------------

    def urgent(self, limit: int, skip: Iterable[int] = ()) -> list[OutboxWaitingMessage]:
        """The next acks and alerts, then states, without those in `skip` (they are in flight)."""
        return self._select("rank < ?", (OutboxRank.TELEMETRY,), limit, skip)

    def telemetry(
        self, limit: int, skip: Iterable[int] = (), *, after: int = 0, upto: int = NEWEST
    ) -> list[OutboxWaitingMessage]:
        """The oldest telemetry with a number over `after`, up to `upto`, without `skip`."""
        where = "rank = ? AND id > ? AND id <= ?"
        return self._select(where, (OutboxRank.TELEMETRY, after, upto), limit, skip)

    def bulk(self, limit: int, skip: Iterable[int] = ()) -> list[OutboxWaitingMessage]:
        """The next of what may be late, without `skip`."""
        return self._select("rank = ?", (OutboxRank.BULK,), limit, skip)

    def _select(
        self, where: str, values: tuple[int, ...], limit: int, skip: Iterable[int]
    ) -> list[OutboxWaitingMessage]:
        in_flight = list(skip)
        marks = ",".join("?" * len(in_flight))
        rows = self._db.execute(
            f"SELECT id, topic, payload, retain FROM outbox "
            f"WHERE {where} AND id NOT IN ({marks}) ORDER BY rank, id LIMIT ?",
            (*values, *in_flight, limit),
        )
        return [OutboxWaitingMessage(row[0], row[1], row[2], bool(row[3])) for row in rows]

    def newest(self) -> int:
        """The number of the last message that was put in, there still or not."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        return 0 if row is None else int(row[0])

    def delete(self, message_ids: Iterable[int]) -> None:
        """The broker has them."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "DELETE FROM outbox WHERE id = ?", [(each,) for each in message_ids]
            )

    def shrink(self, pages: int) -> None:
        """Give some of the room of what was deleted back to the disk, if there is much of it."""
        surplus = self._number("PRAGMA freelist_count") - FREE_PAGES_KEPT
        if surplus > 0:
            # A page for each step: `execute` would make one only.
            self._db.executescript(f"PRAGMA incremental_vacuum({min(pages, surplus)})")

    def checkpoint(self) -> None:
        """Copy the log into the file, so that the putting side need not; it may write meanwhile."""
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def report(self, error: sqlite3.Error) -> None:
        """The taking side met this. If the file is broken, the putting side begins another one."""
        if is_outbox_file_damage(error) and self.is_current():
            mark_outbox_file_broken(self._path, error)

    def is_current(self) -> bool:
        """Whether the putting side still uses this file."""
        with suppress(FileNotFoundError):
            return os.stat(self._path).st_ino == self._file
        return False

    # ---- anyone --------------------------------------------------------------------------

    def depth(self) -> int:
        """How many messages wait or are in flight."""
        return self._number("SELECT COUNT(*) FROM outbox")

    def backlog(self) -> OutboxBacklog:
        oldest = self._db.execute("SELECT put_ts FROM outbox ORDER BY id LIMIT 1").fetchone()
        return OutboxBacklog(
            messages=self.depth(),
            used_mb=self._used_bytes() / 1e6,
            oldest_ts=None if oldest is None else float(oldest[0]),
            thinned=self._number("SELECT value FROM counters WHERE name = 'thinned'"),
        )

    def bulk_waits(self, topic: str) -> int:
        """How many messages of this topic that may be late wait or are in flight."""
        return int(
            self._db.execute(
                "SELECT COUNT(*) FROM outbox INDEXED BY outbox_thinning "
                "WHERE rank = ? AND topic = ?",
                (OutboxRank.BULK, topic),
            ).fetchone()[0]
        )

    def close(self) -> None:
        self._db.close()
