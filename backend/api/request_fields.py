"""What the API speaks: camelCase, power in kW, times in ISO 8601 with their zone."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from fastapi import Path, Query
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from VenAgent.contract.command_fields import (
    command_field_duration,
    command_field_number,
    command_field_whole_number,
)
from VenAgent.contract.command_limits import LEAST_KW

EARLIEST = datetime(2000, 1, 1, tzinfo=timezone.utc)
LATEST = datetime(2200, 1, 1, tzinfo=timezone.utc)


def _plus(value: Any) -> Any:
    """`+00:00` in a query arrives as ` 00:00` unless it was encoded."""
    return value.replace(" ", "+") if isinstance(value, str) and "T" in value else value


_DATE_AND_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.,]+ ?([Zz]|[+-][0-9:]+)?")


def _iso_8601(value: Any) -> Any:
    """Numbers, also as texts, are no times here: nobody can see what unit they are in."""
    if isinstance(value, datetime):
        return value
    text = _plus(value)
    if not isinstance(text, str) or not _DATE_AND_TIME.fullmatch(text):
        raise ValueError("must be a time in ISO 8601 with its zone, as 2026-01-31T17:00:00Z")
    return text


def _a_watt_at_least(value: float) -> float:
    if 0 < value < LEAST_KW:
        raise ValueError(f"{value:g} kW is less than one watt: give the power in kW")
    return value


def _within(value: datetime) -> datetime:
    if not EARLIEST <= value < LATEST:
        raise ValueError("must be between the years 2000 and 2200")
    return value.astimezone(timezone.utc)


Moment = Annotated[AwareDatetime, BeforeValidator(_iso_8601), AfterValidator(_within)]
TEXT_PATTERN = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"
"""Printable, and not only spaces: a name is to be seen."""
TextField = Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT_PATTERN)]
ID_PATTERN = r"^[!-\"$-*,-.0-~]{1,128}$"
"""Visible ASCII without / + #, which mean something in an MQTT topic."""


def _in_a_path(value: str) -> str:
    if value in (".", "..") or not value.strip() or "/" in value:
        raise ValueError(f"{value!r} cannot stand in an address: take another name")
    return value


IdField = Annotated[str, Field(pattern=ID_PATTERN, max_length=128), AfterValidator(_in_a_path)]


def _no_other_call(value: str) -> str:
    if value in ("current", "history", "preview"):
        raise ValueError(f"/api/events/{value} is another call: take another id")
    return value


NewEventIdField = Annotated[IdField, AfterValidator(_no_other_call)]
NameInPath = Annotated[TextField, AfterValidator(_in_a_path)]
"""Of what is asked for by its name."""
VenId = Annotated[
    str,
    Path(pattern=r"^[^/+#\s\x00-\x1f\x7f]{1,128}$", description="The AWS IoT thing name."),
]
"""Whatever VENs may call themselves to be registered by their telemetry."""
EventId = Annotated[str, Path(pattern=ID_PATTERN)]
ProgrammeId = Annotated[str, Path(pattern=ID_PATTERN)]
VenGroupName = Annotated[str, Path(pattern=r"^[^\x00-\x1f\x7f/]{1,200}$")]
LoadId = Annotated[str, Path(pattern=r"^[^\x00-\x1f\x7f/]{1,200}$")]
RequestNumber = Annotated[float, BeforeValidator(command_field_number)]
"""Of any field without a type of its own below: `true`, `1_0` and the digits of other alphabets are
no numbers at any door."""
RequestWholeNumber = Annotated[int, BeforeValidator(command_field_number)]
PowerKw = Annotated[
    float,
    BeforeValidator(command_field_number),
    Field(gt=0, le=1_000_000, allow_inf_nan=False),
    AfterValidator(_a_watt_at_least),
]
DurationSec = Annotated[
    float, BeforeValidator(command_field_duration), Field(ge=1, le=86_400, allow_inf_nan=False)
]
"""Seconds, or an ISO 8601 duration (`PT30M`)."""


def _none_or_a_second(value: float) -> float:
    if 0 < value < 1:
        raise ValueError("must be 1 s or more, or 0: until it is stopped")
    return value


EventDurationSec = Annotated[
    float,
    BeforeValidator(command_field_duration),
    Field(ge=0, le=86_400, allow_inf_nan=False, description="0: until it is stopped."),
    AfterValidator(_none_or_a_second),
]
"""The same; 0 is until it is stopped, as on the wire."""
LevelKw = Annotated[
    float,
    BeforeValidator(command_field_number),
    Field(ge=0, le=1_000_000, allow_inf_nan=False),
    AfterValidator(_a_watt_at_least),
]
RandomSec = Annotated[
    float, BeforeValidator(command_field_duration), Field(ge=0, le=86_400, allow_inf_nan=False)
]
Priority = Annotated[int, BeforeValidator(command_field_whole_number)]


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
        is_anywhere = value == "UTC" or value in available_timezones()
    except (ValueError, OSError, ZoneInfoNotFoundError):
        is_anywhere = False
    if not is_anywhere or value == "localtime":  # which is another one on another machine
        raise ValueError(f"{value!r} is no time zone, write it like Europe/Berlin")
    return value


TimeZoneField = Annotated[str, Field(max_length=64), AfterValidator(_time_zone)]
Start = Annotated[Moment | None, Query(description="From this moment on.")]
End = Annotated[Moment | None, Query(description="Up to, not including, this moment.")]
Cursor = Annotated[
    str | None, Query(max_length=500, description="`nextCursor` of the page before.")
]
Limit = Annotated[RequestWholeNumber, Query(ge=1, le=5_000)]


def invalid_request_field(field: str, message: str, value: Any = None) -> RequestValidationError:
    """A 422 that names the field."""
    return RequestValidationError(
        [{"type": "value_error", "loc": ("body", field), "msg": message, "input": value}]
    )
