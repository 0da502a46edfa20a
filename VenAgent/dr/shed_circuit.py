"""A circuit that an event holds shed: what it was, what it was told, what became of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from VenAgent.dr.circuit_selection import Action
from VenAgent.dr.effects import PointWrite
from VenAgent.dr.panel import Circuit, Reading

OBEYED_FRACTION = 0.5
"""A circuit obeyed when its power fell by at least this part of what was expected of it."""


@dataclass
class ShedCircuit:
    """One circuit the event wrote to, or tried to. Power in kW, times epoch seconds.

    A circuit whose write failed is kept too: the device may have obeyed without saying so, and
    it is put back with the others.
    """

    circuit_id: str
    name: str
    breaker_amps: float
    critical: bool
    point: str
    before: float | bool
    value: float | bool
    original_kw: float
    final_kw: float
    priority: int = 3
    shed_ts: float = 0.0
    confirmed: bool | None = None
    """None while the write is under way."""
    failure: str | None = None
    obeyed: bool | None = None
    """Whether its own power fell; None while that is not known."""
    seen: bool = False
    """Whether a reading has shown its point as it was written last."""
    by_hand: bool = False
    """A person changed it since: it is theirs, and not written again."""
    switching: bool = False
    """A command switches it now: theirs when that succeeds, this event's again when it fails."""
    releasing: bool = False
    """It is being put back while the event goes on."""
    restored: bool = False
    inverted: bool = False
    """Its contactor opens when the point is on."""

    @classmethod
    def of(
        cls, action: Action, circuit: Circuit, before: float | bool, now: float = 0.0
    ) -> ShedCircuit:
        return cls(
            circuit_id=circuit.id,
            name=circuit.name,
            breaker_amps=circuit.breaker_amps,
            critical=circuit.critical,
            point=circuit.point,
            before=before,
            value=action.value,
            original_kw=action.original_kw,
            final_kw=action.final_kw,
            priority=circuit.priority,
            shed_ts=now,
            inverted=circuit.inverted,
        )

    def rewrite(self, value: float | bool, final_kw: float) -> None:
        """It is to be written again: nothing is known of it until that is confirmed and read."""
        self.value, self.final_kw = value, final_kw
        self.confirmed, self.obeyed, self.seen = None, None, False

    @property
    def shed_kw(self) -> float:
        return self.original_kw - self.final_kw

    @property
    def counts(self) -> bool:
        """Whether it is shed as far as is known: confirmed, obeyed, and not taken away by hand."""
        taken = self.by_hand or self.switching
        return bool(self.confirmed) and self.obeyed is not False and not taken

    @property
    def is_switch(self) -> bool:
        return isinstance(self.before, bool)

    @property
    def last_resort(self) -> bool:
        return self.critical or self.priority <= 1

    @property
    def to_put_back(self) -> bool:
        return not self.restored and not self.by_hand

    def write(self) -> PointWrite:
        return self.writing(self.before if self.releasing else self.value)

    def writing(self, value: float | bool) -> PointWrite:
        return PointWrite(self.circuit_id, self.point, value, self.inverted)

    def is_back(self, reading: Reading | None) -> bool:
        """Whether `reading` shows the circuit's point as it was before the event."""
        return reading is not None and _same(self._setting(reading), self.before)

    def is_changed(self, reading: Reading) -> bool:
        """Whether someone changed the circuit's point since it was seen as this event wrote it.

        One that was never seen so has not obeyed: that is no one's hand.
        """
        setting = self._setting(reading)
        if _same(setting, self.value):
            self.seen = True
        return self.seen and setting is not None and not _same(setting, self.value)

    def contradiction(self, reading: Reading, value: float | bool) -> str | None:
        """What `reading` has against the circuit's point holding `value`, as was confirmed."""
        setting = self._setting(reading)
        if setting is None or _same(setting, value):
            return None
        return f"{self.point} was written as {value!r} and reads {setting!r}"

    def judge(self, reading: Reading) -> None:
        """Note whether the circuit's own power fell as its write should have made it."""
        power_kw = reading.circuit(self.circuit_id).power_kw
        if power_kw is not None and self.confirmed and not self.by_hand:
            self.obeyed = power_kw <= self.original_kw - OBEYED_FRACTION * self.shed_kw

    def _setting(self, reading: Reading) -> float | bool | None:
        read = reading.circuit(self.circuit_id)
        return read.closed if self.is_switch else read.limit


def _same(read: float | bool | None, value: float | bool) -> bool:
    """Whether a point reads as `value`: a register of 32 bits gives 7.3 back as 7.30000019."""
    return read is not None and math.isclose(read, value, rel_tol=1e-6, abs_tol=1e-6)
