"""The mirror of a shed: which circuits are let draw more, and how far.

What is shed goes back first; then batteries charge, limits below their full scale are raised and
thermostats moved the other way, by priority (dr/circuit_raise.py). For a limit of what the site
feeds in, only what shows at once is used, and what generates is reduced last: its energy is lost.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.circuit_raise import CircuitRaise, circuit_raise_generation_limit
from VenAgent.dr.curtailment_plan import CurtailmentPlan
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Panel, PanelCircuit, PanelReading
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.dr.shed_target import ShedTarget
from VenAgent.dr.site_state import SiteState

NOTHING_TO_RAISE = Reason(
    ReasonCode.NOTHING_TO_RAISE,
    "no circuit can draw more now: no battery has room, no thermostat can be moved, and none has a "
    "limit below its full scale and draws up to it",
)
WHOLE_TOLERANCE = 0.05
"""A thermostat that brings so much more than is asked is still taken."""


def plan_load_up(
    event: Event,
    site: SiteState,
    reading: PanelReading,
    target: ShedTarget,
    now: float,
    *,
    unreached: Container[str] = (),
) -> CurtailmentPlan:
    """What brings the site to draw as much more as `target` misses (negative: more is to be drawn),
    at most up to the panel's rating; empty if nothing would. `unreached`: circuits of the event
    that may be tried again."""
    panel = site.panel.as_read(reading)
    asked_kw = -target.missing_kw
    if asked_kw > 0.0 and not target.is_export:  # some of it comes by itself
        settling = (c for c in event.held() if c.is_raised and c.is_settling(now))
        asked_kw = max(0.0, asked_kw + sum(circuit.shed_kw for circuit in settling))
    more_kw = min(asked_kw, panel.max_kw - (reading.power_kw or 0.0))
    if target.missing_kw < 0.0 and target.is_export:
        more_kw = asked_kw
    if more_kw > target.band_kw or (more_kw > 0.0 and not event.held()):
        unavailable = site.unavailable(event.end_ts, now)
        return _raise(event, panel, reading, unavailable, more_kw, now, target, unreached)
    if more_kw >= -target.band_kw:
        return CurtailmentPlan()
    return _lower(event, panel, reading, -more_kw, target, now)


def _raise(
    event: Event,
    panel: Panel,
    reading: PanelReading,
    unavailable: Iterable[str],
    more_kw: float,
    now: float,
    target: ShedTarget,
    unreached: Container[str],
) -> CurtailmentPlan:
    planned: list[ShedCircuit] = []
    left_kw = more_kw
    for held in event.held():
        if held.counts and held.shed_kw > 0.0 and (held.shed_kw <= left_kw or target.is_export):
            if left_kw <= 0.0:
                break
            planned.append(held.to_release())
            left_kw -= held.shed_kw
    left_out = {*unavailable, *(circuit.circuit_id for circuit in planned)}
    lasting_sec = event.end_ts - now
    too_large: list[tuple[float, ShedCircuit]] = []
    for circuit in _in_order(panel, for_export=target.is_export):
        if circuit.id in left_out or left_kw <= 0.0:
            continue
        read = reading.circuit(circuit.id)
        held_so = None if circuit.id in unreached else event.circuit(circuit.id)
        way = CircuitRaise(circuit, read, held_so, now, at_least=target.is_export)
        raised = way.by(left_kw, lasting_sec)
        if raised is None:
            continue
        brings_kw = raised.final_kw - (read.power_kw or 0.0)
        if way.whole and brings_kw > left_kw + WHOLE_TOLERANCE * more_kw:
            too_large.append((brings_kw, raised))
            continue
        planned.append(raised)
        left_kw -= brings_kw
    if too_large and left_kw > WHOLE_TOLERANCE * more_kw:
        brings_kw, smallest = min(too_large, key=lambda each: each[0])
        if target.is_export or brings_kw <= 2.0 * left_kw:
            planned.append(smallest)
            left_kw -= brings_kw
    return CurtailmentPlan(tuple(planned), left_kw - more_kw)


def _in_order(panel: Panel, *, for_export: bool) -> list[PanelCircuit]:
    """By priority; what generates last, and only where a limit asks for it. That does not wait for
    what shows slowly."""
    circuits = [
        c for c in panel.circuits if (c.settle_sec <= 0.0 if for_export else not c.generates)
    ]
    return sorted(circuits, key=lambda c: (c.generates, c.last_resort, -c.priority))


def _lower(
    event: Event,
    panel: Panel,
    reading: PanelReading,
    less_kw: float,
    target: ShedTarget,
    now: float,
) -> CurtailmentPlan:
    """Take `less_kw` of what was raised back: what generates first, then the most important."""
    planned: list[ShedCircuit] = []
    left_kw = less_kw
    held = [circuit for circuit in event.held() if circuit.counts and circuit.shed_kw < 0.0]
    by_id = panel.by_id
    held.sort(
        key=lambda c: (
            c.circuit_id not in by_id or not by_id[c.circuit_id].generates,
            not c.last_resort,
            c.priority,
        )
    )
    for circuit in held:
        if left_kw <= 0.0:
            break
        known = by_id.get(circuit.circuit_id)
        if known is None or known.point != circuit.point:  # it can only go back
            planned.append(circuit.to_release())
            left_kw += circuit.shed_kw
            continue
        if _must_stay_off(circuit, panel, now) or circuit.is_settling(now):
            continue
        lowered = _lowered(circuit, known, reading, left_kw, target)
        if lowered is not None:
            planned.append(lowered)
            left_kw -= _given_back_kw(circuit, lowered)
    return CurtailmentPlan(tuple(planned), less_kw - left_kw)


def _lowered(
    circuit: ShedCircuit,
    known: PanelCircuit,
    reading: PanelReading,
    left_kw: float,
    target: ShedTarget,
) -> ShedCircuit | None:
    """With up to `left_kw` of what it was raised by given back; None if it stays as it is."""
    if known.generates:
        return _generating_more(circuit, known, reading, left_kw)
    scale = known.power_scale
    if scale is None:
        is_too_much = -circuit.shed_kw > left_kw + max(target.band_kw, WHOLE_TOLERANCE * left_kw)
        may_be_more = target.is_limit and not target.is_export
        return None if is_too_much and not may_be_more else circuit.to_release()
    if -circuit.shed_kw <= left_kw + scale.step_kw:
        return circuit.to_release()
    value = scale.value_at(circuit.final_kw - left_kw)
    lowered = circuit.rewritten(value, scale.kw_of(value))
    return lowered if lowered.final_kw < circuit.final_kw else None


def _generating_more(
    circuit: ShedCircuit, known: PanelCircuit, reading: PanelReading, left_kw: float
) -> ShedCircuit | None:
    """By what it generates now and not by its limit: behind a cloud it generates less, and what is
    allowed must hold when the sun is back. It goes back once all that it can is allowed."""
    generated_kw = max(0.0, -(reading.circuit(circuit.circuit_id).power_kw or 0.0))
    allowed_kw = generated_kw + left_kw
    if known.limit is None:
        return circuit.to_release() if -circuit.shed_kw <= left_kw else None
    before = known.limit.limit_of(float(circuit.before))
    full_kw = known.limit.full_scale_kw
    full_kw = full_kw if before is None else min(full_kw, known.limit.kw_of(before))
    value = circuit_raise_generation_limit(known.limit, allowed_kw)
    if known.limit.kw_of(value) >= full_kw - 1e-6:
        return circuit.to_release()
    if value <= float(circuit.value):
        return None
    final_kw = -known.limit.kw_of(value)
    return circuit.generating_up_to(value, final_kw, known.limit.step_kw)


def _must_stay_off(held: ShedCircuit, panel: Panel, now: float) -> bool:
    known = panel.by_id.get(held.circuit_id)
    if held.is_release_tried(now):
        return True
    return known is not None and now - held.shed_ts < known.endurance.min_off_sec


def _given_back_kw(before: ShedCircuit, after: ShedCircuit) -> float:
    return -before.shed_kw if after.releasing else before.final_kw - after.final_kw
