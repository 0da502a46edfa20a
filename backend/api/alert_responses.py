"""Alerts and notices, as the API answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backend.api.response_model import ResponseModel


class AlertResponse(ResponseModel):
    id: int
    ven_id: str | None
    """None: it is of the operator's side."""
    code: str
    subject: str
    severity: str
    message: str
    reason_code: str | None
    context: Any
    cause: str
    begun_at: datetime
    ended_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    note: str | None


class AlertPageResponse(ResponseModel):
    alerts: list[AlertResponse]
    total_count: int
    next_cursor: str | None


class AlertCauseResponse(ResponseModel):
    cause: str
    code: str
    severity: str
    count: int
    ven_count: int
    unacknowledged: int
    since: datetime
    message: str


class AlertCausesResponse(ResponseModel):
    causes: list[AlertCauseResponse]
    open_count: int
    unacknowledged: int


class AlertAcknowledgedResponse(ResponseModel):
    acknowledged: int


class AlertNoticeResponse(ResponseModel):
    id: int
    target: str
    kind: str
    message_id: str
    state: str
    attempts: int
    created_at: datetime
    sent_at: datetime | None
    not_before: datetime
    error: str | None
    payload: dict[str, Any]


class AlertNoticesResponse(ResponseModel):
    notices: list[AlertNoticeResponse]
    next_cursor: str | None
