"""The values of a command's fields, and every spelling that a field has on the wire.

A value that is not what its field takes raises ValueError with what it must be; pydantic makes the
refusal of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import BeforeValidator

from VenAgent.contract import MAX_TEXT_CHARACTERS

SPELLINGS: dict[str, tuple[str, ...]] = {
    "op": ("op",),
    "correlation_id": ("correlationId", "correlation_id"),
    "ven_id": ("venId", "ven_id"),
    "event_id": ("event_id", "eventId"),
    "issued_ts": ("issued_ts", "issuedTs"),
    "expires_ts": ("expires_ts", "expiresTs"),
    "shed_kw": ("shed_kw", "shedKw", "requestedReductionKw", "requestedShedKw", "amountKw"),
    "raise_kw": ("raise_kw",),
    "import_kw": ("import_kw",),
    "export_kw": ("export_kw",),
    "circuit_id": ("loadId", "circuitId", "load_id", "circuit_id"),
    "duration_sec": ("duration_sec", "durationSec", "duration_s", "durationS", "duration"),
    "start_ts": ("start_ts", "startTs", "startTime"),
    "end_ts": ("end_ts", "endTs", "endTime"),
    "modification": ("modification",),
    "event_priority": ("event_priority", "priority"),
    "intervals": ("intervals",),
    "randomize_start_sec": ("randomize_start_sec",),
    "test": ("test",),
    "dry_run": ("dry_run",),
    "window_sec": ("window_sec",),
    "failsafe_kw": ("failsafe_kw",),
    "heartbeat_sec": ("heartbeat_sec",),
    "failsafe_min_sec": ("failsafe_min_sec",),
    "what": ("what",),
    "report_interval_sec": ("report_interval_sec", "report_interval_seconds"),
    "shadow_interval_sec": ("shadow_interval_sec",),
    "enabled": ("enabled",),
    "priority": ("priority",),
}
"""Of each field; the first is the one that we send. docs/mqtt-topics.md has the table."""
LOAD_SHED_SPELLINGS = ("reduceKw", *SPELLINGS["shed_kw"])
"""Of `shed_kw` in a `shedLoad`."""
LET_THROUGH = "x_"
"""What a field of somebody's own begins with: it is passed over."""

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(inf|infinity|nan)", re.IGNORECASE)
_DURATION = re.compile(
    r"P(?:(?P<weeks>[0-9]+(?:\.[0-9]+)?)W)?(?:(?P<days>[0-9]+(?:\.[0-9]+)?)D)?"
    r"(?:T(?:(?P<hours>[0-9]+(?:\.[0-9]+)?)H)?(?:(?P<minutes>[0-9]+(?:\.[0-9]+)?)M)?"
    r"(?:(?P<seconds>[0-9]+(?:\.[0-9]+)?)S)?)?"
)
_DURATION_SEC = {"weeks": 604_800, "days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"(?:[Zz]|([+-])([0-9]{2})(?::?([0-9]{2}))?)?)?"
)
"""A date, or date and time as in RFC 3339; the zone may be left out."""
_DAY = re.compile(r"(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])")
"""A date as some calendars export it; as epoch seconds it would be in 1970."""
_TIME_UNITS = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (1e20, 1_000_000_000))
"""Below which size a time is in s, ms, µs and ns: 1e11 s is the year 5138, 1e11 ms was 1973."""
MAX_WHOLE = 2**31 - 1


def command_field_number(value: Any) -> Any:
    """Numbers, also as numeric strings; never booleans, NaN, infinity or another alphabet's
    digits."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    if isinstance(value, str):
        text = value.strip(" \t")
        if _NOT_FINITE.fullmatch(text):
            raise ValueError("must be a finite number")
        if not _NUMBER.fullmatch(text):
            raise ValueError("must be a number")
        value = float(text)
    if isinstance(value, (int, float)):
        try:
            finite = math.isfinite(value)
        except OverflowError:
            finite = False
        if not finite:
            raise ValueError("must be a finite number")
    return value


def command_field_whole_number(value: Any) -> Any:
    """A whole number that every database keeps."""
    value = command_field_number(value)
    if isinstance(value, (int, float)) and not -MAX_WHOLE <= value <= MAX_WHOLE:
        raise ValueError(f"must be at most {MAX_WHOLE}")
    return value


def command_field_time(value: Any) -> Any:
    """A moment as epoch s, ms, µs or ns, told apart by size, or as ISO 8601 (taken as UTC when it
    names no zone)."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip(" \t")):
        text = value.strip(" \t")
        if _NOT_FINITE.fullmatch(text):
            raise ValueError("must be a finite number")
        return _moment_ts(text)
    if isinstance(value, str) and _DAY.fullmatch(value.strip(" \t")):
        raise ValueError("is a date without hyphens: write it as 2026-01-31T17:00:00Z")
    number = command_field_number(value)
    if not isinstance(number, (int, float)):
        return number
    for below, per_sec in _TIME_UNITS:
        if abs(number) < below:
            return number / per_sec if per_sec > 1 else number
    raise ValueError("must be a time: epoch seconds (or ms, µs, ns)")


def _moment_ts(text: str) -> float:
    """Epoch s of an ISO 8601 text; read here, because Python's versions read different ones."""
    found = _MOMENT.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        fraction, sign, zone_hours, zone_minutes = found.groups()[6:]
        offset_sec = int(zone_hours or 0) * 3600 + int(zone_minutes or 0) * 60
        if offset_sec >= 86_400 or int(zone_minutes or 0) > 59:
            raise ValueError
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        raise ValueError(
            "must be a time: epoch seconds or ISO 8601, as 2026-01-31T17:00:00Z"
        ) from None
    ts = moment.timestamp() - (-offset_sec if sign == "-" else offset_sec)
    return ts + float(f"0.{fraction}") if fraction else ts


def command_field_duration(value: Any) -> Any:
    """Seconds, or an ISO 8601 duration in weeks, days, hours, minutes and seconds (`PT30M`)."""
    if isinstance(value, str):
        text = value.strip(" \t")
        found = _DURATION.fullmatch(text)
        parts = {} if found is None else {k: v for k, v in found.groupdict().items() if v}
        if parts and not text.endswith("T"):
            seconds = sum(float(number) * _DURATION_SEC[unit] for unit, number in parts.items())
            return command_field_number(seconds)  # hundreds of digits are no finite number
        if not (_NUMBER.fullmatch(text) or _NOT_FINITE.fullmatch(text)):
            raise ValueError(
                "must be a number of seconds or an ISO 8601 duration such as PT30M or PT1H15M"
            )
    return command_field_number(value)


def command_field_text(value: Any) -> Any:
    """Identifiers as text; peers send numbers too."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("must be a text")
    text = str(value).strip()
    if not text:
        raise ValueError("must not be empty")
    if len(text) > MAX_TEXT_CHARACTERS or not text.isprintable():
        raise ValueError(f"must be printable and at most {MAX_TEXT_CHARACTERS} characters")
    return text


VALUE_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("correlation_id", "ven_id", "event_id", "circuit_id"), command_field_text),
    **dict.fromkeys(("issued_ts", "expires_ts", "start_ts", "end_ts"), command_field_time),
    **dict.fromkeys(("duration_sec", "report_interval_sec"), command_field_duration),
    "shed_kw": command_field_number,
    "event_priority": command_field_whole_number,
}
"""Of the fields that have several spellings."""


def _or_none(read: Callable[[Any], Any]) -> BeforeValidator:
    return BeforeValidator(lambda value: None if value is None else read(value))


Number = Annotated[float, BeforeValidator(command_field_number)]
Whole = Annotated[int, BeforeValidator(command_field_whole_number)]
Duration = Annotated[float, BeforeValidator(command_field_duration)]
Text = Annotated[str, BeforeValidator(command_field_text)]
NumberOrNone = Annotated[float | None, _or_none(command_field_number)]
WholeOrNone = Annotated[int | None, _or_none(command_field_whole_number)]
TimeOrNone = Annotated[float | None, _or_none(command_field_time)]
DurationOrNone = Annotated[float | None, _or_none(command_field_duration)]
TextOrNone = Annotated[str | None, _or_none(command_field_text)]
