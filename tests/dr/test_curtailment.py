"""The plan of a curtailment: its rules as scenarios, and what must hold for every panel."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dr.builders import (
    DRAWS_KW,
    FLEXIBLE_KW,
    candidate,
    house_panel,
    kilowatts,
    limit,
    panel_of,
    reading_of,
    switch,
    unswitchable,
)
from VenAgent.dr.curtailment import (
    RESOLUTION,
    TOLERANCE,
    Action,
    Candidate,
    Plan,
    candidates,
    plan,
    sheddable_kw,
)
from VenAgent.dr.panel import Circuit, CircuitReading, Control, Panel, Reading

FINE_KW = 1e-4
"""A step of a limit so small that the limit counts as continuous."""


def plan_for_house(request_kw: float, draws_kw: dict[str, float] | None = None) -> Plan:
    panel = house_panel()
    return plan(candidates(panel, reading_of(panel, draws_kw or DRAWS_KW)), request_kw)


def by_id(made: Plan) -> dict[str, Action]:
    return {action.circuit_id: action for action in made.actions}


# ---- the house of the demonstration -----------------------------------------------------------


def test_the_flexible_switches_are_enough_when_they_match() -> None:
    made = plan_for_house(7.5)
    assert {c: a.value for c, a in by_id(made).items()} == {"heater1": False, "dryer1": False}
    assert made.predicted_kw == pytest.approx(7.5)


def test_one_switch_is_taken_rather_than_two() -> None:
    assert set(by_id(plan_for_house(3.0))) == {"dryer1"}


def test_a_limit_fills_what_the_switches_leave() -> None:
    made = by_id(plan_for_house(5.0))
    assert set(made) == {"heater1", "ev1"}
    assert made["ev1"].value == 56.0  # 7.2 kW - 0.5 kW of 12 kW
    assert made["ev1"].final_kw == pytest.approx(6.72)
    assert made["ev1"].shed_kw == pytest.approx(0.48)


def test_the_register_gets_whole_percents() -> None:
    for request_kw in (1.3, 5.1, 6.7, 9.9, 12.3):
        for action in plan_for_house(request_kw).actions:
            if action.control is Control.LIMIT:
                assert float(action.value).is_integer()


@pytest.mark.parametrize(
    "request_kw", [2.0, 3.3, 5.0, 6.0, 8.0, 10.0, 12.5, 15.0, 17.0, 18.5, 19.5]
)
def test_the_house_lands_within_five_percent(request_kw: float) -> None:
    assert plan_for_house(request_kw).predicted_kw == pytest.approx(request_kw, rel=TOLERANCE)


def test_less_flexible_circuits_are_touched_only_when_needed() -> None:
    assert set(by_id(plan_for_house(14.0))) == {"heater1", "dryer1", "ev1"}
    assert "lights1" not in by_id(plan_for_house(18.3))


def test_of_a_more_important_priority_as_little_as_possible_is_taken() -> None:
    made = by_id(plan_for_house(8.5))
    assert set(made) == {"heater1", "dryer1", "ev1"}
    assert made["ev1"].shed_kw == pytest.approx(1.0, abs=0.06)


def test_critical_circuits_are_left_alone_while_the_others_are_enough() -> None:
    made = by_id(plan_for_house(FLEXIBLE_KW / 0.95 - 0.01))
    assert set(made) == set(DRAWS_KW) - {"hvac1", "fridge1"}


def test_a_critical_limit_gives_the_rest_but_keeps_its_floor() -> None:
    made = by_id(plan_for_house(20.0))
    assert set(made) == set(DRAWS_KW) - {"fridge1"}
    assert made["hvac1"].final_kw >= 0.8 * 3.5
    assert made["hvac1"].value == 39.0  # 2.8 kW is 38.9 % of 7.2 kW, and never below


def test_everything_is_shed_when_the_request_cannot_be_met() -> None:
    made = plan_for_house(48.0)
    assert set(by_id(made)) == set(DRAWS_KW) - {"fridge1"}
    assert made.predicted_kw == pytest.approx(FLEXIBLE_KW + 3.5 - 0.39 * 7.2)


def test_the_least_overshoot_when_switches_cannot_land_in_the_band() -> None:
    panel = panel_of(switch("a"), switch("b"), switch("c"))
    made = plan(candidates(panel, reading_of(panel, {"a": 1.0, "b": 3.0, "c": 4.0})), 2.0)
    assert set(by_id(made)) == {"b"}


def test_one_switch_above_the_request_is_better_than_several_that_overshoot_more() -> None:
    pool = [candidate(switch("a"), 5.0), candidate(switch("b"), 5.0), candidate(switch("c"), 9.0)]
    assert set(by_id(plan(pool, 8.0))) == {"c"}
    pool[2] = candidate(switch("c"), 11.0)
    assert set(by_id(plan(pool, 8.0))) == {"a", "b"}


def test_what_the_step_of_one_limit_takes_too_much_another_takes_less() -> None:
    pool = [
        candidate(limit("fine", priority=5, scale=kilowatts(FINE_KW)), 4.0),
        candidate(limit("coarse", priority=4, scale=kilowatts(0.5)), 6.3),
    ]
    made = by_id(plan(pool, 5.2))
    assert made["coarse"].final_kw == pytest.approx(5.0)
    assert made["coarse"].shed_kw + made["fine"].shed_kw == pytest.approx(5.2, abs=0.002)


@pytest.mark.parametrize("request_kw", [8.0, 8.83, 21.5, 1.18, 20.083])
def test_the_edges_of_the_band_belong_to_it(request_kw: float) -> None:
    for edge_kw in (request_kw * (1 - TOLERANCE), request_kw * (1 + TOLERANCE)):
        pool = [candidate(switch("edge"), edge_kw), candidate(switch("big"), request_kw * 1.5)]
        assert set(by_id(plan(pool, request_kw))) == {"edge"}


def test_nothing_is_planned_when_there_is_nothing_to_shed() -> None:
    assert plan((), 5.0).actions == ()
    assert plan(candidates(house_panel(), Reading(0.0, None, {})), 5.0).actions == ()


def test_nothing_is_planned_for_no_request() -> None:
    available = [candidate(switch("a"), 3.0)]
    assert plan(available, 0.0).actions == ()
    assert plan(available, -1.0).actions == ()


def test_a_tiny_request_costs_no_more_than_any_other() -> None:
    """Sums kept in units of a tiny request would take gigabytes for an ordinary circuit."""
    available = [candidate(switch(f"c{i}"), 2.0 + i / 10) for i in range(8)]
    for request_kw in (1.0, 1e-3, 1e-6, 1e-12, 5e-324):  # the first that is costly ends the test
        tracemalloc.start()
        try:
            made = plan(available, request_kw)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert [action.circuit_id for action in made.actions] == ["c0"]
        assert peak_bytes < 10_000_000


@pytest.mark.parametrize("request_kw", [0.2, 1.0, 30.0, 900.0, 9000.0])
def test_a_panel_of_a_thousand_circuits_is_planned_in_milliseconds(request_kw: float) -> None:
    available = [
        candidate(switch(f"c{i}", priority=2 + i % 4), 0.5 + i % 7 + i / 1e6) for i in range(1000)
    ]
    made, taken_sec = plan(available, request_kw), []
    for _ in range(3):
        start = time.perf_counter()
        plan(available, request_kw)
        taken_sec.append(time.perf_counter() - start)
    assert min(taken_sec) < 0.03  # several times what it takes, for a busy machine
    assert len(by_id(made)) == len(made.actions)
    if request_kw < 1.0:
        assert set(by_id(made)) == {"c0"}
    elif request_kw < total_kw(available):
        assert made.predicted_kw == pytest.approx(request_kw, rel=TOLERANCE)
    else:
        assert len(made.actions) == 1000


# ---- which circuits count ---------------------------------------------------------------------


def ids_of(panel: Panel, reading: Reading, **kwargs: Sequence[str]) -> set[str]:
    return {found.circuit.id for found in candidates(panel, reading, **kwargs)}


def test_the_whole_house_counts_but_the_critical_switch() -> None:
    panel = house_panel()
    assert ids_of(panel, reading_of(panel, DRAWS_KW)) == set(DRAWS_KW) - {"fridge1"}


@pytest.mark.parametrize("draw_kw", [0.0, 0.004, -2.5, None])
def test_a_circuit_that_draws_nothing_generates_or_is_unread_does_not_count(
    draw_kw: float | None,
) -> None:
    panel = house_panel()
    assert "ev1" not in ids_of(panel, reading_of(panel, {**DRAWS_KW, "ev1": draw_kw}))
    assert "dryer1" not in ids_of(panel, reading_of(panel, {**DRAWS_KW, "dryer1": draw_kw}))


def test_a_circuit_that_is_switched_off_does_not_count() -> None:
    panel = house_panel()
    reading = reading_of(panel, DRAWS_KW, closed={"dryer1": False, "ev1": False})
    assert ids_of(panel, reading) == set(DRAWS_KW) - {"fridge1", "dryer1", "ev1"}


def test_a_circuit_whose_contactor_was_not_read_counts_for_it_draws() -> None:
    panel = house_panel()
    assert "dryer1" in ids_of(panel, reading_of(panel, DRAWS_KW, closed={"dryer1": None}))


def test_a_limit_that_was_not_read_is_not_used() -> None:
    panel = house_panel()
    reading = reading_of(panel, DRAWS_KW, limits={"ev1": None})
    assert "ev1" not in ids_of(panel, reading)


def test_a_circuit_missing_from_the_reading_does_not_count() -> None:
    panel = house_panel()
    circuits = {"dryer1": CircuitReading(3.0, True)}
    assert ids_of(panel, Reading(0.0, 22.6, circuits)) == {"dryer1"}


def test_an_excluded_circuit_does_not_count() -> None:
    panel = house_panel()
    reading = reading_of(panel, DRAWS_KW)
    assert "heater1" not in ids_of(panel, reading, exclude=["heater1"])


def test_a_circuit_without_control_does_not_count() -> None:
    panel = panel_of(unswitchable("main"), switch("a"))
    assert ids_of(panel, reading_of(panel, {"main": 9.0, "a": 1.0})) == {"a"}


@pytest.mark.parametrize(
    ("circuit", "expected_kw"),
    [
        (switch("a"), 4.0),
        (switch("a", floor=0.5), 0.0),
        (switch("a", priority=1), 4.0),
        (switch("a", critical=True), 0.0),
        (switch("a", critical=True, floor=0.0), 0.0),
        (limit("a", scale=kilowatts(FINE_KW)), 4.0),
        (limit("a", floor=0.25, scale=kilowatts(FINE_KW)), 3.0),
        (limit("a", critical=True, scale=kilowatts(FINE_KW)), 0.8),
        (limit("a", critical=True, floor=0.1, scale=kilowatts(FINE_KW)), 0.8),
        (limit("a", critical=True, floor=0.9, scale=kilowatts(FINE_KW)), 0.4),
        (limit("a", floor=1.0, scale=kilowatts(FINE_KW)), 0.0),
        (limit("a", floor=0.25, scale=kilowatts(0.75)), 2.5),
        (unswitchable("a"), 0.0),
    ],
)
def test_what_may_be_taken_of_four_kilowatts(circuit: Circuit, expected_kw: float) -> None:
    assert sheddable_kw(circuit, 4.0) == pytest.approx(expected_kw)


# ---- what must hold for every panel -----------------------------------------------------------


@st.composite
def sites(draw: st.DrawFn, *, max_circuits: int = 8) -> tuple[Panel, Reading]:
    """Any panel with any reading of it: generation, unread points and protected circuits too."""
    circuits, reads = [], {}
    for index in range(draw(st.integers(0, max_circuits))):
        circuit_id = f"c{index}"
        critical, priority = draw(st.booleans()), draw(st.integers(1, 5))
        floor = draw(st.none() | st.floats(0.0, 1.0))
        kind = draw(st.sampled_from(["switch", "limit", "none"]))
        amps = draw(st.sampled_from([15.0, 30.0, 50.0, 100.0]))
        scale = kilowatts(draw(st.sampled_from([FINE_KW, 0.05, 0.5])))
        if kind == "switch":
            circuits.append(
                switch(circuit_id, amps, priority=priority, critical=critical, floor=floor)
            )
        elif kind == "limit":
            circuits.append(
                limit(
                    circuit_id,
                    amps,
                    priority=priority,
                    critical=critical,
                    floor=floor,
                    scale=draw(st.sampled_from([scale, None])),
                )
            )
        else:
            circuits.append(unswitchable(circuit_id))
        reads[circuit_id] = CircuitReading(
            power_kw=draw(st.none() | st.floats(-5.0, 20.0)),
            closed=draw(st.sampled_from([True, True, None, False])),
            limit=draw(st.none() | st.floats(0.0, 100.0)),
        )
    return panel_of(*circuits), Reading(0.0, 0.0, reads)


REQUESTS_KW = st.floats(0.05, 60.0)


@settings(deadline=None, max_examples=100)
@given(site=sites(), request_kw=REQUESTS_KW)
def test_whatever_the_panel_a_plan_keeps_to_what_may_be_done(
    site: tuple[Panel, Reading], request_kw: float
) -> None:
    panel, reading = site
    made = plan(candidates(panel, reading), request_kw)
    assert len(by_id(made)) == len(made.actions)
    for action in made.actions:
        circuit, read = panel.by_id[action.circuit_id], reading.circuit(action.circuit_id)
        assert action.control is circuit.control is not Control.NONE
        assert circuit.kept_fraction < 1.0
        assert not (circuit.critical and circuit.control is Control.SWITCH)
        assert read.closed is not False
        assert read.power_kw is not None
        assert read.power_kw > 0.0
        assert action.original_kw == read.power_kw
        assert 0.0 < action.shed_kw <= read.power_kw
        floor_kw = (0.8 if circuit.critical else 0.0, circuit.floor or 0.0)
        assert action.final_kw >= max(floor_kw) * read.power_kw - 1e-9
        if circuit.control is Control.SWITCH:
            assert action.value is False
            assert action.final_kw == 0.0
        else:
            assert read.limit is not None
            assert circuit.limit is not None
            assert not isinstance(action.value, bool)
            assert action.value / circuit.limit.step == pytest.approx(
                round(action.value / circuit.limit.step)
            )
            assert action.final_kw == pytest.approx(circuit.limit.kw_of(action.value))


@settings(deadline=None, max_examples=100)
@given(site=sites(), request_kw=REQUESTS_KW)
def test_the_prediction_is_the_sum_of_the_actions(
    site: tuple[Panel, Reading], request_kw: float
) -> None:
    panel, reading = site
    made = plan(candidates(panel, reading), request_kw)
    taken_kw = 0.0
    for action in made.actions:
        taken_kw += (reading.circuit(action.circuit_id).power_kw or 0.0) - action.final_kw
    assert made.predicted_kw == pytest.approx(taken_kw)


@st.composite
def pools(
    draw: st.DrawFn, *, max_circuits: int = 8, last_resort: bool = True
) -> tuple[Candidate, ...]:
    """Circuits that may be shed; limits are continuous."""
    pool = []
    for index in range(draw(st.integers(1, max_circuits))):
        priority = draw(st.integers(1 if last_resort else 2, 5))
        power_kw = draw(st.floats(0.05, 12.0))
        if draw(st.integers(0, 3)):
            circuit = switch(f"c{index}", priority=priority)
        else:
            circuit = limit(
                f"c{index}",
                priority=priority,
                critical=last_resort and draw(st.booleans()),
                floor=draw(st.sampled_from([None, 0.3])),
                scale=kilowatts(FINE_KW),
            )
        pool.append(candidate(circuit, power_kw))
    return tuple(pool)


def ranges(pool: Sequence[Candidate]) -> Iterator[tuple[float, float]]:
    """What each combination of circuits can shed, from and to."""
    for used in product((False, True), repeat=len(pool)):
        chosen = [c for c, use in zip(pool, used, strict=True) if use]
        wholes_kw = sum(c.max_shed_kw for c in chosen if c.whole)
        yield wholes_kw, wholes_kw + sum(c.max_shed_kw for c in chosen if not c.whole)


def reaches(pool: Sequence[Candidate], low_kw: float, high_kw: float) -> bool:
    return any(low <= high_kw and high >= low_kw for low, high in ranges(pool))


def blur_kw(pool: Sequence[Candidate], request_kw: float) -> float:
    """How far the planner's units and the registers' steps may move a sum."""
    return len(pool) * (request_kw / RESOLUTION + FINE_KW)


def usable(pool: Sequence[Candidate], request_kw: float) -> tuple[Candidate, ...]:
    """The circuits that may be used for the request: the last resort only if needed."""
    others = tuple(c for c in pool if not (c.circuit.critical or c.circuit.priority == 1))
    return others if total_kw(others) >= request_kw * (1 - TOLERANCE) else tuple(pool)


def total_kw(pool: Sequence[Candidate]) -> float:
    return sum(c.max_shed_kw for c in pool)


@settings(deadline=None, max_examples=100)
@given(pool=pools(), request_kw=st.floats(0.5, 40.0))
def test_a_plan_is_in_the_band_whenever_any_combination_is(
    pool: tuple[Candidate, ...], request_kw: float
) -> None:
    made, blur = plan(pool, request_kw), blur_kw(pool, request_kw)
    low, high = request_kw * (1 - TOLERANCE), request_kw * (1 + TOLERANCE)
    if reaches(usable(pool, request_kw), low + blur, high - blur):
        assert low - blur <= made.predicted_kw <= high + blur


@settings(deadline=None, max_examples=100)
@given(pool=pools(), request_kw=st.floats(0.5, 40.0))
def test_a_plan_overshoots_as_little_as_possible_when_the_band_is_out_of_reach(
    pool: tuple[Candidate, ...], request_kw: float
) -> None:
    made, blur = plan(pool, request_kw), blur_kw(pool, request_kw)
    allowed = usable(pool, request_kw)
    low, high = request_kw * (1 - TOLERANCE), request_kw * (1 + TOLERANCE)
    if reaches(allowed, low - blur, high + blur) or total_kw(allowed) < request_kw:
        return
    best_kw = min(lowest for lowest, _ in ranges(allowed) if lowest >= request_kw)
    assert made.predicted_kw == pytest.approx(best_kw, abs=2 * blur)


@settings(deadline=None, max_examples=100)
@given(pool=pools(max_circuits=12), extra=st.floats(0.001, 3.0))
def test_everything_is_taken_when_the_request_cannot_be_met(
    pool: tuple[Candidate, ...], extra: float
) -> None:
    request_kw = total_kw(pool) / (1 - TOLERANCE) * (1 + extra)
    made, blur = plan(pool, request_kw), blur_kw(pool, request_kw)
    assert made.predicted_kw == pytest.approx(total_kw(pool), abs=blur)
    assert set(by_id(made)) >= {c.circuit.id for c in pool if c.whole or c.max_shed_kw > blur}


@settings(deadline=None, max_examples=100)
@given(pool=pools(), share=st.floats(0.05, 1.05))
def test_the_last_resort_is_not_touched_while_the_others_are_enough(
    pool: tuple[Candidate, ...], share: float
) -> None:
    others = {c.circuit.id for c in pool if not c.circuit.critical and c.circuit.priority > 1}
    others_kw = total_kw([c for c in pool if c.circuit.id in others])
    if others:
        assert set(by_id(plan(pool, others_kw * share))) <= others


@settings(deadline=None, max_examples=100)
@given(pool=pools(), missing_kw=st.floats(0.1, 10.0))
def test_the_last_resort_helps_when_the_others_are_not_enough(
    pool: tuple[Candidate, ...], missing_kw: float
) -> None:
    last = [c for c in pool if c.circuit.critical or c.circuit.priority == 1]
    request_kw = (total_kw(pool) - total_kw(last)) / (1 - TOLERANCE) + missing_kw
    blur = blur_kw(pool, request_kw)
    if missing_kw > blur and any(c.max_shed_kw > blur for c in last):
        assert {c.circuit.id for c in last} & set(by_id(plan(pool, request_kw)))


@settings(deadline=None, max_examples=150)
@given(pool=pools(last_resort=False), request_kw=st.floats(0.5, 40.0))
def test_no_priority_is_touched_that_is_not_needed_for_the_band(
    pool: tuple[Candidate, ...], request_kw: float
) -> None:
    blur = blur_kw(pool, request_kw)
    low, high = request_kw * (1 - TOLERANCE) + blur, request_kw * (1 + TOLERANCE) - blur
    used = {c.circuit.priority for c in pool if c.circuit.id in by_id(plan(pool, request_kw))}
    for least_flexible in (5, 4, 3, 2):
        if reaches([c for c in pool if c.circuit.priority >= least_flexible], low, high):
            assert min(used) >= least_flexible
            return


# With a request of 8 kW and draws in whole watts the planner's units are exact, and so is a plan.

WATTS = st.integers(6, 12_000)
EXACT_KW = RESOLUTION / 1000.0


def exact_switches(watts: Sequence[tuple[int, int]]) -> tuple[Candidate, ...]:
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


@settings(deadline=None, max_examples=120)
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
    made = plan(exact_switches(watts), EXACT_KW)
    chosen = [watts[int(circuit_id[1:])] for circuit_id in by_id(made)]
    assert round(made.predicted_kw * 1000) == goal
    assert cost(chosen) == best


@settings(deadline=None, max_examples=100)
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
    made = plan(pool, EXACT_KW)
    assert round(made.predicted_kw * 1000) == goal
    assert len(made.actions) == fewest
