"""What a VTN asks, in one form for every version of OpenADR. Pure: no clock, no I/O.

Times have their zone, power is in kW. What cannot be understood or done is a `VtnEventProblem` with
a stable code; it never makes the rest of the event unreadable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

LEVEL: Literal["level"] = "level"
SHED_KW: Literal["shed_kw"] = "shed_kw"
IMPORT_LIMIT_KW: Literal["import_limit_kw"] = "import_limit_kw"
EXPORT_LIMIT_KW: Literal["export_limit_kw"] = "export_limit_kw"
LOAD_UP_KW: Literal["load_up_kw"] = "load_up_kw"
SHARE: Literal["share"] = "share"
AskKind = Literal["level", "shed_kw", "import_limit_kw", "export_limit_kw", "load_up_kw", "share"]

FOREVER = timedelta(days=1_000_000)
"""P9999Y, and 2.0b's open-ended zero: until further notice."""


@dataclass(frozen=True)
class VtnEventProblem:
    """What cannot be done, for programs (`code`) and for people (`text`)."""

    code: str
    text: str


@dataclass(frozen=True)
class VtnEventAsk:
    """One payload that we understand: a level of 0 … 3, power in kW, or a share (0 … 1) of what can
    be shed."""

    kind: AskKind
    value: float


@dataclass(frozen=True)
class VtnEventInterval:
    """`start` is None for "directly after the one before", in the first interval for "now"."""

    id: int
    start: datetime | None
    duration: timedelta
    """FOREVER has no end."""
    asks: tuple[VtnEventAsk, ...]


@dataclass(frozen=True)
class VtnEventReportRequest:
    """An event's report descriptor (OpenADR 3); field by field as the standard names them."""

    payload_type: str
    reading_type: str | None = None
    units: str | None = None
    targets: tuple[str, ...] = ()
    aggregate: bool = False
    start_interval: int = -1
    num_intervals: int = -1
    historical: bool = True
    frequency: int = -1
    repeat: int = 1


@dataclass(frozen=True)
class VtnEventTarget:
    """Of OpenADR 3.1 a string alone; of 3.0 and 2.0b with what it names (RESOURCE_NAME, …)."""

    value: str
    type: str | None = None


@dataclass(frozen=True)
class VtnEvent:
    """An event as the VTN has it now. `stamp` changes with each modification."""

    id: str
    program_id: str
    stamp: str
    intervals: tuple[VtnEventInterval, ...]
    name: str | None = None
    priority: int | None = None
    """0 is the highest; none the lowest."""
    targets: tuple[VtnEventTarget, ...] = ()
    randomize_start: timedelta = timedelta(0)
    loop_for: timedelta | None = None
    """Intervals repeat, or are cut off, so that the event lasts this long; None: as they are."""
    report_requests: tuple[VtnEventReportRequest, ...] = ()
    cancelled: bool = False
    test: bool = False
    problems: tuple[VtnEventProblem, ...] = ()


@dataclass(frozen=True)
class VtnEventOccurrence:
    """An interval in time. `number` counts from 0 through all repetitions."""

    number: int
    interval: VtnEventInterval
    start: datetime
    end: datetime | None
    """None: until further notice."""


def vtn_event_occurrences(
    event: VtnEvent, *, now_means: datetime, delay: timedelta, until: datetime
) -> Iterator[VtnEventOccurrence]:
    """The event's intervals in time, those that begin before `until`.

    `now_means` is when we first saw the event: a start of "now" is that moment for ever, also
    after a restart. `delay` is what was drawn for `randomize_start`; it moves the whole event.
    """
    if not event.intervals:
        return
    first = event.intervals[0].start or now_means
    limit = None if event.loop_for is None else _after(first, event.loop_for)
    cycle_start = first
    number = 0
    while True:
        at: datetime | None = cycle_start
        shift = cycle_start - first
        for interval in event.intervals:
            start = at if interval.start is None else interval.start + shift
            if start is None:
                return  # the one before has no end
            end = _after(start, interval.duration)
            if limit is not None:
                if start >= limit:
                    return
                end = limit if end is None or end > limit else end
            if start + delay >= until:
                return
            yield VtnEventOccurrence(
                number, interval, start + delay, None if end is None else _after(end, delay)
            )
            number += 1
            at = end
        loops = event.loop_for is not None and (limit is None or (at is not None and at < limit))
        if not loops or at is None or at <= cycle_start:
            return
        cycle_start = at


def vtn_event_span(
    event: VtnEvent, *, now_means: datetime, delay: timedelta
) -> tuple[datetime, datetime | None] | None:
    """(start, end) of the whole event; no end: until further notice. None without an interval."""
    if event.loop_for == FOREVER:
        first = event.intervals[0].start or now_means if event.intervals else None
        return None if first is None else (first + delay, None)
    horizon = datetime.max.replace(tzinfo=now_means.tzinfo)
    all_of_them = list(
        vtn_event_occurrences(event, now_means=now_means, delay=delay, until=horizon)
    )
    if not all_of_them:
        return None
    ends = [each.end for each in all_of_them]
    last = None if any(end is None for end in ends) else max(end for end in ends if end)
    return min(each.start for each in all_of_them), last


def _after(moment: datetime, duration: timedelta) -> datetime | None:
    """None when that is beyond what a calendar holds."""
    if duration == FOREVER:
        return None
    try:
        return moment + duration
    except OverflowError:
        return None
