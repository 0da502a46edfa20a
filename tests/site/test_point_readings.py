"""From the points that a driver publishes to a reading of the panel."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.site.published_panel import EV, HEATER, METER, NOW, PANEL, VALUES, after, points_of
from tests.support.each_case import each_case
from tests.support.unicode_characters import UNICODE_CHARACTERS
from VenAgent.config import AgentConfig
from VenAgent.contract.telemetry import TelemetryQuality
from VenAgent.dr.panel import PanelCircuitReading
from VenAgent.site.point_quirks import is_on_without_quirk, number_without_quirk
from VenAgent.site.point_readings import PointReadings

# ---- single values ------------------------------------------------------------------------------


@each_case(
    ("value", "expected"),
    [
        (3, 3.0),
        (3.25, 3.25),
        (-1.5, -1.5),
        (0, 0.0),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        (True, None),
        (False, None),
        ("3.5", None),
        ("", None),
        (None, None),
        ([3.0], None),
        ({}, None),
    ],
)
def test_only_a_finite_number_is_a_number(value: Any, expected: float | None) -> None:
    assert number_without_quirk(value) == expected
    assert not isinstance(number_without_quirk(value), bool)


@each_case(
    ("value", "expected"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        (1.0, True),
        (0.0, False),
        ("active", True),
        ("inactive", False),
        (2, None),
        (0.5, None),
        (-1, None),
        (math.nan, None),
        ("on", None),
        ("", None),
        (None, None),
        ([], None),
    ],
)
def test_a_contactor_is_closed_open_or_not_known(value: Any, expected: bool | None) -> None:
    assert is_on_without_quirk(value) is expected


# ---- a reading ----------------------------------------------------------------------------------


def test_a_reading_has_what_the_points_say() -> None:
    reading = after().reading(NOW + 1)
    assert reading.ts == NOW
    assert reading.power_kw == 10.5
    assert reading.voltage == 239.0
    assert reading.current_amps == 43.9
    assert reading.battery_soc == 81.0
    assert reading.circuits == {
        "ev": PanelCircuitReading(power_kw=7.0, closed=True, limit=100.0),
        "heater": PanelCircuitReading(power_kw=3.5, closed=True, limit=None),
    }


def test_power_is_scaled_to_kw() -> None:
    assert after({"heater_w": -250}).reading(NOW).circuit("heater").power_kw == pytest.approx(-0.25)


@each_case("junk", [math.nan, math.inf, "n/a", None, True, [1.0]])
def test_a_value_that_is_none_is_null_and_the_others_stay(junk: Any) -> None:
    reading = after({"ev_kw": junk, "total_kw": junk, "volts": junk}).reading(NOW)
    assert reading.power_kw is None
    assert reading.voltage is None
    assert reading.circuit("ev") == PanelCircuitReading(power_kw=None, closed=True, limit=100.0)
    assert reading.circuit("heater").power_kw == 3.5


@each_case(("word", "closed"), [("active", True), ("inactive", False), ("?", None)])
def test_bacnets_words_are_understood(word: str, closed: bool | None) -> None:
    assert after({"ev_on": word}).reading(NOW).circuit("ev").closed is closed


def test_a_zero_is_a_value() -> None:
    reading = after({"total_kw": 0, "ev_kw": 0.0, "ev_limit": 0, "ev_on": 0, "soc": 0}).reading(NOW)
    assert reading.power_kw == 0.0
    assert reading.battery_soc == 0.0
    assert reading.circuit("ev") == PanelCircuitReading(power_kw=0.0, closed=False, limit=0.0)


def test_before_the_first_publication_all_is_null() -> None:
    reading = points_of().reading(NOW)
    assert reading.ts == NOW
    assert reading.power_kw is None
    assert reading.voltage is None
    assert reading.circuit("ev") == PanelCircuitReading(None, None, None)


def test_points_of_another_device_are_not_ours() -> None:
    points = points_of()
    points.update("site/panel2", VALUES, NOW)
    points.update("site", VALUES, NOW)
    assert points.quality(NOW) is TelemetryQuality.MISSING
    assert points.reading(NOW).power_kw is None


# ---- the total ----------------------------------------------------------------------------------


def test_without_a_total_the_circuits_are_summed() -> None:
    assert after(total=False).reading(NOW).power_kw == pytest.approx(10.5)


@each_case("junk", [math.nan, None, "n/a"])
def test_without_a_total_a_circuit_that_is_missing_makes_it_null(junk: Any) -> None:
    reading = after({"heater_w": junk}, total=False).reading(NOW)
    assert reading.power_kw is None
    assert reading.circuit("ev").power_kw == 7.0


def test_a_total_that_is_missing_is_not_invented_from_the_circuits() -> None:
    assert after({"total_kw": None}).reading(NOW).power_kw is None


def test_a_total_is_what_its_point_says_not_the_sum() -> None:
    assert after({"total_kw": 30.0}).reading(NOW).power_kw == 30.0


# ---- sums, and loads without a meter ------------------------------------------------------------


def test_several_power_points_are_summed() -> None:
    heater = {**HEATER, "power_point": ["l1_w", "l2_w"]}
    panel = {"device": PANEL, "power_point": ["a_kw", "b_kw"]}
    contents = {"ven_id": "site-1", "panel": panel, "circuits": [heater]}
    points = PointReadings(AgentConfig.load(contents, {}))
    points.update(PANEL, {"a_kw": 1.0, "b_kw": 2.5, "l1_w": 1000, "l2_w": 500}, NOW)
    reading = points.reading(NOW)
    assert reading.power_kw == 3.5
    assert reading.circuit("heater").power_kw == pytest.approx(1.5)
    points.update(PANEL, {"b_kw": None}, NOW + 1)
    assert points.reading(NOW + 1).power_kw is None


def test_a_load_without_a_meter_draws_what_it_is_made_for_while_it_is_on() -> None:
    heater = {k: v for k, v in HEATER.items() if "power" not in k} | {"nominal_kw": 4.5}
    contents = {"ven_id": "site-1", "panel": {"device": PANEL}, "circuits": [EV, heater]}
    points = PointReadings(AgentConfig.load(contents, {}))
    points.update(PANEL, VALUES, NOW)
    assert points.reading(NOW).power_kw == pytest.approx(11.5)
    points.update(PANEL, {"heater_on": False}, NOW + 1)
    assert points.reading(NOW + 1).circuit("heater").power_kw == 0.0
    assert points.reading(NOW + 1).power_kw == pytest.approx(7.0)
    points.update(PANEL, {"heater_on": "?"}, NOW + 2)
    assert points.reading(NOW + 2).power_kw is None


# ---- several devices ----------------------------------------------------------------------------


def test_each_point_is_read_from_its_own_device() -> None:
    points = points_of(heater_device=METER)
    points.update(PANEL, {**VALUES, "heater_w": 1.0, "heater_on": False}, NOW)
    points.update(METER, {"heater_w": 2000.0, "heater_on": True, "ev_kw": 1.0}, NOW)
    reading = points.reading(NOW)
    assert reading.circuit("heater") == PanelCircuitReading(power_kw=2.0, closed=True, limit=None)
    assert reading.circuit("ev").power_kw == 7.0


def test_one_device_that_was_never_read_is_named_and_a_total_without_it_is_good() -> None:
    points = points_of(heater_device=METER)
    points.update(PANEL, VALUES, NOW)
    assert points.quality(NOW) is TelemetryQuality.GOOD
    assert points.unread() == [METER]
    assert points_of(total=False, heater_device=METER).quality(NOW) is TelemetryQuality.MISSING
    reading = points.reading(NOW)
    assert reading.power_kw == 10.5
    assert reading.circuit("heater").power_kw is None


def test_one_stale_device_loses_its_values_and_the_other_keeps_its_own() -> None:
    points = points_of(heater_device=METER, stale_after_sec=30)
    points.update(PANEL, VALUES, NOW)
    points.update(METER, {"heater_w": 2000.0}, NOW - 40)
    assert points.stale(NOW) == {METER: 40}
    reading = points.reading(NOW)
    assert reading.ts == NOW
    assert reading.circuit("heater").power_kw is None
    assert reading.circuit("ev").power_kw == 7.0


def test_a_stale_device_makes_the_sum_null() -> None:
    points = points_of(total=False, heater_device=METER, stale_after_sec=30)
    points.update(PANEL, VALUES, NOW)
    points.update(METER, {"heater_w": 2000.0}, NOW - 40)
    assert points.reading(NOW).power_kw is None
    points.update(METER, {"heater_w": 2000.0}, NOW)
    assert points.reading(NOW).power_kw == pytest.approx(9.0)


def test_a_reading_is_as_old_as_its_power_and_each_circuit_has_an_age_of_its_own() -> None:
    points = points_of(heater_device=METER)
    points.update(PANEL, VALUES, NOW)
    points.update(METER, {"heater_w": 2000.0}, NOW - 7)
    assert points.reading(NOW).ts == NOW
    assert points.reading(NOW).circuit("heater").ts == NOW - 7
    summed = points_of(total=False, heater_device=METER)
    summed.update(PANEL, VALUES, NOW)
    summed.update(METER, {"heater_w": 2000.0}, NOW - 7)
    assert summed.reading(NOW).ts == NOW - 7


# ---- points that are not published --------------------------------------------------------------


def test_configured_points_that_are_not_published_are_named() -> None:
    points = points_of(heater_device=METER)
    assert points.missing(NOW) == []  # nothing was read: nothing is known
    some = {"total_kw": 1.0, "volts": None, "amps": 1.0, "ev_kw": 1.0}
    points.update(PANEL, some, NOW)
    assert points.missing(NOW + 1) == [], "another publication may have the others"
    points.update(PANEL, some, NOW + 1, complete=True)
    assert points.missing(NOW + 1) == [f"{PANEL}/soc", f"{PANEL}/ev_on", f"{PANEL}/ev_limit"]
    points.update(METER, {"heater_on": True}, NOW)
    assert points.missing(NOW + 31)[-1] == f"{METER}/heater_w"


def test_nothing_is_missing_when_all_is_published() -> None:
    assert after().missing(NOW + 60) == []
    assert after({"unconfigured": 1.0}).missing(NOW + 60) == []


# ---- whatever a driver publishes ----------------------------------------------------------------

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(width=32),
    st.text(UNICODE_CHARACTERS, max_size=8),
    st.lists(st.integers(), max_size=2),
)


@given(values=st.dictionaries(st.sampled_from(sorted(VALUES)), ANYTHING), total=st.booleans())
def test_whatever_is_published_a_reading_holds_finite_numbers_or_null(
    values: dict[str, Any], total: bool
) -> None:
    points = points_of(total=total)
    points.update(PANEL, values, NOW)
    reading = points.reading(NOW)
    told = [reading.power_kw, reading.voltage, reading.current_amps, reading.battery_soc]
    for circuit in reading.circuits.values():
        told += [circuit.power_kw, circuit.limit]
        assert circuit.closed in (True, False, None)
    assert all(value is None or (type(value) is float and math.isfinite(value)) for value in told)
