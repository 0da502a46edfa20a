"""What the API tells of a VEN's telemetry."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from backend.api.response_model import ResponseModel
from backend.api.ven_responses import VenLoadResponse


class TelemetryResponse(ResponseModel):
    timestamp: datetime
    used_power_kw: float | None
    shed_power_kw: float | None
    requested_reduction_kw: float | None
    baseline_power_kw: float | None
    event_id: str | None
    battery_soc: float | None = Field(alias="batterySOC")
    quality: str | None
    loads: list[VenLoadResponse]


class TelemetryPageResponse(ResponseModel):
    """Oldest first, unless `order=desc`."""

    ven_id: str
    telemetry: list[TelemetryResponse]
    total_count: int
    next_cursor: str | None


class CircuitTelemetryResponse(ResponseModel):
    timestamp: datetime
    load_id: str
    name: str | None
    type: str
    capacity_kw: float
    current_power_kw: float
    current_power_known: bool
    shed_capability_kw: float
    enabled: bool | None
    priority: int | None


class CircuitTelemetryPageResponse(ResponseModel):
    """Oldest first, unless `order=desc`."""

    ven_id: str
    load_id: str | None
    snapshots: list[CircuitTelemetryResponse]
    total_count: int
    next_cursor: str | None
