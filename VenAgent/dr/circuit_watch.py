"""Whether someone has changed a circuit that an event holds: whose hand was it?"""

from __future__ import annotations

from collections import Counter

from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.event import Event
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.shed_circuit import ShedCircuit

CHANGED_READINGS = 2
"""So many readings in a row must show a circuit changed before that counts."""
RESTARTS_MOST = 3
"""A device that restarts more often in one event is left as it is."""


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
        self._restarts: Counter[str] = Counter()

    def look(
        self, event: Event, reading: PanelReading
    ) -> tuple[list[ShedCircuit], list[ShedCircuit]]:
        """(overridden by hand, to be shed again), once enough readings have shown it."""
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
        overridden: list[ShedCircuit] = []
        restarted: list[ShedCircuit] = []
        for device, changed in by_device.items():
            if max(self._changed[c.circuit_id] for c in changed) < CHANGED_READINGS:
                continue
            is_restart = len(changed) > 1 or device in self._away
            self._away.discard(device)
            self._restarts[device] += is_restart
            shed_again = is_restart and self._restarts[device] <= RESTARTS_MOST
            if shed_again:
                restarted += changed
            else:  # one that did not respond was given up before
                overridden += [circuit for circuit in changed if circuit.counts]
        return overridden, restarted


def circuit_watch_reason(circuits: list[ShedCircuit]) -> Reason:
    """Why they are shed again."""
    devices = ", ".join(sorted({circuit.device for circuit in circuits}))
    names = ", ".join(circuit.circuit_id for circuit in circuits)
    return Reason(
        ReasonCode.DEVICE_RESTARTED, f"{devices} restarted: {names} went back and are shed again"
    )
