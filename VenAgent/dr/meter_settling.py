"""After writes: when the meter has settled, so that what it shows can be judged."""

from __future__ import annotations

import math
from dataclasses import dataclass

from VenAgent.dr.event import Event

SETTLE_SEC = 1.0
SETTLE_LEAST_TRIES = 3
"""A device may be slow to respond: before this many readings, standing still is no proof."""
SETTLE_TRIES = 10


@dataclass
class MeterSettling:
    """Whether the meter shows what was shed, or at least stands still."""

    expected_kw: float = 0.0
    """The shed that the meter should come to show."""
    due_ts: float | None = None
    """When to read the meter again (epoch s)."""
    tries: int = 0
    moves_until_ts: float = 0.0
    """Till then a device may not have followed its writes: standing still is no proof."""
    written_ts: float | None = None
    is_as_expected: bool = False

    def is_settled(
        self,
        event: Event,
        power_kw: float,
        previous_kw: float | None,
        band: float,
        now: float,
        *,
        is_shown: bool,
        is_moving: bool,
    ) -> bool:
        """Look at a new reading of the panel; if it proves nothing yet, another one is due.

        `is_shown`: every circuit's own power shows its write; `is_moving`: one still runs down."""
        band_kw = event.band_kw(band)
        self.is_as_expected = as_expected = (
            abs(event.shed_at(power_kw) - self.expected_kw) <= band_kw
        )
        self.tries += 1
        is_awaited = is_moving or (now < self.moves_until_ts and not is_shown)
        if not as_expected and is_awaited:
            until_ts = math.inf if is_moving else self.moves_until_ts
            self.due_ts = min(now + SETTLE_SEC, until_ts)
            return False
        unmoved = previous_kw is not None and abs(power_kw - previous_kw) <= band_kw
        stands_still = unmoved and self.tries >= SETTLE_LEAST_TRIES
        if as_expected or stands_still or self.tries >= SETTLE_TRIES:
            self.due_ts = None
            return True
        self.due_ts = now + SETTLE_SEC
        return False

    def look_again(self, now: float) -> None:
        """The same reading came again: it proves nothing."""
        self.due_ts = self.due_ts or now + SETTLE_SEC
