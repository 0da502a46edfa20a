"""OpenADR: how links to VTNs fare, and what VTNs asked, as the API answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backend.api.response_model import ResponseModel


class OpenAdrLinkResponse(ResponseModel):
    link: str
    """The VEN's name and the VTN's address."""
    version: str
    state: str
    """ok, failing, or stopped when no process speaks for it."""
    ven_id: str | None
    last_contact_at: datetime | None
    """When the VTN was last read without an error."""
    problem: str | None
    failures: int
    last_problem: str | None
    last_problem_at: datetime | None
    token_expires_at: datetime | None
    clock_offset_sec: float | None
    notifications: str | None
    programs: list[Any] | None


class OpenAdrEventResponse(ResponseModel):
    link: str
    id: str
    program_id: str
    name: str | None
    status: str
    opt: str
    priority: int | None
    problems: list[Any]
    """[{"code", "text"}]: what of it is not done, and why."""
    first_seen_at: datetime
    changed_at: datetime
    event_ids: list[str]
    """The operator's events that it became."""


class OpenAdrStateResponse(ResponseModel):
    links: list[OpenAdrLinkResponse]
    events: list[OpenAdrEventResponse]
    """The latest, those that are open first."""
    reports_waiting: int
    reports_given_up: int
