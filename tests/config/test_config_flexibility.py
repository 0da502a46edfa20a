"""Circuits that are shed by a setpoint, and comfort guards, in the configuration."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.config.builders import MINIMAL, explained, load, with_field
from VenAgent.dr.comfort_guard import ComfortGuard
from VenAgent.dr.panel import PanelCircuitControl
from VenAgent.dr.setpoint_control import SetpointControl

RTU = {
    "id": "rtu1",
    "name": "Rooftop unit",
    "type": "hvac",
    "breaker_amps": 30,
    "control": "setpoint",
    "device": "site/rtu1",
    "power_point": "power_kw",
    "setpoint_point": "cooling_setpoint",
    "setpoint_offset": 2,
    "setpoint_minimum": 18,
    "setpoint_maximum": 27,
}
GUARD = {"guard_point": "zone_c", "guard_maximum": 26.5}
PANEL = {"device": "site/panel", "power_point": "total_kw"}


def with_circuit(**changed: Any) -> dict[str, Any]:
    """RTU with these settings; None takes one away."""
    circuit = {k: v for k, v in {**RTU, **changed}.items() if v is not None}
    contents = with_field("panel", PANEL)
    return with_field("circuits.1", circuit, contents)


def test_a_setpoint_circuit_is_built() -> None:
    config = load(with_circuit(shed_kw=1.8, setpoint_step=0.5, settle_sec=900, **GUARD))
    circuit = config.build_panel().by_id["rtu1"]
    assert circuit.control is PanelCircuitControl.SETPOINT
    assert circuit.point == "site/rtu1/cooling_setpoint"
    assert circuit.setpoint == SetpointControl(
        minimum=18.0,
        maximum=27.0,
        rises=True,
        offset=2.0,
        step=0.5,
        settle_sec=900.0,
        configured_kw=1.8,
    )
    assert circuit.guard == ComfortGuard(-math.inf, 26.5, margin=0.5, unit="celsius")
    assert circuit.settle_sec == 900.0


def test_heating_and_a_value_are_built() -> None:
    down = load(with_circuit(setpoint_offset=-3)).build_panel().by_id["rtu1"].setpoint
    assert down is not None
    assert not down.rises
    fixed = with_circuit(setpoint_offset=None, setpoint_value=25, setpoint_direction="up")
    control = load(fixed).build_panel().by_id["rtu1"].setpoint
    assert control is not None
    assert (control.value, control.rises) == (25.0, True)


def test_a_guard_may_stand_at_another_device_which_is_read_too() -> None:
    config = load(with_circuit(guard_device="site/sensor", **GUARD))
    assert "site/sensor" in config.devices()


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({"setpoint_point": None}, "control is 'setpoint' but setpoint_point is missing"),
        ({"setpoint_offset": None}, "give either setpoint_offset (by how much it is moved)"),
        ({"setpoint_value": 25}, "give either setpoint_offset"),
        ({"setpoint_offset": 0}, "setpoint_offset is 0: that sheds nothing"),
        (
            {"setpoint_offset": None, "setpoint_value": 25},
            'setpoint_value needs "setpoint_direction"',
        ),
        ({"setpoint_direction": "down"}, "moves the setpoint up, and setpoint_direction says down"),
        ({"setpoint_maximum": None}, "give setpoint_minimum and setpoint_maximum"),
        ({"setpoint_minimum": 27}, "setpoint_minimum 27 must be below setpoint_maximum 27"),
        (
            {"setpoint_offset": None, "setpoint_value": 30, "setpoint_direction": "up"},
            "setpoint_value 30 is outside setpoint_minimum 18 to setpoint_maximum 27",
        ),
        ({"floor": 0.5}, "floor is for limits"),
        ({"power_point": None}, "shed_kw is missing"),
        ({"settle_sec": -1}, "settle_sec"),
        ({"guard_maximum": 26}, "guard_point is missing"),
        ({"guard_point": "zone_c"}, "guard_point has no bound"),
        ({**GUARD, "guard_minimum": 26}, "leave no room between them"),
        ({**GUARD, "guard_maximum": 260}, "guard_maximum 260 is outside -20 to 100"),
        (
            {"guard_point": "co2", "guard_unit": "ppm", "guard_maximum": 100},
            "guard_maximum 100 is outside 300 to 10000",
        ),
        ({**GUARD, "guard_margin": -1}, "guard_margin"),
        ({"setpoint_point": "s1", "control_device": "site/panel"}, "are both controlled by"),
    ],
)
def test_what_cannot_be_is_named(changed: dict[str, Any], finding: str) -> None:
    assert finding in explained(with_circuit(**changed))


def test_a_setpoint_that_nothing_measures_is_refused() -> None:
    circuit = {k: v for k, v in RTU.items() if k != "power_point"} | {"shed_kw": 2}
    assert "what its setpoint brings could not be seen" in explained(
        with_field("circuits.1", circuit, MINIMAL)
    )
    load(with_circuit(power_point=None, shed_kw=2))
