"""How a site is wired: a meter in watts, relays on another device, normally closed contacts."""

from __future__ import annotations

from typing import Any

from tests.config.builders import load
from VenAgent.dr.panel import PanelCircuitReading
from VenAgent.site.point_readings import LACKING_READINGS, PointReadings

CONTENTS: dict[str, Any] = {
    "ven_id": "site-1",
    "panel": {"device": "site/meter", "power_point": "total_w", "power_scale": 0.001},
    "circuits": [
        {
            "id": "heater",
            "name": "Heater",
            "breaker_amps": 30,
            "power_point": "l1_w",
            "power_scale": 0.001,
            "control_device": "site/relays",
            "switch_point": "relay_1",
            "switch_inverted": True,
        }
    ],
}


def points_of(relay: Any) -> PointReadings:
    points = PointReadings(load(CONTENTS))
    points.update("site/meter", {"total_w": 5200.0, "l1_w": 4500.0}, 100.0)
    points.update("site/relays", {"relay_1": relay}, 100.0)
    return points


def test_a_meter_in_watts_is_read_in_kilowatts_total_and_circuit() -> None:
    reading = points_of(False).reading(now=101.0)
    assert reading.power_kw == 5.2
    assert reading.circuits["heater"].power_kw == 4.5


def test_on_a_normally_closed_contact_an_energised_relay_means_open() -> None:
    closed = points_of(False).reading(now=101.0).circuits["heater"]
    assert closed == PanelCircuitReading(power_kw=4.5, closed=True, limit=None)
    assert points_of(True).reading(now=101.0).circuits["heater"].closed is False
    assert points_of(None).reading(now=101.0).circuits["heater"].closed is None


def test_a_switch_point_is_missed_on_the_relays_and_not_on_the_meter() -> None:
    points = points_of(False)
    for number in range(LACKING_READINGS):
        assert points.missing(103.0) == []
        points.update("site/relays", {"relay_2": False}, 102.0 + 0.1 * number, complete=True)
    assert points.missing(103.0) == ["site/relays/relay_1"]
