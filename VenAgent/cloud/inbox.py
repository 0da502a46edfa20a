"""Commands that came faster than they were dealt with, on the disk (SQLite, WAL).

A broker hands out the next messages only when the first ones are acknowledged, 20 or 100 at a time:
in a burst a `restore` waits there behind thousands. What waits here is synced first and then
acknowledged, so that all of a burst comes in and the `restore` with it. It is deleted when the
agent has dealt with it; what is left after a kill is dealt with at the next start.

Used by the MQTT thread only.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.storage.quarantine import put_in_quarantine

_log = logging.getLogger(__name__)

_TABLE = """
CREATE TABLE IF NOT EXISTS inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kept_ts REAL NOT NULL,
    expires_ts REAL,
    session_present INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL
)
"""


class Inbox:
    """One file. Every method raises sqlite3.Error when it cannot be used now."""

    def __init__(self, path: Path) -> None:
        """Open it; a broken file is put aside, and what was in it is lost."""
        try:
            self._db = _connect(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            aside = put_in_quarantine(path, time.time())
            _log.error("the inbox was damaged (%s) and put aside as %s", error, aside.name)
            self._db = _connect(path)

    def keep(self, messages: Iterable[InboundMessage]) -> list[int]:
        """Their numbers; on return they are on the disk."""
        now, monotonic = time.time(), time.monotonic()
        self._db.execute("PRAGMA synchronous=FULL")
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            return [
                self._db.execute(
                    "INSERT INTO inbox (kept_ts, expires_ts, session_present, topic, payload) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (
                        now,
                        None if each.expires_at is None else now + each.expires_at - monotonic,
                        each.session_present,
                        each.topic,
                        each.payload,
                    ),
                ).lastrowid
                or 0
                for each in messages
            ]

    def delete(self, numbers: Iterable[int]) -> None:
        """They are dealt with. Not synced: after a power cut one may come again."""
        self._db.execute("PRAGMA synchronous=NORMAL")
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("DELETE FROM inbox WHERE id = ?", [(each,) for each in numbers])

    def left(self) -> list[tuple[int, InboundMessage]]:
        """What an earlier process left, in the order in which it came."""
        now, monotonic = time.time(), time.monotonic()
        rows = self._db.execute(
            "SELECT id, topic, payload, session_present, expires_ts, kept_ts FROM inbox ORDER BY id"
        )
        return [
            (
                number,
                InboundMessage(
                    topic,
                    payload,
                    mid=0,
                    session_present=bool(session_present),
                    expires_at=None if expires_ts is None else monotonic + expires_ts - now,
                    kept_ts=kept_ts,
                ),
            )
            for number, topic, payload, session_present, expires_ts, kept_ts in rows
        ]

    def close(self) -> None:
        self._db.close()


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(_TABLE)
    return db
