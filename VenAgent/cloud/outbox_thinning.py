"""Which telemetry an outbox that is full gives up: evenly over time, the older three quarters.

A topic's reports are numbered (`nth`). Those go first whose number is odd, oldest first, then those
that 4 does not divide, and so on: what is left has even gaps however often this is done. How far
each of these levels has come is remembered, so that no row is looked at again for nothing: a full
outbox of 50,000 rows must not hold up the agent's hub.
"""

from __future__ import annotations

import sqlite3

LEVELS = 20
MASKS = (*(2**level - 1 for level in range(1, LEVELS + 1)), -1)
"""Beyond the last level whatever is oldest: many topics with few reports each."""
OF_THE_ROWS = 64
"""The newest quarter begins elsewhere after so small a part of the rows was thinned."""


class OutboxThinning:
    """Of the rows of `rank` in the table `outbox` of one connection."""

    def __init__(self, db: sqlite3.Connection, rank: int) -> None:
        self._db = db
        self._rank = rank
        self.forget()

    def forget(self) -> None:
        """Look at every row again: what was chosen has not been deleted after all."""
        self._reached = [0] * len(MASKS)
        """By level: up to which id nothing is left for it."""
        self._older = 0
        """The id at three quarters, as it was when last looked for."""
        self._holds = 0
        """For how many more rows it need not be looked for again: that counts all rows."""

    def choose(self, most: int) -> list[int]:
        """The ids of up to `most` rows to delete; none when there is no such row.

        The caller deletes them, or calls `forget`.
        """
        found = self._next(0, most) or (self._lowest(most) if self._holds > most else [])
        if not found:
            self._look_for_three_quarters()
            found = self._lowest(most)
        self._holds -= len(found)
        return found

    def _lowest(self, most: int) -> list[int]:
        for level in range(len(MASKS)):
            found = self._next(level, most)
            if found:
                return found
        return []

    def _next(self, level: int, most: int) -> list[int]:
        rows = self._db.execute(
            "SELECT id FROM outbox INDEXED BY outbox_thinning "
            "WHERE rank = ? AND id > ? AND id <= ? AND nth & ? ORDER BY id LIMIT ?",
            (self._rank, self._reached[level], self._older, MASKS[level], most),
        )
        found = [int(row[0]) for row in rows]
        self._reached[level] = found[-1] if found else max(self._reached[level], self._older)
        return found

    def _look_for_three_quarters(self) -> None:
        (count,) = self._db.execute(
            "SELECT COUNT(*) FROM outbox WHERE rank = ?", (self._rank,)
        ).fetchone()
        row = self._db.execute(
            "SELECT id FROM outbox WHERE rank = ? ORDER BY id LIMIT 1 OFFSET ?",
            (self._rank, max(count - 1, 0) * 3 // 4),
        ).fetchone()
        self._older = 0 if row is None else int(row[0])
        self._holds = count // OF_THE_ROWS
