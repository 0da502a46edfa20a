"""Messages as VENs send them."""

from __future__ import annotations

import time
from typing import Any

from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.telemetry import Telemetry, TelemetryCircuit, TelemetryLoad, TelemetryQuality

LOADS = ("hvac", "heat_pump", "water_heater", "ev_charger", "dryer", "pool", "fridge", "lights")


def load(name: str, *, power_kw: float | None = 1.234, shed_kw: float = 1.0) -> TelemetryLoad:
    return TelemetryLoad(
        load_id=name,
        id=name,
        name=name.replace("_", " ").title(),
        type=name,
        capacity_kw=7.68,
        current_power_kw=power_kw,
        shed_capability_kw=shed_kw,
        enabled=True,
        priority=1 if name == "fridge" else 4,
    )


def telemetry(ven_id: str, seq: int = 1, **changes: Any) -> dict[str, Any]:
    """A telemetry of eight loads as it goes on the wire. With a `timestamp` of the test's own it
    has no `ts_ms` beside it, as of a peer of an earlier generation."""
    message = Telemetry(
        ven_id=ven_id,
        ts=round(time.time(), 3),
        seq=seq,
        used_power_kw=12.345,
        shed_power_kw=0.0,
        requested_reduction_kw=0.0,
        event_id=None,
        baseline_power_kw=12.4,
        battery_soc=None,
        panel_amperage_rating=200,
        panel_voltage=240,
        voltage=240.1,
        panel_max_kw=48.0,
        current_amps=51.4,
        panel_utilization_percent=25.7,
        quality=TelemetryQuality.GOOD,
        circuits=tuple(
            TelemetryCircuit(
                id=name,
                name=name,
                breaker_amps=40.0,
                current_kw=1.234,
                current_amps=5.142,
                enabled=True,
                critical=name == "fridge",
            )
            for name in LOADS
        ),
        loads=tuple(load(name) for name in LOADS),
    )
    wire = message.to_wire()
    if "timestamp" in changes:
        del wire["ts_ms"]
    return {**wire, **changes}


def payload(ven_id: str, seq: int = 1, **changes: Any) -> bytes:
    return encode_json(telemetry(ven_id, seq, **changes))
