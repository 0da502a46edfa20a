"""Of each circuit that is not shed now, why not: for a person who looks at the page."""

from __future__ import annotations

from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.circuit_selection import circuit_selection_candidates, selectable_circuit_kw
from VenAgent.dr.cycling_limits import CyclingLimits
from VenAgent.dr.event import Event
from VenAgent.dr.event_request import EventRequestKind
from VenAgent.dr.panel import Panel, PanelCircuit, PanelCircuitControl, PanelReading
from VenAgent.dr.shed_circuit import ShedCircuit


def curtailment_reasons_against(
    event: Event | None, panel: Panel, reading: PanelReading, limits: CyclingLimits, now: float
) -> dict[str, Reason]:
    """Of each circuit that is not shed now, why not: for a person who looks at the page."""
    end_ts = event.end_ts if event is not None else now
    reasons = {}
    for circuit in panel.circuits:
        held = None if event is None else event.circuit(circuit.id)
        if held is None or not held.counts:
            reason = _reason_spared(circuit, held, reading, limits, now, end_ts)
            if event is not None and reason.code is ReasonCode.NOT_NEEDED:
                reason = _reason_not_needed(event, circuit, reading)
            reasons[circuit.id] = reason
    return reasons


def _reason_not_needed(event: Event, circuit: PanelCircuit, reading: PanelReading) -> Reason:
    """With the figure that a person asks for: what it would be too much by."""
    power_kw = reading.circuit(circuit.id).power_kw or 0.0
    missing_kw = event.wanted_kw - event.predicted_kw
    over_kw = selectable_circuit_kw(circuit, power_kw) - missing_kw
    text = "not needed"
    is_shed = event.request.kind is EventRequestKind.SHED  # others have no target to be over
    is_switch = circuit.control is PanelCircuitControl.SWITCH
    if is_shed and is_switch and event.circuits and over_kw >= 0.05:
        text = f"not needed: would be {over_kw:.1f} kW too much"
    return Reason(ReasonCode.NOT_NEEDED, text)


def _reason_spared(
    circuit: PanelCircuit,
    held: ShedCircuit | None,
    reading: PanelReading,
    limits: CyclingLimits,
    now: float,
    end_ts: float,
) -> Reason:
    read = reading.circuit(circuit.id)
    if held is not None and held.manual_override:
        return Reason(ReasonCode.MANUAL_OVERRIDE, "switched by hand")
    if held is not None and held.failure:
        return Reason(ReasonCode.WRITE_FAILED, held.failure)
    if held is not None and held.responded is False:
        return Reason(ReasonCode.NOT_RESPONDED, "did not respond: its power did not fall")
    if circuit.control is PanelCircuitControl.NONE:
        return Reason(ReasonCode.NOT_CONTROLLABLE, "cannot be controlled")
    if circuit.kept_fraction >= 1.0:
        return Reason(ReasonCode.CRITICAL, "critical: never shed")
    if circuit.generates:
        return Reason(ReasonCode.NOT_NEEDED, "generates: reduced for a limit of what is fed in")
    is_setpoint = circuit.control is PanelCircuitControl.SETPOINT
    if read.power_kw is None and not is_setpoint:
        return Reason(ReasonCode.NOT_READ, "was not read")
    if read.closed is False:
        return Reason(ReasonCode.SWITCHED_OFF, "is switched off")
    if circuit.guard is not None and not circuit.guard.may_be_shed(read.guard):
        text = circuit.guard.spared_text(read.guard, read.guard_unmoved_sec, read.guard_silent_sec)
        return Reason(ReasonCode.COMFORT_GUARD, text)
    if is_setpoint and read.limit is None:
        return Reason(ReasonCode.NOT_READ, "its setpoint was not read")
    if not circuit_selection_candidates(Panel(1.0, circuit.voltage, (circuit,)), reading):
        return Reason(ReasonCode.DRAWS_NOTHING, "draws nothing that could be shed")
    until_ts = max(end_ts, now + circuit.endurance.min_off_sec)
    why_not = limits.reason_against(circuit, now, until_ts)
    if why_not is not None:
        return Reason(ReasonCode.CYCLING_LIMIT, why_not)
    if circuit.last_resort:
        return Reason(ReasonCode.LAST_RESORT, "critical: only when all else is not enough")
    return Reason(ReasonCode.NOT_NEEDED, "not needed")
