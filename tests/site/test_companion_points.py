"""Circuits of two points: whatever is edited in mid-event, both go back as the event found them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.dr.house import send_event
from tests.site.register_house import RegisterHouse, register_config
from tests.support.each_case import each_case

BATTERY: dict[str, Any] = {
    "id": "bat",
    "name": "Battery",
    "type": "battery",
    "breaker_amps": 32,
    "priority": 5,
    "control": "power",
    "power_point": "bat_kw",
    "power_setpoint_point": "bat_w",
    "power_setpoint_scale": -0.001,
    "power_setpoint_step": 10,
    "max_discharge_kw": 5,
    "capacity_kwh": 13.5,
    "soc_point": "soc",
    "mode_point": "mode",
    "mode_value": 4,
    "mode_release_value": 1,
}
CAR: dict[str, Any] = {
    "id": "car",
    "name": "Car",
    "breaker_amps": 32,
    "priority": 5,
    "control": "limit",
    "power_point": "car_kw",
    "limit_point": "amps",
    "limit_unit": "amps",
    "pause_point": "pause",
    "pause_value": 1,
    "resume_value": 0,
}
HEATER: dict[str, Any] = {
    "id": "heater1",
    "name": "Heater",
    "breaker_amps": 30,
    "priority": 3,
    "power_point": "heater_kw",
    "switch_point": "heater_on",
}
AS_FOUND: Mapping[str, float | bool] = {"bat_w": 0, "mode": 1, "amps": 16, "pause": 0}


def physics(registers: dict[str, float | bool]) -> None:
    is_commanded = registers["mode"] == 4
    registers["bat_kw"] = -0.001 * registers["bat_w"] if is_commanded else 0.5
    registers["car_kw"] = 0.0 if registers["pause"] == 1 else min(3.84, 0.24 * registers["amps"])
    registers["heater_kw"] = 4.5 if registers["heater_on"] else 0.0
    drawn = (registers[name] for name in ("bat_kw", "car_kw", "heater_kw"))
    registers["total_kw"] = 6.0 + sum(float(kw) for kw in drawn)


def without(circuit: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {key: value for key, value in circuit.items() if not key.startswith(prefix)}


EDITS: dict[str, list[dict[str, Any]]] = {
    "nothing": [BATTERY, CAR, HEATER],
    "both removed": [HEATER],
    "ids renamed": [{**BATTERY, "id": "bat2"}, {**CAR, "id": "car2"}, HEATER],
    "second points left out": [
        without(BATTERY, "mode"),
        {k: v for k, v in CAR.items() if k not in ("pause_point", "pause_value", "resume_value")},
        HEATER,
    ],
    "other values": [{**BATTERY, "mode_release_value": 0}, {**CAR, "resume_value": 2}, HEATER],
    "not controlled": [{**BATTERY, "control": "none"}, HEATER],
}


@each_case("edit", list(EDITS))
@each_case("restarted", [False, True])
def test_both_points_go_back_whatever_is_edited_in_mid_event(restarted: bool, edit: str) -> None:
    """The battery stayed in its remote mode and the car paused, for ever and without a word."""
    registers = {**AS_FOUND, "soc": 60.0, "heater_on": True}
    house = RegisterHouse(register_config(BATTERY, CAR, HEATER), registers, physics)
    house.wait(300.0)
    send_event(house, 9.0, duration_sec=300)
    house.wait(60.0)
    assert (house.registers["mode"], house.registers["pause"]) == (4, 1)
    house.take_config(register_config(*EDITS[edit]))
    if restarted:
        house.restart()
    house.wait(1_200.0)
    assert {name: house.registers[name] for name in AS_FOUND} == AS_FOUND
    assert "restore.failed" not in house.alerted
