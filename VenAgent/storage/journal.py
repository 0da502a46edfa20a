"""The durable journal of events and acks (SQLite, WAL, synced).

What the core decides is written here before it is done, so that after a crash at any point the
journal says what to do next (docs/architecture.md). One decision is one transaction: the event's
new state, the facts that changed, the acks that report it, and the steps that are done next. An
ack counts as sent once it is in the outbox; one that is not is sent at the next start.

`steps` is the log for a person: what was to be written when, and what came of it. It decides
nothing, and is pruned by age and by number.

A write takes a fraction of a millisecond on a solid-state disk. It is done in the caller's
greenlet on purpose: nothing may come between the decision and its record.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from VenAgent.dr.effects import SaveFactEffect, SaveFingerprintEffect, SendAckEffect
from VenAgent.dr.event_state import EventState
from VenAgent.storage.quarantine import put_in_quarantine

ACKS_KEPT = 2_000
ACKS_AT_ONCE = 250
"""So many are looked through before others have a turn."""
COMMANDS_KEPT = 2_000
EVENTS_KEPT = 1_000
STEPS_KEPT = 50_000
"""About 10 MB."""
STEPS_KEPT_SEC = 90 * 86_400.0
PRUNE_EVERY = 500

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    event_id TEXT PRIMARY KEY,
    changed_ts REAL NOT NULL,
    over INTEGER NOT NULL,
    event TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_over ON events (over, changed_ts);
CREATE TABLE IF NOT EXISTS acks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    is_reply INTEGER NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS acks_unsent ON acks (sent) WHERE NOT sent;
CREATE TABLE IF NOT EXISTS commands (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    correlation_id TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS steps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ts REAL NOT NULL,
    event_id TEXT NOT NULL,
    step TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS steps_event ON steps (event_id, id);
"""


@dataclass(frozen=True)
class JournalStep:
    """A line of the log: what is about to be done, or what came of it, with its details."""

    ts: float
    event_id: str
    step: str
    detail: Mapping[str, Any]


class Journal:
    """Opened by the agent at its start; the caller gives all times (epoch seconds)."""

    def __init__(self, path: Path) -> None:
        """Open or make the journal. Raises sqlite3.DatabaseError if the file is damaged."""
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        self._sent: list[int] = []

    @classmethod
    def open(cls, path: Path, now: float) -> tuple[Journal, str | None]:
        """The journal at `path`, and a sentence if a damaged one had to be put aside.

        Raises sqlite3.OperationalError if it cannot be opened now (locked, disk full, no right to
        it): that is no damage, and the events in it must not be forgotten.
        """
        try:
            journal = cls(path)
            journal.check()
        except sqlite3.OperationalError:
            raise
        except (sqlite3.DatabaseError, ValueError) as error:
            aside = put_in_quarantine(path, now)
            return cls(path), f"the journal was damaged ({error}) and put aside as {aside.name}"
        return journal, None

    def check(self) -> None:
        """Raises sqlite3.DatabaseError or ValueError if anything in the file cannot be read."""
        (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        self.unfinished()
        self.finished()
        self.facts()
        self.replies()
        self.fingerprints()
        self.unsent()

    def write(
        self,
        events: Iterable[Mapping[str, Any]],
        acks: Iterable[SendAckEffect],
        now: float,
        *,
        facts: Iterable[SaveFactEffect] = (),
        commands: Iterable[SaveFingerprintEffect] = (),
        steps: Iterable[JournalStep] = (),
    ) -> list[int]:
        """Save all of one decision, or nothing; on return it is on the disk.

        `events`: records, as event_record.py makes them. Returns the numbers of the
        acks, for `sent`.
        """
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for record in events:
                self._save_event(record, now)
            for fact in facts:
                self._db.execute(
                    # The same again is no write: whoever repeats a command costs no sync.
                    "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) "
                    "DO UPDATE SET value = excluded.value WHERE value IS NOT excluded.value",
                    (fact.name, json.dumps(fact.value)),
                )
            for command in commands:
                self._save_command(command)
            numbers = [self._save_ack(ack) for ack in acks]
            if numbers:
                self._db.execute(
                    "DELETE FROM acks WHERE sent AND id <= ?", (numbers[-1] - ACKS_KEPT,)
                )
            self._db.executemany(
                "UPDATE acks SET sent = 1 WHERE id = ?", [(number,) for number in self._sent]
            )
            for step in steps:
                self._save_step(step)
        self._sent.clear()
        return numbers

    def _save_ack(self, ack: SendAckEffect) -> int:
        cursor = self._db.execute(
            "INSERT INTO acks (is_reply, body) VALUES (?, ?)", (ack.is_reply, json.dumps(ack.body))
        )
        return cursor.lastrowid or 0

    def _save_command(self, command: SaveFingerprintEffect) -> None:
        cursor = self._db.execute(
            "INSERT OR REPLACE INTO commands (correlation_id, fingerprint) VALUES (?, ?)",
            (command.correlation_id, command.fingerprint),
        )
        oldest = (cursor.lastrowid or 0) - COMMANDS_KEPT
        self._db.execute("DELETE FROM commands WHERE id <= ?", (oldest,))

    def _save_step(self, step: JournalStep) -> None:
        cursor = self._db.execute(
            "INSERT INTO steps (ts, event_id, step, detail) VALUES (?, ?, ?, ?)",
            (step.ts, step.event_id, step.step, json.dumps(step.detail)),
        )
        newest = cursor.lastrowid or 0
        if newest % PRUNE_EVERY == 0:
            self._db.execute(
                "DELETE FROM steps WHERE id <= ? OR ts < ?",
                (newest - STEPS_KEPT, step.ts - STEPS_KEPT_SEC),
            )

    def _save_event(self, record: Mapping[str, Any], now: float) -> None:
        over = record.get("done", EventState(record["state"]).over)
        self._db.execute(
            "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?)",
            (record["event_id"], now, over, json.dumps(record)),
        )
        if over:
            self._db.execute(
                "DELETE FROM events WHERE over AND event_id NOT IN "
                "(SELECT event_id FROM events WHERE over ORDER BY changed_ts DESC LIMIT ?)",
                (EVENTS_KEPT,),
            )

    def sent(self, number: int) -> None:
        """The ack is in the outbox. Noted with the next `write`: an ack too many does no harm."""
        self._sent.append(number)

    def unfinished(self) -> list[dict[str, Any]]:
        """The events that were not over when the last process ended."""
        rows = self._db.execute("SELECT event FROM events WHERE NOT over ORDER BY changed_ts")
        return [json.loads(row[0]) for row in rows]

    def finished(self, limit: int = EVENTS_KEPT) -> list[dict[str, Any]]:
        """The events that are over, newest first, at most `limit` of them."""
        rows = self._db.execute(
            "SELECT event FROM events WHERE over ORDER BY changed_ts DESC LIMIT ?", (limit,)
        )
        return [json.loads(row[0]) for row in rows]

    def latest(self, limit: int) -> Iterator[dict[str, Any]]:
        """The events last written of, the newest first, whatever their state. As they are now;
        each is decoded when it is taken, so that the caller can pause between two."""
        rows = self._db.execute(
            "SELECT event FROM events ORDER BY changed_ts DESC LIMIT ?", (limit,)
        ).fetchall()
        return (json.loads(row[0]) for row in rows)

    def event(self, event_id: str) -> dict[str, Any] | None:
        """What was last written of one event; None if it is not known."""
        row = self._db.execute(
            "SELECT event FROM events WHERE event_id = ?", (event_id,)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def acks_of(self, event_id: str, pause: Callable[[], None]) -> list[dict[str, Any]]:
        """The acks that report one event, oldest first; all are looked through in pieces, with
        `pause` in between."""
        (newest,) = self._db.execute("SELECT max(id) FROM acks").fetchone()
        found: list[dict[str, Any]] = []
        for begin in range(max(0, (newest or 0) - ACKS_KEPT), newest or 0, ACKS_AT_ONCE):
            rows = self._db.execute(
                "SELECT body FROM acks WHERE id > ? AND id <= ? "
                "AND json_extract(body, '$.event_id') = ? ORDER BY id",
                (begin, begin + ACKS_AT_ONCE, event_id),
            ).fetchall()
            found += [json.loads(row[0]) for row in rows]
            pause()
        return found

    def last_ts(self) -> float | None:
        """When a decision or a step was last written; None in a new journal."""
        (moment,) = self._db.execute(
            "SELECT max(moment) FROM (SELECT max(changed_ts) AS moment FROM events WHERE NOT over "
            "UNION ALL SELECT ts FROM (SELECT ts FROM steps ORDER BY id DESC LIMIT 1))"
        ).fetchone()
        return moment

    def facts(self) -> dict[str, Any]:
        """What is true of the site beside its events, by name."""
        return {name: json.loads(value) for name, value in self._db.execute("SELECT * FROM facts")}

    def steps(self, event_id: str, limit: int = 1_000) -> list[JournalStep]:
        """What was done for an event and what came of it, oldest first."""
        rows = self._db.execute(
            "SELECT ts, event_id, step, detail FROM steps WHERE event_id = ? ORDER BY id LIMIT ?",
            (event_id, limit),
        )
        return [JournalStep(ts, name, step, json.loads(detail)) for ts, name, step, detail in rows]

    def replies(self) -> list[dict[str, Any]]:
        """The acks that commands got, oldest first."""
        rows = self._db.execute("SELECT body FROM acks WHERE is_reply ORDER BY id")
        return [json.loads(row[0]) for row in rows]

    def fingerprints(self) -> list[tuple[str, str]]:
        """What commands asked for: correlation_id and fingerprint, oldest first."""
        rows = self._db.execute("SELECT correlation_id, fingerprint FROM commands ORDER BY id")
        return [(row[0], row[1]) for row in rows]

    def unsent(self) -> list[tuple[int, Mapping[str, Any]]]:
        """Acks that may not have reached the outbox, oldest first, with their numbers."""
        rows = self._db.execute("SELECT id, body FROM acks WHERE NOT sent ORDER BY id")
        return [(row[0], json.loads(row[1])) for row in rows]

    def close(self) -> None:
        """Note what was sent, and close."""
        self.write([], [], 0.0)
        self._db.close()
