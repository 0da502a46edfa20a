"""For how long the site's power reads the same to the last digit.

A meter that is frozen, or a gateway that goes on with its last values, shows nothing of what is
switched; a meter with coarse digits may stand still too while nothing changes.
"""

from __future__ import annotations

from collections import deque

SPANS_KNOWN = 10
"""So many changes must be known to say how long is usual."""
UNUSUAL_TIMES = 2.0


class MeterStillness:
    """Fed with each reading of the panel's power (kW); times epoch seconds."""

    def __init__(self) -> None:
        self._power_kw: float | None = None
        self.since_ts: float | None = None
        """Since when it reads the same."""
        self._spans_sec: deque[float] = deque(maxlen=SPANS_KNOWN)
        self.is_suspect = False
        """Whether what was switched speaks against it: it is not believed until it moves."""

    def note(self, ts: float, power_kw: float) -> None:
        """A reading; one that differs at all is a meter that lives."""
        if power_kw == self._power_kw and self.since_ts is not None:
            return
        if self.since_ts is not None and ts > self.since_ts:
            self._spans_sec.append(ts - self.since_ts)
        self._power_kw, self.since_ts = power_kw, ts
        self.is_suspect = False

    def has_stood_since(self, ts: float) -> bool:
        return self.since_ts is not None and self.since_ts < ts

    def is_unusual(self, ts: float) -> bool:
        """Whether it stands still for longer than it did before each of the last changes by far."""
        if self.since_ts is None or len(self._spans_sec) < SPANS_KNOWN:
            return False
        return ts - self.since_ts >= UNUSUAL_TIMES * max(self._spans_sec)

    def suspect(self) -> None:
        self.is_suspect = True

    def trust(self) -> None:
        """Nothing speaks against it any more."""
        self.is_suspect = False

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        if self.since_ts is not None:
            self.since_ts += step_sec
