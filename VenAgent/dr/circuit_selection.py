"""Which circuits to shed, and how far: the exact subset.

The rules, in their order:

1. Only a `CircuitSelectionCandidate` can be in a plan, and a protected circuit never becomes one.
2. Critical and priority-1 circuits are used only when all others together are not enough.
3. Land within 5 % of the request if any combination does; else meet it with the least
   overshoot; else shed all there is.
4. Do not touch a more important priority than that needs, then come as near as possible, then
   take as little as possible from the more important priorities, then use the fewest circuits.

It is a subset-sum problem. Sums are kept as the bits of an integer, one bit for each 1/8000 of
the request, so that adding a circuit to all sums at once is one shift and one "or": a panel of
1,000 circuits takes a few milliseconds. A circuit with a limit can give any part of what it has,
so it smears each bit over its range; a charger that knows nothing between 0 and 6 A gives any part
down to those 6 A, or all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import groupby
from operator import or_

from VenAgent.dr.panel import (
    Panel,
    PanelCircuit,
    PanelCircuitControl,
    PanelCircuitReading,
    PanelReading,
)
from VenAgent.dr.policy import PriorityPolicy

TOLERANCE = 0.05
RESOLUTION = 8000
"""Parts the request is divided into."""
EXACT_COUNT = 48
"""Up to so many circuits of one priority, the fewest are found exactly; beyond, nearly."""
DRAWS_NOTHING_KW = 0.005
LEAST_REQUEST_KW = 1e-6


@dataclass(frozen=True)
class CircuitSelectionCandidate:
    """A circuit that may be shed now. Made by `circuit_selection_candidates` only, which keeps the
    protected ones out.

    `max_shed_kw` is all that may be taken: the whole draw for a switch, down to the floor for a
    limit.
    """

    circuit: PanelCircuit
    power_kw: float
    max_shed_kw: float
    present_limit: float | None = None
    """The register's value now: a plan never raises it."""
    shed_value: float | bool = False
    """What is written to shed it, where that is the same however much is asked."""

    @property
    def whole(self) -> bool:
        """Whether it is shed as a whole or not at all: a contactor, a setpoint."""
        return self.circuit.power_scale is None

    @property
    def part_kw(self) -> float:
        """Any part of so much may be taken; beyond that, with a gap in between, only all."""
        scale = self.circuit.limit
        if self.whole or scale is None or scale.lowest <= 0.0:
            return 0.0 if self.whole else self.max_shed_kw
        least = math.ceil(scale.lowest / scale.step - 1e-9) * scale.step
        return min(self.max_shed_kw, max(0.0, self.power_kw - scale.kw_of(least)))

    @property
    def shows_at_once(self) -> bool:
        """Whether its power falls as soon as it is written."""
        return self.circuit.settle_sec <= 0.0

    @property
    def rank(self) -> tuple[bool, int]:
        """Lower is shed earlier."""
        return (self.circuit.last_resort, -self.circuit.priority)


@dataclass(frozen=True)
class CircuitSelectionAction:
    """Shed one circuit: open its contactor (`value` False), or set its limit or setpoint to
    `value`."""

    circuit_id: str
    control: PanelCircuitControl
    value: float | bool
    original_kw: float
    final_kw: float

    @property
    def shed_kw(self) -> float:
        return self.original_kw - self.final_kw


@dataclass(frozen=True)
class CircuitSelection:
    """Which circuits to shed, and how far."""

    actions: tuple[CircuitSelectionAction, ...]

    @property
    def predicted_kw(self) -> float:
        return sum(action.shed_kw for action in self.actions)


def circuit_selection_candidates(
    panel: Panel,
    reading: PanelReading,
    *,
    exclude: Iterable[str] = (),
    lasting_sec: float = math.inf,
) -> tuple[CircuitSelectionCandidate, ...]:
    """The circuits of `panel` that may be shed now for `lasting_sec`, with what may be taken from
    each.

    Not those that draw nothing, generate, were not read, or are switched off; not one whose limit
    or setpoint was not read, because it could not be put back; not one whose comfort guard is
    near its bound, past it or not read; and never a protected one.
    """
    left_out = set(exclude)
    found = [
        circuit_selection_candidate(circuit, reading.circuit(circuit.id), lasting_sec)
        for circuit in panel.circuits
        if circuit.id not in left_out
    ]
    return tuple(candidate for candidate in found if candidate is not None)


def circuit_selection_candidate(
    circuit: PanelCircuit, read: PanelCircuitReading, lasting_sec: float = math.inf
) -> CircuitSelectionCandidate | None:
    """One circuit as it was read, if it may be shed now (see `circuit_selection_candidates`)."""
    if read.closed is False or circuit.generates:
        return None
    circuit = circuit.as_read(read)
    if circuit.guard is not None and not circuit.guard.may_be_shed(read.guard):
        return None
    if circuit.control is PanelCircuitControl.SETPOINT:
        return _setpoint_candidate(circuit, read)
    if read.power_kw is None:
        return None
    if circuit.storage is not None:
        return _storage_candidate(circuit, read, read.power_kw, lasting_sec)
    if circuit.control is PanelCircuitControl.LIMIT and read.limit is None:
        return None
    shed_kw = selectable_circuit_kw(circuit, read.power_kw)
    if shed_kw <= 0.0:
        return None
    limit = read.limit if circuit.limit is None else circuit.limit.limit_of(read.limit)
    return CircuitSelectionCandidate(circuit, read.power_kw, shed_kw, limit)


def _setpoint_candidate(
    circuit: PanelCircuit, read: PanelCircuitReading
) -> CircuitSelectionCandidate | None:
    """A unit without a meter of its own is taken to draw what the setpoint brings."""
    if circuit.setpoint is None or read.limit is None or circuit.kept_fraction > 0.0:
        return None
    value = circuit.setpoint.shed_setpoint(read.limit)
    shed_kw = circuit.setpoint.expected_kw(read.power_kw)
    if value is None or shed_kw <= DRAWS_NOTHING_KW:
        return None
    power_kw = shed_kw if read.power_kw is None else read.power_kw
    return CircuitSelectionCandidate(circuit, power_kw, shed_kw, shed_value=value)


def _storage_candidate(
    circuit: PanelCircuit, read: PanelCircuitReading, power_kw: float, lasting_sec: float
) -> CircuitSelectionCandidate | None:
    """A battery that charges can stop, and then discharge down to its reserve."""
    if circuit.storage is None or read.limit is None or circuit.kept_fraction >= 1.0:
        return None
    lowest_kw = -circuit.storage.dischargeable_kw(read.soc_percent, lasting_sec)
    shed_kw = power_kw - lowest_kw
    return (
        CircuitSelectionCandidate(circuit, power_kw, shed_kw)
        if shed_kw > DRAWS_NOTHING_KW
        else None
    )


def selectable_circuit_kw(circuit: PanelCircuit, power_kw: float) -> float:
    """What may be taken from `circuit` while it draws `power_kw`; 0 when it may not be touched."""
    kept = circuit.kept_fraction
    if power_kw <= DRAWS_NOTHING_KW or kept >= 1.0 or circuit.generates:
        return 0.0
    if circuit.control is PanelCircuitControl.SWITCH:
        return power_kw if kept == 0.0 else 0.0
    if circuit.setpoint is not None:
        return circuit.setpoint.expected_kw(power_kw) if kept == 0.0 else 0.0
    if circuit.limit is None:
        return 0.0
    lowest_kw = circuit.limit.kw_of(circuit.limit.value_at(0.0, lowest_kw=kept * power_kw))
    return max(0.0, power_kw - lowest_kw)


def select_circuits(
    available: Sequence[CircuitSelectionCandidate],
    request_kw: float,
    *,
    tolerance: float = TOLERANCE,
    order: PriorityPolicy = PriorityPolicy.BEST_FIT,
    at_least: bool = False,
) -> CircuitSelection:
    """The circuits that shed `request_kw` by the rules above; empty when nothing can be shed.
    `at_least`: a limit in steps goes to the step below, and a charger to 0 before it is left at its
    least amps.

    In `strict` order each priority is used up before the next more important one is touched: rules
    3 and 4 hold within the last one that is needed.
    """
    if order is PriorityPolicy.STRICT:
        return _select_strictly(available, request_kw, tolerance, at_least=at_least)
    flexible = [c for c in available if not c.circuit.last_resort]
    enough = sum(c.max_shed_kw for c in flexible) >= request_kw * (1.0 - tolerance)
    pool = sorted(flexible if enough else available, key=lambda c: c.rank)
    if not pool or request_kw <= 0.0:
        return CircuitSelection(())
    unit_kw = max(request_kw, LEAST_REQUEST_KW) / RESOLUTION
    items = [_Item(candidate, unit_kw) for candidate in pool]
    amounts = _best(items, round(RESOLUTION * tolerance), at_least=at_least)
    return CircuitSelection(tuple(_actions(amounts, unit_kw, at_least=at_least)))


def _select_strictly(
    available: Sequence[CircuitSelectionCandidate],
    request_kw: float,
    tolerance: float,
    *,
    at_least: bool,
) -> CircuitSelection:
    actions: list[CircuitSelectionAction] = []
    left_kw = request_kw
    in_order = sorted(available, key=lambda c: c.rank)
    for _, members in groupby(in_order, key=lambda c: c.rank):
        if left_kw <= request_kw * tolerance:
            break
        group = list(members)
        most_kw = sum(candidate.max_shed_kw for candidate in group)
        # A priority that is not enough is taken whole, not what comes near enough of it.
        wanted = [[each] for each in group] if most_kw <= left_kw else [group]
        for part in wanted:
            part_kw = min(left_kw, sum(candidate.max_shed_kw for candidate in part))
            chosen = select_circuits(part, part_kw, tolerance=tolerance, at_least=at_least)
            actions += chosen.actions
        left_kw = request_kw - sum(action.shed_kw for action in actions)
    return CircuitSelection(tuple(actions))


class _Item:
    """A candidate with its size in units: any part of `part_units` can be taken, or all."""

    __slots__ = ("candidate", "has_gap", "part_units", "units")

    def __init__(self, candidate: CircuitSelectionCandidate, unit_kw: float) -> None:
        self.candidate = candidate
        part_kw = candidate.part_kw
        self.has_gap = candidate.max_shed_kw - part_kw > DRAWS_NOTHING_KW
        # More than this makes no difference: a limit never gives more than the request, and of
        # what is taken whole and as large as that only the smallest is looked at (see _best).
        most = 2.0 * RESOLUTION if self.has_gap else RESOLUTION
        self.units = max(1, round(min(candidate.max_shed_kw / unit_kw, most)))
        self.part_units = self.units
        if self.has_gap:
            self.part_units = min(RESOLUTION, self.units - 1, round(part_kw / unit_kw))

    def in_part(self) -> _Item | None:
        """The same, that is not taken whole; None if nothing is left of it."""
        if not self.part_units:
            return None
        item = copy(self)
        item.units, item.has_gap = self.part_units, False
        return item

    def added_to(self, sums: int) -> int:
        """The sums that come of adding this circuit to each of `sums`."""
        smeared = _smeared(sums, self.part_units) if self.part_units else 0
        return smeared | sums << self.units if self.has_gap else smeared

    def most(self, before: int, total: int) -> int:
        """The most this circuit can give of `total` when `before` must reach the rest; 0: none."""
        if self.has_gap and total >= self.units and before >> (total - self.units) & 1:
            return self.units
        lowest_rest = max(0, total - self.part_units)
        rests = (before & ((1 << total) - 1)) >> lowest_rest
        return total - lowest_rest - _lowest_bit(rests) if rests else 0


class _Group:
    """The circuits of one priority; `mask` cuts off sums that are of no use."""

    def __init__(self, items: list[_Item], mask: int) -> None:
        self.items = sorted(items, key=lambda item: item.units)
        self.mask = mask
        self.exact = len(items) <= EXACT_COUNT

    def added_to(self, sums: int) -> int:
        """The sums that come of adding any of these circuits to each of `sums`."""
        for item in self.items:
            if item.has_gap:
                sums |= item.added_to(sums) & self.mask
        # All limits together give any part of their sum: one smear does for them.
        limits = min(RESOLUTION, sum(item.units for item in self.items if not item.has_gap))
        return sums | _smeared(sums, limits) & self.mask if limits else sums

    @cached_property
    def table(self) -> list[list[int]]:
        """Row i: the sums of the first i circuits; by number of circuits if the group is small."""
        if not self.exact:
            sums, table = 1, [[1]]
            for item in self.items:
                sums |= item.added_to(sums) & self.mask
                table.append([sums])
            return table
        rows = [[1] + [0] * len(self.items)]
        for item in self.items:
            one_more = [0, *(item.added_to(sums) & self.mask for sums in rows[-1][:-1])]
            rows.append([old | new for old, new in zip(rows[-1], one_more, strict=True)])
        return rows

    @property
    def sums(self) -> int:
        return reduce(or_, self.table[-1])

    def fewest(self, total: int) -> list[tuple[_Item, int]]:
        """The fewest circuits whose sum is `total`, with what each gives. `total` is in `sums`.

        Largest first: in a large group that is nearly the fewest, in a small one the layers of
        the table make it exactly so.
        """
        layer = next(k for k, sums in enumerate(self.table[-1]) if sums >> total & 1)
        chosen = []
        for index in range(len(self.items), 0, -1):
            if total == 0:
                break
            item = self.items[index - 1]
            taken = item.most(self.table[index - 1][layer - self.exact], total)
            if taken:
                chosen.append((item, taken))
                total -= taken
                layer -= self.exact
        return chosen


def _smeared(sums: int, units: int) -> int:
    """Each of `sums` with anything from 1 to `units` added to it."""
    smeared, width = sums << 1, 1
    while width < units:
        step = min(width, units - width)
        smeared |= smeared << step
        width += step
    return smeared


def _lowest_bit(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def _best(items: list[_Item], band: int, *, at_least: bool) -> list[tuple[_Item, int]]:
    """Which circuits give how many units, by rules 3 and 4. `items` are in the order of rank. A
    charger that all others together leave in its gap goes where that is nearer, to 0 or to its
    least; `at_least`: to 0."""
    # What is above the band as a whole can only be a plan by itself, so only the smallest matters.
    oversize = [item for item in items if item.has_gap and item.units > RESOLUTION + band]
    parts = (item.in_part() if item in oversize else item for item in items)
    together = [item for item in parts if item is not None]
    chosen = _choose(together, band) if together else []
    total = sum(units for _, units in chosen)
    if not at_least:
        most = 2 * RESOLUTION - total
        oversize = [item for item in oversize if item.candidate.whole or item.units < most]
    if not oversize:
        return chosen
    alone = min(oversize, key=lambda item: item.candidate.max_shed_kw)
    too_little = total < RESOLUTION - band
    too_much = total > RESOLUTION + band and total > alone.units
    return [(alone, alone.units)] if too_little or too_much else chosen


def _choose(items: list[_Item], band: int) -> list[tuple[_Item, int]]:
    """The same without what is above the band as a whole."""
    mask = (1 << (RESOLUTION + max(item.units for item in items) + 1)) - 1
    by_rank = groupby(items, key=lambda item: item.candidate.rank)
    groups = [_Group(list(members), mask) for _, members in by_rank]
    reach = [1]  # the sums of the first k groups
    for group in groups:
        reach.append(group.added_to(reach[-1]))
    goal = _goal(reach, band)
    needed = next(k for k, sums in enumerate(reach) if sums >> goal & 1)
    chosen: list[tuple[_Item, int]] = []
    for group, rest in zip(reversed(groups[:needed]), reversed(reach[:needed]), strict=True):
        least = max(0, goal - (rest.bit_length() - 1))
        own = group.sums
        share = next(y for y in range(least, goal + 1) if own >> y & 1 and rest >> (goal - y) & 1)
        chosen.extend(group.fewest(share))
        goal -= share
    return chosen


def _goal(reach: list[int], band: int) -> int:
    """The sum to aim at: nearest to the request with the fewest priorities, see rules 3 and 4."""
    for sums in reach[1:]:
        above = sums >> RESOLUTION
        over = _lowest_bit(above) if above else band + 1
        under = RESOLUTION - (sums & ((1 << RESOLUTION) - 1)).bit_length() + 1
        if min(over, under) <= band:
            return RESOLUTION + over if over <= under else RESOLUTION - under
    above = reach[-1] >> RESOLUTION
    return RESOLUTION + _lowest_bit(above) if above else reach[-1].bit_length() - 1


def _actions(
    amounts: list[tuple[_Item, int]], unit_kw: float, *, at_least: bool
) -> Iterable[CircuitSelectionAction]:
    """The device writes: switches and setpoints whole, limits to the step of their register."""
    owed_kw = 0.0  # what rounding to units and steps left over, for the next limit to take
    for item, units in sorted(amounts, key=lambda pair: not pair[0].candidate.whole):
        candidate, circuit = item.candidate, item.candidate.circuit
        scale = circuit.power_scale
        if scale is None or candidate.whole:
            owed_kw += units * unit_kw - candidate.max_shed_kw
            value, final_kw = candidate.shed_value, candidate.power_kw - candidate.max_shed_kw
            yield CircuitSelectionAction(
                circuit.id, circuit.control, value, candidate.power_kw, final_kw
            )
            continue
        is_all = item.has_gap and units == item.units
        most_kw = candidate.max_shed_kw if is_all else candidate.part_kw
        wanted_kw = most_kw if is_all else min(units * unit_kw + owed_kw, most_kw)
        lowest_kw = circuit.kept_fraction * candidate.power_kw
        if circuit.storage is not None:
            lowest_kw = candidate.power_kw - candidate.max_shed_kw
        value = scale.value_at(candidate.power_kw - wanted_kw, lowest_kw, at_most=at_least)
        if candidate.present_limit is not None and value >= candidate.present_limit:
            owed_kw += units * unit_kw  # it draws more than its limit: writing it would raise that
            continue
        final_kw = min(scale.kw_of(value), candidate.power_kw)
        owed_kw += units * unit_kw - (candidate.power_kw - final_kw)
        if final_kw < candidate.power_kw:
            yield CircuitSelectionAction(
                circuit.id, circuit.control, value, candidate.power_kw, final_kw
            )
