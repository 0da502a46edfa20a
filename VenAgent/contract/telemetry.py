"""Telemetry (`volttron/metering`, `ven/telemetry/{venId}`) and the loads snapshot.

Power in kW (generation is negative), current in A, voltage in V, times in epoch seconds.
A value that was not read is null, never invented.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from VenAgent.contract import MAX_PAYLOAD_BYTES, SCHEMA_VERSION
from VenAgent.contract.json_codec import JsonModel, encode_json, json_time
from VenAgent.contract.reasons import ReasonCode


class TelemetryQuality(str, Enum):
    """How far the readings in a telemetry can be trusted."""

    GOOD = "good"
    PARTIAL = "partial"
    """Some of the points that the total needs are too old."""
    STALE = "stale"
    MISSING = "missing"


class TelemetryAvailabilityState(str, Enum):
    """Whether the site takes part in events."""

    AVAILABLE = "available"
    OPTED_OUT = "opted_out"
    MAINTENANCE = "maintenance"


class TelemetryAvailability(BaseModel):
    """The state, until when (epoch s; null: until it is changed), and why it is not available."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: TelemetryAvailabilityState = TelemetryAvailabilityState.AVAILABLE
    until_ts: float | None = None
    reason_code: ReasonCode | None = None


class TelemetryCircuit(JsonModel):
    id: str
    name: str
    breaker_amps: float
    current_kw: float | None
    current_amps: float | None
    enabled: bool | None
    critical: bool


class TelemetryLoad(JsonModel):
    """`priority`: 1 critical … 5 flexible; `shed_capability_kw`: what could be taken now."""

    load_id: str
    id: str
    name: str
    type: str
    capacity_kw: float
    current_power_kw: float | None
    shed_capability_kw: float
    enabled: bool | None
    priority: int


class Telemetry(JsonModel):
    """`ts` is the moment that it is of (epoch s): `timestamp` and `ts_ms` on the wire."""

    schema_version: str = SCHEMA_VERSION
    ven_id: str
    ts: float
    seq: int
    used_power_kw: float | None
    shed_power_kw: float | None
    requested_reduction_kw: float
    event_id: str | None
    event_test: bool = False
    """Whether that event is a test; on the wire only if it is."""
    import_limit_kw: float | None = None
    """What the site may draw at most now; on the wire only while there is a limit."""
    export_limit_kw: float | None = None
    """The same of what it feeds in."""
    baseline_power_kw: float | None
    battery_soc: float | None = Field(serialization_alias="batterySOC")
    panel_amperage_rating: int
    panel_voltage: int
    """Nominal; `voltage` is what was read."""
    voltage: float | None
    panel_max_kw: float
    current_amps: float | None
    panel_utilization_percent: float | None
    quality: TelemetryQuality
    availability: TelemetryAvailability = TelemetryAvailability()
    circuits: tuple[TelemetryCircuit, ...]
    loads: tuple[TelemetryLoad, ...]

    def to_wire(self) -> dict[str, Any]:
        message = _timed(super().to_wire())
        if not self.event_test:
            del message["eventTest"]
        if self.import_limit_kw is None:
            del message["importLimitKw"]
        if self.export_limit_kw is None:
            del message["exportLimitKw"]
        message["batterySoc"] = message["batterySOC"]
        # The names of the first generation, which dashboards in the field still read.
        message["power_kw"] = message["usedPowerKw"]
        message["shed_kw"] = message["shedPowerKw"]
        return message


class TelemetryLoadsMessage(JsonModel):
    schema_version: str = SCHEMA_VERSION
    ven_id: str
    ts: float
    loads: tuple[TelemetryLoad, ...]

    def to_wire(self) -> dict[str, Any]:
        return _timed(super().to_wire())


def _timed(message: dict[str, Any]) -> dict[str, Any]:
    """Whole seconds, which every peer reads, and ms, in the place of `ts`."""
    seconds, ts_ms = json_time(message["ts"])
    timed: dict[str, Any] = {}
    for name, value in message.items():
        timed |= {"timestamp": seconds, "ts_ms": ts_ms} if name == "ts" else {name: value}
    return timed


def split_telemetry(
    message: dict[str, Any], max_bytes: int = MAX_PAYLOAD_BYTES
) -> list[dict[str, Any]]:
    """`message`, or as many messages as it takes to keep each below `max_bytes`.

    The parts share all fields but their slice of `circuits` and `loads`, and say `part` of
    `parts`; nothing is left out. The caller gives each a `seq` of its own.
    """
    circuits, loads = message.get("circuits"), message.get("loads", [])
    count = max(len(circuits or ()), len(loads), 1)
    size = count
    while True:
        starts = range(0, count, size)
        pieces = [
            {
                **message,
                **({} if circuits is None else {"circuits": circuits[at : at + size]}),
                "loads": loads[at : at + size],
                **({"part": part, "parts": len(starts)} if len(starts) > 1 else {}),
            }
            for part, at in enumerate(starts, start=1)
        ]
        if size == 1 or all(len(encode_json(piece)) <= max_bytes for piece in pieces):
            return pieces
        size = -(-size // 2)
