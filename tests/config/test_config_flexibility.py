"""Setpoints, comfort guards, batteries and car chargers in the configuration."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tests.config.builders import MINIMAL, ROOT, explained, load, with_field
from VenAgent.dr.comfort_guard import ComfortGuard
from VenAgent.dr.panel import PanelCircuitControl
from VenAgent.dr.policy import RotationPolicy
from VenAgent.dr.setpoint_control import SetpointControl
from VenAgent.dr.storage_control import StorageControl

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
    assert circuit.guard == ComfortGuard(
        -math.inf, 26.5, margin=0.5, unit="celsius", frozen_sec=21_600.0
    )
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
        ({**GUARD, "guard_maximum": 260}, "guard_maximum 260 is outside -35 to 100"),
        ({**GUARD, "guard_unit": "\u00b0C", "guard_maximum": 260}, "is outside -35 to 100"),
        ({**GUARD, "guard_point": "cooling_setpoint"}, "guard_point is the setpoint itself"),
        ({"setpoint_offset": 0.5, "setpoint_step": 1}, "less than setpoint_step 1"),
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


@pytest.mark.parametrize(
    ("written", "unit", "broken"),
    [
        *((each, "celsius", 85.0) for each in ("degreesCelsius", "°C", "C", "degC", "Degrees C")),
        *((each, "fahrenheit", 185.0) for each in ("degreesFahrenheit", "°F", "degF", "F")),
        ("degreesKelvin", "kelvin", 358.15),
        ("partsPerMillion", "ppm", None),
        ("%", "percent", None),
        ("percentRelativeHumidity", "percent", None),
    ],
)
def test_a_guards_unit_is_known_however_it_is_written(
    written: str, unit: str, broken: float | None
) -> None:
    """As registries and BACnet write it: what such a point can read does not depend on that."""
    inside = {"celsius": 26.0, "fahrenheit": 78.0, "kelvin": 299.0, "ppm": 900.0, "percent": 60.0}
    guard = {"guard_point": "zone", "guard_maximum": inside[unit]}
    config = load(with_circuit(**guard, guard_unit=written))
    plain = load(with_circuit(**guard, guard_unit=unit))
    (circuit,) = (each for each in config.circuits if each.guard_point)
    (as_word,) = (each for each in plain.circuits if each.guard_point)
    assert circuit.guard_range == as_word.guard_range
    assert math.isfinite(circuit.guard_range[0])
    assert circuit.guard_at_power_on == as_word.guard_at_power_on == broken
    assert config.build_panel() == plain.build_panel(), "and the page shows one sign for it"


def test_a_setpoint_that_nothing_measures_is_refused() -> None:
    circuit = {k: v for k, v in RTU.items() if k != "power_point"} | {"shed_kw": 2}
    assert "what its setpoint brings could not be seen" in explained(
        with_field("circuits.1", circuit, MINIMAL)
    )
    load(with_circuit(power_point=None, shed_kw=2))


# ---- batteries -------------------------------------------------------------------------------

BATTERY = {
    "id": "battery1",
    "name": "Battery",
    "type": "battery",
    "breaker_amps": 32,
    "control": "power",
    "device": "site/battery",
    "power_point": "power_w",
    "power_scale": 0.001,
    "power_setpoint_point": "setpoint_w",
    "power_setpoint_scale": -0.001,
    "power_setpoint_step": 1,
    "max_discharge_kw": 5,
    "capacity_kwh": 13.5,
    "soc_point": "soc",
    "mode_point": "remote",
}


def with_battery(**changed: Any) -> dict[str, Any]:
    circuit = {k: v for k, v in {**BATTERY, **changed}.items() if v is not None}
    return with_field("circuits.1", circuit, with_field("panel", PANEL))


def test_a_battery_is_built() -> None:
    config = load(with_battery(reserve_soc_percent=30, round_trip_efficiency=0.85))
    circuit = config.build_panel().by_id["battery1"]
    assert circuit.control is PanelCircuitControl.POWER
    assert circuit.point == "site/battery/setpoint_w"
    assert circuit.storage == StorageControl(
        most_discharge_kw=5.0,
        most_charge_kw=5.0,
        capacity_kwh=13.5,
        reserve_soc_percent=30.0,
        round_trip_efficiency=0.85,
        kw_per_value=-0.001,
        step=1.0,
    )


def test_a_car_that_discharges_in_amps() -> None:
    changed = {"power_setpoint_unit": "amps", "power_setpoint_scale": 1, "phases": 3}
    contents = with_battery(**changed)
    contents["panel"] = {**PANEL, "voltage": 230}
    storage = load(contents).build_panel().by_id["battery1"].storage
    assert storage is not None
    assert storage.kw_per_value == pytest.approx(0.69)


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({"power_setpoint_point": None}, "power_setpoint_point is missing"),
        ({"max_discharge_kw": None}, "max_discharge_kw is missing"),
        ({"capacity_kwh": None}, "capacity_kwh is missing"),
        ({"soc_point": None}, "soc_point is missing: give its state of charge"),
        ({"power_point": None, "nominal_kw": 2, "switch_point": "s9"}, "power_point is missing"),
        ({"power_setpoint_scale": 0}, "power_setpoint_scale is 0"),
        ({"mode_release_value": True}, "mode_value and mode_release_value are the same"),
        ({"reserve_soc_percent": 100}, "reserve_soc_percent"),
        ({"round_trip_efficiency": 1.2}, "round_trip_efficiency"),
        ({"floor": 0.2}, "a battery keeps its reserve_soc_percent"),
        ({"mode_point": "s1", "control_device": "site/panel"}, "are both controlled by"),
    ],
)
def test_what_a_battery_cannot_be_is_named(changed: dict[str, Any], finding: str) -> None:
    assert finding in explained(with_battery(**changed))


# ---- car chargers ----------------------------------------------------------------------------

CHARGER = {
    "id": "car1",
    "name": "Wallbox",
    "type": "ev",
    "breaker_amps": 16,
    "control": "limit",
    "device": "site/wallbox",
    "power_point": ["l1_w", "l2_w", "l3_w"],
    "power_scale": 0.001,
    "limit_point": "amps",
    "limit_unit": "amps",
    "phases": 3,
}


def with_charger(**changed: Any) -> dict[str, Any]:
    circuit = {k: v for k, v in {**CHARGER, **changed}.items() if v is not None}
    return with_field("circuits.1", circuit, with_field("panel", {**PANEL, "voltage": 230}))


def test_amps_are_amps_by_phases_by_voltage() -> None:
    for panel, kilowatts in (
        ({"voltage": 230}, 11.04),
        ({"voltage": 400, "phases": 3}, 16 * 3 * 400 / math.sqrt(3) / 1000),
        ({"voltage": 230, "phases": 3, "voltage_between": "line_and_neutral"}, 11.04),
    ):
        contents = with_charger()
        contents["panel"] = {**PANEL, **panel}
        contents["circuits"][0]["voltage"] = 230
        circuit = load(contents).build_panel().by_id["car1"]
        assert circuit.limit is not None
        assert circuit.limit.kw_of(16.0) == pytest.approx(kilowatts), panel
        assert circuit.rating_kw == pytest.approx(kilowatts), panel


def test_the_least_is_6_amps_unless_the_car_wants_more() -> None:
    for changed, least in (({}, 6.0), ({"minimum_amps": 8}, 8.0), ({"limit_lowest": 10}, 10.0)):
        limit = load(with_charger(**changed)).build_panel().by_id["car1"].limit
        assert limit is not None
        assert limit.lowest == least
        assert limit.value_at(least * 0.69 * 0.4) == 0.0


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({"minimum_amps": 6, "limit_lowest": 6}, "are the same: give one of them"),
        ({"minimum_amps": 6, "limit_unit": "kw"}, "minimum_amps is for"),
        ({"poles": 3}, "phases says what poles and voltage say"),
        ({"voltage": 230}, "phases says what poles and voltage say"),
        ({"phases_point": "n", "phases": None}, "phases_point needs"),
        ({"pause_point": "allowed", "pause_value": True}, "nothing would pause"),
        ({"pause_point": "p", "control": "switch", "switch_point": "s"}, "pause_point is for"),
        ({"phases": 4}, "phases"),
    ],
)
def test_what_a_charger_cannot_be_is_named(changed: dict[str, Any], finding: str) -> None:
    assert finding in explained(with_charger(**changed))


# ---- turns -----------------------------------------------------------------------------------


def test_units_of_a_type_take_turns() -> None:
    alike = load(with_circuit(rotation_sec=1800)).build_panel().by_id["rtu1"].rotation
    assert alike == RotationPolicy("hvac", 1800.0)
    named = load(with_circuit(rotation_sec=1800, rotation_group="roof")).build_panel()
    assert named.by_id["rtu1"].rotation == RotationPolicy("roof", 1800.0)
    assert load(with_circuit()).build_panel().by_id["rtu1"].rotation is None


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({"rotation_group": "roof"}, "rotation_group needs rotation_sec"),
        ({"rotation_sec": 10}, "rotation_sec"),
        ({"rotation_sec": 200, "min_off_sec": 300}, "shorter than min_off_sec 300"),
    ],
)
def test_what_turns_cannot_be_is_named(changed: dict[str, Any], finding: str) -> None:
    assert finding in explained(with_circuit(**changed))


def test_the_worked_examples_are_configurations() -> None:
    page = (ROOT / "docs" / "flexibility.md").read_text()
    blocks = [text.partition("```")[0] for text in page.split("```json\n")[1:]]
    assert len(blocks) == 4
    roof, shop, home, connection = (load(json.loads(block)).build_panel() for block in blocks)
    assert roof.can_feed_in_less
    assert [c.guard is not None for c in shop.circuits] == [True] * 4
    assert home.by_id["battery1"].storage is not None
    limit = home.by_id["car1"].limit
    assert limit is not None
    assert limit.kw_of(16.0) == pytest.approx(11.085, abs=0.01)
    assert [c.guard is not None for c in connection.circuits] == [True, False]


# ---- what generates, and what draws more ---------------------------------------------------------


INVERTER: dict[str, Any] = {
    "id": "pv1",
    "name": "Roof",
    "breaker_amps": 50,
    "generates": True,
    "control": "limit",
    "power_point": "pv_kw",
    "limit_point": "pv_percent",
    "limit_full_scale_kw": 10,
}


def with_inverter(**changed: Any) -> dict[str, Any]:
    circuit = {k: v for k, v in {**INVERTER, **changed}.items() if v is not None}
    return with_field("circuits.1", circuit, with_field("panel", PANEL))


def test_an_inverter_is_built_as_one() -> None:
    panel = load(with_inverter()).build_panel()
    assert panel.by_id["pv1"].generates
    assert panel.can_feed_in_less
    for changed in ({"critical": True}, {"control": "none"}):
        assert not load(with_inverter(**changed)).build_panel().can_feed_in_less


@pytest.mark.parametrize(
    ("contents", "finding"),
    [
        (with_inverter(control="setpoint"), "generates is for"),
        (with_inverter(power_point=None, nominal_kw=3.0, switch_point="s"), "generates needs"),
        (with_inverter(floor=0.5), "floor is for"),
        (with_battery(max_soc_percent=20), "max_soc_percent 20 must be above"),
        (with_circuit(setpoint_raise_value=16), "setpoint_raise_value 16 is outside"),
        (
            with_circuit(
                setpoint_offset=None,
                setpoint_value=24,
                setpoint_direction="up",
                setpoint_raise_value=25,
            ),
            "setpoint_raise_value 25 must be below",
        ),
    ],
)
def test_what_generates_or_draws_more_and_cannot_be_is_named(
    contents: dict[str, Any], finding: str
) -> None:
    assert finding in explained(contents)


def test_where_to_and_how_far_more_is_drawn() -> None:
    tank = with_circuit(
        setpoint_offset=None, setpoint_value=20, setpoint_direction="down", setpoint_raise_value=26
    )
    setpoint = load(tank).build_panel().by_id["rtu1"].setpoint
    assert setpoint is not None
    assert (setpoint.value, setpoint.raise_value, setpoint.rises) == (20.0, 26.0, False)
    storage = load(with_battery(max_soc_percent=90)).build_panel().by_id["battery1"].storage
    assert storage is not None
    assert storage.most_soc_percent == 90.0
