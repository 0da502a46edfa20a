"""Circuits of two points: whatever is edited in mid-event, both go back as the event found them."""

from __future__ import annotations

from typing import Any

from tests.dr.house import send_event
from tests.site.register_house import register_config
from tests.site.two_point_home import (
    BATTERY,
    BEFORE,
    CHARGER,
    HEATER,
    own_registers,
    two_point_home,
)
from tests.support.each_case import each_case


def without(circuit: dict[str, Any], *prefixes: str) -> dict[str, Any]:
    return {key: value for key, value in circuit.items() if not key.startswith(prefixes)}


EDITS: dict[str, list[dict[str, Any]]] = {
    "nothing": [BATTERY, CHARGER, HEATER],
    "both removed": [HEATER],
    "ids renamed": [{**BATTERY, "id": "battery2"}, {**CHARGER, "id": "car2"}, HEATER],
    "second points left out": [
        without(BATTERY, "mode"),
        {
            k: v
            for k, v in CHARGER.items()
            if k not in ("pause_point", "pause_value", "resume_value")
        },
        HEATER,
    ],
    "other values": [{**BATTERY, "mode_release_value": 0}, {**CHARGER, "resume_value": 2}, HEATER],
    "not controlled": [{**BATTERY, "control": "none"}, HEATER],
}


@each_case("edit", list(EDITS))
@each_case("restarted", [False, True])
def test_both_points_go_back_whatever_is_edited_in_mid_event(restarted: bool, edit: str) -> None:
    """The battery stayed in its remote mode and the car paused, for ever and without a word."""
    house = two_point_home()
    send_event(house, 9.0, duration_sec=300)
    house.wait(60.0)
    assert (house.registers["mode"], house.registers["pause"]) == (4, 1)
    house.take_config(register_config(*EDITS[edit]))
    if restarted:
        house.restart()
    house.wait(1_200.0)
    assert own_registers(house) == BEFORE
    assert "restore.failed" not in house.alerted
