"""What meters and registers say that cannot be is not believed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.site.published_panel import EV, HEATER, NOW, PANEL, VALUES, after, points_of
from tests.support.each_case import each_case
from VenAgent.config import AgentConfig, ConfigError
from VenAgent.contract.telemetry import TelemetryQuality
from VenAgent.site.point_readings import PointReadings


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


def test_zeros_of_a_device_that_starts_are_no_scale_factor_however_often() -> None:
    quirks = [{"device": PANEL, "scale_points": {"heater_w": "sf"}}]
    points = after({"heater_w": 35, "sf": 2}, quirks=quirks)
    for sec in (5, 10, 15):
        points.update(PANEL, {"heater_w": 0, "sf": 0, "ev_limit": 0}, NOW + sec)
    assert points.unit_of(f"{PANEL}/heater_w") == 100.0


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
