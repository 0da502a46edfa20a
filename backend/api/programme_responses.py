"""Programmes over REST: what is answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from backend.api.response_model import ResponseModel


class ProgrammeResponse(ResponseModel):
    id: str
    name: str
    kind: str
    power_kw: float
    limit_per_site: bool
    selection: dict[str, Any] | None
    baseline_method: str | None
    duration_sec: float
    notice_sec: float | None
    days: list[int] | None
    window_start: str | None
    window_end: str | None
    timezone: str
    recurring: bool
    next_start: datetime | None = Field(description="Of the next event that is not made yet.")
    most_events_per_day: int | None
    most_event_hours_per_day: float | None
    test: bool
    active: bool
    created_at: datetime
    created_by: str | None
