"""The panel: ratings, protection, and the scale of a limit register."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dr.builders import VOLTAGE, house_panel, kilowatts, limit, percent, switch, unswitchable
from tests.support.each_case import each_case
from VenAgent.dr.panel import (
    PanelCircuit,
    PanelCircuitReading,
    PanelLimitScale,
    PanelLimitUnit,
    PanelReading,
)

AMPS = PanelLimitScale(PanelLimitUnit.AMPS, 0.0, VOLTAGE)


def test_ratings_come_from_amps_and_volts() -> None:
    assert house_panel().max_kw == pytest.approx(48.0)
    assert switch("a", 50.0).rating_kw == pytest.approx(12.0)


def test_a_circuit_is_found_by_its_id() -> None:
    panel = house_panel()
    assert panel.by_id["ev1"].breaker_amps == 50.0
    assert list(panel.by_id) == [circuit.id for circuit in panel.circuits]


@each_case(
    ("circuit", "kept"),
    [
        (switch("a"), 0.0),
        (switch("a", floor=0.4), 0.4),
        (switch("a", critical=True), 1.0),
        (switch("a", critical=True, floor=0.2), 1.0),
        (limit("a"), 0.0),
        (limit("a", floor=0.4), 0.4),
        (limit("a", critical=True), 0.8),
        (limit("a", critical=True, floor=0.2), 0.8),
        (limit("a", critical=True, floor=0.95), 0.95),
        (unswitchable("a"), 1.0),
    ],
)
def test_what_a_circuit_keeps_of_its_draw(circuit: PanelCircuit, kept: float) -> None:
    assert circuit.kept_fraction == kept


@each_case(
    ("circuit", "last"),
    [
        (switch("a", priority=5), False),
        (switch("a", priority=2), False),
        (switch("a", priority=1), True),
        (limit("a", priority=5, critical=True), True),
    ],
)
def test_critical_and_priority_one_are_the_last_resort(circuit: PanelCircuit, last: bool) -> None:
    assert circuit.last_resort is last


@each_case(
    ("scale", "power_kw", "value"),
    [
        (percent(50.0), 6.0, 50.0),
        (percent(50.0), 6.05, 50.0),
        (percent(50.0), 6.07, 51.0),
        (percent(50.0, step=5.0), 6.4, 55.0),
        (percent(50.0), -1.0, 0.0),
        (AMPS, 3.84, 16.0),
        (AMPS, 3.5, 15.0),
        (kilowatts(0.1), 3.14, 3.1),
    ],
)
def test_the_register_gets_the_value_nearest_to_the_power(
    scale: PanelLimitScale, power_kw: float, value: float
) -> None:
    assert scale.value_at(power_kw) == value


def test_the_register_never_goes_below_the_lowest() -> None:
    assert percent(30.0).value_at(2.8, lowest_kw=2.8) == 39.0  # 38.9 %
    assert percent(50.0).value_at(0.0, lowest_kw=6.0) == 50.0  # exactly at a step stays there
    assert AMPS.value_at(0.0, lowest_kw=1.5) == 7.0
    assert percent(50.0).value_at(0.0, lowest_kw=0.8 * 3.6) == 24.0  # 24.000000000000004 steps


SCALES = st.sampled_from([percent(15.0), percent(50.0, step=0.5), AMPS, kilowatts(0.1)])


@given(scale=SCALES, power_kw=st.floats(0.0, 50.0), lowest_kw=st.floats(0.0, 50.0))
def test_a_register_value_is_whole_steps_near_the_power_and_not_below_the_lowest(
    scale: PanelLimitScale, power_kw: float, lowest_kw: float
) -> None:
    value = scale.value_at(power_kw, lowest_kw)
    steps = value / scale.step
    assert steps == pytest.approx(round(steps), abs=1e-6)
    assert scale.kw_of(value) >= lowest_kw - 1e-6
    assert abs(scale.kw_of(value) - max(power_kw, lowest_kw)) <= scale.step_kw + 1e-6
    if power_kw >= lowest_kw + scale.step_kw:
        assert abs(scale.kw_of(value) - power_kw) <= scale.step_kw / 2 + 1e-6


def test_what_was_not_read_is_unknown() -> None:
    reading = PanelReading(100.0, None, {"a": PanelCircuitReading(1.0, True)})
    assert reading.circuit("b") == PanelCircuitReading(None, None, None)
    assert reading.circuit("a").power_kw == 1.0


def test_a_reading_has_an_age_that_is_never_negative() -> None:
    reading = PanelReading(100.0, 1.0, {})
    assert reading.age_sec(107.5) == 7.5
    assert reading.age_sec(99.0) == 0.0


def test_a_value_that_means_no_limit_is_never_written_as_one() -> None:
    scale = PanelLimitScale(PanelLimitUnit.AMPS, 12.0, 240.0, unlimited=(0.0, -1.0))
    assert scale.value_at(0.0) == 1.0
    assert scale.limit_of(0.0) is None
    assert scale.limit_of(16.0) == 16.0


def test_full_scale_that_means_no_limit_is_next_to_full_scale_and_opens() -> None:
    """The lowest limit was written for it."""
    percent_scale = replace(percent(50.0), unlimited=(0.0, 100.0))
    assert percent_scale.value_at(percent_scale.full_scale_kw) == 99.0
    assert percent_scale.value_at(0.0) == 1.0
    assert percent_scale.open_value == 100.0
    amps = PanelLimitScale(PanelLimitUnit.AMPS, 7.68, 240.0, lowest=6.0, unlimited=(0.0, 32.0))
    assert (amps.value_at(7.68), amps.value_at(0.0), amps.open_value) == (31.0, 6.0, 32.0)
