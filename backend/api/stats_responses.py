"""The fleet in figures, as the API answers."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from backend.api.response_model import ResponseModel


class NetworkStatsResponse(ResponseModel):
    ven_count: int
    online_vens: int
    controllable_power_kw: float = Field(description="What loads that may be shed draw now.")
    potential_load_reduction_kw: float = Field(description="What VENs could shed now.")
    household_usage_kw: float
    current_load_reduction_kw: float


class LoadTypeStatsResponse(ResponseModel):
    type: str
    count: int
    capacity_kw: float
    current_power_kw: float
    shed_capability_kw: float
    total_capacity_kw: float
    total_shed_capability_kw: float
    current_usage_kw: float


class NetworkStatsPointResponse(ResponseModel):
    timestamp: datetime
    ven_count: int
    household_usage_kw: float
    current_load_reduction_kw: float
    used_power_kw: float
    shed_power_kw: float
    event_id: str | None = Field(None, description="Of an event that ran then; of several, one.")
    requested_reduction_kw: float = Field(0.0, description="By events that ran then, as a mean.")


class NetworkStatsHistoryResponse(ResponseModel):
    """Means over steps of `granularity`, oldest first; the last is as of now."""

    granularity_sec: int = Field(description="The steps: a minute, the samples', at least.")
    points: list[NetworkStatsPointResponse]
