"""When to look again: at a meter that has not settled yet, and at a restore that failed.

Both hold a moment that the engine waits for, in epoch seconds, None when there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

from VenAgent.dr.curtailment import TOLERANCE
from VenAgent.dr.event import Event

SETTLE_SEC = 1.0
SETTLE_LEAST_TRIES = 3
"""A device may be slow to obey: before this many readings, standing still is no proof."""
SETTLE_TRIES = 10
RETRY_SEC = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


@dataclass
class Settling:
    """Whether the meter shows what was shed, or at least stands still."""

    due_ts: float | None = None
    tries: int = 0

    def settled(self, event: Event, power_kw: float, previous_kw: float | None, now: float) -> bool:
        """Look at a new reading of the panel; if it proves nothing yet, another one is due."""
        self.tries += 1
        band_kw = TOLERANCE * event.requested_kw
        as_predicted = abs(event.shed_by(power_kw) - event.predicted_kw) <= band_kw
        unmoved = previous_kw is not None and abs(power_kw - previous_kw) <= band_kw
        stands_still = unmoved and self.tries >= SETTLE_LEAST_TRIES
        if as_predicted or stands_still or self.tries >= SETTLE_TRIES:
            self.due_ts = None
            return True
        self.due_ts = now + SETTLE_SEC
        return False

    def look_again(self, now: float) -> None:
        """The same reading came again: it proves nothing."""
        self.due_ts = self.due_ts or now + SETTLE_SEC


@dataclass
class Backoff:
    """Tries of a restore, further and further apart, without end."""

    due_ts: float | None = None
    tries: int = 0

    def failed(self, now: float) -> None:
        self.due_ts = now + RETRY_SEC[min(self.tries, len(RETRY_SEC) - 1)]
        self.tries += 1
