"""How late the site's meter shows what was switched.

One that averages, a gateway that asks its devices in turn, a drive that runs down. It is learned
from what circuits show, and what is judged by the meter waits for it.
"""

from __future__ import annotations

WAITED_TIMES = 1.5
"""Standing still proves something after so many times the delay that is known."""
LONGEST_SEC = 120.0
FORGOTTEN_PART = 0.5
"""Of a longer delay, for each time that a shed shows sooner."""


class MeterDelay:
    """In seconds, from a write's confirmation to the reading that shows it."""

    def __init__(self) -> None:
        self.delay_sec = 0.0
        """0 until one was seen."""

    @property
    def wait_sec(self) -> float:
        """So long after writes a meter that stands still proves nothing."""
        return WAITED_TIMES * self.delay_sec

    def note_late(self, delay_sec: float) -> None:
        """A circuit that was thought not to respond has, after so long."""
        self.delay_sec = max(self.delay_sec, min(delay_sec, LONGEST_SEC))

    def note_shown(self, delay_sec: float) -> None:
        """What was written shows as it should, after so long."""
        known_sec = FORGOTTEN_PART * self.delay_sec
        self.delay_sec = max(known_sec, min(delay_sec, LONGEST_SEC))
