"""Setpoints, guards, batteries and chargers: the points that are read, and those written."""

from __future__ import annotations

import math
from typing import Any

import pytest

from VenAgent.config import AgentConfig
from VenAgent.dr.point_write import PointWrite
from VenAgent.site.control_writes import ControlWrites
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


# ---- a battery with a mode, a charger with a pause -------------------------------------------

BATTERY, WALLBOX = "site/battery", "site/wallbox"
HOME: dict[str, Any] = {
    "ven_id": "site-1",
    "panel": {"device": PANEL, "power_point": "total_kw", "voltage": 230},
    "circuits": [
        {
            "id": "battery1",
            "name": "Battery",
            "breaker_amps": 32,
            "control": "power",
            "device": BATTERY,
            "power_point": "power_kw",
            "power_setpoint_point": "setpoint_kw",
            "max_discharge_kw": 5,
            "capacity_kwh": 13.5,
            "soc_point": "soc",
            "mode_point": "remote",
        },
        {
            "id": "car1",
            "name": "Car",
            "breaker_amps": 16,
            "control": "limit",
            "device": WALLBOX,
            "power_point": "power_kw",
            "limit_point": "amps",
            "limit_unit": "amps",
            "phases": 3,
            "phases_point": "phases",
            "pause_point": "allowed",
        },
    ],
}
SETPOINT, REMOTE = f"{BATTERY}/setpoint_kw", f"{BATTERY}/remote"
AMPS, ALLOWED = f"{WALLBOX}/amps", f"{WALLBOX}/allowed"


def home(**changed: Any) -> PointReadings:
    made = PointReadings(AgentConfig.load(HOME, {}))
    battery = {"power_kw": 0.5, "setpoint_kw": -2.0, "soc": 61.0, "remote": 0}
    wallbox = {"power_kw": 11.0, "amps": 16, "allowed": 1, "phases": 3}
    made.update(PANEL, {"total_kw": 10.0}, NOW)
    made.update(BATTERY, {k: changed.get(k, v) for k, v in battery.items()}, NOW)
    made.update(WALLBOX, {k: changed.get(k, v) for k, v in wallbox.items()}, NOW)
    return made


def test_a_battery_is_read_with_its_charge_and_who_commands_it() -> None:
    read = home().reading(NOW).circuit("battery1")
    assert (read.power_kw, read.limit, read.soc_percent) == (0.5, -2.0, 61.0)
    assert read.is_commanded is False
    assert read.relinquish, "its own programme had it: that is what it goes back to"
    commanded = home(remote="active").reading(NOW).circuit("battery1")
    assert (commanded.is_commanded, commanded.relinquish) == (True, False)


def test_without_its_mode_or_charge_nothing_is_known_of_it() -> None:
    assert home(remote=None).reading(NOW).circuit("battery1").limit is None
    for absurd in (655.35, -1.0, None):
        assert home(soc=absurd).reading(NOW).circuit("battery1").soc_percent is None


def test_a_charger_that_is_paused_is_limited_to_nothing() -> None:
    assert home().reading(NOW).circuit("car1").limit == 16.0
    assert home(allowed=0).reading(NOW).circuit("car1").limit == 0.0
    assert home(allowed=None).reading(NOW).circuit("car1").limit is None
    assert [home(phases=n).reading(NOW).circuit("car1").phases for n in (0, 1, 3, 7)] == [
        None,
        1,
        3,
        None,
    ]


def written(*writes: PointWrite, driver_type: str = "modbus") -> list[tuple[str, Any, bool]]:
    drivers = {BATTERY: driver_type, WALLBOX: driver_type}
    expanded = ControlWrites(AgentConfig.load(HOME, {}), drivers).at_devices(writes)
    return [(write.point, write.value, write.relinquish) for write in expanded]


def test_a_battery_is_commanded_and_then_given_back_to_its_programme() -> None:
    taken = PointWrite("battery1", SETPOINT, -3.0)
    back = PointWrite("battery1", SETPOINT, 0.5, relinquish=True)
    assert written(taken) == [(SETPOINT, -3.0, False), (REMOTE, True, False)]
    assert written(back) == [(REMOTE, False, False), (SETPOINT, 0.5, False)]
    assert written(back, driver_type="bacnet") == [(REMOTE, False, True), (SETPOINT, 0.5, True)]


def test_a_charger_is_paused_where_its_limit_takes_no_nothing() -> None:
    assert written(PointWrite("car1", AMPS, 0.0)) == [(ALLOWED, False, False)]
    assert written(PointWrite("car1", AMPS, 8.0)) == [(AMPS, 8.0, False), (ALLOWED, True, False)]
    back = PointWrite("car1", AMPS, 16.0, relinquish=True)
    assert written(back, driver_type="bacnet") == [(AMPS, 16.0, True), (ALLOWED, True, True)]


def test_other_points_are_written_as_they_are() -> None:
    other = PointWrite("battery1", f"{BATTERY}/contactor", False)
    assert written(other) == [(f"{BATTERY}/contactor", False, False)]


def test_the_batteries_charge_is_the_sites_where_the_panel_has_no_point_of_it() -> None:
    assert home().reading(NOW).battery_soc == 61.0
    assert home(soc=None).reading(NOW).battery_soc is None
    assert points().reading(NOW).battery_soc is None, "no battery at all"
