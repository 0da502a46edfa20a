"""How late the site's meter shows what was switched.

One that averages, a gateway that asks its devices in turn, a drive that runs down. It is learned
from what circuits show, and what is judged by the meter waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METER_DELAY_FACT = "meter_delay"
"""The name under which the journal keeps it."""
WAITED_TIMES = 1.5
"""Standing still proves something after so many times the delay that is known."""
LONGEST_SEC = 120.0
UNKNOWN_LONGEST_SEC = 30.0
"""A meter of which no delay is known yet is waited for so long at most."""
FORGOTTEN_PART = 0.5
"""Of a longer delay, for each time that a shed shows sooner."""


class MeterDelay:
    """In seconds, from a write's confirmation to the reading that shows it; by what the power is
    read from: another meter is as late as it is."""

    def __init__(self, fact: Mapping[str, Any] | None = None) -> None:
        self._delays_sec = {str(key): float(sec) for key, sec in (fact or {}).items()}

    def of(self, measured_by: str) -> float:
        """0 until one was seen."""
        return self._delays_sec.get(measured_by, 0.0)

    def wait_sec(self, measured_by: str, unknown_sec: float = 0.0) -> float:
        """So long after writes a meter that stands still proves nothing; `unknown_sec` while it has
        never shown any."""
        if measured_by not in self._delays_sec:
            return min(unknown_sec, UNKNOWN_LONGEST_SEC)
        return WAITED_TIMES * self.of(measured_by)

    def doubt_sec(self, measured_by: str) -> float:
        """So long after writes it may be the meter that has not shown them."""
        is_known = measured_by in self._delays_sec
        return self.wait_sec(measured_by) if is_known else LONGEST_SEC

    def note_late(self, measured_by: str, delay_sec: float) -> None:
        """A circuit that was thought not to respond has, after so long."""
        delay_sec = min(delay_sec, LONGEST_SEC)
        self._delays_sec[measured_by] = max(self.of(measured_by), delay_sec)

    def note_shown(self, measured_by: str, delay_sec: float) -> None:
        """What was written shows as it should, after so long."""
        known_sec = FORGOTTEN_PART * self.of(measured_by)
        self._delays_sec[measured_by] = max(known_sec, min(delay_sec, LONGEST_SEC))

    def as_fact(self) -> dict[str, float]:
        return {key: round(sec, 1) for key, sec in self._delays_sec.items()}
