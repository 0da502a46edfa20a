"""The circuits that an event holds already, as candidates for its next plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from VenAgent.dr.circuit_selection import CircuitSelectionCandidate, circuit_selection_candidate
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Panel, PanelCircuit, PanelReading
from VenAgent.dr.shed_circuit import ShedCircuit


def lowerable_held_candidates(
    event: Event, panel: Panel, reading: PanelReading, now: float
) -> list[CircuitSelectionCandidate]:
    """Limits of this event that can go lower still, and batteries that can discharge more. The
    floor of a limit is a part of what it drew before the event, not of what is left."""
    found = []
    for held in event.circuits:
        circuit = configured_held_circuit(held, panel)
        power_kw = reading.circuit(held.circuit_id).power_kw
        scale = None if circuit is None else circuit.power_scale
        if circuit is None or scale is None or not held.counts or power_kw is None:
            continue
        if held.exhausted or circuit.generates:
            continue
        # By the register's own scale: a device may draw more than that, or the reading may be from
        # before the last write.
        power_kw = min(power_kw, scale.kw_of(float(held.value)))
        if circuit.storage is not None:
            soc_percent = reading.circuit(circuit.id).soc_percent
            lasting_sec = event.end_ts - now
            lowest_kw = -circuit.storage.dischargeable_kw(soc_percent, lasting_sec)
        else:
            kept_kw = circuit.kept_fraction * held.original_kw
            lowest_kw = scale.kw_of(scale.value_at(0.0, lowest_kw=kept_kw))
        if circuit.kept_fraction < 1.0 and power_kw - lowest_kw > scale.step_kw:
            present = None if circuit.storage is not None else float(held.value)
            found.append(
                CircuitSelectionCandidate(circuit, power_kw, power_kw - lowest_kw, present)
            )
    return found


def held_candidates_as_they_were(
    held: Iterable[ShedCircuit], panel: Panel, reading: PanelReading, lasting_sec: float
) -> Iterator[CircuitSelectionCandidate]:
    """What is shed, as if it were still drawing; not what may not be shed any more."""
    for shed in held:
        circuit = configured_held_circuit(shed, panel)
        if circuit is None:
            continue
        read = replace(
            reading.circuit(circuit.id), power_kw=shed.original_kw, closed=True, limit=shed.register
        )
        candidate = circuit_selection_candidate(replace(circuit, guard=None), read, lasting_sec)
        if candidate is not None:
            yield replace(candidate, circuit=circuit)


def configured_held_circuit(held: ShedCircuit, panel: Panel) -> PanelCircuit | None:
    """The circuit of a shed one; None if the configuration has changed how it is controlled since:
    then it can only go back."""
    circuit = panel.by_id.get(held.circuit_id)
    return circuit if circuit is not None and circuit.point == held.point else None
