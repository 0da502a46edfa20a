"""Which circuits may be curtailed, and by how much."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.dr.builders import (
    DRAWS_KW,
    FINE_KW,
    house_panel,
    kilowatts,
    limit,
    panel_of,
    reading_of,
    switch,
    unswitchable,
)
from tests.support.each_case import each_case
from VenAgent.dr.circuit_selection import circuit_selection_candidates, selectable_circuit_kw
from VenAgent.dr.panel import Panel, PanelCircuit, PanelCircuitReading, PanelReading


def ids_of(panel: Panel, reading: PanelReading, **kwargs: Sequence[str]) -> set[str]:
    return {found.circuit.id for found in circuit_selection_candidates(panel, reading, **kwargs)}


def test_the_whole_house_counts_but_the_critical_switch() -> None:
    panel = house_panel()
    assert ids_of(panel, reading_of(panel, DRAWS_KW)) == set(DRAWS_KW) - {"fridge1"}


@each_case("draw_kw", [0.0, 0.004, -2.5, None])
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
    circuits = {"dryer1": PanelCircuitReading(3.0, True)}
    assert ids_of(panel, PanelReading(0.0, 22.6, circuits)) == {"dryer1"}


def test_an_excluded_circuit_does_not_count() -> None:
    panel = house_panel()
    reading = reading_of(panel, DRAWS_KW)
    assert "heater1" not in ids_of(panel, reading, exclude=["heater1"])


def test_a_circuit_without_control_does_not_count() -> None:
    panel = panel_of(unswitchable("main"), switch("a"))
    assert ids_of(panel, reading_of(panel, {"main": 9.0, "a": 1.0})) == {"a"}


@each_case(
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
def test_what_may_be_taken_of_four_kilowatts(circuit: PanelCircuit, expected_kw: float) -> None:
    assert selectable_circuit_kw(circuit, 4.0) == pytest.approx(expected_kw)
