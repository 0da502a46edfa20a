"""Many like units take turns, so that none is off for long; who has most comfort left is next.

The order by what is left until the comfort guard's bound is PNNL's, of intelligent load control.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.circuit_selection import (
    TOLERANCE,
    CircuitSelectionCandidate,
    circuit_selection_candidates,
)
from VenAgent.dr.cycling_limits import CyclingLimits
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Panel, PanelCircuit, PanelReading
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.dr.site_state import SiteState

MOST_OVERLAP_PART = 0.5
"""At most so much of a turn two units are shed for one."""


def rotation_order(
    circuit: PanelCircuit, reading: PanelReading, limits: CyclingLimits
) -> tuple[float, float]:
    """Sorts first who is shed next: the one with the most comfort left, and of those that have as
    much the one that was shed the longest time ago."""
    value = reading.circuit(circuit.id).guard
    shed_ts = limits.last_shed_ts(circuit.id)
    if circuit.guard is None or value is None:
        return math.inf, shed_ts
    return -circuit.guard.comfort_left(value), shed_ts


def rotation_most_comfortable(
    available: Sequence[CircuitSelectionCandidate],
    reading: PanelReading,
    limits: CyclingLimits,
    request_kw: float,
) -> list[CircuitSelectionCandidate]:
    """Of each group that takes turns, and each priority in it, only as many as `request_kw` needs,
    by comfort left; all the others of `available`. Which priority comes first is not decided
    here."""
    chosen = [c for c in available if c.circuit.rotation is None]
    groups: dict[tuple[str, bool, int], list[CircuitSelectionCandidate]] = {}
    for candidate in available:
        circuit = candidate.circuit
        if circuit.rotation is not None:
            key = circuit.rotation.group, circuit.last_resort, circuit.priority
            groups.setdefault(key, []).append(candidate)
    for _, members in sorted(groups.items()):
        members.sort(key=lambda c: rotation_order(c.circuit, reading, limits))
        chosen += _enough(members, request_kw)
    return chosen


def rotation_turn_of(
    event: Event, panel: Panel, site: SiteState, reading: PanelReading, now: float
) -> tuple[ShedCircuit, list[CircuitSelectionCandidate]] | None:
    """Whose turn is over and who comes instead; None while there is nothing to change.

    One at a time, so that neither compressors nor fans start together: with n units shed, one of
    them goes back every n-th part of the turn, and none is shed for longer than a whole one. The
    next one is shed so much earlier as it takes to show it.
    """
    held_by_group = _held_by_group(event, panel)
    if not held_by_group:
        return None
    tried = {circuit.circuit_id for circuit in event.circuits}
    unavailable = tried | site.unavailable(event.end_ts, now)
    for group, held in sorted(held_by_group.items()):
        if any(c.relieved_by for c in held):
            continue
        turn_sec = min(_turn_sec(panel.by_id[c.circuit_id]) for c in held)
        turn_sec -= min(max(c.settle_sec for c in held), MOST_OVERLAP_PART * turn_sec)
        if now - max(c.shed_ts for c in held) < turn_sec / len(held):
            continue
        out = min(held, key=lambda c: (c.shed_ts, _comfort_left(panel, c, reading)))
        if now - out.shed_ts < panel.by_id[out.circuit_id].endurance.min_off_sec:
            continue
        others = [
            c
            for c in circuit_selection_candidates(
                panel, reading, exclude=unavailable, lasting_sec=event.end_ts - now
            )
            if c.circuit.rotation is not None and c.circuit.rotation.group == group
            if not _is_more_important(c.circuit, panel.by_id[out.circuit_id])
        ]
        others.sort(key=lambda c: _turn_order(c.circuit, reading, site.cycling_limits))
        instead = _enough(others, out.shed_kw)
        if sum(c.max_shed_kw for c in instead) >= (1.0 - TOLERANCE) * out.shed_kw:
            return out, instead
    return None


def _is_more_important(circuit: PanelCircuit, than: PanelCircuit) -> bool:
    """No turn goes to it: it would be shed before others."""
    return (circuit.last_resort, -circuit.priority) > (than.last_resort, -than.priority)


def _turn_order(
    circuit: PanelCircuit, reading: PanelReading, limits: CyclingLimits
) -> tuple[bool, int, tuple[float, float]]:
    """Comfort decides among units of one priority; of less important ones there may be enough."""
    order = rotation_order(circuit, reading, limits)
    return circuit.last_resort, -circuit.priority, order


def rotation_relieved(event: Event, now: float) -> ShedCircuit | None:
    """One whose turn is over and whose successors show that they are shed."""
    for held in event.circuits:
        successors = [event.circuit(name) for name in held.relieved_by]
        shown = [c is not None and c.counts and not c.is_settling(now) for c in successors]
        if held.counts and shown and all(shown):
            return held
    return None


def rotation_not_relieved(event: Event) -> list[ShedCircuit]:
    """Those that stay, because who was to take their place did not respond, or went back."""
    stays = []
    for held in event.circuits:
        successors = [event.circuit(name) for name in held.relieved_by]
        if any(circuit is None or not circuit.counts for circuit in successors):
            stays.append(held.to_be_relieved())
    return stays


def rotation_reason(out: ShedCircuit, instead: Iterable[str]) -> Reason:
    names = ", ".join(instead)
    return Reason(ReasonCode.ROTATION, f"the turn of {out.circuit_id} is over: {names} instead")


def _held_by_group(event: Event, panel: Panel) -> dict[str, list[ShedCircuit]]:
    groups: dict[str, list[ShedCircuit]] = {}
    for held in event.circuits:
        circuit = panel.by_id.get(held.circuit_id)
        if circuit is None or circuit.rotation is None or circuit.point != held.point:
            continue
        if held.counts and held.to_put_back:
            groups.setdefault(circuit.rotation.group, []).append(held)
    return groups


def _turn_sec(circuit: PanelCircuit) -> float:
    return math.inf if circuit.rotation is None else circuit.rotation.turn_sec


def _comfort_left(panel: Panel, held: ShedCircuit, reading: PanelReading) -> float:
    guard, value = panel.by_id[held.circuit_id].guard, reading.circuit(held.circuit_id).guard
    return 0.0 if guard is None or value is None else guard.comfort_left(value)


def _enough(
    members: Iterable[CircuitSelectionCandidate], request_kw: float
) -> list[CircuitSelectionCandidate]:
    """The first of them that make up `request_kw` together."""
    chosen: list[CircuitSelectionCandidate] = []
    total_kw = 0.0
    for candidate in members:
        if total_kw >= (1.0 - TOLERANCE) * request_kw:
            break
        chosen.append(candidate)
        total_kw += candidate.max_shed_kw
    return chosen
