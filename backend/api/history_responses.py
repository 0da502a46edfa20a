"""A VEN's past, as the API answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from backend.api.response_model import ResponseModel


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


class AckHistoryResponse(ResponseModel):
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
