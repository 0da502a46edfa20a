"""Events as the API speaks of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from backend.api.response_model import ResponseModel


class EventResponse(ResponseModel):
    id: str
    status: str = Field(description="scheduled, active, completed or cancelled")
    start_time: datetime
    end_time: datetime
    requested_reduction_kw: float
    actual_reduction_kw: float = Field(
        description="Now while it is active, measured after its end; 0 before."
    )
    created_at: datetime
    created_by: str | None
    ended_at: datetime | None
    end_reason: str | None


class EventVenResponse(ResponseModel):
    ven_id: str
    ven_name: str
    shed_kw: float | None = Field(description="Delivered now, as last reported.")
    status: str
    assigned_shed_kw: float
    achieved_shed_kw: float | None = Field(description="Measured after the event's end.")
    response_ms: float | None
    reason: str | None
    reason_code: str | None


class EventMetricsResponse(ResponseModel):
    current_reduction_kw: float
    vens_responding: int
    avg_response_ms: int = Field(description="0 while nobody has answered.")


class EventDetailResponse(EventResponse, EventMetricsResponse):
    vens_asked: int
    vens_by_status: dict[str, int] = Field(description="How many VENs are in which status.")
    vens: list[EventVenResponse]


class EventAcksResponse(ResponseModel):
    event_id: str
    acks: list[dict[str, Any]]
    next_cursor: str | None


class VenPerformanceResponse(ResponseModel):
    ven_id: str | None = Field(description="None: the event as a whole.")
    baseline_method: str | None
    baseline_kw: float | None
    average_kw: float | None
    requested_shed_kw: float | None
    achieved_shed_kw: float | None
    shed_percentage: float | None = Field(alias="shed_percentage")
    delivered_kwh: float | None = Field(alias="delivered_kwh")
    confidence: float | None
    samples: int
    expected_samples: int
    response_ms: float | None
    vens: int


class EventPerformanceResponse(ResponseModel):
    """`measuredAt` is none until the event is over and measured."""

    event_id: str
    measured_at: datetime | None
    total: VenPerformanceResponse | None
    vens: list[VenPerformanceResponse]
