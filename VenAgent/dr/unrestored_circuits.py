"""Circuits that could not be put back when their event ended: tried on, apart from any event.

One such circuit keeps itself, not the site: the event is completed without it, and others begin.
One that was written back, and whose device shows that only later (`settle_sec` of its quirks), is
looked at then: it is one of these if it did not move.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from VenAgent.contract.alerts import AlertSeverity
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.backoff import Backoff
from VenAgent.dr.companion_point import companion_point_record, recorded_companion_point
from VenAgent.dr.effects import (
    Effects,
    RaiseAlertEffect,
    ReleaseEffect,
    SaveFactEffect,
    SwitchEffect,
)
from VenAgent.dr.panel import Panel, PanelReading
from VenAgent.dr.point_write import PointWrite
from VenAgent.dr.shed_circuit import ShedCircuit, in_register_unit, is_same_shed_value

UNRESTORED_FACT = "unrestored"
"""The name under which the journal keeps them."""
UNRESTORED_OURS_FACT = "unrestored_ours"
"""What else it keeps of them, by circuit: what we wrote, what may be written instead, and of one
that its device shows later when it was written, and whether it is only to be proven."""
SWITCH_PREFIX = "restore-"
REPORT_LIMIT_SEC = 120.0
"""A write that is not heard of for so long is done again."""
NOT_SEEN = "written again, and not read back yet"
UNSEEN_SEC = 60.0
"""What is slow to show a write may also be read as seldom as a driver does by itself."""


@dataclass
class _Unrestored:
    write: PointWrite
    failure: str
    backoff: Backoff = field(default_factory=Backoff)
    written_ts: float | None = None
    """Its write was confirmed: a reading from after that shows whether it is back."""
    shown_after_sec: float = 0.0
    """So long after a write its device may not show it yet."""
    is_to_be_proven: bool = False
    """As far as is known it is back: its device has not shown that yet."""
    ours: tuple[float | bool, ...] = ()
    """What was written of it to shed it. A register that has taken another write and reads as none
    of these is as its device keeps it, or someone's again."""
    instead: float | None = None
    """What is written in turn with what it was, where its device may not take that."""

    @property
    def unseen_sec(self) -> float:
        """So long after a write that was confirmed a reading is waited for that proves it."""
        return self.shown_after_sec + UNSEEN_SEC if self.shown_after_sec else 0.0

    @property
    def shown_ts(self) -> float:
        """From when on a reading shows its last write; infinite if none was confirmed."""
        return math.inf if self.written_ts is None else self.written_ts + self.shown_after_sec


class UnrestoredCircuits:
    """Each is written again, further and further apart, until a reading shows it back."""

    def __init__(self) -> None:
        self._circuits: dict[str, _Unrestored] = {}

    @property
    def circuit_ids(self) -> frozenset[str]:
        return frozenset(n for n, c in self._circuits.items() if not c.is_to_be_proven)

    def take(
        self,
        circuits: Iterable[ShedCircuit],
        tries: int,
        panel: Panel,
        now: float,
        *,
        ramped: Mapping[str, Sequence[float | bool]],
        instead: Mapping[str, float | None],
    ) -> Effects:
        """An event is over without these, after so many tries of each. By circuit: what was written
        of its `ramp`, and what may be written `instead` of what it was."""
        for circuit in circuits:
            failed = _Unrestored(
                circuit.write_back(),
                circuit.failure or "",
                shown_after_sec=_shown_after_sec(circuit, panel),
                ours=_ours(circuit, ramped.get(circuit.circuit_id, ())),
                instead=instead.get(circuit.circuit_id),
            )
            failed.backoff.tries = tries - 1
            failed.backoff.failed(now)
            self._circuits[circuit.circuit_id] = failed
        return self._saved()

    def prove(
        self, circuit: ShedCircuit, panel: Panel, reading: PanelReading | None, now: float
    ) -> Effects:
        """It was written back; if its device shows that only later, it is looked at then: after a
        restart too."""
        shown_after_sec = _shown_after_sec(circuit, panel)
        if not shown_after_sec or circuit.relinquish or circuit.is_back(reading):
            return []
        self._circuits[circuit.circuit_id] = _Unrestored(
            circuit.write_back(),
            "",
            written_ts=now,
            shown_after_sec=shown_after_sec,
            is_to_be_proven=True,
            ours=_ours(circuit),
        )
        return self._saved()

    def recall(self, facts: Mapping[str, Any], now: float) -> None:
        """After a restart: tried at once, but for those that are only to be proven."""
        for circuit_id, point, value, inverted, relinquish, failure in (
            facts.get(UNRESTORED_FACT) or ()
        ):
            known = (facts.get(UNRESTORED_OURS_FACT) or {}).get(circuit_id) or {}
            write = PointWrite(
                *(circuit_id, point, value, inverted, relinquish),
                rounding=known.get("rounding", 0.0),
                register_unit=known.get("register_unit"),
                companion=recorded_companion_point(known.get("companion")),
            )
            is_to_be_proven = known.get("is_to_be_proven", False)
            self._circuits[circuit_id] = _Unrestored(
                *(write, failure, Backoff(due_ts=None if is_to_be_proven else now)),
                written_ts=known.get("written_ts") if is_to_be_proven else None,
                shown_after_sec=known.get("shown_after_sec", 0.0),
                is_to_be_proven=is_to_be_proven,
                ours=tuple(known.get("ours", ())),
                instead=known.get("instead"),
            )

    def drop(self, circuit_id: str) -> Effects:
        """A command has switched it: it is a person's now."""
        if circuit_id in self.circuit_ids:
            return self._back([circuit_id])
        return self._saved() if self._circuits.pop(circuit_id, None) is not None else []

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
        if circuit.failure and circuit.instead is not None:
            before = float(circuit.write.value)
            circuit.write = replace(circuit.write, value=circuit.instead)
            circuit.instead = before
        circuit.backoff.failed(now)  # done again unless a reading shows it back before
        if circuit.written_ts is not None and circuit.backoff.due_ts is not None:
            circuit.backoff.due_ts += circuit.unseen_sec
        return True

    def reading(self, reading: PanelReading, held: Collection[str] = ()) -> Effects:
        """Which are back; one that is, whoever did it, is not written any more. `held`: those that
        an event has shed since."""
        effects: Effects = []
        proven = {name for name, c in self._circuits.items() if c.is_to_be_proven}
        back = {name for name, c in self._circuits.items() if _is_back(c, reading)}
        for name in proven & {*back, *held}:
            del self._circuits[name]
        if proven & {*back, *held}:
            effects += self._saved()
        for name in proven - {*back, *held}:
            effects += self._not_moved(self._circuits[name], reading)
        return [*effects, *self._back([name for name in self._circuits if name in back])]

    def _not_moved(self, circuit: _Unrestored, reading: PanelReading) -> Effects:
        """Of one that is to be proven: it is not back, once its device shows it as it was."""
        setting = _setting(circuit, reading)
        if setting is None or reading.ts <= circuit.shown_ts:
            return []
        write, circuit.is_to_be_proven = circuit.write, False
        circuit.failure = f"{write.point} was written as {write.value!r} and reads {setting!r}"
        circuit.backoff.failed(reading.ts)
        message = f"{write.circuit_id} could not be put back yet: {circuit.failure}"
        alert = RaiseAlertEffect(
            "restore.failed",
            message,
            write.circuit_id,
            AlertSeverity.CRITICAL,
            ReasonCode.RESTORE_FAILED,
        )
        return [*self._saved(), alert]

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        for circuit in self._circuits.values():
            circuit.backoff.shift(step_sec)
            if circuit.written_ts is not None:
                circuit.written_ts += step_sec

    def trouble(self) -> str | None:
        """What a person should know; None when all are back."""
        known = {name: self._circuits[name] for name in self._circuits if name in self.circuit_ids}
        if not known:
            return None
        names = ", ".join(f"{name} ({c.failure or NOT_SEEN})" for name, c in known.items())
        return f"not restored after an event: {names}; trying again"

    def _back(self, circuit_ids: list[str]) -> Effects:
        if not circuit_ids:
            return []
        for circuit_id in circuit_ids:
            del self._circuits[circuit_id]
        effects = self._saved()
        effects += [RaiseAlertEffect("restore.failed", None, name) for name in circuit_ids]
        return effects if self.circuit_ids else [*effects, ReleaseEffect("")]

    def _saved(self) -> Effects:
        circuits = [
            [name, c.write.point, c.write.value, c.write.inverted, c.write.relinquish, c.failure]
            for name, c in self._circuits.items()
        ]
        ours = {
            name: {
                "rounding": c.write.rounding,
                "ours": list(c.ours),
                "instead": c.instead,
                "register_unit": c.write.register_unit,
                "companion": companion_point_record(c.write.companion),
                "shown_after_sec": c.shown_after_sec,
                "written_ts": c.written_ts,
                "is_to_be_proven": c.is_to_be_proven,
            }
            for name, c in self._circuits.items()
        }
        return [
            SaveFactEffect(UNRESTORED_FACT, circuits),
            SaveFactEffect(UNRESTORED_OURS_FACT, ours),
        ]


def _is_back(circuit: _Unrestored, reading: PanelReading) -> bool:
    setting = _setting(circuit, reading)
    # Its write is believed where no reading proves it, as when others have the point again.
    if setting is None:
        known_ts = circuit.written_ts
        return known_ts is not None and reading.ts >= known_ts + circuit.unseen_sec
    rounding = circuit.write.rounding
    if is_same_shed_value(setting, circuit.write.value, rounding):
        return True
    is_taken = bool(circuit.ours) and reading.ts > circuit.shown_ts
    return is_taken and not any(is_same_shed_value(setting, v, rounding) for v in circuit.ours)


def _ours(circuit: ShedCircuit, ramped: Sequence[float | bool] = ()) -> tuple[float | bool, ...]:
    """Of a switch nothing: it reads as one or as the other."""
    return () if circuit.is_switch else (circuit.value, *ramped)


def _setting(circuit: _Unrestored, reading: PanelReading) -> float | bool | None:
    """What its point holds; None if the reading does not tell."""
    write, read = circuit.write, reading.circuit(circuit.write.circuit_id)
    if write.relinquish or read.point not in ("", write.point):
        return None
    if not isinstance(write.value, bool):
        return in_register_unit(read.limit, read.register_unit, write.register_unit)
    if read.closed is None or read.inverted == write.inverted:
        return read.closed
    return not read.closed


def _shown_after_sec(circuit: ShedCircuit, panel: Panel) -> float:
    known = panel.by_id.get(circuit.circuit_id)
    return 0.0 if known is None else known.shown_after_sec
