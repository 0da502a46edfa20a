"""From an event and a fresh reading to the circuits that are to be shed, changed or put back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from VenAgent.dr.circuit_selection import Action, Candidate, candidates, plan, sheddable_kw
from VenAgent.dr.cycling_limits import CyclingLimits
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Circuit, Control, Panel, Reading
from VenAgent.dr.policy import ReleaseOrder
from VenAgent.dr.shed_circuit import ShedCircuit


@dataclass(frozen=True)
class Moves:
    """What is to be written: circuits of the event, new, changed or releasing; and its effect."""

    circuits: tuple[ShedCircuit, ...] = ()
    delta_kw: float = 0.0
    """By how much the shed grows; negative when loads come back."""

    @property
    def some_go_back(self) -> bool:
        return any(circuit.releasing for circuit in self.circuits)


def shed_more(
    event: Event,
    panel: Panel,
    reading: Reading,
    barred: Iterable[str],
    request_kw: float,
    now: float,
) -> Moves:
    """Shed `request_kw` more: circuits not tried yet nor `barred`, and limits that can go lower.
    No moves when nothing is left. The circuits are added to the event."""
    tried = {circuit.circuit_id: circuit for circuit in event.circuits}
    available = [
        *candidates(panel, reading, exclude=[*tried, *barred]),
        *_lowerable(event, panel, reading),
    ]
    if event.circuit_id is not None:
        available = [c for c in available if c.circuit.id == event.circuit_id]
    moved, delta_kw = [], 0.0
    for action in plan(available, request_kw).actions:
        circuit = tried.get(action.circuit_id)
        if circuit is None:
            circuit = _newly_shed(event, panel, reading, action, now)
        else:
            circuit.rewrite(action.value, action.final_kw)
        moved.append(circuit)
        delta_kw += action.shed_kw
    return Moves(tuple(moved), delta_kw)


def _lowerable(event: Event, panel: Panel, reading: Reading) -> list[Candidate]:
    """Limits of this event that can go lower still. Their floor is a part of what they drew
    before the event, not of what is left."""
    found = []
    for held in event.circuits:
        circuit = _known(held, panel)
        power_kw = reading.circuit(held.circuit_id).power_kw
        if circuit is None or circuit.limit is None or not held.counts or power_kw is None:
            continue
        power_kw = min(power_kw, held.final_kw)  # the reading may be from before the last write
        kept_kw = circuit.kept_fraction * held.original_kw
        lowest_kw = circuit.limit.kw_of(circuit.limit.value_at(0.0, lowest_kw=kept_kw))
        if circuit.kept_fraction < 1.0 and power_kw - lowest_kw > circuit.limit.step_kw:
            found.append(Candidate(circuit, power_kw, power_kw - lowest_kw, float(held.value)))
    return found


def shed_less(
    event: Event, panel: Panel, order: ReleaseOrder, excess_kw: float, spare_kw: float, now: float
) -> Moves:
    """Put back about `excess_kw`, at most `spare_kw` more, by priority in `order`, of one priority
    the largest first. A circuit that must stay off for a while yet stays."""
    moved, delta_kw = [], 0.0
    left_kw = excess_kw
    turn = 1 if order is ReleaseOrder.MOST_IMPORTANT_FIRST else -1
    held = [circuit for circuit in event.circuits if circuit.counts]
    held.sort(key=lambda c: (-turn * c.last_resort, turn * c.priority, -c.shed_kw))
    for circuit in held:
        known = _known(circuit, panel)
        if known is not None and now - circuit.shed_ts < known.endurance.min_off_sec:
            continue
        if circuit.shed_kw <= left_kw + spare_kw:
            circuit.releasing = True
            change_kw = circuit.shed_kw
        elif known is not None and known.limit is not None and left_kw > known.limit.step_kw:
            change_kw = _raise(circuit, known, left_kw)
        else:
            continue
        moved.append(circuit)
        left_kw -= change_kw
        delta_kw -= change_kw
        if left_kw <= 0.0:
            break
    return Moves(tuple(moved), delta_kw)


def exchange(
    event: Event,
    panel: Panel,
    reading: Reading,
    barred: Iterable[str],
    request_kw: float,
    now: float,
) -> Moves:
    """Plan the whole event anew for `request_kw`, as if what it holds were still drawing: some
    circuits go back and others take their place. No moves if one that must stay off for a while
    yet would have to go back."""
    held = {circuit.circuit_id: circuit for circuit in event.circuits if circuit.counts}
    tried = [circuit.circuit_id for circuit in event.circuits]
    pool = [
        *candidates(panel, reading, exclude=[*tried, *barred]),
        *_as_they_were(held.values(), panel),
    ]
    if event.circuit_id is not None:
        pool = [c for c in pool if c.circuit.id == event.circuit_id]
    actions = {action.circuit_id: action for action in plan(pool, request_kw).actions}
    back = [circuit for circuit_id, circuit in held.items() if circuit_id not in actions]
    for circuit in back:
        known = _known(circuit, panel)
        if known is not None and now - circuit.shed_ts < known.endurance.min_off_sec:
            return Moves()
    delta_kw = sum(action.shed_kw for action in actions.values()) - event.predicted_kw
    moved = []
    for action in actions.values():
        known_circuit = held.get(action.circuit_id)
        if known_circuit is not None and known_circuit.value == action.value:
            continue
        circuit = known_circuit or _newly_shed(event, panel, reading, action, now)
        circuit.rewrite(action.value, action.final_kw)
        moved.append(circuit)
    for circuit in back:
        circuit.releasing = True
    return Moves((*moved, *back), delta_kw)


def _as_they_were(held: Iterable[ShedCircuit], panel: Panel) -> Iterator[Candidate]:
    """What is shed, as if it were still drawing; not what may not be shed any more."""
    for shed in held:
        circuit = _known(shed, panel)
        most_kw = 0.0 if circuit is None else sheddable_kw(circuit, shed.original_kw)
        if circuit is not None and most_kw > 0.0:
            before = None if shed.is_switch else float(shed.before)
            yield Candidate(circuit, shed.original_kw, most_kw, before)


def _known(held: ShedCircuit, panel: Panel) -> Circuit | None:
    """The circuit of a shed one; None if the configuration has changed how it is controlled since:
    then it can only go back."""
    circuit = panel.by_id.get(held.circuit_id)
    return circuit if circuit is not None and circuit.point == held.point else None


def _newly_shed(
    event: Event, panel: Panel, reading: Reading, action: Action, now: float
) -> ShedCircuit:
    read = reading.circuit(action.circuit_id)
    before = True if action.control is Control.SWITCH else read.limit
    assert before is not None  # candidates() leaves unread limits out
    circuit = ShedCircuit.of(action, panel.by_id[action.circuit_id], before, now)
    event.circuits.append(circuit)
    return circuit


def _raise(circuit: ShedCircuit, known: Circuit, more_kw: float) -> float:
    """Let a limited circuit draw `more_kw` more; returns how much that really is."""
    assert known.limit is not None
    value = min(known.limit.value_at(circuit.final_kw + more_kw), float(circuit.before))
    final_kw = min(known.limit.kw_of(value), circuit.original_kw)
    change_kw = final_kw - circuit.final_kw
    circuit.rewrite(value, final_kw)
    return change_kw


def refusal_of(circuit_id: str, panel: Panel) -> str | None:
    """Why a command may not shed this circuit by name; None if it may."""
    circuit = panel.by_id.get(circuit_id)
    if circuit is None:
        return f"unknown circuit {circuit_id!r}: this panel has {', '.join(panel.by_id)}"
    if circuit.control is Control.NONE:
        return f"circuit {circuit_id} cannot be controlled"
    if circuit.critical or circuit.kept_fraction >= 1.0:
        return f"circuit {circuit_id} is critical and is never shed by command"
    return None


def circuits_that_look_shed(panel: Panel, reading: Reading) -> list[ShedCircuit]:
    """The circuits that are switched off or limited now, with normal as what they were before."""
    found = []
    for circuit in panel.circuits:
        read = reading.circuit(circuit.id)
        before: float | bool = True
        now: float | bool | None = read.closed
        if circuit.control is Control.LIMIT and circuit.limit is not None:
            before = circuit.limit.value_at(circuit.limit.full_scale_kw)
            now = read.limit
        if circuit.control is not Control.NONE and now is not None and now < before:
            power_kw = read.power_kw or 0.0
            action = Action(circuit.id, circuit.control, now, power_kw, power_kw)
            found.append(ShedCircuit.of(action, circuit, before))
    return found


def reasons_spared(
    event: Event | None, panel: Panel, reading: Reading, wear: CyclingLimits, now: float
) -> dict[str, str]:
    """Of each circuit that is not shed now, why not: for a person who looks at the page."""
    shed = {c.circuit_id: c for c in event.circuits} if event is not None else {}
    end_ts = event.end_ts if event is not None else now
    reasons = {}
    for circuit in panel.circuits:
        held = shed.get(circuit.id)
        if held is not None and held.counts:
            continue
        reasons[circuit.id] = _why_spared(circuit, held, reading, wear, now, end_ts)
    return reasons


def _why_spared(
    circuit: Circuit,
    held: ShedCircuit | None,
    reading: Reading,
    wear: CyclingLimits,
    now: float,
    end_ts: float,
) -> str:
    read = reading.circuit(circuit.id)
    if held is not None and held.by_hand:
        return "switched by hand"
    if held is not None and held.failure:
        return held.failure
    if held is not None and held.obeyed is False:
        return "did not obey: its power did not fall"
    if circuit.control is Control.NONE:
        return "cannot be controlled"
    if circuit.kept_fraction >= 1.0:
        return "critical: never shed"
    if read.power_kw is None:
        return "was not read"
    if read.closed is False:
        return "is switched off"
    if not candidates(Panel(1.0, circuit.voltage, (circuit,)), reading):
        return "draws nothing that could be shed"
    barred = wear.barred(circuit, now, max(end_ts, now + circuit.endurance.min_off_sec))
    return barred or (
        "critical: only when all else is not enough" if circuit.last_resort else "not needed"
    )
