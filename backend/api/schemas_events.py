"""Events as the API speaks of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from backend.api.schemas import Asked, DurationSec, Id, Moment, PowerKw, Wire
from backend.store.base import utc_now

LONGEST = timedelta(hours=24)
"""A VEN refuses more."""
LATE = timedelta(minutes=1)
"""So late a start still means now: a person took that long, or clocks differ."""
_NEW: JsonDict = {
    "startTime": "2030-06-01T16:00:00Z",
    "endTime": "2030-06-01T18:00:00Z",
    "requestedReductionKw": 250.0,
}


class NewEvent(Asked):
    """From `startTime` (now if none) to `endTime`, or for `durationSec`.

    Without `venIds` every VEN that can shed takes part; with them, those.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_NEW]})

    id: Id | None = None
    status: str | None = Field(
        None, pattern="^(scheduled|active)$", description="active: start now."
    )
    start_time: Moment | None = None
    end_time: Moment | None = None
    duration_sec: DurationSec | None = None
    requested_reduction_kw: PowerKw
    ven_ids: list[Id] | None = Field(None, min_length=1, max_length=20_000)
    priority: int | None = Field(
        None, ge=0, le=255, description="As in OpenADR 3: 0 is the highest, none the lowest."
    )

    @model_validator(mode="after")
    def check_times(self) -> NewEvent:
        now = utc_now()
        start, end = self.window(now)
        if end <= start:
            raise ValueError("endTime must be later than startTime")
        if end <= now:
            raise ValueError("endTime is in the past")
        if end - start > LONGEST:
            raise ValueError("an event lasts 24 hours at most")
        return self

    def window(self, now: datetime) -> tuple[datetime, datetime]:
        """(start, end). Raises ValueError without an end."""
        start = self.start_time
        if start is not None and start < now - LATE and self.status != "active":
            raise ValueError("startTime is in the past: leave it out to begin at once")
        if start is None or start < now or self.status == "active":
            start = now
        if (self.end_time is None) == (self.duration_sec is None):
            raise ValueError("give endTime or durationSec, one of them")
        if self.end_time is not None:
            return start, self.end_time
        assert self.duration_sec is not None
        return start, start + timedelta(seconds=self.duration_sec)


class Event(Wire):
    id: str
    status: str = Field(description="scheduled, active, completed or cancelled")
    start_time: datetime
    end_time: datetime
    requested_reduction_kw: float
    actual_reduction_kw: float | None
    created_at: datetime
    created_by: str | None
    ended_at: datetime | None
    end_reason: str | None


class Part(Wire):
    ven_id: str
    ven_name: str
    shed_kw: float | None = Field(description="Delivered now, as last reported.")
    status: str
    assigned_shed_kw: float
    achieved_shed_kw: float | None = Field(description="Measured after the event's end.")
    response_ms: float | None
    reason: str | None


class EventMetrics(Wire):
    current_reduction_kw: float
    vens_responding: int
    avg_response_ms: float | None


class EventDetail(Event, EventMetrics):
    vens_asked: int
    vens_by_status: dict[str, int] = Field(description="How many VENs are in which status.")
    vens: list[Part]


class EventAcks(Wire):
    event_id: str
    acks: list[dict[str, Any]]
    next_cursor: str | None


class Performance(Wire):
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


class EventPerformance(Wire):
    """`measuredAt` is none until the event is over and measured."""

    event_id: str
    measured_at: datetime | None
    total: Performance | None
    vens: list[Performance]
