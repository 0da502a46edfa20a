"""The values of a command's fields, and every spelling that a field has on the wire.

A value that is not what its field takes raises ValueError with what it must be; pydantic makes the
refusal of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

SPELLINGS: dict[str, tuple[str, ...]] = {
    "op": ("op",),
    "correlation_id": ("correlationId", "correlation_id"),
    "ven_id": ("venId", "ven_id"),
    "event_id": ("event_id", "eventId"),
    "issued_ts": ("issued_ts", "issuedTs"),
    "expires_ts": ("expires_ts", "expiresTs"),
    "shed_kw": ("shed_kw", "shedKw", "requestedReductionKw", "requestedShedKw", "amountKw"),
    "raise_kw": ("raise_kw", "raiseKw"),
    "import_kw": ("import_kw", "importKw"),
    "export_kw": ("export_kw", "exportKw"),
    "circuit_id": ("loadId", "circuitId", "load_id", "circuit_id"),
    "duration_sec": ("duration_sec", "durationSec", "duration_s", "durationS", "duration"),
    "start_ts": ("start_ts", "startTs", "startTime"),
    "end_ts": ("end_ts", "endTs", "endTime"),
    "modification": ("modification",),
    "event_priority": ("event_priority", "eventPriority", "priority"),
    "intervals": ("intervals",),
    "randomize_start_sec": ("randomize_start_sec", "randomizeStartSec"),
    "test": ("test",),
    "dry_run": ("dry_run", "dryRun"),
    "window_sec": ("window_sec", "windowSec"),
    "failsafe_kw": ("failsafe_kw", "failsafeKw"),
    "heartbeat_sec": ("heartbeat_sec", "heartbeatSec"),
    "failsafe_min_sec": ("failsafe_min_sec", "failsafeMinSec"),
    "what": ("what",),
    "report_interval_sec": ("report_interval_sec", "report_interval_seconds"),
    "shadow_interval_sec": ("shadow_interval_sec",),
    "enabled": ("enabled",),
    "priority": ("priority",),
}
"""Of each field; the first is the one that we send."""
LOAD_SHED_SPELLINGS = ("reduceKw", *SPELLINGS["shed_kw"])
"""Of a circuit's `shed_kw`."""


def spelled(field: str, *more: str) -> Any:
    """`Field(validation_alias=…)` of a required field with all its spellings."""
    return Field(validation_alias=AliasChoices(*more, *SPELLINGS[field]))


def spelled_or(default: Any, field: str) -> Any:
    """The same of a field that need not be given."""
    return Field(default, validation_alias=AliasChoices(*SPELLINGS[field]))


def _number(value: Any) -> Any:
    """Numbers, also as numeric strings; never booleans, NaN or infinity."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    if isinstance(value, str):
        try:
            value = float(value.strip())
        except ValueError:
            raise ValueError("must be a number") from None
    if isinstance(value, (int, float)):
        try:
            finite = math.isfinite(value)
        except OverflowError:
            finite = False
        if not finite:
            raise ValueError("must be a finite number")
    return value


def _epoch(value: Any) -> Any:
    """A moment as epoch seconds, or as ISO 8601 (taken as UTC when it names no zone)."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError:
            return _number(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return moment.timestamp()
    return _number(value)


def _text(value: Any) -> Any:
    """Identifiers as text; peers send numbers too."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("must be a text")
    text = str(value).strip()
    if not text:
        raise ValueError("must not be empty")
    if len(text) > 256 or not text.isprintable():
        raise ValueError("must be printable and at most 256 characters")
    return text


def _or_none(read: Callable[[Any], Any]) -> BeforeValidator:
    return BeforeValidator(lambda value: None if value is None else read(value))


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_number)]
Text = Annotated[str, BeforeValidator(_text)]
NumberOrNone = Annotated[float | None, _or_none(_number)]
WholeOrNone = Annotated[int | None, _or_none(_number)]
EpochOrNone = Annotated[float | None, _or_none(_epoch)]
TextOrNone = Annotated[str | None, _or_none(_text)]
