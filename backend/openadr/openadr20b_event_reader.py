"""Reads an OpenADR 2.0b event: the dict that the package `openleadr` makes of oadrEvent. Pure.

SIMPLE levels, LOAD_DISPATCH deltas and LOAD_CONTROL (x-loadControl…) of the 2.0b Profile
Specification; other signals are problems, which make an opt-out when nothing else is left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from backend.openadr.vtn_event import (
    FOREVER,
    LEVEL,
    LOAD_UP_KW,
    SHARE,
    SHED_KW,
    VtnEvent,
    VtnEventAsk,
    VtnEventInterval,
    VtnEventProblem,
    VtnEventTarget,
)

_PRICES = ("ELECTRICITY_PRICE", "ENERGY_PRICE", "DEMAND_CHARGE", "BID_PRICE")
_TARGETS = {
    "resource_id": "RESOURCE_NAME",
    "ven_id": "VEN_ID",
    "party_id": "VEN_ID",
    "group_id": "GROUP",
}
_SCALES = {"none": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_CAPACITY, _PERCENT = "x-loadControlCapacity", "x-loadControlPercentOffset"


class OpenAdr20bEventNotRead(Exception):
    """It has no id or no number of modification."""


def read_openadr20b_event(raw: Mapping[str, Any], ven_id: str | None) -> VtnEvent:
    """`ven_id` is ours at the VTN. Raises OpenAdr20bEventNotRead."""
    descriptor = raw.get("event_descriptor")
    if not isinstance(descriptor, Mapping) or not descriptor.get("event_id"):
        raise OpenAdr20bEventNotRead("an event without eventID")
    number = descriptor.get("modification_number")
    if not isinstance(number, int):
        raise OpenAdr20bEventNotRead(f"event {descriptor['event_id']!r} without modificationNumber")
    problems: list[VtnEventProblem] = []
    period = raw.get("active_period") or {}
    tolerance = ((period.get("tolerance") or {}).get("tolerate") or {}).get("startafter")
    # 0 is "none" in 2.0b, 1 the highest.
    priority = descriptor.get("priority")
    return VtnEvent(
        id=str(descriptor["event_id"]),
        program_id=str(descriptor.get("market_context") or ""),
        stamp=str(number),
        intervals=_intervals(raw, period, problems),
        priority=priority if isinstance(priority, int) and priority > 0 else None,
        targets=tuple(_targets(raw.get("targets") or (), ven_id)),
        randomize_start=tolerance if isinstance(tolerance, timedelta) else timedelta(0),
        # One that is completed before its time is over is ended too.
        cancelled=descriptor.get("event_status") in ("cancelled", "completed"),
        test=bool(descriptor.get("test_event")),
        problems=tuple(problems),
    )


def _targets(raw: Iterable[Any], ven_id: str | None) -> Iterable[VtnEventTarget]:
    for target in raw:
        for field, value in dict(target).items():
            if value is None:
                continue
            is_ours = field in ("ven_id", "party_id") and value == ven_id
            kind = "OUR_VEN_ID" if is_ours else _TARGETS.get(field, field)
            yield VtnEventTarget(str(value), kind)


def _signals(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    signals = raw.get("event_signals") or []
    if isinstance(signals, Mapping):
        signals = signals.get("event_signals") or []
    return [each for each in signals if isinstance(each, Mapping)]


def _intervals(
    raw: Mapping[str, Any], period: Mapping[str, Any], problems: list[VtnEventProblem]
) -> tuple[VtnEventInterval, ...]:
    """Of the first signal that we can do; a load dispatch says more than a level."""
    start = period.get("dtstart")
    if not isinstance(start, datetime):
        problems.append(VtnEventProblem("start_missing", "the event has no dtstart"))
        return ()
    found: list[tuple[int, tuple[VtnEventInterval, ...]]] = []
    informs = False
    for signal in _signals(raw):
        name = str(signal.get("signal_name"))
        if name in _PRICES:
            informs = True
            continue
        made: list[VtnEventInterval] = []
        asks_something = False
        for position, interval in enumerate(signal.get("intervals") or []):
            ask = _ask(signal, interval, problems)
            asks_something = asks_something or ask is not None
            duration = interval.get("duration")
            if isinstance(duration, timedelta) and duration < timedelta(0):
                text = f"signal {name}, interval {position}: its duration {duration} is below zero"
                problems.append(VtnEventProblem("duration_not_understood", text))
                break  # when the next one begins is not known either
            # Zero is open-ended in 2.0b.
            length = duration if isinstance(duration, timedelta) and duration else FOREVER
            begins = interval.get("dtstart") or (start if position == 0 else None)
            made.append(
                VtnEventInterval(
                    position,
                    _with_zone(begins) if isinstance(begins, datetime) else None,
                    length,
                    (ask,) if ask is not None else (),
                )
            )
        if asks_something:
            found.append((1 if name.upper() == "SIMPLE" else 0, tuple(made)))
    if not found:
        if not problems and not informs:
            text = "no signal has an interval that asks"
            problems.append(VtnEventProblem("nothing_asked", text))
        return ()
    done = min(found, key=lambda each: each[0])
    if sum(each[0] == done[0] for each in found) > 1:
        text = "two signals of one kind ask: the first of them is done"
        problems.append(VtnEventProblem("signals_contradict", text))
    return _within_period(done[1], period, problems)


def _within_period(
    intervals: tuple[VtnEventInterval, ...],
    period: Mapping[str, Any],
    problems: list[VtnEventProblem],
) -> tuple[VtnEventInterval, ...]:
    """The intervals as far as the active period goes; they should last as long as it does. A
    period of zero, or without a duration, is as long as they are."""
    duration, kept = period.get("duration"), []
    if not isinstance(duration, timedelta) or duration <= timedelta(0):
        return intervals
    left = duration
    for interval in intervals:
        if left > timedelta(0):
            kept.append(replace(interval, duration=min(interval.duration, left)))
        left -= min(interval.duration, FOREVER)
    if left and any(interval.duration != FOREVER for interval in intervals):
        text = f"the active period lasts {duration}, its intervals {duration - left}"
        problems.append(VtnEventProblem("duration_contradicts", f"{text}: the shorter is done"))
    return tuple(kept)


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def _ask(
    signal: Mapping[str, Any], interval: Mapping[str, Any], problems: list[VtnEventProblem]
) -> VtnEventAsk | None:
    name, kind = str(signal.get("signal_name")).upper(), str(signal.get("signal_type"))
    value = interval.get("signal_payload")
    where = f"signal {signal.get('signal_name')}, {kind}"

    def problem(code: str, text: str) -> None:
        if VtnEventProblem(code, text) not in problems:
            problems.append(VtnEventProblem(code, text))

    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        problem("value_not_understood", f"{where}: {value!r} is no number")
    elif name == "SIMPLE":
        if value in (0, 1, 2, 3):
            return VtnEventAsk(LEVEL, float(value))
        problem("level_not_understood", f"{where}: {value!r} is not 0, 1, 2 or 3")
    elif name == "LOAD_DISPATCH" and kind == "delta":
        kw_per = _kw_per(signal)
        if kw_per is not None:
            kind_asked = LOAD_UP_KW if value > 0 else SHED_KW
            return VtnEventAsk(kind_asked, abs(value) * kw_per)
        problem("units_not_understood", f"{where}: its units are no W with a scale we know")
    elif name in ("LOAD_CONTROL", "X-LOADCONTROL") and kind == _CAPACITY and 0 <= value <= 1:
        return VtnEventAsk(SHARE, 1.0 - float(value))
    elif name in ("LOAD_CONTROL", "X-LOADCONTROL") and kind == _PERCENT and -1 <= value <= 0:
        return VtnEventAsk(SHARE, -float(value))
    else:
        problem("payload_not_supported", f"{where}, {value!r}: this VEN cannot do that")
    return None


def _kw_per(signal: Mapping[str, Any]) -> float | None:
    """Of the signal's own unit; kW when it names none, None for what is no power or no scale."""
    measurement = signal.get("measurement")
    if measurement is None:
        return 1.0
    if not isinstance(measurement, Mapping) or measurement.get("unit") != "W":
        return None
    scale = _SCALES.get(str(measurement.get("scale") or "none"))
    return None if scale is None else scale / 1e3
