"""The mirror of a shed: which circuits are let draw more, and how far.

A circuit can if it has a limit below its full scale and draws up to it: a charger that was turned
down, a water heater that is throttled. What is shed goes back first.
"""

from __future__ import annotations

from collections.abc import Iterable

from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.circuit_selection import CircuitSelectionAction
from VenAgent.dr.curtailment_plan import CurtailmentPlan
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Panel, PanelCircuit, PanelCircuitControl, PanelReading
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.dr.shed_target import ShedTarget
from VenAgent.dr.site_state import SiteState

DRAWS_ITS_LIMIT = 0.9
"""A device that draws this part of its limit is held back by it."""

NOTHING_TO_RAISE = Reason(
    ReasonCode.NOTHING_TO_RAISE,
    "no circuit can draw more now: none has a limit below its full scale and draws up to it",
)


def plan_load_up(
    event: Event, site: SiteState, reading: PanelReading, target: ShedTarget, now: float
) -> CurtailmentPlan:
    """What brings the site to draw as much more as `target` misses (negative: more is to be drawn),
    at most up to the panel's rating; empty if nothing would."""
    panel = site.panel
    more_kw = min(-target.missing_kw, panel.max_kw - (reading.power_kw or 0.0))
    if more_kw > target.band_kw or (more_kw > 0.0 and not event.held()):
        return _raise(event, panel, reading, site.unavailable(event.end_ts, now), more_kw, now)
    if more_kw >= -target.band_kw:
        return CurtailmentPlan()
    return _lower(event, panel, -more_kw)


def _raise(
    event: Event,
    panel: Panel,
    reading: PanelReading,
    unavailable: Iterable[str],
    more_kw: float,
    now: float,
) -> CurtailmentPlan:
    planned: list[ShedCircuit] = []
    left_kw = more_kw
    for held in event.held():
        if held.counts and 0.0 < held.shed_kw <= left_kw:
            planned.append(held.to_release())
            left_kw -= held.shed_kw
    left_out = {*unavailable, *(circuit.circuit_id for circuit in planned)}
    for circuit in sorted(panel.circuits, key=lambda c: (c.last_resort, -c.priority)):
        if circuit.id in left_out or left_kw <= 0.0:
            continue
        raised = _raised(event.circuit(circuit.id), circuit, reading, left_kw, now)
        if raised is not None:
            planned.append(raised)
            left_kw -= raised.final_kw - (reading.circuit(circuit.id).power_kw or 0.0)
    return CurtailmentPlan(tuple(planned), left_kw - more_kw)


def _raised(
    held: ShedCircuit | None,
    circuit: PanelCircuit,
    reading: PanelReading,
    most_kw: float,
    now: float,
) -> ShedCircuit | None:
    """The circuit as it is to be, drawing up to `most_kw` more; None if it cannot draw more."""
    read, scale = reading.circuit(circuit.id), circuit.limit
    if circuit.control is not PanelCircuitControl.LIMIT or scale is None or read.power_kw is None:
        return None
    present = scale.limit_of(read.limit)
    if present is None or read.limit is None or read.closed is False:
        return None
    if held is not None and not held.counts:
        return None
    allowed_kw = scale.kw_of(present)
    if read.power_kw < DRAWS_ITS_LIMIT * allowed_kw:
        return None  # its limit is not what holds it back
    full_kw = min(scale.full_scale_kw, circuit.rating_kw)
    steps = int((min(read.power_kw + most_kw, full_kw) - allowed_kw) / scale.step_kw + 1e-6)
    if steps < 1:
        return None
    value = round(present + steps * scale.step, 6)
    final_kw = scale.kw_of(value)
    if held is not None:
        return held.rewritten(value, final_kw)
    before = read.limit if read.slot is None else read.slot
    action = CircuitSelectionAction(circuit.id, circuit.control, value, read.power_kw, final_kw)
    relinquish = read.relinquish and read.slot is None
    return ShedCircuit.newly_shed(action, circuit, before, now, relinquish=relinquish)


def _lower(event: Event, panel: Panel, less_kw: float) -> CurtailmentPlan:
    """Take `less_kw` of what was raised back: the most important first."""
    planned: list[ShedCircuit] = []
    left_kw = less_kw
    held = [circuit for circuit in event.held() if circuit.counts and circuit.shed_kw < 0.0]
    for circuit in sorted(held, key=lambda c: (not c.last_resort, c.priority)):
        if left_kw <= 0.0:
            break
        known = panel.by_id.get(circuit.circuit_id)
        scale = None if known is None or known.point != circuit.point else known.limit
        if scale is None or -circuit.shed_kw <= left_kw + scale.step_kw:
            planned.append(circuit.to_release())
            left_kw += circuit.shed_kw
            continue
        value = scale.value_at(circuit.final_kw - left_kw)
        lowered = circuit.rewritten(value, scale.kw_of(value))
        planned.append(lowered)
        left_kw -= circuit.final_kw - lowered.final_kw
    return CurtailmentPlan(tuple(planned), less_kw - left_kw)
