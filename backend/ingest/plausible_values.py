"""Times and powers that are believed, and why others are refused. Pure."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from backend.ingest.ingest_message import IngestMessageRefused

MAX_POWER_KW = 1_000_000.0
"""More than any panel draws: a unit is wrong."""
MAX_POWER_W = 1_000_000_000
_MILLISECONDS_FROM = 1e11
"""A number of this size is milliseconds: as seconds it would be the year 5138."""


@dataclass(frozen=True)
class PlausibleTimes:
    """The times that are believed: between the retention's end and a little ahead (epoch s)."""

    oldest: float
    newest: float

    def moment(self, value: float | str | None, what: str) -> datetime:
        """`value` as a moment. Raises Refused for none, and for one outside of the window."""
        if value is None:
            raise IngestMessageRefused(f"{what} is missing")
        if isinstance(value, str):
            value = _epoch(value, what)
        if value >= _MILLISECONDS_FROM:
            value /= 1000.0
        if self.oldest <= value <= self.newest:
            return datetime.fromtimestamp(value, timezone.utc)
        if value < self.oldest:
            raise IngestMessageRefused(
                f"{what} {value:.0f} is older than what is kept: is the clock right?"
            )
        ahead_sec = value - self.newest
        raise IngestMessageRefused(
            f"{what} {value:.0f} is {ahead_sec:.0f} s too far ahead: is the clock right?"
        )


def plausible_times(now: float, *, retention: timedelta, ahead_sec: float) -> PlausibleTimes:
    """What is believed at `now` (epoch s). An hour less than what is kept."""
    return PlausibleTimes(now - (retention - timedelta(hours=1)).total_seconds(), now + ahead_sec)


def plausible_epoch_sec(value: Any) -> float | None:
    """`value` as epoch seconds, where it is a moment at all; whatever it is."""
    if isinstance(value, str):
        try:
            value = _epoch(value, "ts")
        except (IngestMessageRefused, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e15:
        return None
    return value / 1000.0 if value >= _MILLISECONDS_FROM else float(value)


def _epoch(text: str, what: str) -> float:
    if "_" not in text and text.isascii():  # as at every door: 1_0 and other digits are no numbers
        with suppress(ValueError):
            return float(text)
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise IngestMessageRefused(
            f"{what} {text[:64]!r} is neither epoch seconds nor ISO 8601"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.timestamp()


def plausible_kw(value: float | None, other: float | None, what: str) -> float | None:
    """The first of the two that is there. NaN, infinity and absurd figures are refused."""
    if value is None:
        value = other
        if value is None:
            return None
    if -MAX_POWER_KW <= value <= MAX_POWER_KW:
        return value
    raise IngestMessageRefused(f"{what} {value} is out of range")


def plausible_w(power_kw: float | None, other: float | None) -> int | None:
    """The first of the two that is there (kW), in whole watts. Raises Refused."""
    if power_kw is None:
        power_kw = other
        if power_kw is None:
            return None
    if -MAX_POWER_KW <= power_kw <= MAX_POWER_KW:
        return round(power_kw * 1000.0)
    raise IngestMessageRefused(f"a load's power {power_kw} kW is out of range")
