"""Panels, readings and candidates for the tests of the core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from VenAgent.dr.circuit_selection import (
    CircuitSelection,
    CircuitSelectionAction,
    CircuitSelectionCandidate,
    selectable_circuit_kw,
)
from VenAgent.dr.panel import (
    Panel,
    PanelCircuit,
    PanelCircuitControl,
    PanelCircuitReading,
    PanelLimitScale,
    PanelLimitUnit,
    PanelReading,
)

NOW = 1_760_000_000.0
VEN_ID = "site-1"
VOLTAGE = 240.0

DRAWS_KW = {
    "hvac1": 3.5,
    "heater1": 4.5,
    "ev1": 7.2,
    "dryer1": 3.0,
    "range1": 2.4,
    "lights1": 0.6,
    "outlets1": 1.2,
    "fridge1": 0.2,
}
TOTAL_KW = 22.6
FLEXIBLE_KW = 18.9
"""All but the critical ones."""

FINE_KW = 1e-4
"""A step of a limit so small that the limit counts as continuous."""


def percent(breaker_amps: float, step: float = 1.0) -> PanelLimitScale:
    return PanelLimitScale(PanelLimitUnit.PERCENT, breaker_amps * VOLTAGE / 1000.0, VOLTAGE, step)


def kilowatts(step: float) -> PanelLimitScale:
    return PanelLimitScale(PanelLimitUnit.KW, 0.0, VOLTAGE, step)


def switch(
    circuit_id: str,
    breaker_amps: float = 30.0,
    *,
    priority: int = 3,
    critical: bool = False,
    floor: float | None = None,
) -> PanelCircuit:
    return PanelCircuit(
        id=circuit_id,
        name=circuit_id.title(),
        type="other",
        breaker_amps=breaker_amps,
        voltage=VOLTAGE,
        priority=priority,
        critical=critical,
        control=PanelCircuitControl.SWITCH,
        floor=floor,
        point=f"site/panel/{circuit_id}_switch",
        switch_point=f"site/panel/{circuit_id}_switch",
    )


def limit(
    circuit_id: str,
    breaker_amps: float = 30.0,
    *,
    priority: int = 3,
    critical: bool = False,
    floor: float | None = None,
    scale: PanelLimitScale | None = None,
) -> PanelCircuit:
    return PanelCircuit(
        id=circuit_id,
        name=circuit_id.title(),
        type="other",
        breaker_amps=breaker_amps,
        voltage=VOLTAGE,
        priority=priority,
        critical=critical,
        control=PanelCircuitControl.LIMIT,
        limit=scale or percent(breaker_amps),
        floor=floor,
        point=f"site/panel/{circuit_id}_limit",
        switch_point=f"site/panel/{circuit_id}_switch",
    )


def unswitchable(circuit_id: str, breaker_amps: float = 30.0) -> PanelCircuit:
    return PanelCircuit(
        id=circuit_id,
        name=circuit_id.title(),
        type="other",
        breaker_amps=breaker_amps,
        voltage=VOLTAGE,
        control=PanelCircuitControl.NONE,
    )


def house_panel() -> Panel:
    return panel_of(
        limit("hvac1", 30.0, priority=1, critical=True),
        switch("heater1", 30.0, priority=5),
        limit("ev1", 50.0, priority=4),
        switch("dryer1", 30.0, priority=5),
        switch("range1", 40.0, priority=3),
        limit("lights1", 15.0, priority=2),
        switch("outlets1", 20.0, priority=3),
        switch("fridge1", 15.0, priority=1, critical=True),
    )


def panel_of(*circuits: PanelCircuit, amperage: float = 200.0) -> Panel:
    return Panel(amperage=amperage, voltage=VOLTAGE, circuits=circuits)


def reading_of(
    panel: Panel,
    draws_kw: Mapping[str, float | None],
    *,
    ts: float = NOW,
    closed: Mapping[str, bool | None] | None = None,
    limits: Mapping[str, float | None] | None = None,
) -> PanelReading:
    """A whole reading; contactors closed and limits at 100 unless given."""
    closed, limits = closed or {}, limits or {}
    circuits = {}
    for circuit in panel.circuits:
        limited = circuit.control is PanelCircuitControl.LIMIT
        circuits[circuit.id] = PanelCircuitReading(
            power_kw=draws_kw.get(circuit.id),
            closed=closed.get(circuit.id, True),
            limit=limits.get(circuit.id, 100.0) if limited else None,
        )
    total_kw = sum(kw for kw in draws_kw.values() if kw is not None)
    return PanelReading(ts=ts, power_kw=total_kw, circuits=circuits)


def candidate(circuit: PanelCircuit, power_kw: float) -> CircuitSelectionCandidate:
    return CircuitSelectionCandidate(circuit, power_kw, selectable_circuit_kw(circuit, power_kw))


def by_id(made: CircuitSelection) -> dict[str, CircuitSelectionAction]:
    return {action.circuit_id: action for action in made.actions}


def total_shed_kw(pool: Sequence[CircuitSelectionCandidate]) -> float:
    return sum(c.max_shed_kw for c in pool)
