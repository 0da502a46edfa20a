"""From the points that a driver publishes to a reading of the panel."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.each_case import each_case
from tests.support.unicode_characters import UNICODE_CHARACTERS
from VenAgent.config import AgentConfig, ConfigError
from VenAgent.contract.telemetry import TelemetryQuality
from VenAgent.dr.panel import PanelCircuitReading
from VenAgent.site.point_quirks import is_on_without_quirk, number_without_quirk
from VenAgent.site.point_readings import LACKING_READINGS, PointReadings

NOW = 1_760_000_000.0
PANEL = "site/panel"
METER = "site/meter"

VALUES: dict[str, Any] = {
    "total_kw": 10.5,
    "volts": 239.0,
    "amps": 43.9,
    "soc": 81.0,
    "ev_kw": 7.0,
    "ev_on": True,
    "ev_limit": 100,
    "heater_w": 3500.0,
    "heater_on": 1,
}
EV = {
    "id": "ev",
    "name": "EV",
    "breaker_amps": 50,
    "control": "limit",
    "power_point": "ev_kw",
    "switch_point": "ev_on",
    "limit_point": "ev_limit",
}
HEATER = {
    "id": "heater",
    "name": "Heater",
    "breaker_amps": 30,
    "power_point": "heater_w",
    "power_scale": 0.001,
    "switch_point": "heater_on",
}


def points_of(
    *,
    total: bool = True,
    heater_device: str | None = None,
    panel_scale: float = 1.0,
    **settings: Any,
) -> PointReadings:
    panel: dict[str, Any] = {
        "device": PANEL,
        "voltage_point": "volts",
        "current_point": "amps",
        "battery_soc_point": "soc",
        "power_scale": panel_scale,
    }
    if total:
        panel["power_point"] = "total_kw"
    heater = HEATER if heater_device is None else {**HEATER, "device": heater_device}
    contents = {"ven_id": "site-1", "panel": panel, "circuits": [EV, heater], **settings}
    return PointReadings(AgentConfig.load(contents, {}))


def after(values: dict[str, Any] | None = None, **settings: Any) -> PointReadings:
    """Points of one device, published at NOW with `values` in place of the usual ones."""
    points = points_of(**settings)
    points.update(PANEL, {**VALUES, **(values or {})}, NOW)
    return points


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


# ---- age ----------------------------------------------------------------------------------------


def test_an_older_publication_never_replaces_a_newer_one() -> None:
    points = after()
    points.update(PANEL, {**VALUES, "total_kw": 99.0}, NOW - 0.001)
    assert points.reading(NOW).power_kw == 10.5
    points.update(PANEL, {**VALUES, "total_kw": 11.0}, NOW)
    assert points.reading(NOW).power_kw == 11.0
    points.update(PANEL, {**VALUES, "total_kw": 12.0}, NOW + 5)
    assert points.reading(NOW + 5).power_kw == 12.0
    assert points.reading(NOW + 5).ts == NOW + 5


def test_a_complete_reading_replaces_the_one_before_it_whole() -> None:
    """A point that the device no longer has is not taken from an older reading."""
    points = after()
    for sec in range(5, 5 + LACKING_READINGS):
        assert points.reading(NOW + sec).voltage == 239.0, "one answer may lack it"
        points.update(PANEL, {"total_kw": 4.0}, NOW + sec, complete=True)
    reading = points.reading(NOW + sec)
    assert reading.power_kw == 4.0
    assert reading.voltage is None
    assert reading.circuit("ev").power_kw is None


def test_what_is_not_in_a_publication_stands_until_it_is_itself_too_old() -> None:
    """A change of value, VOLTTRON 11's /multi, a register with an interval of its own."""
    points = after(stale_after_sec=30)
    points.update(PANEL, {"ev_kw": 1.5}, NOW + 20)
    reading = points.reading(NOW + 25)
    assert (reading.power_kw, reading.voltage, reading.ts) == (10.5, 239.0, NOW)
    assert reading.circuit("ev") == PanelCircuitReading(power_kw=1.5, closed=True, limit=100.0)
    assert reading.circuit("heater").power_kw == 3.5
    assert points.quality(NOW + 25) is TelemetryQuality.GOOD
    assert points.stale(NOW + 25) == {}
    points.update(PANEL, {"total_kw": 9.0}, NOW + 29)
    reading = points.reading(NOW + 40)
    assert (reading.power_kw, reading.ts) == (9.0, NOW + 29)
    assert reading.circuit("ev") == PanelCircuitReading(power_kw=1.5, closed=None, limit=None)
    assert reading.circuit("ev").ts == NOW + 20
    assert reading.circuit("heater") == PanelCircuitReading()
    assert points.quality(NOW + 40) is TelemetryQuality.GOOD, "the total is as it should be"
    assert points.stale(NOW + 40)[f"{PANEL}/heater_w"] == 40.0
    assert f"{PANEL}/ev_kw" not in points.stale(NOW + 40)


def test_a_sum_is_partial_when_some_of_it_is_too_old() -> None:
    points = after(total=False, stale_after_sec=30)
    points.update(PANEL, {"ev_kw": 7.0}, NOW + 20)
    assert points.quality(NOW + 40) is TelemetryQuality.PARTIAL
    assert points.reading(NOW + 40).power_kw is None
    assert points.age_sec(NOW + 40) == 40


def test_a_device_that_is_published_once_a_minute_is_not_stale_between() -> None:
    """The driver's own default, with an agent that would give it 30 s."""
    points = points_of(stale_after_sec=30)
    for minute in range(5):
        points.update(PANEL, VALUES, NOW + 60 * minute, published=True)
    assert points.quality(NOW + 240 + 59) is TelemetryQuality.GOOD
    assert points.reading(NOW + 240 + 59).power_kw == 10.5
    assert points.quality(NOW + 240 + 151) is TelemetryQuality.STALE


@each_case("interval_sec", [1.0, 60.0, 300.0, 600.0, 900.0])
def test_what_the_driver_says_of_its_interval_is_known_before_it_is_seen(
    interval_sec: float,
) -> None:
    points = points_of(stale_after_sec=30)
    points.expect_intervals({PANEL: interval_sec})
    points.update(PANEL, VALUES, NOW, published=True)
    stale_sec = max(30.0, 2.5 * interval_sec)
    assert points.quality(NOW + stale_sec) is TelemetryQuality.GOOD
    assert points.reading(NOW + stale_sec).power_kw == 10.5
    assert points.quality(NOW + stale_sec + 1) is TelemetryQuality.STALE
    assert points.reading(NOW + 31, max_age_sec=30).power_kw is None, "as it was asked for"


def test_what_was_read_before_a_write_does_not_say_how_the_point_is() -> None:
    points = after()
    points.written({f"{PANEL}/ev_on": False}, NOW + 1)
    assert points.reading(NOW + 2).circuit("ev").closed is None
    assert points.reading(NOW + 2).circuit("ev").power_kw == 7.0
    points.update(PANEL, {"ev_on": False}, NOW + 3)
    assert points.reading(NOW + 4).circuit("ev").closed is False


# ---- what cannot be -----------------------------------------------------------------------------


@each_case("absurd", [6553.5, -6553.5, 0x7FFFFFFF, 1e30])
def test_an_absurd_power_is_not_believed_and_the_last_one_stands(absurd: float) -> None:
    points = after(total=False)
    points.update(PANEL, {"ev_kw": absurd, "heater_w": 3000.0}, NOW + 5)
    reading = points.reading(NOW + 5)
    assert reading.circuit("ev").power_kw == 7.0
    assert reading.power_kw == pytest.approx(10.0)
    assert reading.ts == NOW
    (suspect,) = points.suspects()
    assert (suspect.point, suspect.value) == (f"{PANEL}/ev_kw", absurd)
    points.update(PANEL, {"ev_kw": 6.0}, NOW + 10)
    assert points.suspects() == []
    assert points.reading(NOW + 10).circuit("ev").power_kw == 6.0


def test_an_absurd_power_that_goes_on_is_in_the_end_no_reading() -> None:
    points = after(stale_after_sec=30)
    for sec in range(0, 60, 5):
        points.update(PANEL, {**VALUES, "total_kw": 2917.0}, NOW + 1 + sec)
    assert points.reading(NOW + 60).power_kw is None
    assert points.quality(NOW + 60) is TelemetryQuality.STALE


NO_VALUE = [
    math.nan,
    math.inf,
    -math.inf,
    *(0x7FFF, -0x8000, 0x8000 - 1, 0xFFFF),
    *(0x7FFFFFFF, -0x80000000, 0xFFFFFFFF),
    *(2**63 - 1, -(2**63), 2**64 - 1),
    3.4028234663852886e38,
    -18_000.0,  # as much as a motor may draw, and nothing that a load feeds in
]
"""What meters read that have no value; no configuration names it."""


@each_case("no_value", NO_VALUE)
def test_what_meters_read_without_a_value_is_not_used_and_the_last_one_stands(
    no_value: float,
) -> None:
    points = after({"total_kw": 10_500}, panel_scale=0.001)
    points.update(PANEL, {**VALUES, "total_kw": no_value, "heater_w": no_value}, NOW + 5)
    reading = points.reading(NOW + 6)
    assert reading.circuit("heater").power_kw == pytest.approx(3.5)
    assert f"{PANEL}/heater_w" in {each.point for each in points.suspects()}
    if abs(no_value) != 18_000.0:  # a whole site may feed in so much
        assert reading.power_kw == pytest.approx(10.5)
    points.update(PANEL, {**VALUES, "total_kw": 9_000}, NOW + 10)
    assert points.suspects() == []
    assert points.reading(NOW + 10).power_kw == pytest.approx(9.0)


@each_case("word", [0, -1, 65_535, 1.0, 0.0])
def test_a_converter_that_answers_for_a_meter_that_is_not_there_is_not_believed(
    word: float,
) -> None:
    """All registers alike: no meter measures as many volts as kilowatts."""
    points = after()
    measured = ("total_kw", "volts", "amps", "soc", "ev_kw", "heater_w")
    points.update(PANEL, {**VALUES, **dict.fromkeys(measured, word)}, NOW + 5)
    reading = points.reading(NOW + 6)
    assert (reading.power_kw, reading.voltage, reading.ts) == (10.5, 239.0, NOW)
    assert reading.circuit("ev").power_kw == 7.0
    assert {each.point for each in points.suspects()} == {f"{PANEL}/{name}" for name in measured}
    assert points.reading(NOW + 31).power_kw is None, "it has not answered for too long"


def test_a_frozen_meter_is_not_used_where_it_always_moves() -> None:
    """A gateway that answers with the last values of a meter that is gone."""
    quirks = [{"device": PANEL, "frozen_after_sec": 60}]
    points = points_of(quirks=quirks, stale_after_sec=30)
    for sec in range(0, 65, 5):
        points.update(PANEL, {**VALUES, "ev_on": sec < 30}, NOW + sec)
    assert points.reading(NOW + 60).power_kw == 10.5
    points.update(PANEL, VALUES, NOW + 65)
    assert "frozen" in points.suspects()[0].reason
    assert points.reading(NOW + 91).power_kw is None
    assert points.reading(NOW + 91).circuit("ev").closed is True, "a relay may stand still"
    now = points.blank()
    now.update(PANEL, VALUES, NOW + 92)
    assert now.reading(NOW + 92).power_kw is None, "nor does an event plan with it"
    points.update(PANEL, {**VALUES, "volts": 239.1}, NOW + 95)
    assert points.suspects() == []
    assert points.reading(NOW + 95).power_kw == 10.5


def test_a_site_that_draws_nothing_is_believed() -> None:
    nothing = dict.fromkeys(("total_kw", "amps", "ev_kw", "heater_w"), 0.0)
    points = after(nothing)
    assert points.suspects() == []
    assert points.reading(NOW).power_kw == 0.0
    few = points_of()  # one point of a change of value is no sign of anything
    few.update(PANEL, {"volts": 0.0}, NOW)
    assert few.suspects() == []


@each_case(("point", "absurd"), [("volts", -230.0), ("soc", -1.0), ("soc", 101.0), ("amps", 601.0)])
def test_what_its_unit_cannot_be_is_not_believed(point: str, absurd: float) -> None:
    points = after()
    points.update(PANEL, {**VALUES, point: absurd}, NOW + 5)
    (suspect,) = points.suspects()
    assert suspect.point == f"{PANEL}/{point}"
    reading = points.reading(NOW + 5)
    assert (reading.voltage, reading.battery_soc, reading.current_amps) == (239.0, 81.0, 43.9)


def test_a_meter_wired_the_other_way_has_the_same_bounds() -> None:
    heater = {**HEATER, "power_scale": -0.001}
    contents = {"ven_id": "site-1", "panel": {"device": PANEL}, "circuits": [heater]}
    points = PointReadings(AgentConfig.load(contents, {}))
    points.update(PANEL, {"heater_w": -18_000.0, "heater_on": 1}, NOW)
    assert points.reading(NOW).circuit("heater").power_kw == pytest.approx(18.0)
    points.update(PANEL, {"heater_w": 18_000.0}, NOW + 1)
    assert points.reading(NOW + 1).circuit("heater").power_kw == pytest.approx(18.0)
    assert len(points.suspects()) == 1


def test_a_motor_that_starts_is_believed() -> None:
    points = after({"heater_w": 2.5 * 7200.0, "total_kw": 60.0})
    assert points.reading(NOW).circuit("heater").power_kw == pytest.approx(18.0)
    assert points.reading(NOW).power_kw == 60.0


@each_case("sentinel", [-32768, 0x8000])
def test_a_devices_own_sign_for_no_value_is_none(sentinel: int) -> None:
    quirks = [{"device": PANEL, "sentinels": [-32768, 0x8000]}]
    points = after({"heater_w": sentinel, "ev_limit": sentinel}, quirks=quirks)
    assert points.reading(NOW).circuit("heater").power_kw is None
    assert points.reading(NOW).circuit("ev").limit is None
    assert {each.point for each in points.suspects()} == {f"{PANEL}/heater_w", f"{PANEL}/ev_limit"}


def test_a_sign_for_no_value_may_mean_no_limit_in_the_limits_register() -> None:
    """One table of a device: 65535 is no power, and no limit."""
    quirks = [{"device": PANEL, "sentinels": [65_535]}]
    circuits = [{**EV, "limit_unlimited": [65_535]}, HEATER]
    contents = {"ven_id": "site-1", "panel": {"device": PANEL}, "circuits": circuits}
    points = PointReadings(AgentConfig.load({**contents, "quirks": quirks}, {}))
    points.update(PANEL, {**VALUES, "heater_w": 65_535, "ev_limit": 65_535}, NOW)
    assert points.reading(NOW).circuit("ev").limit == 65_535
    assert points.reading(NOW).circuit("heater").power_kw is None


def test_a_scale_factor_is_the_power_of_ten_that_the_device_says() -> None:
    quirks = [{"device": PANEL, "scale_points": {"heater_w": "w_sf"}}]
    points = after({"heater_w": 35, "w_sf": 2}, quirks=quirks)
    assert points.reading(NOW).circuit("heater").power_kw == pytest.approx(3.5)
    points.update(PANEL, {"heater_w": 36}, NOW + 5)
    assert points.reading(NOW + 5).circuit("heater").power_kw == pytest.approx(3.6)
    unread = after({"heater_w": 35, "w_sf": -32768}, quirks=quirks)
    assert unread.reading(NOW).circuit("heater").power_kw is None


def test_quirks_of_a_device_that_is_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="quirks: site/other is no device of this panel"):
        points_of(quirks=[{"device": "site/other", "sentinels": [65535]}])


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


def test_stale_values_are_null() -> None:
    points = after(stale_after_sec=30)
    assert points.reading(NOW + 30).power_kw == 10.5
    stale = points.reading(NOW + 30.001)
    assert stale.power_kw is None
    assert stale.voltage is None
    assert stale.circuit("ev") == PanelCircuitReading(None, None, None)
    assert stale.ts == NOW + 30.001


def test_a_stricter_age_can_be_asked_for() -> None:
    points = after(stale_after_sec=30)
    assert points.reading(NOW + 1, max_age_sec=1).power_kw == 10.5
    assert points.reading(NOW + 1.5, max_age_sec=1).power_kw is None
    assert points.reading(NOW + 0.1, max_age_sec=0).power_kw is None
    assert points.reading(NOW, max_age_sec=0).power_kw == 10.5


def test_quality_is_missing_then_good_then_stale() -> None:
    points = points_of(stale_after_sec=30)
    assert points.quality(NOW) is TelemetryQuality.MISSING
    assert points.age_sec(NOW) is None
    points.update(PANEL, VALUES, NOW)
    assert points.quality(NOW + 30) is TelemetryQuality.GOOD
    assert points.age_sec(NOW + 30) == 30
    assert points.quality(NOW + 30.001) is TelemetryQuality.STALE
    points.update(PANEL, VALUES, NOW + 31)
    assert points.quality(NOW + 32) is TelemetryQuality.GOOD


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


# ---- the clock ----------------------------------------------------------------------------------


def test_after_the_clock_was_set_back_a_new_reading_takes_the_place_of_one_from_the_future() -> (
    None
):
    points = after()
    points.update(PANEL, {**VALUES, "total_kw": 2.0}, NOW - 3600.0, now=NOW - 3600.0)
    reading = points.reading(NOW - 3599.0)
    assert reading.power_kw == 2.0
    assert points.quality(NOW - 3599.0) is TelemetryQuality.GOOD


def test_a_publication_from_before_a_read_by_rpc_does_not_replace_it() -> None:
    points = after()
    points.update(PANEL, {**VALUES, "total_kw": 2.0}, NOW - 1.0, now=NOW + 0.1)
    assert points.reading(NOW + 0.2).power_kw == 10.5


@each_case("max_age_sec", [None, 0.5])
def test_a_reading_from_the_future_is_not_a_fresh_one(max_age_sec: float | None) -> None:
    points = after()
    assert points.reading(NOW - 3600.0, max_age_sec).power_kw is None
    assert points.quality(NOW - 3600.0) is TelemetryQuality.STALE


# ---- after a write -----------------------------------------------------------------------------


def test_what_a_slow_device_shows_before_it_has_settled_is_not_how_it_is() -> None:
    quirks = [{"device": PANEL, "settle_sec": 8}]
    points = points_of(quirks=quirks)
    points.update(PANEL, VALUES, NOW)
    points.written({f"{PANEL}/heater_on": False}, NOW + 1)
    points.update(PANEL, VALUES, NOW + 5)
    assert points.reading(NOW + 5).circuit("heater").closed is None
    again = points.blank()
    again.update(PANEL, VALUES, NOW + 6)
    assert again.reading(NOW + 6).circuit("heater").closed is None
    points.update(PANEL, {**VALUES, "heater_on": False}, NOW + 7)
    assert points.reading(NOW + 7).circuit("heater").closed is False
    points.update(PANEL, VALUES, NOW + 10)
    assert points.reading(NOW + 10).circuit("heater").closed is True, "someone closed it"


def test_what_is_asked_for_says_nothing_of_how_often_a_point_comes() -> None:
    """A point that comes every 300 s, and a request of ours 10 s before each, was stale after 30 s
    of each."""
    points = points_of()
    for number in range(6):
        points.update(PANEL, VALUES, NOW + 300.0 * number - 10.0, complete=True)
        points.update(PANEL, VALUES, NOW + 300.0 * number, published=True)
    for later_sec in (1.0, 60.0, 280.0):
        assert points.quality(NOW + 1_500.0 + later_sec) == "good"


def test_a_burst_of_changes_is_no_interval_until_it_goes_on() -> None:
    points, ts = points_of(), NOW
    for number in range(4):
        ts = NOW + 300 * number
        points.update(PANEL, VALUES, ts, published=True)
        for change in range(1, 5):
            ts += 1
            points.update(PANEL, {"ev_kw": 7.0 + 0.1 * change}, ts, published=True)
    assert points.reading(ts + 290).circuit("ev").power_kw == 7.4
    for change in range(13):
        ts += 5
        points.update(PANEL, {"ev_kw": 6.0 + 0.1 * change}, ts, published=True)
    assert points.reading(ts + 29).circuit("ev").power_kw == 7.2
    assert points.reading(ts + 31).circuit("ev").power_kw is None


def test_zeros_of_a_device_that_starts_are_no_scale_factor_however_often() -> None:
    quirks = [{"device": PANEL, "scale_points": {"heater_w": "sf"}}]
    points = after({"heater_w": 35, "sf": 2}, quirks=quirks)
    for sec in (5, 10, 15):
        points.update(PANEL, {"heater_w": 0, "sf": 0, "ev_limit": 0}, NOW + sec)
    assert points.unit_of(f"{PANEL}/heater_w") == 100.0


def test_an_answer_that_lacks_a_point_once_leaves_what_is_known_of_it() -> None:
    points = after()
    answer = {name: value for name, value in VALUES.items() if name not in ("total_kw", "heater_w")}
    points.update(PANEL, answer, NOW + 5, complete=True)
    reading = points.reading(NOW + 6)
    assert (reading.power_kw, reading.circuit("heater").power_kw) == (10.5, 3.5)
    assert points.quality(NOW + 6) == "good"
    assert points.missing(NOW + 6) == []
    own = points.blank()
    own.update(PANEL, answer, NOW + 5)
    own.fill_from(points, PANEL, NOW + 6)
    assert own.reading(NOW + 6).power_kw == 10.5


def test_what_was_written_since_is_not_filled_in() -> None:
    points = after()
    points.written({f"{PANEL}/ev_limit": 40.0}, NOW + 3)
    own = points.blank()
    own.update(PANEL, {name: v for name, v in VALUES.items() if name != "ev_limit"}, NOW + 5)
    own.fill_from(points, PANEL, NOW + 6)
    assert own.reading(NOW + 6).circuit("ev").limit is None


@each_case(
    "zeros",
    [
        {"total_kw": 0.0, "volts": 0.0},
        {"total_kw": 0.0, "volts": 3.2},
        {"total_kw": -1.0, "volts": -1.0},
        {**VALUES, **dict.fromkeys(("total_kw", "volts", "amps", "ev_kw", "heater_w"), 0.0)},
    ],
)
def test_nothing_that_flows_and_no_voltage_is_no_meter(zeros: dict[str, Any]) -> None:
    """Whatever else is read with it, such as the charge of a battery."""
    points = after()
    points.update(PANEL, zeros, NOW + 5)
    assert points.reading(NOW + 6).power_kw == 10.5
    assert f"{PANEL}/total_kw" in {each.point for each in points.suspects()}
    points.update(PANEL, {**VALUES, "volts": 0.0}, NOW + 10)
    assert points.reading(NOW + 11).power_kw == 10.5, "a voltage that is not wired"
    points.update(PANEL, {"total_kw": 9.0, "volts": 24.0}, NOW + 12)
    assert points.reading(NOW + 12).power_kw == 9.0, "a voltage in other units"
    points.update(PANEL, {"total_kw": 0.0, "volts": 239.0}, NOW + 13)
    assert points.reading(NOW + 13).power_kw == 0.0


@each_case("glitch", [0, 1, -2, 10, -10])
def test_a_scale_factor_that_changes_counts_once_it_is_read_twice(glitch: int) -> None:
    """All registers of a device that starts may read 0, and a limit of 10 kW was written as 10."""
    limited = {**EV, "limit_unit": "kw"}
    quirks = [{"device": PANEL, "scale_points": {"ev_limit": "sf", "ev_kw": "sf"}}]
    points = points_of(circuits=[limited], quirks=quirks)
    good = {**VALUES, "ev_limit": 10_000, "ev_kw": 5_000, "sf": -3}
    points.update(PANEL, good, NOW)
    assert points.reading(NOW).circuit("ev").limit == 10.0
    started = {**VALUES, "ev_limit": 0, "ev_kw": 0, "sf": glitch}
    for _ in range(2):  # the same answer, taken twice
        points.update(PANEL, started, NOW + 5)
    assert points.unit_of(f"{PANEL}/ev_limit") == 0.001
    assert points.reading(NOW + 5).circuit("ev").limit == 10.0
    assert {each.point for each in points.suspects()} == {f"{PANEL}/ev_limit", f"{PANEL}/ev_kw"}
    points.update(PANEL, {"ev_limit": 4_000}, NOW + 7)
    assert points.reading(NOW + 7).circuit("ev").limit == 4.0
    points.update(PANEL, good, NOW + 10)
    assert points.reading(NOW + 10).circuit("ev").limit == 10.0
    assert points.suspects() == []
    for sec in (15, 20):
        points.update(PANEL, {**good, "ev_limit": 400, "ev_kw": 500, "sf": -2}, NOW + sec)
    assert points.reading(NOW + 20).circuit("ev").limit == 4.0
