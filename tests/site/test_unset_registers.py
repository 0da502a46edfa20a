"""Control registers that hold nothing: what stood there is not known, and is said to whom it may
concern."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.dr.house import send_event
from tests.site.register_house import DEVICE, RegisterHouse, register_config
from VenAgent.site.point_readings import PointReadings

BOILER = {
    "id": "boiler1",
    "name": "Boiler",
    "breaker_amps": 50,
    "priority": 5,
    "control": "limit",
    "power_point": "boiler_kw",
    "limit_point": "limit",
}
ROOM = {
    "id": "room1",
    "name": "Room",
    "breaker_amps": 30,
    "control": "setpoint",
    "power_point": "room_kw",
    "setpoint_point": "setpoint",
    "setpoint_minimum": 18,
    "setpoint_maximum": 26,
    "setpoint_offset": 2,
}
SENTINELS = [-1, 9999]
UNSET = [math.nan, math.inf, -math.inf, None, "----", -1, 9999]
"""What a register may read that holds no limit: no number, or the device's own sign."""


def physics(registers: dict[str, Any]) -> None:
    limit = registers["limit"]
    is_limited = isinstance(limit, (int, float)) and 0 <= limit <= 100
    registers["boiler_kw"] = min(7.2, 0.12 * limit) if is_limited else 7.2
    registers["total_kw"] = 5.0 + registers["boiler_kw"]


def boiler_house(limit: Any, after_sec: float = 120.0) -> RegisterHouse:
    config = register_config(BOILER, sentinels=SENTINELS)
    house = RegisterHouse(config, {"limit": limit}, physics)
    house.wait(after_sec)
    return house


@pytest.mark.parametrize("unset", UNSET)
def test_a_limit_is_written_over_what_is_no_limit_and_given_back_as_full_scale(unset: Any) -> None:
    """It was never shed, and nothing named it."""
    house = boiler_house(unset)
    (suspect,) = house.points.suspects()
    assert suspect.point == f"{DEVICE}/limit"
    assert "taken for no limit" in suspect.reason
    send_event(house, 4.0, duration_sec=120.0)
    house.wait(60.0)
    assert house.registers["limit"] == 27
    assert house.acks[0]["status"] == "accepted"
    house.wait(300.0)
    assert house.registers["limit"] == 100
    assert house.points.suspects() == []
    assert house.alerts == {}


def test_a_limit_that_was_read_before_stands_while_its_register_reads_nothing() -> None:
    """As of a device that has just begun: what stood there is given back."""
    house = boiler_house(50)
    house.registers["limit"] = math.nan
    house.wait(10.0)
    send_event(house, 4.0, duration_sec=120.0)
    house.wait(60.0)
    assert house.registers["limit"] < 50
    house.wait(300.0)
    assert house.registers["limit"] == 50


def test_a_register_that_has_read_nothing_for_a_moment_is_not_taken_for_unlimited() -> None:
    points = PointReadings(register_config(BOILER, sentinels=SENTINELS))
    points.update(DEVICE, {"limit": math.nan, "boiler_kw": 7.2, "total_kw": 12.2}, 1_000.0)
    assert points.reading(1_001.0).circuit("boiler1").limit is None
    assert points.suspects() != []


def test_a_register_that_does_not_show_what_was_written_is_not_taken_for_unlimited() -> None:
    """It was no hand: nothing is known of it."""
    house = boiler_house(math.nan)
    send_event(house, 4.0, duration_sec=600.0)
    house.wait(20.0)
    real, house.registers["limit"] = house.registers["limit"], math.nan
    assert real == 27
    house.physics = lambda r: r.update(boiler_kw=0.12 * 27, total_kw=5.0 + 0.12 * 27)
    house.wait(200.0)
    assert not [ack for ack in house.acks if "hand" in (ack.get("reason") or "")]
    assert "circuit.manual_override" not in {code for code, _ in house.alerts}


@pytest.mark.parametrize("unset", [math.nan, None, 32767, -32768, 65535])
def test_a_setpoint_that_is_none_is_named_and_left(unset: Any) -> None:
    """What stands there could not be given back."""

    def warm(registers: dict[str, Any]) -> None:
        registers |= {"room_kw": 3.0, "total_kw": 5.0}

    house = RegisterHouse(register_config(ROOM), {"setpoint": unset}, warm)
    house.wait(120.0)
    assert [each.point for each in house.points.suspects()] == [f"{DEVICE}/setpoint"]
    send_event(house, 1.0, duration_sec=120.0)
    house.wait(60.0)
    assert house.acks[0]["reason_code"] == "nothing_to_shed"
    assert house.written == []


def test_a_scale_factor_of_zero_counts_alone_and_after_a_minute_of_zeros() -> None:
    """0 is the commonest: a device that sends what changes never sent it with anything else."""
    config = register_config(BOILER, scale_points={"boiler_kw": "sf", "limit": "sf"})
    alone = PointReadings(config)
    alone.update(DEVICE, {"sf": 0}, 1_000.0)
    alone.update(DEVICE, {"limit": 50, "total_kw": 12.2}, 1_001.0)
    assert alone.reading(1_001.0).circuit("boiler1").limit == 50.0
    idle = PointReadings(config)
    zeros = dict.fromkeys(("sf", "limit", "boiler_kw", "total_kw"), 0)
    for sec in range(0, 65, 5):
        assert idle.unit_of(f"{DEVICE}/limit") is None
        idle.update(DEVICE, zeros, 1_000.0 + sec)
    assert idle.unit_of(f"{DEVICE}/limit") == 1.0
    for sec in (70, 75):  # it had begun late after all: what it says later counts
        idle.update(DEVICE, zeros | {"sf": -1, "total_kw": 5.0}, 1_000.0 + sec)
    assert idle.unit_of(f"{DEVICE}/limit") == pytest.approx(0.1)


def test_a_scale_factor_that_is_none_is_named() -> None:
    config = register_config(BOILER, scale_points={"limit": "sf"})
    points = PointReadings(config)
    points.update(DEVICE, {"limit": 50, "sf": -32768, "total_kw": 12.2}, 1_000.0)
    (suspect,) = points.suspects()
    assert suspect.reason == "its scale factor sf reads -32768"
    assert points.reading(1_000.0).circuit("boiler1").limit is None
