"""Whether someone has changed a circuit that an event holds: whose hand was it?"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.event import Event
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.shed_circuit import ShedCircuit

CHANGED_READINGS = 2
"""So many readings in a row must show a circuit changed before that counts."""
RESTARTS_MOST = 3
"""A device that restarts more often within `RESTARTS_WITHIN_SEC` is left as it is."""
RESTARTS_WITHIN_SEC = 3_600.0


@dataclass(frozen=True)
class ChangedCircuits:
    """The circuits that are not as they were written, by what changed them."""

    by_hand: tuple[ShedCircuit, ...] = ()
    by_restart: tuple[ShedCircuit, ...] = ()
    """To be shed again."""
    by_many_restarts: tuple[ShedCircuit, ...] = ()
    """To be left as they are until they are given back."""


class CircuitWatch:
    """Which circuits someone has changed during the event: a person's hand, or a device that began
    anew. A hand is a single change that the device reports while it is there. Several circuits of
    one device at once, or a device that was away meanwhile, are a device that restarted: its relays
    are in their power-up state."""

    def __init__(self) -> None:
        self._changed: dict[str, int] = {}
        """In how many readings in a row, by circuit."""
        self._away: set[str] = set()
        """Devices that were silent in a reading, since their circuits were last seen as written."""
        self._heard_again_ts: dict[str, float | None] = {}
        """By circuit, as it last was as written: one that is changed when it has been heard again
        since then was away in between."""
        self._restarts: dict[str, deque[float]] = {}
        """When each device did (epoch s): a limit may hold its circuits for months."""

    def look(self, event: Event, reading: PanelReading) -> ChangedCircuits:
        """Once enough readings have shown it."""
        by_device: dict[str, list[ShedCircuit]] = {}
        as_written: set[str] = set()
        for circuit in event.circuits:
            if not circuit.is_ours:
                self._changed.pop(circuit.circuit_id, None)
                continue
            if circuit.setting(reading) is None:
                if reading.circuit(circuit.circuit_id).is_silent:
                    self._away.add(circuit.device)
                continue
            heard_again_ts = reading.circuit(circuit.circuit_id).heard_again_ts
            if not circuit.is_changed(reading):
                self._changed.pop(circuit.circuit_id, None)
                self._heard_again_ts[circuit.circuit_id] = heard_again_ts
                as_written.add(circuit.device)
                continue
            if heard_again_ts != self._heard_again_ts.get(circuit.circuit_id, heard_again_ts):
                self._away.add(circuit.device)
            self._changed[circuit.circuit_id] = self._changed.get(circuit.circuit_id, 0) + 1
            by_device.setdefault(circuit.device, []).append(circuit)
        self._away -= as_written - by_device.keys()
        found = ChangedCircuits()
        for device, changed in by_device.items():
            if max(self._changed[c.circuit_id] for c in changed) < CHANGED_READINGS:
                continue
            is_restart = len(changed) > 1 or device in self._away
            self._away.discard(device)
            # a contactor that did not respond was given up before; a register is still someone's
            counting = tuple(c for c in changed if c.counts or not c.is_switch)
            if not is_restart:
                found = replace(found, by_hand=(*found.by_hand, *counting))
            elif self._restarts_lately(device, reading.ts) <= RESTARTS_MOST:
                found = replace(found, by_restart=(*found.by_restart, *changed))
            else:
                many = (*found.by_many_restarts, *counting)
                found = replace(found, by_many_restarts=many)
        return found

    def _restarts_lately(self, device: str, ts: float) -> int:
        """With the one that was seen now."""
        times = self._restarts.setdefault(device, deque(maxlen=RESTARTS_MOST + 1))
        times.append(ts)
        return sum(0.0 <= ts - each < RESTARTS_WITHIN_SEC for each in times)


def circuit_watch_reason(circuits: Sequence[ShedCircuit]) -> Reason:
    """Why they are shed again."""
    devices = ", ".join(sorted({circuit.device for circuit in circuits}))
    names = ", ".join(circuit.circuit_id for circuit in circuits)
    return Reason(
        ReasonCode.DEVICE_RESTARTED, f"{devices} restarted: {names} went back and are shed again"
    )
