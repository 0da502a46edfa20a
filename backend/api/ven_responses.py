"""VENs and their loads, as the API answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from backend.api.response_model import ResponseModel


class VenLocation(ResponseModel):
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)


class VenLoadResponse(ResponseModel):
    """`priority`: 1 critical … 5 flexible; `shedCapabilityKw`: what could be taken now."""

    id: str
    load_id: str
    name: str | None
    type: str
    capacity_kw: float
    current_power_kw: float
    current_power_known: bool = Field(description="False: not read, and told as 0.")
    shed_capability_kw: float
    enabled: bool | None
    priority: int | None


class VenMetricsResponse(ResponseModel):
    current_power_kw: float
    current_power_known: bool = Field(description="False: not read, and told as 0.")
    shed_availability_kw: float
    shed_availability_known: bool
    shed_in_an_hour_kw: float
    active_event_id: str | None
    shed_load_ids: list[str]


class VenAvailabilityResponse(ResponseModel):
    """Whether the site takes part."""

    state: str = Field(description="available, opted_out, maintenance, offline, stale or unknown")
    until: datetime | None
    reason_code: str | None
    by: str | None = Field(description="operator, or site")


class VenSummaryResponse(ResponseModel):
    id: str
    name: str
    status: str = Field(description="online, offline, maintenance or unknown", examples=["online"])
    current_power_kw: float | None
    shed_power_kw: float | None
    shed_availability_kw: float | None
    active_event_id: str | None
    last_seen: datetime | None
    location: str = Field(description="As text; empty when it is not known.")
    address: str
    controllable_power: float = Field(description="kW it could shed now.")
    current_power: float = Field(description="kW, 0 when it is not known.")
    response_time: int = Field(description="Mean ms from a command to its first ack, of late.")
    availability: VenAvailabilityResponse
    trusted: bool
    shed_in_an_hour_kw: float = Field(
        description="kW it could shed then: also what an event gives back that ends before."
    )
    feeder: str | None
    zone: str | None
    tags: list[str]


class VenAgentResponse(ResponseModel):
    """As the agent said when it was asked (`POST …/commands/status`)."""

    version: str | None
    health: str | None
    health_context: str | None
    certificate_expires_at: datetime | None
    told_at: datetime | None


class VenResponse(ResponseModel):
    id: str = Field(examples=["volttron_thing"])
    name: str
    status: str = Field(description="online, offline, maintenance or unknown", examples=["online"])
    registration_id: str
    location: VenLocation
    location_known: bool = Field(description="False: not known, and told as 0, 0.")
    availability: VenAvailabilityResponse
    trusted: bool = Field(description="Less is asked of others, and last.")
    feeder: str | None
    zone: str | None
    tags: list[str]
    most_events_per_day: int | None
    most_event_hours_per_day: float | None
    notice_sec: float | None = Field(description="The least time from invitation to start.")
    timezone: str | None = Field(description="Of its days; none: the programme's, else UTC.")
    report_interval_sec: float | None = Field(description="How often it reports, as was seen.")
    agent: VenAgentResponse | None = Field(description="None: it was never asked.")
    metrics: VenMetricsResponse
    created_at: datetime
    last_seen: datetime | None
    loads: list[VenLoadResponse]


class VenCommandResponse(ResponseModel):
    """A command as it went to `ven/cmd/{venId}`, and how far it came."""

    op: str
    ven_id: str
    correlation_id: str
    event_id: str | None
    state: str = Field(description="pending, published, acked, not_responding, expired, withdrawn")
    published_at: datetime | None
    ack_status: str | None
    payload: dict[str, Any]


class VenLoadChangeResponse(VenLoadResponse):
    """The load, and the command that was sent for it, if one was."""

    command: VenCommandResponse | None


class VenShadowStateResponse(ResponseModel):
    reported: dict[str, Any] | None
    desired: dict[str, Any] | None


class VenShadowResponse(ResponseModel):
    """The two parts stand at the top too."""

    state: VenShadowStateResponse
    reported: dict[str, Any] | None
    desired: dict[str, Any] | None
    source: str = Field(
        description="aws: the thing's shadow; mqtt: as reported; telemetry: what the VEN said last"
    )


class VenGroupResponse(ResponseModel):
    name: str
    description: str | None
    selection: dict[str, Any]
    ven_count: int
    online_vens: int
    shed_availability_kw: float
    created_at: datetime
