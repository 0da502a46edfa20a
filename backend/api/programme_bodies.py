"""Programmes and groups over REST: what a body may have, and what is answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, model_validator

from backend.api.request_bodies import EventRequestKind, RequestBody, VenSelectionBody
from backend.api.request_fields import DurationSec, IdField, LevelKw, RandomSec, TextField
from backend.api.response_model import ResponseModel
from VenAgent.baseline.baseline_methods import METHODS


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError(f"{value!r} is no time zone, write it like Europe/Berlin") from None
    return value


def _method(value: str) -> str:
    if value not in METHODS:
        raise ValueError(f"{value!r} is no baseline method, use one of {', '.join(METHODS)}")
    return value


ClockTime = Annotated[str, Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["16:00"])]
ZoneField = Annotated[str, Field(max_length=64), AfterValidator(_zone)]
BaselineField = Annotated[str, Field(max_length=64), AfterValidator(_method)]
Weekday = Annotated[int, Field(ge=1, le=7)]
_GROUP: dict[str, Any] = {"name": "Feeder 7", "feeders": ["F7"]}
_EXAMPLE: dict[str, Any] = {"name": "Summer evenings", "powerKw": 250.0, "durationSec": 7200}


class ProgrammeBody(RequestBody):
    """What its events are: `powerKw` is shed, drawn more (`loadUp`) or stayed under (`limit`)."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: IdField | None = Field(None, description="Made of the name when there is none.")
    name: TextField
    kind: EventRequestKind = "event"
    power_kw: LevelKw
    limit_per_site: StrictBool = False
    selection: VenSelectionBody | None = Field(None, description="None: every VEN.")
    baseline_method: BaselineField | None = None
    duration_sec: DurationSec = 3_600.0
    notice_sec: RandomSec | None = None
    days: list[Weekday] | None = Field(None, max_length=7, description="1 Monday … 7 Sunday")
    window_start: ClockTime | None = None
    window_end: ClockTime | None = None
    timezone: ZoneField = "UTC"
    recurring: StrictBool = Field(False, description="An event at each window's start, by itself.")
    most_events_per_day: int | None = Field(None, ge=0, le=100)
    most_event_hours_per_day: float | None = Field(None, ge=0, le=24)
    test: StrictBool = False
    active: StrictBool = True

    @model_validator(mode="after")
    def check_window(self) -> ProgrammeBody:
        if self.recurring and self.window_start is None:
            raise ValueError("recurring needs windowStart")
        if self.window_end is not None and self.window_start is None:
            raise ValueError("windowEnd needs windowStart")
        if self.kind != "limit" and self.power_kw <= 0:
            raise ValueError("powerKw must be above 0")
        return self


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


class VenGroupBody(RequestBody):
    """A choice of VENs under a name."""

    model_config = ConfigDict(json_schema_extra={"examples": [_GROUP]})

    name: TextField
    description: TextField | None = None
    tags: list[TextField] | None = Field(None, max_length=50)
    feeders: list[TextField] | None = Field(None, max_length=200)
    zones: list[TextField] | None = Field(None, max_length=200)
    ven_ids: list[IdField] | None = Field(None, max_length=20_000)

    @model_validator(mode="after")
    def check_choice(self) -> VenGroupBody:
        if not self.chosen():
            raise ValueError("give tags, feeders, zones or venIds")
        return self

    def chosen(self) -> dict[str, list[str]]:
        named = self.model_dump(include={"tags", "feeders", "zones", "ven_ids"})
        return {name: value for name, value in named.items() if value}


class VenGroupResponse(ResponseModel):
    name: str
    description: str | None
    selection: dict[str, Any]
    ven_count: int
    online_vens: int
    shed_availability_kw: float
    created_at: datetime


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
