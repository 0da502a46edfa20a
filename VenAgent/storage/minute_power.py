"""One-minute means of the site's power and of each circuit's, for a person who looks back.

The local page draws an event and a circuit's curve from it; nothing is decided or settled by it. A
row a minute goes into SQLite (WAL, synced by none of its commits), up to 14 days of it, fewer on a
large panel so that the file stays under about 10 MB. Nothing here raises or holds anything up: what
cannot be written is lost, and the log says so once.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

from VenAgent.storage.quarantine import put_in_quarantine

_log = logging.getLogger(__name__)

MINUTE_SEC = 60
KEPT_MINUTES = 14 * 1440
MAX_BYTES = 8_000_000
ROWS_AT_ONCE = 240
"""So many minutes are read in one piece; a longer time is asked for again and again."""
PRUNE_EVERY_SEC = 3_600
LOCKED_SEC = 0.2
SITE_COLUMNS = ("power_kw", "baseline_kw", "target_kw")
_NONE = math.nan

_SCHEMA = """
CREATE TABLE IF NOT EXISTS layouts (id INTEGER PRIMARY KEY, circuits TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS minutes (
    start INTEGER PRIMARY KEY,
    layout INTEGER NOT NULL,
    powers BLOB NOT NULL
);
"""


class MinutePower:
    """Fed with every reading; `site` and `circuit` read it, a piece at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._layouts: dict[int, list[str]] = {}
        self._start: int | None = None
        self._sums: dict[str, list[float]] = {}
        self._site_sum: list[float] = [0.0, 0.0]
        self._latest: tuple[float | None, float | None] = (None, None)
        self._pruned_ts = -math.inf
        self._failed = False

    def add(
        self,
        ts: float,
        power_kw: float | None,
        baseline_kw: float | None,
        target_kw: float | None,
        circuits: Mapping[str, float | None],
    ) -> None:
        """A reading of `ts` (epoch s). The minute before is written when the next one begins."""
        if not math.isfinite(ts):
            return
        start = int(ts // MINUTE_SEC) * MINUTE_SEC
        if start != self._start:
            self.flush()
            self._start = start
        _take(self._site_sum, power_kw)
        self._latest = (baseline_kw, target_kw)
        for circuit_id, kw in circuits.items():
            _take(self._sums.setdefault(circuit_id, [0.0, 0.0]), kw)

    def flush(self) -> None:
        """Write what is known of the minute that is open."""
        start, self._start = self._start, None
        sums, self._sums = self._sums, {}
        site, self._site_sum = self._site_sum, [0.0, 0.0]
        if start is None or not (site[1] or any(each[1] for each in sums.values())):
            return
        baseline_kw, target_kw = self._latest
        values = (_mean(site), _float(baseline_kw), _float(target_kw), *map(_mean, sums.values()))
        self._write(start, list(sums), array("f", values).tobytes())

    def site(self, start_ts: float, minutes: int) -> dict[str, list[float | None]]:
        """`ts` and SITE_COLUMNS of the minutes that are known, oldest first; at most ROWS_AT_ONCE
        minutes from `start_ts` on."""
        found: dict[str, list[float | None]] = {name: [] for name in ("ts", *SITE_COLUMNS)}
        for ts, _, powers in self._rows(start_ts, minutes):
            found["ts"].append(ts)
            for place, name in enumerate(SITE_COLUMNS):
                found[name].append(_read(powers, place))
        return found

    def circuit(
        self, circuit_id: str, start_ts: float, minutes: int
    ) -> dict[str, list[float | None]]:
        """`ts` and `power_kw` of one circuit, as `site`; nothing of one that is not known."""
        found: dict[str, list[float | None]] = {"ts": [], "power_kw": []}
        for ts, circuits, powers in self._rows(start_ts, minutes):
            if circuit_id in circuits:
                found["ts"].append(ts)
                place = len(SITE_COLUMNS) + circuits.index(circuit_id)
                found["power_kw"].append(_read(powers, place))
        return found

    def close(self) -> None:
        self.flush()
        self._disconnect()

    # ---- on the disk -----------------------------------------------------------------------

    def _rows(self, start_ts: float, minutes: int) -> list[tuple[int, list[str], array[float]]]:
        begin = int(start_ts // MINUTE_SEC) * MINUTE_SEC
        end = begin + min(minutes, ROWS_AT_ONCE) * MINUTE_SEC
        try:
            db = self._connected()
            rows = db.execute(
                "SELECT start, layout, powers FROM minutes WHERE start >= ? AND start < ? "
                "ORDER BY start",
                (begin, end),
            ).fetchall()
        except (sqlite3.Error, OverflowError, ValueError) as error:
            self._complain(error)
            return []
        known = self._layouts
        return [
            (start, known[layout], _unpacked(body)) for start, layout, body in rows
            if layout in known
        ]  # fmt: skip

    def _write(self, start: int, circuits: list[str], powers: bytes) -> None:
        try:
            db = self._connected()
            with db:
                db.execute("BEGIN IMMEDIATE")
                layout = self._layout(db, circuits)
                db.execute(
                    "INSERT OR REPLACE INTO minutes VALUES (?, ?, ?)", (start, layout, powers)
                )
                self._prune(db, start, len(powers))
        except (sqlite3.Error, OSError, OverflowError, ValueError) as error:
            self._complain(error)
        else:
            self._failed = False

    def _layout(self, db: sqlite3.Connection, circuits: list[str]) -> int:
        """The number under which these circuits stand, in this order."""
        for number, known in self._layouts.items():
            if known == circuits:
                return number
        cursor = db.execute("INSERT INTO layouts (circuits) VALUES (?)", (json.dumps(circuits),))
        number = cursor.lastrowid or 0
        self._layouts[number] = circuits
        return number

    def _prune(self, db: sqlite3.Connection, now: int, row_bytes: int) -> None:
        if 0 <= now - self._pruned_ts < PRUNE_EVERY_SEC:
            return
        self._pruned_ts = now
        kept = min(KEPT_MINUTES, MAX_BYTES // (row_bytes + 24))
        db.execute(
            "DELETE FROM minutes WHERE start <= "
            "(SELECT start FROM minutes ORDER BY start DESC LIMIT 1 OFFSET ?)",
            (kept,),
        )

    def _connected(self) -> sqlite3.Connection:
        if self._db is None:
            try:
                self._db = self._connect()
            except sqlite3.OperationalError:
                raise  # full, locked, or no right to it: no damage
            except (sqlite3.DatabaseError, ValueError) as error:
                aside = put_in_quarantine(self._path, self._start or 0.0)
                _log.warning("%s was damaged (%s): now %s", self._path, error, aside.name)
                self._db = self._connect()
        return self._db

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=LOCKED_SEC, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.executescript(_SCHEMA)
            rows = db.execute("SELECT id, circuits FROM layouts").fetchall()
            self._layouts = {number: json.loads(circuits) for number, circuits in rows}
        except BaseException:
            db.close()
            raise
        return db

    def _complain(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            _log.warning("the page's curves are not kept: %s: %s", self._path, error)
        self._disconnect()

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _take(total: list[float], value: float | None) -> None:
    if value is not None and math.isfinite(value):
        total[0] += value
        total[1] += 1.0


def _mean(total: Sequence[float]) -> float:
    return total[0] / total[1] if total[1] else _NONE


def _float(value: float | None) -> float:
    return _NONE if value is None or not math.isfinite(value) else value


def _unpacked(body: bytes) -> array[float]:
    powers = array("f")
    powers.frombytes(body[: len(body) - len(body) % powers.itemsize])
    return powers


def _read(powers: array[float], place: int) -> float | None:
    if place >= len(powers) or not math.isfinite(powers[place]):
        return None
    return round(powers[place], 3) + 0.0
