"""Circuits that could not be put back when their event ended: tried on, apart from any event.

One such circuit keeps itself, not the site: the event is completed without it, and others begin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from VenAgent.contract.reasons import Reason
from VenAgent.dr.backoff import Backoff
from VenAgent.dr.effects import (
    Effects,
    RaiseAlertEffect,
    ReleaseEffect,
    SaveFactEffect,
    SwitchEffect,
)
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.point_write import PointWrite
from VenAgent.dr.shed_circuit import ShedCircuit, is_same_shed_value

UNRESTORED_FACT = "unrestored"
"""The name under which the journal keeps them."""
SWITCH_PREFIX = "restore-"
REPORT_LIMIT_SEC = 120.0
"""A write that is not heard of for so long is done again."""


@dataclass
class _Unrestored:
    write: PointWrite
    failure: str
    backoff: Backoff = field(default_factory=Backoff)
    written_ts: float | None = None
    """Its write was confirmed: a reading from after that shows whether it is back."""


class UnrestoredCircuits:
    """Each is written again, further and further apart, until a reading shows it back."""

    def __init__(self) -> None:
        self._circuits: dict[str, _Unrestored] = {}

    @property
    def circuit_ids(self) -> frozenset[str]:
        return frozenset(self._circuits)

    def take(self, circuits: Iterable[ShedCircuit], tries: int, now: float) -> Effects:
        """An event is over without these, after so many tries of each."""
        for circuit in circuits:
            failed = _Unrestored(circuit.write_back(), circuit.failure or "")
            failed.backoff.tries = tries - 1
            failed.backoff.failed(now)
            self._circuits[circuit.circuit_id] = failed
        return [self._saved()]

    def recall(self, facts: Mapping[str, Any], now: float) -> None:
        """After a restart: tried at once."""
        for circuit_id, point, value, inverted, relinquish, failure in (
            facts.get(UNRESTORED_FACT) or ()
        ):
            write = PointWrite(circuit_id, point, value, inverted, relinquish=relinquish)
            self._circuits[circuit_id] = _Unrestored(write, failure, Backoff(due_ts=now))

    def drop(self, circuit_id: str) -> Effects:
        """A command has switched it: it is a person's now."""
        return self._back([circuit_id] if circuit_id in self._circuits else [])

    def due(self, now: float, *, reserve: bool) -> Effects:
        """Write those whose time has come. `reserve`: no event of ours has the devices."""
        effects: Effects = []
        for circuit_id, circuit in self._circuits.items():
            if circuit.backoff.due_ts is not None and circuit.backoff.due_ts <= now:
                circuit.backoff.due_ts = now + REPORT_LIMIT_SEC
                effects.append(
                    SwitchEffect(f"{SWITCH_PREFIX}{circuit_id}", (circuit.write,), reserve)
                )
        return effects

    def next_deadline(self) -> float | None:
        times = (circuit.backoff.due_ts for circuit in self._circuits.values())
        return min((ts for ts in times if ts is not None), default=None)

    def switched(self, switch_id: str, failures: Mapping[str, Reason], now: float) -> bool:
        """A write ended; whether it was one of these."""
        circuit = self._circuits.get(switch_id.removeprefix(SWITCH_PREFIX))
        if circuit is None or not switch_id.startswith(SWITCH_PREFIX):
            return False
        failure = failures.get(circuit.write.circuit_id)
        circuit.failure = "" if failure is None else failure.text
        circuit.written_ts = None if circuit.failure else now
        circuit.backoff.failed(now)  # done again unless a reading shows it back before
        return True

    def reading(self, reading: PanelReading) -> Effects:
        """Which are back; one that is, whoever did it, is not written any more."""
        return self._back([name for name, c in self._circuits.items() if _is_back(c, reading)])

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        for circuit in self._circuits.values():
            circuit.backoff.shift(step_sec)
            if circuit.written_ts is not None:
                circuit.written_ts += step_sec

    def trouble(self) -> str | None:
        """What a person should know; None when all are back."""
        if not self._circuits:
            return None
        names = ", ".join(f"{name} ({c.failure})" for name, c in self._circuits.items())
        return f"not restored after an event: {names}; trying again"

    def _back(self, circuit_ids: list[str]) -> Effects:
        if not circuit_ids:
            return []
        for circuit_id in circuit_ids:
            del self._circuits[circuit_id]
        effects: Effects = [self._saved()]
        effects += [RaiseAlertEffect("restore.failed", None, name) for name in circuit_ids]
        return effects if self._circuits else [*effects, ReleaseEffect("")]

    def _saved(self) -> SaveFactEffect:
        circuits = [
            [name, c.write.point, c.write.value, c.write.inverted, c.write.relinquish, c.failure]
            for name, c in self._circuits.items()
        ]
        return SaveFactEffect(UNRESTORED_FACT, circuits)


def _is_back(circuit: _Unrestored, reading: PanelReading) -> bool:
    write, read = circuit.write, reading.circuit(circuit.write.circuit_id)
    setting: float | bool | None = read.limit
    if isinstance(write.value, bool):
        setting = read.closed
        if setting is not None and read.inverted != write.inverted:
            setting = not setting
    # Its write is believed where no reading proves it, as when others have the point again.
    if setting is None or write.relinquish or read.point not in ("", write.point):
        return circuit.written_ts is not None and reading.ts >= circuit.written_ts
    return is_same_shed_value(setting, write.value)
