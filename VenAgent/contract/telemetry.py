"""Telemetry (`volttron/metering`, `ven/telemetry/{venId}`) and the loads snapshot.

Power in kW (generation is negative), current in A, voltage in V, times in epoch seconds.
A value that was not read is null, never invented.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic import Field

from VenAgent.contract import MAX_PAYLOAD_BYTES, SCHEMA_VERSION
from VenAgent.contract.json_codec import WireModel, encode_json


class Quality(str, Enum):
    """How far the readings in a telemetry can be trusted."""

    GOOD = "good"
    PARTIAL = "partial"
    """Some of the points that the total needs are too old."""
    STALE = "stale"
    MISSING = "missing"


class CircuitEntry(WireModel):
    id: str
    name: str
    breaker_amps: float
    current_kw: float | None
    current_amps: float | None
    enabled: bool | None
    critical: bool


class LoadEntry(WireModel):
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


class Telemetry(WireModel):
    schema_version: str = SCHEMA_VERSION
    ven_id: str
    timestamp: float
    seq: int
    used_power_kw: float | None
    shed_power_kw: float | None
    requested_reduction_kw: float
    event_id: str | None
    baseline_power_kw: float | None
    battery_soc: float | None = Field(serialization_alias="batterySOC")
    panel_amperage_rating: float
    panel_voltage: float | None
    panel_max_kw: float
    current_amps: float | None
    panel_utilization_percent: float | None
    quality: Quality
    circuits: tuple[CircuitEntry, ...]
    loads: tuple[LoadEntry, ...]

    def to_wire(self) -> dict[str, Any]:
        message = super().to_wire()
        # The names of the first generation, which dashboards in the field still read.
        message["power_kw"] = message["usedPowerKw"]
        message["shed_kw"] = message["shedPowerKw"]
        return message


class LoadsSnapshot(WireModel):
    schema_version: str = SCHEMA_VERSION
    ven_id: str
    timestamp: float
    loads: tuple[LoadEntry, ...]


def split_by_circuits(
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
