"""A load without a meter that is shed by a limit: the loop closes on the panel's meter."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dr.house import send_event
from tests.site.register_house import RegisterHouse, register_config

DRIVE = {
    "id": "drive1",
    "name": "Drive",
    "breaker_amps": 40,
    "priority": 5,
    "control": "limit",
    "nominal_kw": 8.0,
    "limit_point": "percent",
    "limit_full_scale_kw": 8.0,
    "switch_point": "drive_on",
}
HEATER = {
    "id": "heater1",
    "name": "Heater",
    "breaker_amps": 30,
    "priority": 4,
    "power_point": "heater_kw",
    "switch_point": "heater_on",
}
BEFORE = {"percent": 100, "drive_on": True, "heater_on": True}


def physics(registers: dict[str, Any]) -> None:
    registers["heater_kw"] = 4.5 if registers["heater_on"] else 0.0
    drive_kw = 0.08 * registers["percent"] if registers["drive_on"] else 0.0
    registers["total_kw"] = 8.0 + drive_kw + registers["heater_kw"]


@pytest.fixture
def works() -> RegisterHouse:
    house = RegisterHouse(register_config(DRIVE, HEATER), BEFORE, physics)
    house.wait(300.0)
    return house


def own(house: RegisterHouse) -> dict[str, float | bool]:
    return {name: house.registers[name] for name in BEFORE}


def test_it_draws_what_it_is_limited_to_as_far_as_is_known(works: RegisterHouse) -> None:
    """Else it would have "not responded", and others would go off in its place."""
    send_event(works, 4.0, duration_sec=1_800.0)
    works.wait(300.0)
    assert own(works) == BEFORE | {"percent": 50}
    assert works.alerts == {}
    assert works.last("measured")["actual_shed_kw"] == 4.0
    works.wait(2_000.0)
    assert own(works) == BEFORE


@pytest.mark.parametrize(("asked_kw", "percent"), [(2.0, 75), (7.0, 12)])
def test_a_modification_lets_it_back_or_lowers_it_further(
    works: RegisterHouse, asked_kw: float, percent: int
) -> None:
    send_event(works, 4.0, duration_sec=1_800.0)
    works.wait(60.0)
    send_event(works, asked_kw, modification=1, correlationId="c2", duration_sec=1_800.0)
    works.wait(300.0)
    assert own(works) == BEFORE | {"percent": percent}
    assert abs(20.5 - works.power_kw - asked_kw) <= 0.1


def test_a_limit_takes_no_more_than_it_needs(works: RegisterHouse) -> None:
    works.send("limit", event_id="L", correlationId="1", import_kw=14.0)
    works.wait(600.0)
    assert 13.0 <= works.power_kw <= 14.0
    works.send("cancel", event_id="L", correlationId="x")
    works.wait(600.0)
    assert own(works) == BEFORE
