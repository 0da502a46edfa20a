"""The outbox's file: how it is opened, its tables and versions, and the mark of a broken one."""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from pathlib import Path

BUSY_TIMEOUT_SEC = 5.0
WAL_KEPT_BYTES = 4_000_000
PUT_CHECKPOINT_PAGES = 1_600
"""The taking side copies the log into the file (`Outbox.checkpoint`); the putting side, on the
agent's hub, only when the log has become so long."""

_SCHEMA = (
    # What is looked at without being sent stands before the payload, which fills pages of its own.
    """CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rank INTEGER NOT NULL,
    nth INTEGER NOT NULL,
    put_ts REAL NOT NULL,
    retain INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL
)""",
    "CREATE INDEX outbox_thinning ON outbox (rank, id, nth)",
    "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO counters VALUES ('seq', 0)",
    "INSERT OR IGNORE INTO counters VALUES ('thinned', 0)",
)
_VERSION = 2
_FROM_FIRST_VERSION = (
    "INSERT INTO outbox (id, rank, nth, put_ts, retain, topic, payload) "
    "SELECT id, rank, ROW_NUMBER() OVER (PARTITION BY topic ORDER BY id), 0, retain, topic, "
    "payload FROM outbox_before ORDER BY id",
    "DROP TABLE outbox_before",
)


def connect_outbox_file(path: Path, *, synced: bool, first_seq: int) -> sqlite3.Connection:
    """With the tables in it. `synced` is the putting side; `first_seq` is for a new file."""
    db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_SEC)
    db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # of a new file; before all else
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(f"PRAGMA journal_size_limit={WAL_KEPT_BYTES}")
    db.execute(f"PRAGMA synchronous={'FULL' if synced else 'NORMAL'}")
    if synced:
        db.execute(f"PRAGMA wal_autocheckpoint={PUT_CHECKPOINT_PAGES}")
    if _version(db) != _VERSION:
        _make_tables(db, first_seq)
    return db


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _make_tables(db: sqlite3.Connection, first_seq: int) -> None:
    """Of a new file, or one of the first version, which knew neither age nor bound."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        if _version(db) == _VERSION:
            return  # the other side was quicker
        tables = "SELECT COUNT(*) FROM sqlite_master WHERE type='table'"
        of_first_version = bool(db.execute(tables).fetchone()[0])
        if of_first_version:
            db.execute("ALTER TABLE outbox RENAME TO outbox_before")
        for statement in _SCHEMA:
            db.execute(statement)
        for statement in _FROM_FIRST_VERSION if of_first_version else ():
            db.execute(statement)
        if not of_first_version:
            db.execute("UPDATE counters SET value = ? WHERE name = 'seq'", (first_seq - 1,))
        db.execute(f"PRAGMA user_version={_VERSION}")
    if of_first_version:
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        db.execute("VACUUM")


def unused_outbox_file_seq() -> int:
    """A number that no telemetry of this site has had, if the clock is right: the time in ms, and
    there are not a thousand a second."""
    return int(time.time() * 1_000)


def is_outbox_file_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken: not busy, not a full disk, not a fault of ours."""
    return type(error) is sqlite3.DatabaseError


def outbox_file_damage_mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.broken")


def mark_outbox_file_broken(path: Path, error: sqlite3.Error) -> None:
    """For the putting side, which looks at each put."""
    with suppress(OSError):
        outbox_file_damage_mark(path).write_text(str(error))
