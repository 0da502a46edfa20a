"""VENs and their loads, as the API answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from backend.api.response_model import ResponseModel


class VenLocation(ResponseModel):
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)


class LoadResponse(ResponseModel):
    """`priority`: 1 critical … 5 flexible; `shedCapabilityKw`: what could be taken now."""

    id: str
    load_id: str
    name: str | None
    type: str | None
    capacity_kw: float | None
    current_power_kw: float | None
    shed_capability_kw: float | None
    enabled: bool | None
    priority: int | None


class VenMetricsResponse(ResponseModel):
    current_power_kw: float | None
    shed_availability_kw: float | None
    active_event_id: str | None
    shed_load_ids: list[str]


class VenSummaryResponse(ResponseModel):
    id: str
    name: str
    status: str = Field(description="online, offline or unknown", examples=["online"])
    current_power_kw: float | None
    shed_power_kw: float | None
    shed_availability_kw: float | None
    active_event_id: str | None
    last_seen: datetime | None


class VenResponse(ResponseModel):
    id: str = Field(examples=["volttron_thing"])
    name: str
    status: str = Field(description="online, offline or unknown", examples=["online"])
    registration_id: str | None
    location: VenLocation | None
    metrics: VenMetricsResponse
    created_at: datetime
    last_seen: datetime | None
    loads: list[LoadResponse]


class SentCommandResponse(ResponseModel):
    """A command as it went to `ven/cmd/{venId}`, and how far it came."""

    op: str
    ven_id: str
    correlation_id: str
    event_id: str | None
    state: str = Field(description="pending, published, acked, not_responding, expired, withdrawn")
    published_at: datetime | None
    ack_status: str | None
    payload: dict[str, Any]


class VenShadowResponse(ResponseModel):
    reported: dict[str, Any] | None
    desired: dict[str, Any] | None
    source: str = Field(description="aws: the thing's shadow; telemetry: what the VEN said last")
