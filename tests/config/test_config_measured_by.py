"""What is measured is known by all that makes kW of it: a change of any of it is another meter."""

from __future__ import annotations

from typing import Any

from tests.config.builders import load
from tests.support.each_case import each_case

PANEL: dict[str, Any] = {"device": "site/panel", "power_point": "total_w", "power_scale": 0.001}
HEATER: dict[str, Any] = {
    "id": "heater",
    "name": "Heater",
    "breaker_amps": 30,
    "power_point": "heater_w",
    "power_scale": 0.001,
    "switch_point": "heater_on",
}
PUMP: dict[str, Any] = {
    "id": "pump",
    "name": "Pump",
    "breaker_amps": 16,
    "nominal_kw": 1.5,
    "switch_point": "pump_on",
}
SITE: dict[str, Any] = {"ven_id": "site-1", "panel": PANEL, "circuits": [HEATER]}
SUMMED: dict[str, Any] = {**SITE, "panel": {"device": "site/panel"}, "circuits": [HEATER, PUMP]}
QUIRKS = {"device": "site/panel", "scale_points": {"total_w": "w_sf"}}


@each_case(
    "change",
    [
        {"ven_id": "site-2"},
        {"panel": {**PANEL, "power_scale": 1.0}},
        {"panel": {**PANEL, "power_scale": -0.001}},
        {"panel": {**PANEL, "power_scale": 0.0015}},
        {"panel": {**PANEL, "power_point": "import_w"}},
        {"panel": {**PANEL, "power_point": ["total_w", "pv_w"]}},
        {"panel": {**PANEL, "device": "site/meter"}, "circuits": [{**HEATER, "device": "a/b"}]},
        {"quirks": [QUIRKS]},
        {"quirks": [{**QUIRKS, "scale_points": {"total_w": "other_sf"}}]},
        {"quirks": [{**QUIRKS, "scale_points": {"total_w": 0.1}}]},
    ],
)
def test_another_meter_or_scale_is_another_measurement(change: dict[str, Any]) -> None:
    assert load({**SITE, **change}).measured_by() != load(SITE).measured_by()


@each_case(
    "change",
    [
        {"circuits": [{**HEATER, "power_scale": 1.0}, PUMP]},
        {"circuits": [{**HEATER, "power_point": ["l1_w", "l2_w"]}, PUMP]},
        {"circuits": [HEATER]},
        {"circuits": [HEATER, {**PUMP, "nominal_kw": 2.2}]},
        {"quirks": [{**QUIRKS, "scale_points": {"heater_w": "w_sf"}}]},
    ],
)
def test_a_sum_is_measured_by_each_of_its_circuits(change: dict[str, Any]) -> None:
    assert load({**SUMMED, **change}).measured_by() != load(SUMMED).measured_by()


@each_case(
    "change",
    [
        {"stale_after_sec": 60},
        {"panel": {**PANEL, "amperage": 100, "voltage_point": "volts"}},
        {"circuits": [{**HEATER, "power_scale": 1.0, "priority": 5, "name": "Boiler"}]},
        {"quirks": [{"device": "site/panel", "sentinels": [-1], "settle_sec": 5}]},
    ],
)
def test_what_makes_no_other_kw_keeps_the_history(change: dict[str, Any]) -> None:
    assert load({**SITE, **change}).measured_by() == load(SITE).measured_by()


def test_a_circuit_is_known_by_its_own_meter() -> None:
    """What a thermostat has brought was learned from it."""
    before = load(SITE).build_panel().by_id["heater"].measured_by
    for change in ({"power_scale": 1.0}, {"power_point": "other_w"}, {"device": "site/meter"}):
        changed = load({**SITE, "circuits": [{**HEATER, **change}]}).build_panel()
        assert changed.by_id["heater"].measured_by != before
    pump = load(SUMMED).build_panel().by_id["pump"].measured_by
    assert pump == "pump=1.5 while site/panel/pump_on"
    for change in ({"switch_inverted": True}, {"switch_point": "other_on"}, {"nominal_kw": 2.0}):
        circuits = [{**c, **change} if c["id"] == "pump" else c for c in SUMMED["circuits"]]
        changed = load({**SUMMED, "circuits": circuits}).build_panel().by_id["pump"]
        assert changed.measured_by != pump, change


def test_in_which_order_a_sum_is_written_changes_nothing() -> None:
    """It was another meter: an event went on unsteered, and lost the kWh of before."""
    assert load({**SUMMED, "circuits": [PUMP, HEATER]}).measured_by() == load(SUMMED).measured_by()
    heaters = [{**HEATER, "power_point": names} for names in (["l1", "l2"], ["l2", "l1"])]
    one, other = (load({**SUMMED, "circuits": [heater, PUMP]}) for heater in heaters)
    assert one.measured_by() == other.measured_by()
    assert one.build_panel().by_id["heater"] == other.build_panel().by_id["heater"]
    panels = [{**PANEL, "power_point": names} for names in (["l1", "l2"], ["l2", "l1"])]
    one, other = (load({**SITE, "panel": panel}) for panel in panels)
    assert one.measured_by() == other.measured_by()
