"""The AWS IoT Device Shadow's reported state (`$aws/things/{venId}/shadow/update`)."""

from __future__ import annotations

from typing import Any

from VenAgent.contract import SCHEMA_VERSION
from VenAgent.contract.telemetry import Telemetry

MAX_SHADOW_BYTES = 8_192
"""AWS's limit for desired + reported of one shadow document."""


def reported_state(
    telemetry: Telemetry,
    *,
    available: dict[str, bool],
    active_event: dict[str, Any] | None,
    report_interval_sec: float,
) -> dict[str, Any]:
    """`state.reported` from a telemetry; `available` tells by circuit id what could be shed now."""
    wire = telemetry.to_wire()
    return {
        "schemaVersion": SCHEMA_VERSION,
        "power_kw": wire["usedPowerKw"],
        "shed_kw": wire["shedPowerKw"],
        "base_power_kw": wire["baselinePowerKw"],
        "panel_amperage": wire["panelAmperageRating"],
        "panel_voltage": wire["panelVoltage"],
        "panel_max_kw": wire["panelMaxKw"],
        "circuits": [
            {
                "id": circuit["id"],
                "name": circuit["name"],
                "enabled": circuit["enabled"],
                "available": available.get(circuit["id"], False),
                "current_kw": circuit["currentKw"],
                "breaker_amps": circuit["breakerAmps"],
                "current_amps": circuit["currentAmps"],
                "critical": circuit["critical"],
            }
            for circuit in wire["circuits"]
        ],
        "active_event": active_event,
        "report_interval_sec": report_interval_sec,
        "timestamp": wire["timestamp"],
    }


def update_document(reported: dict[str, Any]) -> dict[str, Any]:
    """The message to `…/shadow/update`."""
    return {"state": {"reported": reported}}
