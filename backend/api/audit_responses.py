"""The audit, as the API answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backend.api.response_model import ResponseModel


class AuditEntryResponse(ResponseModel):
    id: int
    at: datetime
    actor: str
    actor_kind: str | None
    role: str | None
    action: str
    object: str | None
    detail: dict[str, Any] | None
    remote: str | None


class AuditPageResponse(ResponseModel):
    entries: list[AuditEntryResponse]
    next_cursor: str | None
