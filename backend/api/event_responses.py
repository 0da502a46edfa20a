"""Events as the API speaks of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from backend.api.response_model import ResponseModel


class EventIntervalResponse(ResponseModel):
    duration_sec: float
    shed_kw: float | None = None
    import_kw: float | None = None


class EventResponse(ResponseModel):
    id: str
    status: str = Field(description="scheduled, active, completed or cancelled")
    start_time: datetime
    end_time: datetime
    kind: str = Field(description="event, limit or loadUp")
    requested_reduction_kw: float = Field(
        description="The highest of its intervals; negative for a loadUp, 0 for a limit."
    )
    import_kw: float | None
    export_kw: float | None
    window_sec: float | None
    failsafe_kw: float | None = Field(
        description="Of a limit: rules at a site that does not hear the backend."
    )
    heartbeat_sec: float | None
    failsafe_min_sec: float | None
    limit_per_site: bool
    intervals: list[EventIntervalResponse] | None
    randomize_start_sec: float | None
    test: bool
    dry_run: bool
    open_ended: bool = Field(
        description="Until it is stopped: a limit's `endTime` says nothing then, of others it is "
        "the latest end."
    )
    priority: int | None
    programme_id: str | None
    notice_sec: float | None
    invited_at: datetime | None = Field(description="When its VENs were told of it ahead.")
    selection: dict[str, Any] | None
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
    assigned_limit_kw: float | None
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


class EventCurvePointResponse(ResponseModel):
    timestamp: datetime
    requested_kw: float
    delivered_kw: float | None = Field(description="As sites said, those that were heard.")
    used_power_kw: float | None
    limit_kw: float | None
    vens: int = Field(description="How many were heard.")


class EventCurveResponse(ResponseModel):
    event_id: str
    ven_id: str | None
    step_sec: int
    points: list[EventCurvePointResponse]


class EventAcksResponse(ResponseModel):
    event_id: str
    acks: list[dict[str, Any]]
    next_cursor: str | None


class EventVenPerformanceResponse(ResponseModel):
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
    limit_kw: float | None
    highest_kw: float | None
    over_limit_kwh: float | None
    unseen_sec: float | None
    note: str | None
    vens: int


class EventPerformanceResponse(ResponseModel):
    """`measuredAt` is none until the event is over and measured."""

    event_id: str
    measured_at: datetime | None
    total: EventVenPerformanceResponse | None
    vens: list[EventVenPerformanceResponse]


class EventPreviewResponse(ResponseModel):
    """What would stand behind an event if it began now."""

    ven_count: int = Field(description="VENs that are chosen.")
    asked: int = Field(description="Of these, those that would be asked.")
    available_kw: float = Field(description="What these could shed; of a limit, what they draw.")
    requested_kw: float
    is_enough: bool
    left_out: dict[str, int] = Field(
        description="How many are not asked: offline, opted_out, maintenance, stale, busy, "
        "over_limits, nothing_to_shed."
    )
    vens: list[dict[str, Any]] = Field(description="The largest shares, some of them.")
