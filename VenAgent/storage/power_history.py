"""The site's power of the last 60 days in 15-minute means (SQLite, WAL), for the baselines.

Every reading goes in; the means are made in memory. A row is written when its interval closes, and
the open interval's at most once a minute, so that a kill costs no more than that. Nothing here may
hold up an event: what cannot be written stays in memory, is tried again a minute later, and
`failure` says why. All of it is kept in memory too, so a damaged or lost file is written anew.

A mean is weighted by time. Two readings further apart than `max_gap_sec` leave the time between
them uncovered; an interval covered by less than a half is no sample. A clock that steps gives a
gap, never a negative time: stepped forward it leaves intervals out, stepped back it goes on in the
intervals that it comes through again.
"""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from VenAgent.baseline.intervals import DAY_SEC, INTERVAL_SEC, IntervalHistory, interval_start_of
from VenAgent.baseline.site_calendar import SiteCalendar
from VenAgent.storage.quarantine import put_in_quarantine

KEPT_DAYS = 60
WRITE_SEC = 60.0
MAX_GAP_SEC = 90.0
LOCKED_SEC = 0.2
"""How long a write may wait for another process's lock."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS intervals (
    measured_by TEXT NOT NULL,
    start INTEGER NOT NULL,
    energy_kj REAL NOT NULL,
    covered_sec REAL NOT NULL,
    in_event INTEGER NOT NULL,
    PRIMARY KEY (measured_by, start)
) WITHOUT ROWID;
"""


@dataclass(slots=True)
class _Interval:
    energy_kj: float = 0.0
    covered_sec: float = 0.0
    in_event: bool = False

    @property
    def mean_kw(self) -> float | None:
        """None when too little of it was read."""
        if 2.0 * self.covered_sec < INTERVAL_SEC:
            return None
        return self.energy_kj / self.covered_sec


class PowerHistory:
    """Fed with every reading; `intervals` is what the baselines look at."""

    def __init__(
        self,
        path: Path,
        now: float,
        calendar: SiteCalendar | None = None,
        *,
        measured_by: str = "",
        max_gap_sec: float = MAX_GAP_SEC,
    ) -> None:
        """Open or make the file at `now` (epoch s); one that cannot be opened is tried again.

        `measured_by`: what the power is read from; another one's history is set aside in the file.
        `max_gap_sec` has to be longer than the time between two readings.
        """
        self.path = path
        self.max_gap_sec = max_gap_sec
        self._measured_by = measured_by
        self.failure: str | None = None
        """Why the history is not being written; None when all is well."""
        self.complaint: str | None = None
        """A sentence if a damaged file had to be put aside."""
        self._calendar = calendar or SiteCalendar()
        self._opened_ts = now
        self._db: sqlite3.Connection | None = None
        self._loaded = False
        self._rows: dict[int, _Interval] = {}
        self._unwritten: set[int] = set()
        self._last: tuple[float, float, bool] | None = None
        self._written_ts = now
        self._steady_since = now
        self._pruned_ts = -math.inf
        self._view: IntervalHistory | None = None
        self._write(now)

    @property
    def calendar(self) -> SiteCalendar:
        return self._calendar

    @calendar.setter
    def calendar(self, calendar: SiteCalendar) -> None:
        """A new configuration; what is known stays."""
        self._calendar, self._view = calendar, None

    def measure_by(self, measured_by: str) -> None:
        """The power is read from something else from now on: its own history is used, if there is
        one. What was read before stays in the file, and is used again when that is read again."""
        if measured_by == self._measured_by:
            return
        last_ts = self._opened_ts if self._last is None else self._last[0]
        self._write(last_ts)
        self._disconnect()
        self._measured_by, self._rows, self._unwritten = measured_by, {}, set()
        self._last, self._view, self._loaded = None, None, False
        self._write(last_ts)

    @property
    def intervals(self) -> IntervalHistory:
        """The closed intervals of the last 60 days; made anew once an interval, else ready."""
        if self._view is None:
            self._view = self._closed_intervals()
        return self._view

    def interval_rows(self, start_ts: float, count: int) -> list[tuple[int, float, float, bool]]:
        """Start, mean power (kW), covered time (s) and whether an event touched it, of those known
        of `count` intervals from `start_ts` on; the open one too. For a person to look at: also
        what is covered too little to be a sample."""
        begin = interval_start_of(start_ts)
        found = []
        for start in range(begin, begin + count * INTERVAL_SEC, INTERVAL_SEC):
            row = self._rows.get(start)
            if row is not None and row.covered_sec > 0.0:
                mean_kw = row.energy_kj / row.covered_sec
                found.append((start, mean_kw, row.covered_sec, row.in_event))
        return found

    def add(self, ts: float, power_kw: float | None, in_event: bool) -> None:
        """A reading of `ts` (epoch s). `in_event`: something was shed then, or being restored.

        Raises nothing on a full disk or a damaged file. One that was not read adds nothing.
        """
        if power_kw is None or not math.isfinite(power_kw) or not math.isfinite(ts):
            return
        last, self._last = self._last, (ts, power_kw, in_event)
        self._watch_clock(ts, None if last is None else last[0])
        if last is not None and 0.0 < ts - last[0] <= self.max_gap_sec:
            self._cover(last[0], ts, (last[1] + power_kw) / 2.0, in_event or last[2])
        elif in_event:
            self._mark(interval_start_of(ts))
        same = last is not None and interval_start_of(last[0]) == interval_start_of(ts)
        if not same:
            self._view = self._closed_intervals()  # here, so that no event waits for it
        if not same or not 0.0 <= ts - self._written_ts < WRITE_SEC:
            self._write(ts)

    def close(self) -> None:
        """Write what is not written yet, and close."""
        if self._last is not None:
            self._write(self._last[0])
        self._disconnect()

    # ---- in memory ------------------------------------------------------------------------

    def _cover(self, begin: float, end: float, power_kw: float, in_event: bool) -> None:
        while begin < end:
            start = interval_start_of(begin)
            until = min(end, float(start + INTERVAL_SEC))
            row = self._rows.setdefault(start, _Interval())
            row.energy_kj += power_kw * (until - begin)
            row.covered_sec += until - begin
            row.in_event = row.in_event or in_event
            self._unwritten.add(start)
            begin = until

    def _mark(self, start: int) -> None:
        """An event touched an interval of which nothing else is known yet."""
        self._rows.setdefault(start, _Interval()).in_event = True
        self._unwritten.add(start)

    def _watch_clock(self, ts: float, last_ts: float | None) -> None:
        """Since when the time has gone on without a step; over a restart too."""
        if last_ts is None:
            last_ts = max(self._rows, default=ts)
            self._steady_since = last_ts - DAY_SEC if self._rows else ts
        if not 0.0 <= ts - last_ts <= DAY_SEC:
            self._steady_since = ts

    def _closed_intervals(self) -> IntervalHistory:
        end = interval_start_of(self._opened_ts if self._last is None else self._last[0])
        begin = end - KEPT_DAYS * DAY_SEC
        known = {start: row for start, row in self._rows.items() if begin <= start < end}
        means = {start: row.mean_kw for start, row in known.items()}
        return IntervalHistory(
            {start: mean_kw for start, mean_kw in means.items() if mean_kw is not None},
            frozenset(start for start, row in known.items() if row.in_event),
            self._calendar,
        )

    def _prune(self, now: float) -> list[int]:
        """Forget what is too old, and what lies in a future that a wrong clock once showed.

        Only after a day of steady time: a clock that is wrong for less costs no history.
        """
        if now - self._steady_since < DAY_SEC or now - self._pruned_ts < DAY_SEC:
            return []
        self._pruned_ts = now
        oldest, newest = now - KEPT_DAYS * DAY_SEC - INTERVAL_SEC, now + DAY_SEC
        gone = [start for start in self._rows if not oldest <= start <= newest]
        for start in gone:
            del self._rows[start]
        self._unwritten.difference_update(gone)
        return gone

    # ---- on the disk ------------------------------------------------------------------------

    def _write(self, now: float) -> None:
        """Write all that is not on the disk yet; what fails is tried again in a minute."""
        self._written_ts = now
        try:
            try:
                self._write_rows(now)
            except sqlite3.OperationalError:
                raise  # full, locked or no right to it: no damage
            except (sqlite3.DatabaseError, ValueError) as error:
                self._begin_anew(now, error)
        except (sqlite3.Error, ValueError, OSError) as error:
            self.failure = f"the power history cannot be written to {self.path}: {error}"
            self._disconnect()
        else:
            self.failure = None

    def _write_rows(self, now: float) -> None:
        if self._db is None:
            self._db = self._connect()
        gone = self._prune(now)
        if not self._unwritten and not gone:
            return
        rows = [
            (self._measured_by, start, row.energy_kj, row.covered_sec, row.in_event)
            for start, row in ((start, self._rows[start]) for start in self._unwritten)
        ]
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO intervals VALUES (?, ?, ?, ?, ?)", rows)
            self._db.executemany("DELETE FROM intervals WHERE start = ?", [(s,) for s in gone])
            if gone:
                oldest = now - KEPT_DAYS * DAY_SEC - INTERVAL_SEC
                self._db.execute("DELETE FROM intervals WHERE start < ?", (oldest,))
        self._unwritten.clear()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=LOCKED_SEC, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            # A power cut may cost the last minutes, never the file; an event waits for no sync.
            db.execute("PRAGMA synchronous=NORMAL")
            db.executescript(_SCHEMA)
            if not self._loaded:
                self._load(db)
                self._loaded = True
            elif (
                db.execute(
                    "SELECT 1 FROM intervals WHERE measured_by = ? LIMIT 1", (self._measured_by,)
                ).fetchone()
                is None
            ):
                self._unwritten = set(self._rows)  # the file was taken away
        except BaseException:
            db.close()
            raise
        return db

    def _load(self, db: sqlite3.Connection) -> None:
        """Raises sqlite3.DatabaseError or ValueError if the file is damaged."""
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        rows = db.execute("SELECT * FROM intervals").fetchall()
        found = [_checked(row[1:]) for row in rows if row[0] == self._measured_by]
        for start, stored in found:
            row = self._rows.setdefault(start, _Interval())
            row.energy_kj += stored.energy_kj
            row.covered_sec += stored.covered_sec
            row.in_event = row.in_event or stored.in_event
        self._view = None

    def _begin_anew(self, now: float, error: Exception) -> None:
        """Put the damaged file aside and write what is known to a new one."""
        self._disconnect()
        aside = put_in_quarantine(self.path, now)
        self.complaint = (
            f"the power history was damaged ({error}) and put aside as {aside.name}; "
            "baselines from similar days need new days"
            if not self._loaded
            else f"the power history was damaged ({error}), put aside as {aside.name}, written anew"
        )
        self._loaded = True
        self._write_rows(now)

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _checked(row: tuple[Any, ...]) -> tuple[int, _Interval]:
    """A stored row. Raises ValueError if it is none that was ever written."""
    start, energy_kj, covered_sec, in_event = row
    sound = (
        isinstance(start, int)
        and start % INTERVAL_SEC == 0
        and all(isinstance(n, float) and math.isfinite(n) for n in (energy_kj, covered_sec))
        and covered_sec >= 0.0
        and in_event in (0, 1)
    )
    if not sound:
        raise ValueError(f"a row that cannot be: {row!r}")
    return start, _Interval(energy_kj, covered_sec, bool(in_event))
