"""Setpoints and comfort guards among the points that a driver publishes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from VenAgent.config import AgentConfig
from VenAgent.site.point_readings import PointReadings

NOW = 1_760_000_000.0
PANEL, RTU, SENSOR = "site/panel", "site/rtu1", "site/sensor"
CONFIG: dict[str, Any] = {
    "ven_id": "site-1",
    "panel": {"device": PANEL, "power_point": "total_kw"},
    "circuits": [
        {
            "id": "rtu1",
            "name": "Rooftop unit",
            "breaker_amps": 30,
            "control": "setpoint",
            "device": RTU,
            "power_point": "power_kw",
            "setpoint_point": "setpoint",
            "setpoint_offset": 2,
            "setpoint_minimum": 18,
            "setpoint_maximum": 27,
            "guard_point": "zone_c",
            "guard_device": SENSOR,
            "guard_maximum": 26,
        }
    ],
}


def points() -> PointReadings:
    made = PointReadings(AgentConfig.load(CONFIG, {}))
    made.update(PANEL, {"total_kw": 10.0}, NOW)
    made.update(RTU, {"power_kw": 4.0, "setpoint": 22.0}, NOW)
    made.update(SENSOR, {"zone_c": 23.5}, NOW)
    return made


def test_a_setpoint_and_its_guard_are_read_from_their_devices() -> None:
    read = points().reading(NOW).circuit("rtu1")
    assert (read.power_kw, read.limit, read.guard) == (4.0, 22.0, 23.5)
    assert read.point == f"{RTU}/setpoint"


@pytest.mark.parametrize("absurd", [-127.0, 850.0, 655.35, math.nan, None, "bad", True])
def test_an_absurd_guard_is_the_last_that_could_be_until_that_is_old(absurd: Any) -> None:
    made = points()
    made.update(PANEL, {"total_kw": 10.0}, NOW + 40.0)
    made.update(RTU, {"power_kw": 4.0, "setpoint": 22.0}, NOW + 40.0)
    made.update(SENSOR, {"zone_c": absurd}, NOW + 20.0)
    is_number = isinstance(absurd, float) and math.isfinite(absurd)
    assert made.reading(NOW + 21.0).circuit("rtu1").guard == (23.5 if is_number else None)
    assert made.reading(NOW + 40.0).circuit("rtu1").guard is None
    assert [each.point for each in made.suspects()] == [f"{SENSOR}/zone_c"] * is_number


def test_a_guard_that_is_not_published_any_more_is_none_once_it_is_old() -> None:
    made = points()
    made.update(RTU, {"power_kw": 4.0, "setpoint": 22.0}, NOW + 60.0)
    assert made.reading(NOW + 60.0).circuit("rtu1").guard is None
    assert f"{SENSOR}" in made.stale(NOW + 60.0)
