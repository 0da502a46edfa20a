"""From an event and a fresh reading to the circuits that are to be shed, changed or put back.

Planning changes nothing: a plan holds the circuits as they are to be, and whoever carries it out
puts them into the event.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from VenAgent.contract.reasons import Reason
from VenAgent.dr.circuit_selection import (
    TOLERANCE,
    CircuitSelectionAction,
    CircuitSelectionCandidate,
    circuit_selection_candidates,
    select_circuits,
)
from VenAgent.dr.event import Event
from VenAgent.dr.held_circuit_candidates import (
    configured_held_circuit,
    held_candidates_as_they_were,
    lowerable_held_candidates,
)
from VenAgent.dr.panel import Panel, PanelCircuit, PanelCircuitControl, PanelReading
from VenAgent.dr.policy import PriorityPolicy, ReleasePolicy
from VenAgent.dr.rotation import (
    rotation_most_comfortable,
    rotation_reason,
    rotation_relieved,
    rotation_turn_of,
)
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.dr.shed_target import ShedTarget
from VenAgent.dr.site_state import SiteState


@dataclass(frozen=True)
class CurtailmentPlan:
    """What is to be written: circuits of the event, new, changed or releasing; and its effect."""

    circuits: tuple[ShedCircuit, ...] = ()
    delta_kw: float = 0.0
    """By how much the shed grows; negative when loads come back."""

    @property
    def circuit_ids(self) -> tuple[str, ...]:
        return tuple(circuit.circuit_id for circuit in self.circuits)

    @property
    def releases_some(self) -> bool:
        return any(circuit.releasing for circuit in self.circuits)


def plan_curtailment(
    event: Event,
    site: SiteState,
    reading: PanelReading,
    target: ShedTarget,
    now: float,
    *,
    may_exchange: bool,
    unreached: Container[str] = (),
) -> CurtailmentPlan:
    """What brings the shed to `target`; empty if nothing would.

    A change that a command asked for `may_exchange` circuits; a correction of the closed loop only
    adds or releases some, so that it does not move loads to and fro. `unreached`: circuits of the
    event that may be tried again.
    """
    panel, order = site.panel.as_read(reading), site.policy.release_order
    unavailable = site.unavailable(event.end_ts, now)
    missing_kw = min(target.missing_kw, _most_kw(event, panel, reading))
    band_kw = target.band_kw
    settling_kw = settling_shed_kw(event, now)
    if not event.is_limit and not event.wanted_kw:  # all goes back
        settling_kw = 0.0
    if missing_kw > band_kw or (missing_kw > 0.0 and not event.held()):
        # For a limit the selection's tolerance lies above what is missing, not around it.
        asked_kw = missing_kw / (1.0 - TOLERANCE) if target.is_limit else missing_kw
        return _shed_more(
            event,
            site,
            panel,
            reading,
            unavailable,
            asked_kw,
            settling_kw,
            now,
            at_least=target.is_limit,
            unreached=unreached,
        )
    if missing_kw >= -band_kw:
        return CurtailmentPlan()
    spare_kw = 0.0 if target.is_limit else band_kw
    if event.is_limit:
        doubtful = _doubtful(event, panel, order, -missing_kw, now)
        if doubtful:
            return CurtailmentPlan(doubtful)
    less = _shed_less(event, panel, order, -missing_kw, spare_kw, now)
    if target.is_limit or not may_exchange or -missing_kw + less.delta_kw <= band_kw:
        return less
    wanted_kw = event.predicted_kw + missing_kw - settling_kw
    return _exchange(event, panel, reading, unavailable, wanted_kw, now, site.policy.priority_order)


def plan_guard_release(
    event: Event, site: SiteState, reading: PanelReading, circuit_ids: Iterable[str], now: float
) -> CurtailmentPlan:
    """Put these circuits of the event back, and shed others in their place where there are any."""
    held = [event.circuit(circuit_id) for circuit_id in circuit_ids]
    back = [circuit.to_release() for circuit in held if circuit is not None]
    released_kw = sum(circuit.shed_kw for circuit in back if circuit.counts)
    unavailable = site.unavailable(event.end_ts, now)
    others = CurtailmentPlan()
    if released_kw > 0.0 and reading.power_kw is not None:
        panel = site.panel.as_read(reading)
        others = _shed_more(event, site, panel, reading, unavailable, released_kw, 0.0, now)
    return CurtailmentPlan((*others.circuits, *back), others.delta_kw - released_kw)


def plan_rotation(
    event: Event, site: SiteState, reading: PanelReading, now: float
) -> tuple[CurtailmentPlan, ShedCircuit, Reason] | None:
    """A unit of its kind takes the place of one whose turn is over: that one goes back only once
    the other shows that it is shed, so that the event has its kW in between. The second is the one
    that goes, as it is to be kept meanwhile."""
    relieved = rotation_relieved(event, now)
    if relieved is not None:
        reason = rotation_reason(relieved, relieved.relieved_by)
        return CurtailmentPlan((relieved.to_release(),), -relieved.shed_kw), relieved, reason
    panel = site.panel.as_read(reading)
    turn = rotation_turn_of(event, panel, site, reading, now)
    if turn is None:
        return None
    out, instead = turn
    actions = select_circuits(instead, sum(c.max_shed_kw for c in instead)).actions
    new = tuple(_newly_shed(panel, reading, action, now) for action in actions)
    names = [circuit.circuit_id for circuit in new]
    plan = CurtailmentPlan(new, sum(action.shed_kw for action in actions))
    return plan, out.to_be_relieved(names), rotation_reason(out, names)


def settling_shed_kw(event: Event, now: float) -> float:
    """What is shed already and does not show yet: setpoints that the power follows slowly."""
    return sum(c.shed_kw for c in event.circuits if c.counts and c.is_settling(now))


def _most_kw(event: Event, panel: Panel, reading: PanelReading) -> float:
    """What can be shed at most: the target is never below zero, or below what is generated. What a
    battery of this event discharges is not generated: a shed is no order to feed in."""
    storages = {circuit.id for circuit in panel.circuits if circuit.storage is not None}
    ours = storages & {held.circuit_id for held in event.held()}
    powers = {name: read.power_kw or 0.0 for name, read in reading.circuits.items()}
    discharged_kw = -sum(min(0.0, powers.get(name, 0.0)) for name in ours)
    power_kw = reading.power_kw or 0.0
    if power_kw <= 0.0:  # more is generated than drawn, perhaps by what has no meter
        return max(0.0, sum(max(0.0, kw) for kw in powers.values()) - discharged_kw)
    return power_kw - discharged_kw - sum(min(0.0, kw) for kw in powers.values())


def _shed_more(
    event: Event,
    site: SiteState,
    panel: Panel,
    reading: PanelReading,
    unavailable: Iterable[str],
    request_kw: float,
    settling_kw: float,
    now: float,
    *,
    at_least: bool = False,
    unreached: Container[str] = (),
) -> CurtailmentPlan:
    """Shed `request_kw` more: circuits not tried yet nor `unavailable`, those that were `unreached`
    when they were, and limits that can go lower. Empty when nothing is left. `settling_kw` of it
    comes by itself: until then, and until new setpoints show, other circuits that show at once
    fill the gap."""
    by = site.policy.priority_order
    tried = {circuit.circuit_id: circuit for circuit in event.circuits}
    available = [
        *circuit_selection_candidates(
            panel,
            reading,
            exclude=[*(name for name in tried if name not in unreached), *unavailable],
            lasting_sec=event.end_ts - now,
        ),
        *lowerable_held_candidates(event, panel, reading, now),
    ]
    if event.request.circuit_id is not None:
        available = [c for c in available if c.circuit.id == event.request.circuit_id]
    others = [c for c in available if not c.circuit.last_resort]
    doubted_kw = site.doubted_kw(event, now)
    is_enough = doubted_kw > 0.0 and request_kw <= doubted_kw + sum(c.max_shed_kw for c in others)
    if _shows_nothing(event) or is_enough:
        available = others
    available = rotation_most_comfortable(available, reading, site.cycling_limits, request_kw)
    asked_kw = request_kw - settling_kw
    chosen = select_circuits(available, asked_kw, order=by, at_least=at_least).actions
    chosen += _to_fill_the_gap(available, chosen, request_kw, settling_kw, by)
    planned, delta_kw = [], 0.0
    for action in chosen:
        held = tried.get(action.circuit_id)
        if held is None:
            planned.append(_newly_shed(panel, reading, action, now))
        elif held.circuit_id in unreached:
            planned.append(held.tried_again(action, now))
        else:
            planned.append(held.rewritten(action.value, action.final_kw, action.shed_kw))
        delta_kw += action.shed_kw
    return CurtailmentPlan(tuple(planned), delta_kw)


def _shows_nothing(event: Event) -> bool:
    """Whether nothing that was shed has shown it: the meter may stand still, or show it late, and
    is no reason to go on to what is critical."""
    if event.is_limit:
        return False
    judged = [circuit.responded for circuit in event.circuits if circuit.responded is not None]
    return bool(judged) and not any(judged)


def _to_fill_the_gap(
    available: Iterable[CircuitSelectionCandidate],
    chosen: Iterable[CircuitSelectionAction],
    request_kw: float,
    settling_kw: float,
    by: PriorityPolicy,
) -> tuple[CircuitSelectionAction, ...]:
    """Circuits that show at once, in the place of setpoints that do not yet. They go back first."""
    at_once = {c.circuit.id: c for c in available if c.shows_at_once}
    taken = {action.circuit_id: action.shed_kw for action in chosen}
    fast_kw = sum(kw for name, kw in taken.items() if name in at_once)
    slow_kw = settling_kw + sum(taken.values()) - fast_kw
    gap_kw = min(slow_kw, request_kw - fast_kw)
    if gap_kw <= TOLERANCE * request_kw:
        return ()
    left = [c for n, c in at_once.items() if n not in taken and not c.circuit.last_resort]
    return select_circuits(left, gap_kw, order=by).actions


def _doubtful(
    event: Event, panel: Panel, order: ReleasePolicy, room_kw: float, now: float
) -> tuple[ShedCircuit, ...]:
    """Circuits that did not show that they are shed, and for which there is room all the same: a
    limit may rule for ever, and a meter that is late has not shown it yet. They go back first, for
    by what is known of them that changes nothing."""
    turn = 1 if order is ReleasePolicy.MOST_IMPORTANT_FIRST else -1
    held = [c for c in event.held() if c.responded is False and not c.is_raised and not c.switching]
    held.sort(key=lambda c: (-turn * c.last_resort, turn * c.priority, -c.shed_kw))
    back: list[ShedCircuit] = []
    for circuit in held:
        may_show_kw = max(0.0, circuit.shed_kw)
        if may_show_kw > room_kw or _must_stay_off(
            circuit, configured_held_circuit(circuit, panel), now
        ):
            continue
        back.append(circuit.to_release())
        room_kw -= may_show_kw
    return tuple(back)


def _shed_less(
    event: Event, panel: Panel, order: ReleasePolicy, excess_kw: float, spare_kw: float, now: float
) -> CurtailmentPlan:
    """Put back about `excess_kw`, at most `spare_kw` more, by priority in `order`, of one priority
    the largest first; before all others those that do not move slowly, for they may have filled
    the gap of those that do. A circuit that must stay off for a while yet stays, and so does one
    whose power does not show yet that it is shed."""
    planned, delta_kw = [], 0.0
    left_kw = excess_kw
    turn = 1 if order is ReleasePolicy.MOST_IMPORTANT_FIRST else -1
    is_all = not event.wanted_kw
    held = [
        circuit
        for circuit in event.circuits
        if circuit.counts and not circuit.is_raised and (is_all or not circuit.is_settling(now))
    ]
    held.sort(
        key=lambda c: (
            not c.relieved_by,
            c.settle_sec > 0.0,
            -turn * c.last_resort,
            turn * c.priority,
            -c.shed_kw,
        )
    )
    for circuit in held:
        configured = configured_held_circuit(circuit, panel)
        if _must_stay_off(circuit, configured, now):
            continue
        if circuit.shed_kw <= left_kw + spare_kw:
            planned.append(circuit.to_release())
            change_kw = circuit.shed_kw
        elif (
            configured is not None
            and configured.power_scale is not None
            and left_kw > configured.power_scale.step_kw
        ):
            raised = _raised(circuit, configured, left_kw)
            change_kw = raised.final_kw - circuit.final_kw
            if raised.releasing:
                change_kw = min(circuit.shed_kw, left_kw)
            elif change_kw <= 0.0:  # less than the least that it takes
                continue
            planned.append(raised)
        else:
            continue
        left_kw -= change_kw
        delta_kw -= change_kw
        if left_kw <= 0.0:
            break
    return CurtailmentPlan(tuple(planned), delta_kw)


def _exchange(
    event: Event,
    panel: Panel,
    reading: PanelReading,
    unavailable: Iterable[str],
    request_kw: float,
    now: float,
    by: PriorityPolicy,
) -> CurtailmentPlan:
    """Plan the whole event anew for `request_kw`, as if what it holds were still drawing: some
    circuits go back and others take their place. Empty if one that must stay off for a while
    yet would have to go back."""
    held = {c.circuit_id: c for c in event.circuits if c.counts and not c.is_raised}
    tried = [circuit.circuit_id for circuit in event.circuits]
    pool = [
        *circuit_selection_candidates(
            panel,
            reading,
            exclude=[*tried, *unavailable],
            lasting_sec=event.end_ts - now,
        ),
        *held_candidates_as_they_were(held.values(), panel, reading, event.end_ts - now),
    ]
    if event.request.circuit_id is not None:
        pool = [c for c in pool if c.circuit.id == event.request.circuit_id]
    chosen = select_circuits(pool, request_kw, order=by).actions
    actions = {action.circuit_id: action for action in chosen}
    back = [circuit for circuit_id, circuit in held.items() if circuit_id not in actions]
    if any(
        _must_stay_off(circuit, configured_held_circuit(circuit, panel), now) for circuit in back
    ):
        return CurtailmentPlan()
    delta_kw = sum(action.shed_kw for action in actions.values()) - event.predicted_kw
    planned = []
    for action in actions.values():
        known = held.get(action.circuit_id)
        if known is None:
            planned.append(_newly_shed(panel, reading, action, now))
        elif known.value != action.value:
            planned.append(known.rewritten(action.value, action.final_kw))
    return CurtailmentPlan((*planned, *(circuit.to_release() for circuit in back)), delta_kw)


def _must_stay_off(held: ShedCircuit, configured: PanelCircuit | None, now: float) -> bool:
    if held.is_release_tried(now):
        return True
    return configured is not None and now - held.shed_ts < configured.endurance.min_off_sec


def _newly_shed(
    panel: Panel, reading: PanelReading, action: CircuitSelectionAction, now: float
) -> ShedCircuit:
    read = reading.circuit(action.circuit_id)
    before = True if action.control is PanelCircuitControl.SWITCH else read.limit
    assert before is not None  # candidates() leaves unread limits out
    if read.slot is not None:
        before = read.slot
    return ShedCircuit.newly_shed(
        action,
        panel.by_id[action.circuit_id],
        before,
        now,
        relinquish=read.relinquish and read.slot is None,
        register_unit=read.register_unit,
    )


def _raised(circuit: ShedCircuit, configured: PanelCircuit, more_kw: float) -> ShedCircuit:
    """A limited circuit that is let draw up to `more_kw` more. One whose register comes back to
    what it was goes back: what it draws by it may be less than it was, on fewer lines."""
    scale = configured.power_scale
    assert scale is not None
    before = scale.limit_of(float(circuit.before)) if configured.storage is None else None
    value = scale.value_at(circuit.final_kw + more_kw, at_most=True)
    if before is not None and value >= before:
        return circuit.to_release()
    return circuit.rewritten(value, min(scale.kw_of(value), circuit.original_kw))
