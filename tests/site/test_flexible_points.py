"""Setpoints, guards, batteries and chargers: the points that are read, and those written."""

from __future__ import annotations

import math
from typing import Any

import pytest

from VenAgent.config import AgentConfig, ConfigError
from VenAgent.dr.panel import PanelCircuitReading
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


@pytest.mark.parametrize("absurd", [-127.0, 850.0, 655.35, 85.0, math.nan, None, "bad", True])
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


def seldom(interval_sec: float) -> PointReadings:
    """The sensor comes at this interval, the last time just now; the others each second."""
    made = points()
    made.expect_intervals({SENSOR: interval_sec})
    return made


def guard_at(made: PointReadings, at_sec: float) -> PanelCircuitReading:
    made.update(PANEL, {"total_kw": 10.0}, NOW + at_sec)
    made.update(RTU, {"power_kw": 4.0, "setpoint": 22.0}, NOW + at_sec)
    return made.reading(NOW + at_sec).circuit("rtu1")


@pytest.mark.parametrize(
    ("interval_sec", "most_sec"), [(5.0, 30.0), (60.0, 150.0), (300.0, 420.0), (900.0, 1020.0)]
)
def test_a_silent_guard_is_believed_two_minutes_after_its_next_value_at_most(
    interval_sec: float, most_sec: float
) -> None:
    """Of its last value: two and a half intervals of a quarter of an hour would be 38 minutes."""
    made = seldom(interval_sec)
    read = guard_at(made, most_sec)
    assert (read.guard, read.guard_silent_sec) == (23.5, None)
    read = guard_at(made, most_sec + 1.0)
    assert (read.guard, read.guard_silent_sec) == (None, most_sec + 1.0)
    assert SENSOR in made.stale(NOW + most_sec + 1.0)


@pytest.mark.parametrize("interval_sec", [5.0, 60.0, 300.0, 900.0])
def test_what_a_broken_guard_read_before_stands_for_half_a_minute(interval_sec: float) -> None:
    """However seldom it is read: that it is broken is known when it answers so."""
    made = seldom(interval_sec)
    made.update(SENSOR, {"zone_c": -127.0}, NOW + 10.0)
    assert guard_at(made, 29.0).guard == 23.5
    made.update(SENSOR, {"zone_c": 850.0}, NOW + 30.0)
    read = guard_at(made, 41.0)
    assert (read.guard, read.guard_silent_sec) == (None, 41.0)
    made.update(SENSOR, {"zone_c": 24.0}, NOW + 50.0)
    assert guard_at(made, 51.0).guard == 24.0
    made.update(SENSOR, {"zone_c": -127.0}, NOW + 55.0)
    assert guard_at(made, 60.0).guard == 24.0, "one that is misread is not broken yet"


def test_a_charge_is_no_longer_believed_than_a_guard() -> None:
    made = home()
    made.expect_intervals({BATTERY: 900.0})
    made.update(BATTERY, {"soc": 655.35}, NOW + 10.0)
    read = made.reading(NOW + 50.0).circuit("battery1")
    assert (read.soc_percent, read.soc_silent_sec) == (None, 50.0)
    assert read.power_kw == 0.5, "what is read of it otherwise is as old as it may be"


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


# ---- registers in units of their own -------------------------------------------------------------


def sunspec() -> AgentConfig:
    """An inverter whose limit counts in hundredths of a percent, as its scale factor says, and a
    thermostat in tenths of a degree."""
    inverter = {
        "id": "pv1",
        "name": "Inverter",
        "breaker_amps": 50,
        "generates": True,
        "control": "limit",
        "device": "site/pv1",
        "power_point": "W",
        "power_scale": -0.001,
        "limit_point": "WMaxLimPct",
        "limit_full_scale_kw": 10,
    }
    battery = {
        "id": "battery1",
        "name": "Battery",
        "breaker_amps": 30,
        "control": "power",
        "device": "site/battery1",
        "power_point": "W",
        "power_scale": 0.001,
        "power_setpoint_point": "WSet",
        "power_setpoint_scale": 0.001,
        "max_discharge_kw": 5,
        "capacity_kwh": 10,
        "soc_point": "SoC",
        "mode_point": "WSetEna",
    }
    scales = [
        {"device": RTU, "scale_points": {"setpoint": 0.1, "power_kw": 1.0}},
        {"device": "site/pv1", "scale_points": {"WMaxLimPct": "WMaxLimPct_SF", "W": "W_SF"}},
        {"device": "site/battery1", "scale_points": {"WSet": "WSet_SF", "SoC": "SoC_SF"}},
    ]
    circuits = [*CONFIG["circuits"], inverter, battery]
    return AgentConfig.load({**CONFIG, "circuits": circuits, "quirks": scales}, {})


def test_what_is_written_is_in_the_registers_own_unit_and_read_back_as_it_was() -> None:
    config = sunspec()
    made = PointReadings(config)
    made.update(PANEL, {"total_kw": 1.0}, NOW)
    made.update(RTU, {"power_kw": 4.0, "setpoint": 220}, NOW)
    made.update("site/pv1", {"W": 61, "W_SF": 2, "WMaxLimPct": 10000, "WMaxLimPct_SF": -2}, NOW)
    read = made.reading(NOW)
    assert read.circuit("rtu1").limit == 22.0
    assert read.circuit("pv1").power_kw == pytest.approx(-6.1)
    assert read.circuit("pv1").limit == 100.0
    writes = [
        PointWrite("pv1", "site/pv1/WMaxLimPct", 47.0),
        PointWrite("rtu1", f"{RTU}/setpoint", 24.5),
    ]
    at_devices = ControlWrites(config, unit_of=made.unit_of).at_devices(writes)
    assert [(w.point, w.value) for w in at_devices] == [
        ("site/pv1/WMaxLimPct", 4700.0),
        (f"{RTU}/setpoint", 245.0),
    ]
    made.written({w.point: w.value for w in at_devices}, NOW + 1)
    for write, shown in zip(at_devices, (47.0, 24.5), strict=True):
        device, _, name = write.point.rpartition("/")
        made.update(device, {name: int(write.value)}, NOW + 2)
        assert made.reading(NOW + 2).circuit(write.circuit_id).limit == shown


def test_a_slow_device_with_a_scale_shows_its_write_in_that_scale() -> None:
    """Until it has settled only what was written is believed."""
    contents = {
        **CONFIG,
        "quirks": [{"device": RTU, "scale_points": {"setpoint": 0.1}, "settle_sec": 20}],
    }
    made = PointReadings(AgentConfig.load(contents, {}))
    made.update(RTU, {"power_kw": 4.0, "setpoint": 220}, NOW)
    made.written({f"{RTU}/setpoint": 245.0}, NOW + 1)
    made.update(RTU, {"power_kw": 4.0, "setpoint": 220}, NOW + 5)
    assert made.reading(NOW + 5).circuit("rtu1").limit is None
    made.update(RTU, {"power_kw": 4.0, "setpoint": 245}, NOW + 6)
    assert made.reading(NOW + 6).circuit("rtu1").limit == 24.5


def test_without_its_scale_factor_nothing_of_a_circuit_is_written_or_believed() -> None:
    """What stands for 5 kW is not known: neither its mode nor its power is written."""
    config = sunspec()
    made = PointReadings(config)
    made.update("site/battery1", {"W": 0, "WSet": 50, "SoC": 600, "WSetEna": 0}, NOW)
    assert made.reading(NOW).circuit("battery1").limit is None
    writes = ControlWrites(config, unit_of=made.unit_of)
    wanted = [
        PointWrite("battery1", "site/battery1/WSet", -2000.0),
        PointWrite("rtu1", f"{RTU}/setpoint", 24.0),
    ]
    assert [w.circuit_id for w in writes.at_devices(wanted)] == ["rtu1"]
    assert writes.unscaled(wanted) == {"battery1": "site/battery1/WSet"}
    made.update("site/battery1", {"WSet": 50, "WSet_SF": 1, "SoC": 600, "SoC_SF": -1}, NOW + 1)
    assert writes.unscaled(wanted) == {}
    assert [(w.point, w.value) for w in writes.at_devices(wanted)][:2] == [
        ("site/battery1/WSet", -200.0),
        ("site/battery1/WSetEna", True),
    ]
    assert made.reading(NOW + 1).circuit("battery1").soc_percent == 60.0
    later = PointReadings(config)
    later.adopt(made)
    assert later.unit_of("site/battery1/WSet") == 10.0, "it outlives a new configuration"
    assert made.blank().unit_of("site/battery1/WSet") == 10.0


@pytest.mark.parametrize("scale", [0, -1.0, True, math.nan])
def test_a_unit_that_cannot_be_is_refused(scale: Any) -> None:
    contents = {**CONFIG, "quirks": [{"device": RTU, "scale_points": {"setpoint": scale}}]}
    with pytest.raises(ConfigError, match="scale_points"):
        AgentConfig.load(contents, {})
