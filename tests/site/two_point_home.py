"""A home as registers: its battery has a mode and its charger a pause beside the setpoint."""

from __future__ import annotations

from typing import Any

from tests.site.register_house import RegisterHouse, register_config

BATTERY: dict[str, Any] = {
    "id": "battery1",
    "name": "Battery",
    "type": "battery",
    "breaker_amps": 32,
    "priority": 5,
    "control": "power",
    "power_point": "battery_kw",
    "power_setpoint_point": "command_w",
    "power_setpoint_scale": -0.001,
    "power_setpoint_step": 10,
    "max_discharge_kw": 5,
    "capacity_kwh": 13.5,
    "soc_point": "soc",
    "mode_point": "mode",
    "mode_value": 4,
    "mode_release_value": 1,
}
CHARGER: dict[str, Any] = {
    "id": "car1",
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
REGISTERS: dict[str, float | bool] = {
    "command_w": 0,
    "soc": 60.0,
    "mode": 1,
    "amps": 16,
    "pause": 0,
    "heater_on": True,
}
BEFORE = {name: value for name, value in REGISTERS.items() if name != "soc"}
"""What is written, as it was found."""


def two_point_physics(registers: dict[str, float | bool]) -> None:
    commanded_kw = -0.001 * registers["command_w"]
    registers["battery_kw"] = commanded_kw if registers["mode"] == 4 else 0.5
    registers["car_kw"] = 0.0 if registers["pause"] else min(3.84, 0.24 * registers["amps"])
    registers["heater_kw"] = 4.5 if registers["heater_on"] else 0.0
    drawn_kw = (registers[name] for name in ("battery_kw", "car_kw", "heater_kw"))
    registers["total_kw"] = 6.0 + sum(float(kw) for kw in drawn_kw)


def two_point_home(**changed: Any) -> RegisterHouse:
    config = register_config(BATTERY, CHARGER, HEATER)
    house = RegisterHouse(config, REGISTERS | changed, two_point_physics)
    house.wait(300.0)
    return house


def own_registers(house: RegisterHouse) -> dict[str, float | bool]:
    return {name: house.registers[name] for name in BEFORE}
