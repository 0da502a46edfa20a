"""When to look again, and when to act: at a meter that has not settled, at one that shows the
wrong thing for long enough, and at a restore that failed.

Each holds a moment that the engine waits for, in epoch seconds, None when there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from VenAgent.dr.event import Event
from VenAgent.dr.panel import Reading
from VenAgent.dr.shed_circuit import ShedCircuit

SETTLE_SEC = 1.0
SETTLE_LEAST_TRIES = 3
"""A device may be slow to obey: before this many readings, standing still is no proof."""
SETTLE_TRIES = 10
RETRY_SEC = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
BY_HAND_READINGS = 2
"""So many readings in a row must show a circuit changed before it counts as a person's."""


@dataclass
class Settling:
    """Whether the meter shows what was shed, or at least stands still."""

    expected_kw: float = 0.0
    """The shed that the meter should come to show."""
    due_ts: float | None = None
    tries: int = 0

    def settled(
        self, event: Event, power_kw: float, previous_kw: float | None, band: float, now: float
    ) -> bool:
        """Look at a new reading of the panel; if it proves nothing yet, another one is due."""
        self.tries += 1
        band_kw = band * event.requested_kw
        as_expected = abs(event.shed_by(power_kw) - self.expected_kw) <= band_kw
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


@dataclass
class Watch:
    """An active event's meter: how long it has been off target, and which circuits changed."""

    off_since_ts: float | None = None
    hold_off_until_ts: float = 0.0
    """Nothing could be done about it: not tried again before this."""
    _changed: dict[str, int] = field(default_factory=dict)

    def off_target(self, error_kw: float, band_kw: float, confirm_sec: float, now: float) -> bool:
        """Whether the shed has been off by more than the band, on one side, for long enough."""
        if abs(error_kw) <= band_kw:
            self.off_since_ts = None
            return False
        if self.off_since_ts is None:
            self.off_since_ts = now
        return now - self.off_since_ts >= confirm_sec and now >= self.hold_off_until_ts

    def taken_by_hand(self, event: Event, reading: Reading) -> list[ShedCircuit]:
        """The circuits that someone else has changed since they were seen shed."""
        taken = []
        for circuit in event.circuits:
            if not circuit.counts or not circuit.is_changed(reading):
                self._changed.pop(circuit.circuit_id, None)
                continue
            seen = self._changed.get(circuit.circuit_id, 0) + 1
            self._changed[circuit.circuit_id] = seen
            if seen >= BY_HAND_READINGS:
                taken.append(circuit)
        return taken


@dataclass
class Backoff:
    """Tries of a restore, further and further apart, without end."""

    due_ts: float | None = None
    tries: int = 0

    def failed(self, now: float) -> None:
        self.due_ts = now + RETRY_SEC[min(self.tries, len(RETRY_SEC) - 1)]
        self.tries += 1
