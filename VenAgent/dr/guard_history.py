"""Whether what a guard reads is believed: a sensor that is stuck reads a value for ever.

A zone's temperature that has not moved for hours, and a battery's charge that does not fall while
it discharges, count as not read: what is guarded by them goes back, and is not shed. A charge that
is read seldom is carried on by what the battery gave and took since.
Times epoch seconds, power kW.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from VenAgent.contract.reasons import ReasonCode
from VenAgent.dr.effects import Effects, RaiseAlertEffect
from VenAgent.dr.panel import Panel, PanelCircuit, PanelCircuitReading, PanelReading

GUARD_FROZEN = "guard.frozen"
"""The alert while a guard's value or a state of charge is not believed."""
CHARGE_FROZEN_PERCENT = 5.0
"""So much of its capacity a battery discharges at most without its state of charge moving: the
coarsest tell it in whole percent."""


@dataclass(frozen=True)
class _Unmoved:
    """A value, since when it is just that, and when it was read last."""

    value: float
    since_ts: float
    last_ts: float
    discharged_kwh: float = 0.0
    """Until it was read last."""
    read_ts: float | None = None
    """When a charge was read last: readings of the panel repeat it until it is read again."""
    stored_kwh: float = 0.0
    """What a battery took since, at its meter; negative: gave."""

    def read_again(self, value: float, now: float, gap_limit_sec: float) -> _Unmoved:
        """What it did while it was not read is not known."""
        is_gap = not 0.0 <= now - self.last_ts <= gap_limit_sec
        if value != self.value or is_gap:
            return _Unmoved(value, now, now)
        return replace(self, last_ts=now)


class GuardHistory:
    """Of all circuits that have a guard or a state of charge, whether shed or not."""

    def __init__(self) -> None:
        self._guards: dict[str, _Unmoved] = {}
        self._charges: dict[str, _Unmoved] = {}
        self._frozen: dict[str, str] = {}
        """The circuits whose alert stands, with its text."""

    def note(
        self, panel: Panel, reading: PanelReading, now: float, gap_limit_sec: float
    ) -> Effects:
        """A reading of the meter has come."""
        for circuit in panel.circuits:
            read = reading.circuit(circuit.id)
            if circuit.guard is not None and read.guard is not None:
                known = self._guards.get(circuit.id) or _Unmoved(read.guard, now, now)
                self._guards[circuit.id] = known.read_again(read.guard, now, gap_limit_sec)
            if circuit.storage is not None and read.soc_percent is not None:
                self._note_charge(circuit, read, read.soc_percent, now, gap_limit_sec)
        return self._alerts(panel, now)

    def _note_charge(
        self,
        circuit: PanelCircuit,
        read: PanelCircuitReading,
        soc_percent: float,
        now: float,
        gap_limit_sec: float,
    ) -> None:
        before = self._charges.get(circuit.id) or _Unmoved(soc_percent, now, now)
        known = before.read_again(soc_percent, now, gap_limit_sec)
        is_read_anew = read.soc_ts is None or read.soc_ts != before.read_ts
        stored_kwh = 0.0
        if known.since_ts < now:
            hours = (now - before.last_ts) / 3600.0
            stored_kwh = before.stored_kwh + (read.power_kw or 0.0) * hours
        if is_read_anew and known.since_ts < now:
            discharged_kwh = before.discharged_kwh + max(0.0, -stored_kwh)
            known = replace(known, discharged_kwh=discharged_kwh)
        if is_read_anew:
            stored_kwh = 0.0
        self._charges[circuit.id] = replace(known, read_ts=read.soc_ts, stored_kwh=stored_kwh)

    def believed(self, panel: Panel, reading: PanelReading, now: float) -> PanelReading:
        """`reading` without what is not believed."""
        changed: dict[str, PanelCircuitReading] = {}
        for circuit in panel.circuits:
            read = reading.circuit(circuit.id)
            unmoved_sec = self._guard_unmoved_sec(circuit, now)
            if unmoved_sec is not None and read.guard is not None:
                read = replace(read, guard=None, guard_unmoved_sec=unmoved_sec)
            if self._is_charge_frozen(circuit) and read.soc_percent is not None:
                read = replace(read, soc_percent=None)
            read = self._carried_on(circuit, read)
            if read is not reading.circuit(circuit.id):
                changed[circuit.id] = read
        return replace(reading, circuits={**reading.circuits, **changed}) if changed else reading

    def _carried_on(self, circuit: PanelCircuit, read: PanelCircuitReading) -> PanelCircuitReading:
        """With the charge as it is by now, if it was read a while ago."""
        known, storage = self._charges.get(circuit.id), circuit.storage
        if known is None or storage is None or read.soc_percent is None:
            return read
        if read.soc_ts is None or read.soc_ts != known.read_ts or not known.stored_kwh:
            return read
        percent = read.soc_percent + storage.gained_percent(known.stored_kwh)
        return replace(read, soc_percent=min(100.0, max(0.0, percent)))

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        self._guards = _shifted(self._guards, step_sec)
        self._charges = _shifted(self._charges, step_sec)

    # ---- what is frozen ------------------------------------------------------------------

    def unmoved_sec(self, circuit_id: str, now: float) -> float:
        """For how long a guard has read the same; 0 if it was never read."""
        known = self._guards.get(circuit_id)
        return 0.0 if known is None else now - known.since_ts

    def _guard_unmoved_sec(self, circuit: PanelCircuit, now: float) -> float | None:
        """For how long its guard has read the same, if that is too long."""
        unmoved_sec = self.unmoved_sec(circuit.id, now)
        is_stuck = circuit.guard is not None and unmoved_sec >= circuit.guard.frozen_sec
        return unmoved_sec if is_stuck else None

    def _is_charge_frozen(self, circuit: PanelCircuit) -> bool:
        known, storage = self._charges.get(circuit.id), circuit.storage
        if known is None or storage is None:
            return False
        fallen_percent = 100.0 * known.discharged_kwh / storage.capacity_kwh
        return fallen_percent >= CHARGE_FROZEN_PERCENT

    def _alerts(self, panel: Panel, now: float) -> Effects:
        found: dict[str, str] = {}
        for circuit in panel.circuits:
            unmoved_sec = self._guard_unmoved_sec(circuit, now)
            if unmoved_sec is not None:
                value = self._guards[circuit.id].value
                found[circuit.id] = (
                    f"the guard of {circuit.name} has read {value:g} for "
                    f"{math.floor(unmoved_sec / 60.0)} minutes without a change: it is taken for "
                    f"stuck, and {circuit.name} is not shed (guard_frozen_sec)"
                )
            elif self._is_charge_frozen(circuit):
                value = self._charges[circuit.id].value
                found[circuit.id] = (
                    f"{circuit.name} discharges and its charge still reads {value:g} percent: it "
                    f"is taken for stuck, and {circuit.name} does not discharge for an event"
                )
        effects: Effects = [
            RaiseAlertEffect(GUARD_FROZEN, None, name) for name in self._frozen if name not in found
        ]
        effects += [
            RaiseAlertEffect(GUARD_FROZEN, text, name, reason_code=ReasonCode.NOT_READ)
            for name, text in found.items()
            if name not in self._frozen
        ]
        self._frozen = found
        return effects


def _shifted(known: Mapping[str, _Unmoved], step_sec: float) -> dict[str, _Unmoved]:
    return {
        name: replace(
            each,
            since_ts=each.since_ts + step_sec,
            last_ts=each.last_ts + step_sec,
            read_ts=None if each.read_ts is None else each.read_ts + step_sec,
        )
        for name, each in known.items()
    }
