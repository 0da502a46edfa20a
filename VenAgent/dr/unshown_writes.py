"""What was written and the meter does not show yet: it is waited for, and counted on meanwhile.

Power is kW, times epoch seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from VenAgent.dr.event import Event
from VenAgent.dr.meter_delay import LONGEST_SEC
from VenAgent.dr.panel import PanelReading

COUNTED_ON_SEC = 15.0
"""At least so long a write is counted on that a reading does not show."""
SHOWN_PART = 0.45
"""Of what was expected of a circuit: then the meter shows its write."""
MOVED_PART = 0.02
"""Its own power still moves as it should when it went on by this part of that."""
ARRIVED_PART = 0.05
"""Nearer to where it should come to than this part of that it has arrived."""
MOVING_SEC = 6.0
"""It may still move for so long after it last did."""
LEAST_EXPECTED_KW = 0.05
LEARNED_FROM_KW = 0.2
"""What moves less tells nothing of how late the meter is."""


@dataclass
class _UnshownWrite:
    value: float | bool
    written_ts: float
    before_kw: float | None
    """Its own power before; None: not metered."""
    final_kw: float
    best_kw: float | None
    """The nearest to `final_kw` that was read."""
    moved_ts: float | None = None
    is_shown: bool = False
    last_kw: float | None = None
    changed_ts: float | None = None
    """When its own power last read otherwise than before."""

    @property
    def expected_kw(self) -> float:
        return 0.0 if self.before_kw is None else self.before_kw - self.final_kw

    def part(self, power_kw: float) -> float:
        """How much of the way to `final_kw` it has gone."""
        if self.before_kw is None or abs(self.expected_kw) < LEAST_EXPECTED_KW:
            return 1.0
        return (self.before_kw - power_kw) / self.expected_kw

    def look(self, power_kw: float | None, now: float) -> bool:
        """Its own power as it is read now; whether that tells how late the meter shows it."""
        if power_kw is None or self.best_kw is None:
            return False
        if power_kw != (self.before_kw if self.last_kw is None else self.last_kw):
            self.changed_ts = now
        self.last_kw = power_kw
        part = self.part(power_kw)
        if part - self.part(self.best_kw) >= MOVED_PART:
            self.best_kw, self.moved_ts = power_kw, now
        was_shown, self.is_shown = self.is_shown, self.is_shown or part >= SHOWN_PART
        return self.is_shown and not was_shown and abs(self.expected_kw) >= LEARNED_FROM_KW

    def is_moving(self, now: float) -> bool:
        if self.moved_ts is None or self.best_kw is None:
            return False
        has_arrived = self.part(self.best_kw) >= 1.0 - ARRIVED_PART
        is_recent = now - self.moved_ts <= MOVING_SEC and now - self.written_ts <= LONGEST_SEC
        return is_recent and not has_arrived

    def is_awaited(self, now: float, wait_sec: float) -> bool:
        return (not self.is_shown and now - self.written_ts < wait_sec) or self.is_moving(now)


class UnshownWrites:
    """Of the circuits that are held shed, or raised, now. Not kept over a restart."""

    def __init__(self) -> None:
        self._writes: dict[str, _UnshownWrite] = {}

    def note(self, event: Event, before: PanelReading | None, now: float) -> None:
        """The writes of `event` are confirmed; `before` was read before them."""
        known, self._writes = self._writes, {}
        for circuit in event.circuits:
            if not circuit.confirmed or circuit.manual_override or circuit.settle_sec > 0.0:
                continue
            write = known.get(circuit.circuit_id)
            if write is None or write.value != circuit.value:
                is_read = before is not None
                own_kw = before.circuit(circuit.circuit_id).power_kw if is_read and before else None
                write = _UnshownWrite(circuit.value, now, own_kw, circuit.final_kw, own_kw)
            self._writes[circuit.circuit_id] = write

    def look(self, reading: PanelReading, now: float) -> list[float]:
        """After how long (s) writes show now that did not before."""
        return [
            now - write.written_ts
            for circuit_id, write in self._writes.items()
            if write.look(reading.circuit(circuit_id).power_kw, now)
        ]

    def are_all_shown(self) -> bool:
        return bool(self._writes) and all(write.is_shown for write in self._writes.values())

    def awaited_until_ts(self, event: Event, wait_sec: float) -> float:
        """Until when those may come to show that are not judged yet; 0 without such."""
        not_judged = {c.circuit_id for c in event.circuits if c.responded is None}
        return max(
            (
                write.written_ts + wait_sec
                for circuit_id, write in self._writes.items()
                if circuit_id in not_judged and not write.is_shown
            ),
            default=0.0,
        )

    def is_any_moving(self, now: float) -> bool:
        """Whether a load still runs down, or up, after its write."""
        return any(write.is_moving(now) for write in self._writes.values())

    def is_awaited(self, circuit_id: str, now: float, wait_sec: float) -> bool:
        """Whether the circuit's power may yet come to show its write."""
        write = self._writes.get(circuit_id)
        return write is not None and write.is_awaited(now, wait_sec)

    def doubted_kw(self, event: Event, now: float, wait_sec: float) -> float:
        """What was written within `wait_sec` and is taken for not to respond: perhaps the meter
        has not shown it yet."""
        return sum(
            abs(circuit.shed_kw)
            for circuit in event.circuits
            if circuit.responded is False
            and circuit.confirmed
            and circuit.seen
            and not circuit.manual_override
            and self.is_awaited(circuit.circuit_id, now, wait_sec)
        )

    def still_since_ts(self, circuit_id: str) -> float:
        """Since when the circuit's own power, which does not show its write, reads the same."""
        write = self._writes.get(circuit_id)
        if write is None or write.is_shown:
            return math.inf
        return write.written_ts if write.changed_ts is None else write.changed_ts

    def written_ts(self, circuit_id: str) -> float:
        """Of its write; infinite without one."""
        write = self._writes.get(circuit_id)
        return math.inf if write is None else write.written_ts

    def pending_kw(
        self, event: Event, reading: PanelReading, now: float, wait_sec: float, *, rises: bool
    ) -> float:
        """By how much the site's power will still fall, or rise if that is asked, because circuits
        were written a moment ago or still run down. One that takes longer is not counted on."""
        counted_sec = max(COUNTED_ON_SEC, wait_sec)
        pending_kw = 0.0
        for circuit in event.circuits:
            power_kw = reading.circuit(circuit.circuit_id).power_kw
            if power_kw is None or not circuit.counts or circuit.releasing:
                continue
            write = self._writes.get(circuit.circuit_id)
            if write is None or circuit.is_raised is not rises:
                continue
            if now - write.written_ts <= counted_sec or write.is_moving(now):
                left_kw = power_kw - circuit.final_kw
                pending_kw += min(max(0.0, -left_kw if rises else left_kw), abs(circuit.shed_kw))
        return pending_kw

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        for write in self._writes.values():
            write.written_ts += step_sec
            if write.moved_ts is not None:
                write.moved_ts += step_sec
            if write.changed_ts is not None:
                write.changed_ts += step_sec
