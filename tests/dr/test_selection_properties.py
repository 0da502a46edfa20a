"""The selection of circuits: what must hold for every panel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dr.builders import (
    FINE_KW,
    by_id,
    candidate,
    kilowatts,
    limit,
    panel_of,
    switch,
    total_shed_kw,
    unswitchable,
)
from tests.support.example_count import example_count
from VenAgent.dr.circuit_selection import (
    RESOLUTION,
    TOLERANCE,
    CircuitSelectionCandidate,
    circuit_selection_candidates,
    select_circuits,
)
from VenAgent.dr.panel import Panel, PanelCircuitControl, PanelCircuitReading, PanelReading


@st.composite
def sites(draw: st.DrawFn, *, max_circuits: int = 8) -> tuple[Panel, PanelReading]:
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
        reads[circuit_id] = PanelCircuitReading(
            power_kw=draw(st.none() | st.floats(-5.0, 20.0)),
            closed=draw(st.sampled_from([True, True, None, False])),
            limit=draw(st.none() | st.floats(0.0, 100.0)),
        )
    return panel_of(*circuits), PanelReading(0.0, 0.0, reads)


REQUESTS_KW = st.floats(0.05, 60.0)


@settings(deadline=None, max_examples=example_count(100))
@given(site=sites(), request_kw=REQUESTS_KW)
def test_whatever_the_panel_a_plan_keeps_to_what_may_be_done(
    site: tuple[Panel, PanelReading], request_kw: float
) -> None:
    panel, reading = site
    made = select_circuits(circuit_selection_candidates(panel, reading), request_kw)
    assert len(by_id(made)) == len(made.actions)
    for action in made.actions:
        circuit, read = panel.by_id[action.circuit_id], reading.circuit(action.circuit_id)
        assert action.control is circuit.control is not PanelCircuitControl.NONE
        assert circuit.kept_fraction < 1.0
        assert not (circuit.critical and circuit.control is PanelCircuitControl.SWITCH)
        assert read.closed is not False
        assert read.power_kw is not None
        assert read.power_kw > 0.0
        assert action.original_kw == read.power_kw
        assert 0.0 < action.shed_kw <= read.power_kw
        floor_kw = (0.8 if circuit.critical else 0.0, circuit.floor or 0.0)
        assert action.final_kw >= max(floor_kw) * read.power_kw - 1e-9
        if circuit.control is PanelCircuitControl.SWITCH:
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


@settings(deadline=None, max_examples=example_count(100))
@given(site=sites(), request_kw=REQUESTS_KW)
def test_the_prediction_is_the_sum_of_the_actions(
    site: tuple[Panel, PanelReading], request_kw: float
) -> None:
    panel, reading = site
    made = select_circuits(circuit_selection_candidates(panel, reading), request_kw)
    taken_kw = 0.0
    for action in made.actions:
        taken_kw += (reading.circuit(action.circuit_id).power_kw or 0.0) - action.final_kw
    assert made.predicted_kw == pytest.approx(taken_kw)


@st.composite
def pools(
    draw: st.DrawFn, *, max_circuits: int = 8, last_resort: bool = True
) -> tuple[CircuitSelectionCandidate, ...]:
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


def ranges(pool: Sequence[CircuitSelectionCandidate]) -> Iterator[tuple[float, float]]:
    """What each combination of circuits can shed, from and to."""
    for used in product((False, True), repeat=len(pool)):
        chosen = [c for c, use in zip(pool, used, strict=True) if use]
        wholes_kw = sum(c.max_shed_kw for c in chosen if c.whole)
        yield wholes_kw, wholes_kw + sum(c.max_shed_kw for c in chosen if not c.whole)


def reaches(pool: Sequence[CircuitSelectionCandidate], low_kw: float, high_kw: float) -> bool:
    return any(low <= high_kw and high >= low_kw for low, high in ranges(pool))


def blur_kw(pool: Sequence[CircuitSelectionCandidate], request_kw: float) -> float:
    """How far the planner's units and the registers' steps may move a sum."""
    return len(pool) * (request_kw / RESOLUTION + FINE_KW)


def usable(
    pool: Sequence[CircuitSelectionCandidate], request_kw: float
) -> tuple[CircuitSelectionCandidate, ...]:
    """The circuits that may be used for the request: the last resort only if needed."""
    others = tuple(c for c in pool if not (c.circuit.critical or c.circuit.priority == 1))
    return others if total_shed_kw(others) >= request_kw * (1 - TOLERANCE) else tuple(pool)


@settings(deadline=None, max_examples=example_count(100))
@given(pool=pools(), request_kw=st.floats(0.5, 40.0))
def test_a_plan_is_in_the_band_whenever_any_combination_is(
    pool: tuple[CircuitSelectionCandidate, ...], request_kw: float
) -> None:
    made, blur = select_circuits(pool, request_kw), blur_kw(pool, request_kw)
    low, high = request_kw * (1 - TOLERANCE), request_kw * (1 + TOLERANCE)
    if reaches(usable(pool, request_kw), low + blur, high - blur):
        assert low - blur <= made.predicted_kw <= high + blur


@settings(deadline=None, max_examples=example_count(100))
@given(pool=pools(), request_kw=st.floats(0.5, 40.0))
def test_a_plan_overshoots_as_little_as_possible_when_the_band_is_out_of_reach(
    pool: tuple[CircuitSelectionCandidate, ...], request_kw: float
) -> None:
    made, blur = select_circuits(pool, request_kw), blur_kw(pool, request_kw)
    allowed = usable(pool, request_kw)
    low, high = request_kw * (1 - TOLERANCE), request_kw * (1 + TOLERANCE)
    if reaches(allowed, low - blur, high + blur) or total_shed_kw(allowed) < request_kw:
        return
    best_kw = min(lowest for lowest, _ in ranges(allowed) if lowest >= request_kw)
    assert made.predicted_kw == pytest.approx(best_kw, abs=2 * blur)


@settings(deadline=None, max_examples=example_count(100))
@given(pool=pools(max_circuits=12), extra=st.floats(0.001, 3.0))
def test_everything_is_taken_when_the_request_cannot_be_met(
    pool: tuple[CircuitSelectionCandidate, ...], extra: float
) -> None:
    request_kw = total_shed_kw(pool) / (1 - TOLERANCE) * (1 + extra)
    made, blur = select_circuits(pool, request_kw), blur_kw(pool, request_kw)
    assert made.predicted_kw == pytest.approx(total_shed_kw(pool), abs=blur)
    assert set(by_id(made)) >= {c.circuit.id for c in pool if c.whole or c.max_shed_kw > blur}


@settings(deadline=None, max_examples=example_count(100))
@given(pool=pools(), share=st.floats(0.05, 1.05))
def test_the_last_resort_is_not_touched_while_the_others_are_enough(
    pool: tuple[CircuitSelectionCandidate, ...], share: float
) -> None:
    others = {c.circuit.id for c in pool if not c.circuit.critical and c.circuit.priority > 1}
    others_kw = total_shed_kw([c for c in pool if c.circuit.id in others])
    if others:
        assert set(by_id(select_circuits(pool, others_kw * share))) <= others


@settings(deadline=None, max_examples=example_count(100))
@given(pool=pools(), missing_kw=st.floats(0.1, 10.0))
def test_the_last_resort_helps_when_the_others_are_not_enough(
    pool: tuple[CircuitSelectionCandidate, ...], missing_kw: float
) -> None:
    last = [c for c in pool if c.circuit.critical or c.circuit.priority == 1]
    request_kw = (total_shed_kw(pool) - total_shed_kw(last)) / (1 - TOLERANCE) + missing_kw
    blur = blur_kw(pool, request_kw)
    if missing_kw > blur and any(c.max_shed_kw > blur for c in last):
        assert {c.circuit.id for c in last} & set(by_id(select_circuits(pool, request_kw)))


@settings(deadline=None, max_examples=example_count(150))
@given(pool=pools(last_resort=False), request_kw=st.floats(0.5, 40.0))
def test_no_priority_is_touched_that_is_not_needed_for_the_band(
    pool: tuple[CircuitSelectionCandidate, ...], request_kw: float
) -> None:
    blur = blur_kw(pool, request_kw)
    low, high = request_kw * (1 - TOLERANCE) + blur, request_kw * (1 + TOLERANCE) - blur
    used = {
        c.circuit.priority for c in pool if c.circuit.id in by_id(select_circuits(pool, request_kw))
    }
    for least_flexible in (5, 4, 3, 2):
        if reaches([c for c in pool if c.circuit.priority >= least_flexible], low, high):
            assert min(used) >= least_flexible
            return
