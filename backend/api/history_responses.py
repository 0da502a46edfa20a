"""A VEN's past, as the API answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from backend.api.response_model import ResponseModel
from backend.api.ven_responses import LoadResponse


class TelemetryResponse(ResponseModel):
    timestamp: datetime
    used_power_kw: float | None
    shed_power_kw: float | None
    requested_reduction_kw: float | None
    baseline_power_kw: float | None
    event_id: str | None
    battery_soc: float | None = Field(alias="batterySOC")
    quality: str | None
    loads: list[LoadResponse]


class TelemetryPageResponse(ResponseModel):
    """Oldest first, unless `order=desc`."""

    ven_id: str
    telemetry: list[TelemetryResponse]
    total_count: int
    next_cursor: str | None


class LoadSnapshotResponse(ResponseModel):
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


class LoadSnapshotPageResponse(ResponseModel):
    """Oldest first, unless `order=desc`."""

    ven_id: str
    load_id: str | None
    snapshots: list[LoadSnapshotResponse]
    total_count: int
    next_cursor: str | None


class HistoryPointResponse(ResponseModel):
    timestamp: datetime
    used_power_kw: float
    used_power_known: bool = Field(description="False: not read, and told as 0.")
    shed_power_kw: float
    event_id: str | None
    requested_reduction_kw: float | None


class HistoryResponse(ResponseModel):
    """Means over steps of `granularitySec`, oldest first."""

    points: list[HistoryPointResponse]
    granularity_sec: int


class VenAckResponse(ResponseModel):
    """An ack of a VEN."""

    id: int
    ven_id: str
    event_id: str | None
    correlation_id: str | None
    op: str | None
    status: str
    timestamp: datetime
    requested_shed_kw: float | None
    actual_shed_kw: float | None
    circuits_curtailed: list[Any]
