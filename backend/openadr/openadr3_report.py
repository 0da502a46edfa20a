"""Which reports an OpenADR 3 event asks for, and when (User Guide 7.5). Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from backend.openadr.vtn_event import (
    FOREVER,
    VtnEvent,
    VtnEventOccurrence,
    VtnEventReportRequest,
    vtn_event_occurrences,
)

AGGREGATED = "AGGREGATED_REPORT"
AD_HOC_EVERY = timedelta(minutes=15)
"""Reports whose time the VTN leaves to us (frequency 0, or an event without intervals)."""
MADE_UP_FOR = timedelta(days=2)
"""So long after its time a report that was missed is made all the same."""
ENERGY, DEMAND, BASELINE, STATE = "USAGE", "DEMAND", "BASELINE", "OPERATING_STATE"
UP, DOWN = "UP_REGULATION_AVAILABLE", "DOWN_REGULATION_AVAILABLE"
SHED_AVAILABLE = "LOAD_SHED_DELTA_AVAILABLE"
SUPPORTED = frozenset({ENERGY, DEMAND, BASELINE, STATE, UP, DOWN, SHED_AVAILABLE})
_ANY_READING = (None, "DIRECT_READ")
_READINGS = {ENERGY: ("SUMMED",), DEMAND: ("MEAN",), BASELINE: ("MEAN", "ESTIMATED")}
_READINGS_AVAILABLE = ("ESTIMATED",)
"""What else our values are; a peak, or a forecast of the meter, is none of them."""
ANSWER = "x-VENAGENT_ANSWER"
"""Our own payload: why an event, or a part of it, is not done ("code: text")."""
_UNITS_OF_ENERGY = {"KWH": 1.0, "WH": 1_000.0, "MWH": 0.001}
_UNITS_OF_POWER = {"KW": 1.0, "W": 1_000.0, "MW": 0.001}


@dataclass(frozen=True)
class OpenAdr3ReportCovered:
    """A stretch of time of a report, with the id of the event's interval."""

    id: int
    start: datetime
    end: datetime


@dataclass(frozen=True)
class OpenAdr3ReportDue:
    """One report. `position` is that of its descriptor, `number` counts its repetitions."""

    position: int
    number: int
    request: VtnEventReportRequest
    at: datetime
    covers: tuple[OpenAdr3ReportCovered, ...]


def due_openadr3_reports(
    event: VtnEvent, *, now_means: datetime, delay: timedelta, now: datetime
) -> Iterator[OpenAdr3ReportDue]:
    """Those whose time has come by `now`, in the order of the descriptors."""
    past = list(
        vtn_event_occurrences(
            event, now_means=now_means, delay=delay, until=now + timedelta(microseconds=1)
        )
    )
    for position, request in enumerate(event.report_requests):
        if not event.intervals or request.frequency == 0:
            yield from _ad_hoc(position, request, now_means, now)
        elif request.historical:
            yield from _historical(position, request, event, past, now)
        else:
            yield from _forecasts(position, request, event, now_means, delay, now)


def _expects_more(event: VtnEvent, *, is_over: bool) -> bool:
    """Whether further reports can come due once those due by now are made."""
    return bool(event.report_requests) and not is_over


def _ad_hoc(
    position: int, request: VtnEventReportRequest, since: datetime, now: datetime
) -> Iterator[OpenAdr3ReportDue]:
    number = 0
    if request.repeat < 0:  # those of a long time ago are not made up for
        number = max(0, math.ceil((now - MADE_UP_FOR - since) / AD_HOC_EVERY))
    while since + number * AD_HOC_EVERY <= now:
        if 0 <= request.repeat <= number:
            return
        at = since + number * AD_HOC_EVERY
        yield OpenAdr3ReportDue(
            position, number, request, at, (OpenAdr3ReportCovered(0, at - AD_HOC_EVERY, at),)
        )
        number += 1


def _historical(
    position: int,
    request: VtnEventReportRequest,
    event: VtnEvent,
    past: list[VtnEventOccurrence],
    now: datetime,
) -> Iterator[OpenAdr3ReportDue]:
    """At the end of interval `startInterval` (the last if -1), of `numIntervals` up to it."""
    whole = len(event.intervals)
    count = request.num_intervals if request.num_intervals > 0 else whole
    last = request.start_interval if request.start_interval >= 0 else whole - 1
    if last - count + 1 < 0 and request.start_interval >= 0:
        if request.num_intervals > 0:
            last = request.start_interval + count - 1  # a subset, counted from its first
        else:
            count = last + 1
    first = max(last - count + 1, 0)
    step = request.frequency if request.frequency > 0 else count
    for number in range(len(past)):
        if 0 <= request.repeat <= number:
            return
        covered = past[first + number * step : last + number * step + 1]
        ends = [each.end for each in covered]
        if not covered or len(covered) < last - first + 1 or any(end is None for end in ends):
            return
        at = max(end for end in ends if end is not None)
        if at > now:
            return
        yield OpenAdr3ReportDue(
            position, number, request, at, tuple(_covered(each) for each in covered)
        )


def _forecasts(
    position: int,
    request: VtnEventReportRequest,
    event: VtnEvent,
    now_means: datetime,
    delay: timedelta,
    now: datetime,
) -> Iterator[OpenAdr3ReportDue]:
    """Before the first interval that it is about, as soon as the event is known."""
    whole = len(event.intervals)
    count = request.num_intervals if request.num_intervals > 0 else whole
    first = max(request.start_interval, 0)
    step = request.frequency if request.frequency > 0 else count
    horizon = now + timedelta(days=31)
    every = list(vtn_event_occurrences(event, now_means=now_means, delay=delay, until=horizon))
    for number in range(len(every)):
        if 0 <= request.repeat <= number:
            return
        covered = every[first + number * step : first + number * step + count]
        if not covered or any(each.end is None for each in covered):
            return
        at = now_means if number == 0 else covered[0].start
        if at > now:
            return
        yield OpenAdr3ReportDue(
            position, number, request, at, tuple(_covered(each) for each in covered)
        )


def _covered(occurrence: VtnEventOccurrence) -> OpenAdr3ReportCovered:
    assert occurrence.end is not None
    return OpenAdr3ReportCovered(occurrence.interval.id, occurrence.start, occurrence.end)


def openadr3_report_scale(request: VtnEventReportRequest) -> tuple[str | None, float] | None:
    """(units, factor from kW or kWh); None for units that the payload cannot have."""
    if request.payload_type == STATE:
        return None, 1.0
    table = _UNITS_OF_POWER
    default = "KW"
    is_energy = request.payload_type == BASELINE and request.units in _UNITS_OF_ENERGY
    if request.payload_type == ENERGY or is_energy:
        table, default = _UNITS_OF_ENERGY, "KWH"
    units = request.units or default
    return (units, table[units]) if units in table else None


def openadr3_report_reading_is_ours(request: VtnEventReportRequest) -> bool:
    """Whether what we report is a reading as it is asked for."""
    if request.payload_type == STATE:
        return True
    more = _READINGS.get(request.payload_type, _READINGS_AVAILABLE)
    return request.reading_type in (*_ANY_READING, *more)


def openadr3_report_body(
    *,
    event: VtnEvent,
    version: str,
    client_name: str,
    name: str,
    descriptors: list[dict[str, Any]],
    resources: list[dict[str, Any]],
) -> dict[str, Any]:
    """The object for POST /reports."""
    report: dict[str, Any] = {
        "eventID": event.id,
        "clientName": client_name,
        "reportName": name,
        "payloadDescriptors": descriptors,
        "resources": resources,
    }
    if version == "3.0":
        report["programID"] = event.program_id  # 3.1 has it no longer
    return report


def openadr3_report_descriptor(
    payload_type: str, units: str | None, reading_type: str | None
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "objectType": "REPORT_PAYLOAD_DESCRIPTOR",
        "payloadType": payload_type,
    }
    if units is not None:
        made["units"] = units
    if reading_type is not None:
        made["readingType"] = reading_type
    return made


def openadr3_report_interval(
    covered: OpenAdr3ReportCovered, payloads: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "id": covered.id,
        "intervalPeriod": {
            "start": _moment(covered.start),
            "duration": _duration(covered.end - covered.start),
        },
        "payloads": payloads,
    }


def _moment(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _duration(length: timedelta) -> str:
    """ISO 8601, in seconds: PT900S."""
    if length == FOREVER:
        return "P9999Y"
    return f"PT{length.total_seconds():.3f}".rstrip("0").rstrip(".") + "S"
