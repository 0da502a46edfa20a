"""The circuits that read as shed, where no journal says what an event has done with them."""

from __future__ import annotations

from VenAgent.dr.circuit_selection import CircuitSelectionAction
from VenAgent.dr.panel import Panel, PanelCircuit, PanelCircuitControl, PanelReading
from VenAgent.dr.shed_circuit import ShedCircuit


def circuits_that_look_curtailed(panel: Panel, reading: PanelReading) -> list[ShedCircuit]:
    """The circuits that are switched off or limited now, with normal as what they were before.

    What a setpoint was before no one knows: it is given back only where it is relinquished.
    """
    found = []
    for circuit in panel.circuits:
        if circuit.control in (PanelCircuitControl.SETPOINT, PanelCircuitControl.POWER):
            found += _looks_moved(circuit, reading)
            continue
        read = reading.circuit(circuit.id)
        before: float | bool = True
        now: float | bool | None = read.closed
        if circuit.control is PanelCircuitControl.LIMIT and circuit.limit is not None:
            before = circuit.limit.open_value
            now = circuit.limit.limit_of(read.limit)
        if circuit.control is not PanelCircuitControl.NONE and now is not None and now < before:
            power_kw = read.power_kw or 0.0
            action = CircuitSelectionAction(circuit.id, circuit.control, now, power_kw, power_kw)
            found.append(
                ShedCircuit.newly_shed(action, circuit, before, relinquish=read.relinquish)
            )
    return found


def _looks_moved(circuit: PanelCircuit, reading: PanelReading) -> list[ShedCircuit]:
    read = reading.circuit(circuit.id)
    if not read.relinquish or read.limit is None:
        return []
    power_kw = read.power_kw or 0.0
    action = CircuitSelectionAction(circuit.id, circuit.control, read.limit, power_kw, power_kw)
    return [ShedCircuit.newly_shed(action, circuit, read.limit, relinquish=True)]
