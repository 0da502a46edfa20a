"""The agent's configuration: what is built from it."""

from __future__ import annotations

from datetime import date, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.config.builders import MINIMAL, load, with_field
from tests.support.each_case import each_case
from VenAgent.baseline.site_calendar import SiteCalendar
from VenAgent.dr.panel import PanelCircuitControl, PanelLimitUnit


def test_the_least_configuration_is_enough() -> None:
    config = load()
    assert config.report_interval_sec == 5.0
    assert config.broker.port == 1883
    assert config.broker.tls is None
    assert config.driver_identity == "platform.driver"


def test_the_topics_are_the_contracts_unless_overridden() -> None:
    topics = load(with_field("topics.ack", "other/ack")).topic_names()
    assert topics.metering == "volttron/metering"
    assert topics.telemetry == "ven/telemetry/site-1"
    assert topics.loads == "ven/loads/site-1"
    assert topics.command == "ven/cmd/site-1"
    assert topics.status == "ven/status/site-1"
    assert topics.ack == "other/ack"


def test_the_command_limits_are_the_panels() -> None:
    limits = load(with_field("panel.amperage", 100)).command_limits()
    assert limits.max_shed_kw == 24.0
    assert (limits.min_duration_sec, limits.max_duration_sec) == (1.0, 86_400.0)
    limits = load(with_field("event.max_duration_sec", 600)).command_limits()
    assert limits.max_duration_sec == 600.0


def test_devices_are_named_once_and_the_panels_first() -> None:
    contents = with_field("circuits.0.device", "site/meter")
    assert load(contents).devices() == ("site/panel", "site/meter")
    contents = with_field("circuits.1.device", "site/meter", contents)
    assert load(contents).devices() == ("site/panel", "site/meter")
    assert load().devices() == ("site/panel",)


def test_the_calendar_is_the_sites() -> None:
    assert load().calendar.build() == SiteCalendar()
    block = {"timezone": "Europe/Vienna", "holidays": ["2026-10-26"], "nerc_holidays": True}
    calendar = load(with_field("calendar", block)).calendar.build()
    assert calendar == SiteCalendar(
        ZoneInfo("Europe/Vienna"), frozenset({date(2026, 10, 26)}), nerc=True
    )


@each_case(
    ("text", "minutes"), [("+05:45", 345), ("-03:00", -180), ("-03:30", -210), ("+00:00", 0)]
)
def test_the_time_zone_can_be_a_fixed_offset(text: str, minutes: int) -> None:
    calendar = load(with_field("calendar.timezone", text)).calendar.build()
    assert calendar.timezone == timezone(timedelta(minutes=minutes))


def limited(**fields: Any) -> dict[str, Any]:
    circuit = {
        "id": "ev",
        "name": "EV",
        "breaker_amps": 50,
        "power_point": "kw",
        "switch_point": "contactor",
        "limit_point": "limit",
        "control": "limit",
    }
    return with_field("circuits", [{**circuit, **fields}])


def test_a_circuit_is_controlled_at_its_point_on_its_device() -> None:
    assert load().build_panel().circuits[0].point == "site/panel/s1"
    (limit,) = load(limited()).build_panel().circuits
    assert limit.point == "site/panel/limit"
    (elsewhere,) = load(limited(device="site/ev")).build_panel().circuits
    assert elsewhere.point == "site/ev/limit"
    (switched,) = load(limited(control="switch", device="site/ev")).build_panel().circuits
    assert switched.point == "site/ev/contactor"


@each_case(
    ("fields", "unit", "register_at_6_kw", "kw_at_50"),
    [
        ({}, PanelLimitUnit.PERCENT, 50.0, 6.0),
        ({"limit_full_scale_kw": 10}, PanelLimitUnit.PERCENT, 60.0, 5.0),
        ({"limit_step": 20}, PanelLimitUnit.PERCENT, 40.0, 6.0),
        ({"limit_unit": "amps"}, PanelLimitUnit.AMPS, 25.0, 12.0),
        ({"limit_unit": "amps", "limit_full_scale_kw": 10}, PanelLimitUnit.AMPS, 25.0, 12.0),
        ({"limit_unit": "kw"}, PanelLimitUnit.KW, 6.0, 50.0),
        ({"limit_unit": "kw", "limit_step": 4}, PanelLimitUnit.KW, 8.0, 50.0),
    ],
)
def test_a_limit_has_its_scale(
    fields: dict[str, Any], unit: PanelLimitUnit, register_at_6_kw: float, kw_at_50: float
) -> None:
    (circuit,) = load(limited(**fields)).build_panel().circuits
    assert circuit.control is PanelCircuitControl.LIMIT
    assert circuit.limit is not None
    assert circuit.limit.unit is unit
    assert circuit.limit.value_at(6.0) == pytest.approx(register_at_6_kw)
    assert circuit.limit.kw_of(50.0) == pytest.approx(kw_at_50)


def test_a_switched_circuit_has_no_limit_scale() -> None:
    assert all(circuit.limit is None for circuit in load().build_panel().circuits)


def test_the_panel_has_every_property_of_its_circuits() -> None:
    contents = limited(type="ev", priority=5, critical=True, floor=0.9)
    contents["panel"]["voltage"] = 230
    panel = load(contents).build_panel()
    (circuit,) = panel.circuits
    assert panel.voltage == circuit.voltage == 230
    assert panel.max_kw == 46.0
    assert circuit.rating_kw == 11.5
    assert (circuit.type, circuit.priority, circuit.critical) == ("ev", 5, True)
    assert circuit.floor == 0.9


def test_a_relay_board_beside_a_meter_is_a_device_of_its_own() -> None:
    contents = with_field("circuits.0.device", "site/meter")
    config = load(with_field("circuits.0.control_device", "site/relays", contents))
    assert config.devices() == ("site/panel", "site/meter", "site/relays")
    assert config.build_panel().circuits[0].point == "site/relays/s1"
    assert config.build_panel().circuits[1].point == "site/panel/s2"


def test_the_actuator_is_the_platforms_own_unless_the_configuration_names_one() -> None:
    assert load(MINIMAL).on_platform("platform.driver").actuator_identity == "platform.driver"
    named = load({**MINIMAL, "actuator_identity": "my.actuator"})
    assert named.on_platform("platform.driver").actuator_identity == "my.actuator"


def test_no_limit_is_known_as_the_register_has_it_whatever_its_unit_is() -> None:
    """65535 in a register of hundredths reads 655.35."""
    limited = {**MINIMAL["circuits"][1], "control": "limit", "limit_point": "lim"}
    contents = with_field("circuits.1", {**limited, "limit_unlimited": [65535, -1]})
    device = MINIMAL["panel"]["device"]
    for factor, reads in ((None, 65_535.0), (0.01, 655.35), (0.1, 6_553.5), ("lim_sf", 655.35)):
        quirks = [{"device": device, "scale_points": {"lim": factor}}] if factor else []
        scale = load(with_field("quirks", quirks, contents)).build_panel().circuits[1].limit
        assert scale is not None
        assert scale.limit_of(reads) is None, factor
        assert scale.limit_of(32.0) == 32.0
