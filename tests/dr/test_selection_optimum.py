"""The selection of circuits: it is the best of all combinations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dr.builders import by_id, candidate, kilowatts, limit, switch
from tests.support.example_count import example_count
from VenAgent.dr.circuit_selection import (
    RESOLUTION,
    TOLERANCE,
    CircuitSelectionCandidate,
    select_circuits,
)

# With a request of 8 kW and draws in whole watts the planner's units are exact, and so is a plan.

WATTS = st.integers(6, 12_000)
EXACT_KW = RESOLUTION / 1000.0


def exact_switches(watts: Sequence[tuple[int, int]]) -> tuple[CircuitSelectionCandidate, ...]:
    return tuple(
        candidate(switch(f"c{i}", priority=priority), watt / 1000.0)
        for i, (priority, watt) in enumerate(watts)
    )


def best_watts(reached: set[int]) -> int:
    """The sum that the rules prefer of those that can be reached with enough priorities."""
    in_band = [w for w in reached if abs(w - RESOLUTION) <= RESOLUTION * TOLERANCE]
    if in_band:
        return min(in_band, key=lambda w: (abs(w - RESOLUTION), -w))
    above = [w for w in reached if w >= RESOLUTION]
    return min(above) if above else max(reached)


@settings(deadline=None, max_examples=example_count(120))
@given(watts=st.lists(st.tuples(st.integers(2, 5), WATTS), min_size=1, max_size=8))
def test_the_plan_of_switches_is_the_best_of_all_combinations(
    watts: list[tuple[int, int]],
) -> None:
    """Priorities needed, distance, share of each priority, number of circuits: in this order."""
    combinations = [
        [watts[i] for i, use in enumerate(used) if use]
        for used in product((False, True), repeat=len(watts))
    ]
    allowed = 2
    for least_flexible in (5, 4, 3):
        sums = {
            sum(w for _, w in combination)
            for combination in combinations
            if all(priority >= least_flexible for priority, _ in combination)
        }
        if any(abs(w - RESOLUTION) <= RESOLUTION * TOLERANCE for w in sums):
            allowed = least_flexible
            break
    fit = [c for c in combinations if all(priority >= allowed for priority, _ in c)]
    goal = best_watts({sum(w for _, w in c) for c in fit})

    def cost(combination: list[tuple[int, int]]) -> tuple[tuple[int, ...], int]:
        shares = tuple(
            sum(w for priority, w in combination if priority == wanted) for wanted in (2, 3, 4, 5)
        )
        return shares, len(combination)

    best = min(cost(c) for c in fit if sum(w for _, w in c) == goal)
    made = select_circuits(exact_switches(watts), EXACT_KW)
    chosen = [watts[int(circuit_id[1:])] for circuit_id in by_id(made)]
    assert round(made.predicted_kw * 1000) == goal
    assert cost(chosen) == best


@settings(deadline=None, max_examples=example_count(100))
@given(
    circuits=st.lists(st.tuples(st.sampled_from("ssl"), WATTS), min_size=1, max_size=8),
)
def test_the_fewest_circuits_are_used_at_an_equal_result(circuits: list[tuple[str, int]]) -> None:
    pool = tuple(
        candidate(
            switch(f"c{i}") if kind == "s" else limit(f"c{i}", scale=kilowatts(0.001)), w / 1000.0
        )
        for i, (kind, w) in enumerate(circuits)
    )
    reached: dict[int, int] = {}  # the fewest circuits by sum
    spans = []
    for used in product((False, True), repeat=len(circuits)):
        chosen = [c for c, use in zip(circuits, used, strict=True) if use]
        low = sum(w if kind == "s" else 1 for kind, w in chosen)
        spans.append((low, sum(w for _, w in chosen), len(chosen)))
    for low, high, count in spans:
        for watt in {low, high, *(w for w in (RESOLUTION,) if low <= w <= high)}:
            reached[watt] = min(count, reached.get(watt, count))
    goal = best_watts(set(reached))
    fewest = min(count for low, high, count in spans if low <= goal <= high)
    made = select_circuits(pool, EXACT_KW)
    assert round(made.predicted_kw * 1000) == goal
    assert len(made.actions) == fewest
