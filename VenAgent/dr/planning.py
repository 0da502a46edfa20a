"""From an event and a fresh reading to the circuits it sheds, with what each was before."""

from __future__ import annotations

from VenAgent.dr.curtailment import candidates, plan
from VenAgent.dr.event import Event, ShedCircuit
from VenAgent.dr.panel import Control, Panel, Reading


def circuits_to_shed(
    event: Event, panel: Panel, reading: Reading, request_kw: float
) -> list[ShedCircuit]:
    """Circuits that the event has not tried yet, for `request_kw`; empty when none is left."""
    tried = [circuit.circuit_id for circuit in event.circuits]
    available = candidates(panel, reading, exclude=tried)
    if event.circuit_id is not None:
        available = tuple(c for c in available if c.circuit.id == event.circuit_id)
    shed = []
    for action in plan(available, request_kw).actions:
        read = reading.circuit(action.circuit_id)
        before = True if action.control is Control.SWITCH else read.limit
        assert before is not None  # candidates() leaves unread limits out
        shed.append(ShedCircuit.of(action, panel.by_id[action.circuit_id], before))
    return shed


def refusal_of(circuit_id: str, panel: Panel) -> str | None:
    """Why a command may not shed this circuit by name; None if it may."""
    circuit = panel.by_id.get(circuit_id)
    if circuit is None:
        return f"unknown circuit {circuit_id!r}: this panel has {', '.join(panel.by_id)}"
    if circuit.critical or circuit.kept_fraction >= 1.0:
        return f"circuit {circuit_id} is critical and is never shed by command"
    return None
