"""Durations and times of OpenADR 3 (User Guide, section 7). Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

from backend.openadr.vtn_event import FOREVER

_DURATION = re.compile(
    r"(-?)P(?=\d|T\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)([DW]))?"
    r"(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)
_FOREVER_YEARS = 1_000
_DAYS_A_YEAR, _DAYS_A_MONTH = 365, 30


def read_openadr3_event_duration(text: Any) -> timedelta:
    """ISO 8601; FOREVER for the standard's P9999Y. Raises ValueError."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no ISO 8601 duration")
    sign, years, months, count, unit, hours, minutes, seconds = match.groups()
    if years and int(years) >= _FOREVER_YEARS:
        return FOREVER
    days = int(years or 0) * _DAYS_A_YEAR + int(months or 0) * _DAYS_A_MONTH
    days += int(count or 0) * (7 if unit == "W" else 1)
    try:
        length = timedelta(
            days=days, hours=int(hours or 0), minutes=int(minutes or 0), seconds=float(seconds or 0)
        )
    except OverflowError:
        length = FOREVER
    length = min(length, FOREVER)
    return -length if sign else length


def read_openadr3_event_moment(text: Any) -> datetime | None:
    """RFC 3339; None for the standard's "now" (0001-01-01, 0000-00-00). Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no time")
    if text.startswith(("0000-", "0001-01-01")):
        return None
    # Some VTNs write a space for the T; Python 3.10 reads neither Z nor a single digit of seconds.
    plain = re.sub(r"(\.\d{1,6})\d*", lambda m: m[1].ljust(7, "0"), text.strip())
    plain = re.sub(r"[Zz]$", "+00:00", plain.replace(" ", "T", 1))
    moment = datetime.fromisoformat(plain)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:
        raise ValueError(f"{text!r} is beyond the calendar") from None
