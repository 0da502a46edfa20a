"""A panel with a charger and a heater, and what a driver publishes of it."""

from __future__ import annotations

from typing import Any

from VenAgent.config import AgentConfig
from VenAgent.site.point_readings import PointReadings

NOW = 1_760_000_000.0
PANEL = "site/panel"
METER = "site/meter"

VALUES: dict[str, Any] = {
    "total_kw": 10.5,
    "volts": 239.0,
    "amps": 43.9,
    "soc": 81.0,
    "ev_kw": 7.0,
    "ev_on": True,
    "ev_limit": 100,
    "heater_w": 3500.0,
    "heater_on": 1,
}
EV = {
    "id": "ev",
    "name": "EV",
    "breaker_amps": 50,
    "control": "limit",
    "power_point": "ev_kw",
    "switch_point": "ev_on",
    "limit_point": "ev_limit",
}
HEATER = {
    "id": "heater",
    "name": "Heater",
    "breaker_amps": 30,
    "power_point": "heater_w",
    "power_scale": 0.001,
    "switch_point": "heater_on",
}


def points_of(
    *,
    total: bool = True,
    heater_device: str | None = None,
    panel_scale: float = 1.0,
    **settings: Any,
) -> PointReadings:
    panel: dict[str, Any] = {
        "device": PANEL,
        "voltage_point": "volts",
        "current_point": "amps",
        "battery_soc_point": "soc",
        "power_scale": panel_scale,
    }
    if total:
        panel["power_point"] = "total_kw"
    heater = HEATER if heater_device is None else {**HEATER, "device": heater_device}
    contents = {"ven_id": "site-1", "panel": panel, "circuits": [EV, heater], **settings}
    return PointReadings(AgentConfig.load(contents, {}))


def after(values: dict[str, Any] | None = None, **settings: Any) -> PointReadings:
    """Points of one device, published at NOW with `values` in place of the usual ones."""
    points = points_of(**settings)
    points.update(PANEL, {**VALUES, **(values or {})}, NOW)
    return points
