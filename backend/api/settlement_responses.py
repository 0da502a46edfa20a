"""Settlements, as the API answers."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from backend.api.response_model import ResponseModel


class SettlementIntervalResponse(ResponseModel):
    """A quarter hour; the first and the last may be shorter."""

    start: datetime
    average_kw: float
    baseline_kw: float | None
    seen_sec: float = Field(description="How long of it the meter was seen.")
    delivered_kwh: float | None


class SettlementSiteResponse(ResponseModel):
    """One site in one event. What was not measured has no kWh, and `note` says why."""

    programme_id: str | None
    programme_name: str | None
    event_id: str
    kind: str
    test: bool
    ven_id: str
    ven_name: str
    window_start: datetime
    window_end: datetime
    baseline_method: str | None
    baseline_kw: float | None
    average_kw: float | None
    requested_shed_kw: float | None
    achieved_shed_kw: float | None
    shed_percentage: float | None
    delivered_kwh: float | None
    confidence: float | None
    limit_kw: float | None
    highest_kw: float | None = Field(description="The highest mean of a quarter hour.")
    over_limit_kwh: float | None
    held_off_kwh: float | None = Field(
        description="Of a limit: what was not drawn under it. No delivery: `deliveredKwh` is 0."
    )
    samples: int
    expected_samples: int
    unseen_sec: float | None
    response_ms: float | None
    note: str | None
    intervals: list[SettlementIntervalResponse]


class SettlementTotalResponse(ResponseModel):
    programme_id: str | None
    programme_name: str | None
    month: str = Field(examples=["2030-06"])
    events: int
    vens: int
    delivered_kwh: float
    not_measured: int = Field(description="Sites' events without figures.")


class SettlementResponse(ResponseModel):
    start: datetime | None
    end: datetime | None
    totals: list[SettlementTotalResponse]
    sites: list[SettlementSiteResponse]
    truncated: bool = Field(description="There are more: choose a shorter time.")
