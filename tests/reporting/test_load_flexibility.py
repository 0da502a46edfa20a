"""What the page and `get loads` say of comfort, batteries and setpoints."""

from __future__ import annotations

import json

from tests.dr.builders import switch
from tests.dr.flexible_house import battery, cooling, thermostat, zone_guard
from VenAgent.dr.learned_shed import LearnedShed
from VenAgent.dr.panel import PanelCircuitReading
from VenAgent.reporting.load_flexibility import load_flexibility


def test_a_plain_load_has_none() -> None:
    assert load_flexibility(switch("heater1"), PanelCircuitReading(4.5, True)) == {}


def test_a_thermostat_says_what_it_brings_and_how_warm_it_is() -> None:
    unit = thermostat("rtu1", guard=zone_guard())
    shown = load_flexibility(unit, PanelCircuitReading(4.0, None, 22.0, guard=23.46))
    assert shown["setpoint"]["counted_on_kw"] == 2.0
    assert shown["setpoint"]["learned"] is None
    assert shown["comfort"] == {
        "value": 23.46,
        "minimum": None,
        "maximum": 26.0,
        "reserve": 2.54,
        "unit": "celsius",
    }
    assert shown["text"] == (
        "setpoint at 22, brings about 2.0 kW (not learned yet); comfort 23.5 °C, at most 26"
    )
    json.dumps(shown, allow_nan=False)


def test_what_was_learned_is_told_with_its_spread() -> None:
    unit = thermostat("rtu1", cooling(learned=LearnedShed(5, 1.8, 0.3)))
    shown = load_flexibility(unit, PanelCircuitReading(4.0, None, 22.0))
    assert shown["setpoint"]["learned"] == {
        "sheds": 5,
        "mean_kw": 1.8,
        "spread_kw": 0.3,
        "in_use": True,
    }
    assert shown["setpoint"]["counted_on_kw"] == 1.5
    assert shown["text"] == "setpoint at 22, brings about 1.5 kW (5 sheds: 1.8 ± 0.3 kW)"
    assert shown["setpoint"]["learned_rise"] is None
    both = cooling(learned=LearnedShed(5, 1.8, 0.3), learned_rise=LearnedShed(1, 1.2, 0.0))
    shown = load_flexibility(thermostat("rtu1", both), PanelCircuitReading(4.0, None, 22.0))
    rise = {"rises": 1, "mean_kw": 1.2, "spread_kw": 0.0, "in_use": False}
    assert shown["setpoint"]["learned_rise"] == rise
    assert shown["text"].endswith("kW), draws more the other way (1 rise: 1.2 ± 0.0 kW)")


def test_what_is_not_read_or_past_its_bound_is_said() -> None:
    unit = thermostat("rtu1", guard=zone_guard())
    blind = load_flexibility(unit, PanelCircuitReading())
    assert (blind["comfort"]["value"], blind["comfort"]["reserve"]) == (None, None)
    assert blind["text"].startswith("setpoint not read")
    assert blind["text"].endswith("comfort not read, at most 26")
    warm = load_flexibility(unit, PanelCircuitReading(4.0, None, 22.0, guard=26.4))
    assert warm["text"].endswith("comfort 26.4 °C, must be at most 26")


def test_a_battery_says_its_charge_and_its_reserve() -> None:
    shown = load_flexibility(battery(), PanelCircuitReading(0.0, None, 0.0, soc_percent=61.2))
    assert shown == {
        "battery": {
            "soc_percent": 61.2,
            "reserve_soc_percent": 20.0,
            "above_reserve_kwh": 5.562,
            "max_discharge_kw": 5.0,
        },
        "text": "charge 61 %, reserve 20 %",
    }
    empty = load_flexibility(battery(), PanelCircuitReading(0.0, None, 0.0))
    assert empty["text"] == "charge not read, reserve 20 %"
