"""check-config: whatever an event writes is there, takes writes and is nobody else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ops.check_config.config_check import check_config_files
from ops.host.paths import Paths

COLUMNS = (
    "Reference Point Name,Volttron Point Name,Units,Units Details,Modbus Register,Writable,"
    "Point Address,Default Value,Notes\n"
)
POINTS = """\
total,total_kw,kW,,>f,FALSE,0,,
heater,h_kw,kW,,>f,FALSE,10,,
relay,h_on,On/Off,,BOOL,TRUE,0,,
setpoint,sp,celsius,,>f,TRUE,20,,
zone,zone_c,celsius,,>f,FALSE,30,,
amps,amps,A,,>H,TRUE,40,,
lines,lines,lines,,>H,FALSE,41,,
charge,soc,percent,,>H,FALSE,50,,
command,command_kw,kW,,>f,TRUE,60,,
read only,ro,s,,>H,FALSE,70,,
heartbeat,hb,s,,>H,TRUE,80,,
factor,factor,power of ten,,>h,FALSE,90,,
tenths,tenths,celsius,,>h,TRUE,91,,
watts,watts,W,,>h,TRUE,92,,
"""
DRIVER = {
    "driver_config": {"device_address": "127.0.0.1", "port": 502, "slave_id": 1},
    "driver_type": "modbus",
    "registry_config": "config://own.csv",
    "interval": 5,
    "timezone": "UTC",
}
HEATER = {
    "id": "h",
    "name": "Heater",
    "breaker_amps": 30,
    "power_point": "h_kw",
    "switch_point": "h_on",
}
CHARGER = {**HEATER, "control": "limit", "limit_point": "amps", "limit_unit": "amps"}
BATTERY = {
    **HEATER,
    "control": "power",
    "power_setpoint_point": "command_kw",
    "max_discharge_kw": 5,
    "capacity_kwh": 10,
    "soc_point": "soc",
}
THERMOSTAT = {
    **HEATER,
    "control": "setpoint",
    "setpoint_point": "sp",
    "setpoint_offset": 2,
    "setpoint_minimum": 20,
    "setpoint_maximum": 26,
    "setpoint_step": 0.5,
}


def found(paths: Paths, folder: Path, *circuits: dict[str, Any], **settings: Any) -> list[str]:
    panel = {"device": "s/p", "power_point": "total_kw"}
    config = {"ven_id": "v1", "panel": panel, "circuits": list(circuits or [HEATER]), **settings}
    folder = folder / "own"
    folder.mkdir(exist_ok=True)
    (folder / "registry.csv").write_text(COLUMNS + POINTS)
    (folder / "driver.json").write_text(json.dumps(DRIVER))
    (folder / "agent.json").write_text(json.dumps(config, indent=1))
    return [str(each) for each in check_config_files(paths, [str(folder)])[0]]


def test_points_beside_the_control_point_are_looked_up(paths: Paths, tmp_path: Path) -> None:
    lease = {"device": "s/p", "heartbeat_point": "hb"}
    scaled = {"device": "s/p", "scale_points": {"h_kw": "factor", "sp": 0.1}}
    pause = {"pause_point": "hb", "pause_value": 2, "resume_value": 1}
    mode = {"mode_point": "hb", "mode_value": 4, "mode_release_value": 0}
    for right in (
        found(paths, tmp_path, leases=[lease], quirks=[scaled]),
        found(paths, tmp_path, {**CHARGER, **pause}),
        found(paths, tmp_path, {**BATTERY, **mode}),
        found(paths, tmp_path, {**THERMOSTAT, "setpoint_raise_value": 21}),
    ):
        assert right == []
    wrong: tuple[tuple[list[str], str], ...] = (
        (found(paths, tmp_path, {**CHARGER, "pause_point": "gone"}), "pause_point 'gone' is no p"),
        (
            found(paths, tmp_path, {**CHARGER, **pause, "pause_point": "ro"}),
            "pause_point 'ro' is written in an event, but",
        ),
        (found(paths, tmp_path, {**BATTERY, "mode_point": "gone"}), "mode_point 'gone' is no poi"),
        (
            found(paths, tmp_path, {**BATTERY, **mode, "mode_point": "ro"}),
            "mode_point 'ro' is written in an event, but",
        ),
        (
            found(paths, tmp_path, {**BATTERY, "power_setpoint_point": "total_kw"}),
            "power_setpoint_point 'total_kw' is written in an event, but",
        ),
        (
            found(paths, tmp_path, {**CHARGER, "switch_point": "ro"}),
            "switch_point 'ro' is written by setLoad",
        ),
        (
            found(paths, tmp_path, leases=[{**lease, "heartbeat_point": "gone"}]),
            "heartbeat_point 'gone' is no point",
        ),
        (
            found(paths, tmp_path, leases=[{**lease, "heartbeat_point": "ro"}]),
            "heartbeat_point 'ro' is written by the lease",
        ),
        (
            found(paths, tmp_path, leases=[{**lease, "timeout_point": "ro"}]),
            "timeout_point 'ro' is written by the lease",
        ),
        (
            found(paths, tmp_path, quirks=[{**scaled, "scale_points": {"gone": 0.1}}]),
            "scale_points 'gone' is no point",
        ),
        (
            found(paths, tmp_path, quirks=[{**scaled, "scale_points": {"sp": "gone"}}]),
            "scale_points 'gone' is no point",
        ),
        (
            found(paths, tmp_path, {**CHARGER, "minimum_amps": 6.5}),
            "minimum_amps 6.5 needs fractions",
        ),
        (
            found(paths, tmp_path, {**THERMOSTAT, "setpoint_raise_value": 25}),
            "setpoint_raise_value 25 is where setpoint_offset 2 sheds to",
        ),
        (
            found(paths, tmp_path, HEATER, {**HEATER, "id": "g", "switch_point": "hb"}),
            "power_point 'h_kw' measures circuit 'h' too",
        ),
    )
    for told, what in wrong:
        assert len(told) == 1, (what, told)
        assert what in told[0], told


def test_phases_of_a_charger_are_looked_up(paths: Paths, tmp_path: Path) -> None:
    panel = {"device": "s/p", "power_point": "total_kw", "phases": 3, "voltage": 400}
    three = {**CHARGER, "phases": 3, "phases_point": "lines"}
    assert found(paths, tmp_path, three, panel=panel) == []
    (told,) = found(paths, tmp_path, {**three, "phases_point": "gone"}, panel=panel)
    assert "phases_point 'gone' is no point" in told


def test_a_step_is_whole_units_of_an_integer_register(paths: Paths, tmp_path: Path) -> None:
    """A setpoint in tenths takes halves of a degree; a battery in watts takes no tenths of them."""
    tenths = {"device": "s/p", "scale_points": {"tenths": 0.1}}
    own = {**THERMOSTAT, "setpoint_point": "tenths"}
    watts = {**BATTERY, "power_setpoint_point": "watts", "power_setpoint_scale": 0.001}
    assert found(paths, tmp_path, own, quirks=[tenths]) == []
    assert found(paths, tmp_path, {**watts, "power_setpoint_step": 10}) == []
    for told, what in (
        (found(paths, tmp_path, own), "setpoint_step 0.5 needs fractions"),
        (
            found(paths, tmp_path, {**own, "setpoint_step": 0.25}, quirks=[tenths]),
            "Set setpoint_step to a multiple of 0.1",
        ),
        (found(paths, tmp_path, watts), "power_setpoint_step 0.1 needs fractions"),
    ):
        assert len(told) == 1, (what, told)
        assert what in told[0], told
