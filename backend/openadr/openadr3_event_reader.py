"""Reads an OpenADR 3 event: the JSON object of /events, of 3.1 or 3.0. Pure.

Clauses are those of the Alliance's "OpenADR 3.1.0 Definition" and User Guide.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from backend.openadr.openadr3_event_times import (
    read_openadr3_event_duration,
    read_openadr3_event_moment,
)
from backend.openadr.vtn_event import (
    EXPORT_LIMIT_KW,
    FOREVER,
    IMPORT_LIMIT_KW,
    LEVEL,
    LOAD_UP_KW,
    SHED_KW,
    VtnEvent,
    VtnEventAsk,
    VtnEventInterval,
    VtnEventProblem,
    VtnEventReportRequest,
    VtnEventTarget,
)

_KW_PER = {None: 1.0, "KW": 1.0, "W": 0.001, "MW": 1_000.0}
"""Units of a payload descriptor; without one the programme's kW."""
_INFORMATION = re.compile(r"PRICE|EXPORT_PRICE|GHG|ALERT_[A-Z_]+")
"""Payloads that inform and ask for no power."""
_POWERS = ("DISPATCH_SETPOINT_RELATIVE", "IMPORT_CAPACITY_LIMIT", "EXPORT_CAPACITY_LIMIT")
_MOST_INTERVALS = 2_000
_LONGEST_ID, _LONGEST_TEXT, _DEEPEST = 128, 1_000, 20
_HIGHEST_NUMBER = 2**31 - 1
_ANY = ""


class OpenAdr3EventNotRead(Exception):
    """It has no id or no programme, or is no object: nothing can be answered to it."""


def read_openadr3_event(raw: Any, program_descriptors: Any = None) -> VtnEvent:
    """Raises OpenAdr3EventNotRead. What else is wrong is in `problems`; what is right is kept.

    `program_descriptors` are its programme's payloadDescriptors: they hold for what the event has
    no descriptor of its own of (Definition, "Payload descriptors").
    """
    if not isinstance(raw, Mapping):
        raise OpenAdr3EventNotRead(f"an event is an object, not {type(raw).__name__}")
    event_id, program_id = (_read_id(raw.get(name)) for name in ("id", "programID"))
    if event_id is None:
        raise OpenAdr3EventNotRead(f"an event without an id that can be one: {raw.get('id')!r:.80}")
    if program_id is None:
        raise OpenAdr3EventNotRead(f"event {event_id!r} names no programme")
    raw = _cleaned(raw)
    inherited = _cleaned(program_descriptors)
    reader = _Reader(raw, inherited)
    targets = reader.targets()
    # Whom it is for is not known: it is for nobody.
    intervals = () if targets is None else reader.intervals()
    return VtnEvent(
        id=event_id,
        program_id=program_id,
        stamp=_stamp(raw, inherited),
        intervals=intervals,
        name=_text(raw.get("eventName")),
        priority=reader.priority(),
        targets=targets or (),
        randomize_start=reader.randomize_start,
        loop_for=reader.duration_or_none(raw.get("duration")),
        report_requests=tuple(reader.report_requests()),
        problems=tuple(reader.problems),
    )


def _read_id(value: Any) -> str | None:
    """An objectID (1 … 128 characters). Some VTNs write numbers, some more than the standard's
    letters, digits, - and _; what no database holds is no id."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    is_one = isinstance(value, str) and 1 <= len(value) <= _LONGEST_ID and value.isprintable()
    return value if is_one and _cleaned(value) == value else None


def _cleaned(value: Any, depth: int = 0) -> Any:
    """Without what text in a database cannot be: NUL and halves of characters. Cut where nobody
    reads on."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()[:_LONGEST_TEXT]
    if depth >= _DEEPEST:
        return None
    if isinstance(value, Mapping):
        return {
            _cleaned(key): _cleaned(each, depth + 1)
            for key, each in value.items()
            if isinstance(key, str)
        }
    if isinstance(value, list):
        return [_cleaned(each, depth + 1) for each in value]
    return value


def _stamp(raw: Mapping[str, Any], inherited: Any) -> str:
    """Changes with each modification, also at a VTN that does not say when it was."""
    said = str(raw.get("modificationDateTime") or raw.get("createdDateTime") or "")
    whole = [raw, inherited] if inherited else raw
    content = json.dumps(whole, sort_keys=True, default=str).encode()
    return f"{said[:40]}#{hashlib.blake2b(content, digest_size=6).hexdigest()}"


def _read_targets(raw: Any) -> tuple[VtnEventTarget, ...] | None:
    """3.1: strings; 3.0: objects with a type and values. None when one of them is neither."""
    found: list[VtnEventTarget] = []
    for each in [] if raw is None else raw if isinstance(raw, list) else [raw]:
        kind: str | None = None
        values: Any = [each]
        if isinstance(each, Mapping):
            kind, values = _text(each.get("type")), each.get("values")
            if kind is None:
                return None
        if not isinstance(raw, list) or not isinstance(values, list) or not values:
            return None
        if not all(isinstance(value, str) and value for value in values):
            return None
        found += [VtnEventTarget(value, kind) for value in values]
    return tuple(found)


def _kw_per_unit(descriptors: Any) -> dict[str, float | None]:
    """By payload type (_ANY for all others); None for units that are no power, for two at once, and
    where it cannot be read what a descriptor is for."""
    if descriptors is None:
        return {}
    if not isinstance(descriptors, list):
        return {_ANY: None}
    found: dict[str, float | None] = {}
    for descriptor in descriptors:
        kind = descriptor.get("payloadType") if isinstance(descriptor, Mapping) else None
        if not isinstance(kind, str):
            found[_ANY] = None
            continue
        units = descriptor.get("units")
        if units is None or descriptor.get("objectType") == "REPORT_PAYLOAD_DESCRIPTOR":
            continue
        kw_per = _KW_PER.get(units) if isinstance(units, str) else None
        found[kind] = kw_per if found.get(kind, kw_per) == kw_per else None
    return found


class _Reader:
    """One event's fields, and what is wrong with them."""

    def __init__(self, raw: Mapping[str, Any], program_descriptors: Any) -> None:
        self._raw = raw
        self.problems: list[VtnEventProblem] = []
        self.randomize_start = timedelta(0)
        self._informs = False
        """It has prices or the like, which ask for no power."""
        self._kw_per = _kw_per_unit(program_descriptors) | _kw_per_unit(
            raw.get("payloadDescriptors")
        )

    def _problem(self, code: str, text: str) -> None:
        problem = VtnEventProblem(code, text)
        if problem not in self.problems:
            self.problems.append(problem)

    def priority(self) -> int | None:
        value = self._raw.get("priority")
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self._problem("priority_not_understood", f"the priority {value!r} is no number from 0")
            return None
        return min(value, _HIGHEST_NUMBER)

    def targets(self) -> tuple[VtnEventTarget, ...] | None:
        found = _read_targets(self._raw.get("targets"))
        if found is None:
            said = f"{self._raw['targets']!r:.100}"
            self._problem("targets_not_understood", f"targets {said}: nobody is asked")
        return found

    def duration_or_none(self, text: Any) -> timedelta | None:
        if text is None:
            return None
        try:
            length = read_openadr3_event_duration(text)
        except ValueError as error:
            self._problem("duration_not_understood", str(error))
            return None
        return length if length > timedelta(0) else None

    def intervals(self) -> tuple[VtnEventInterval, ...]:
        default = self._period(self._raw.get("intervalPeriod"))
        self.randomize_start = default.randomize_start
        raws = self._raw.get("intervals")
        if not isinstance(raws, list):
            self._problem("intervals_not_understood", f"intervals {raws!r:.60} are no list")
            return ()
        found: list[VtnEventInterval] = []
        is_placed = True
        """When the interval begins is known: by itself, or by the one before."""
        for position, raw in enumerate(raws):
            if len(found) >= _MOST_INTERVALS:
                self._problem(
                    "too_many_intervals", f"only the first {_MOST_INTERVALS} intervals are kept"
                )
                break
            own = self._period(raw.get("intervalPeriod")) if isinstance(raw, Mapping) else _Period()
            starts = own if own.has_start else default if position == 0 else _Period()
            if position == 0 and not starts.has_start and own.is_readable:
                self._problem("start_missing", "the event has no start")
                return ()
            if position == 0 and own.randomize_start > timedelta(0):
                self.randomize_start = own.randomize_start
            is_placed = own.has_start or is_placed
            duration = own.duration if own.duration is not None else default.duration
            made: list[VtnEventInterval] = []
            if not isinstance(raw, Mapping):
                self._problem("interval_not_understood", f"interval {position} is {raw!r:.60}")
            elif not own.is_readable:
                self._problem("interval_not_understood", f"interval {position}: when is not known")
            elif duration is None or duration <= timedelta(0):
                self._problem("duration_missing", f"interval {position} has no duration")
            elif not is_placed:
                text = f"interval {position}: when the one before it ends is not known"
                self._problem("interval_not_understood", text)
            else:
                made = self._interval(raw, position, starts.start, duration)
            is_placed = bool(made)
            found += made
        if not self.problems and not self._informs and not any(each.asks for each in found):
            self._problem("nothing_asked", "no interval has a payload that can be read")
        return tuple(found)

    def _interval(
        self, raw: Mapping[str, Any], position: int, start: datetime | None, duration: timedelta
    ) -> list[VtnEventInterval]:
        """More than one for payloads with several values: each holds for its part (7.3)."""
        interval_id = raw.get("id")
        number = interval_id if isinstance(interval_id, int) else position
        payloads = self._payloads(raw, number)
        values = [p.get("values") for p in payloads]
        parts = max((len(v) for v in values if isinstance(v, list)), default=1) or 1
        is_forever = duration == FOREVER
        if parts > 1 and is_forever:
            self._problem("duration_missing", f"interval {number}: a list of values has no end")
            return []
        length = duration if is_forever else duration / parts
        made: list[VtnEventInterval] = []
        for part in range(parts):
            asks = tuple(
                ask for payload in payloads for ask in self._asks(payload, number, part, parts)
            )
            made.append(VtnEventInterval(number, start if part == 0 else None, length, asks))
        return made

    def _payloads(self, raw: Mapping[str, Any], number: int) -> list[Mapping[str, Any]]:
        """Without those of a type that stands there twice and says two things."""
        by_kind: dict[str, Mapping[str, Any]] = {}
        contradictory: set[str] = set()
        for payload in _objects(raw.get("payloads")):
            kind = str(payload.get("type"))
            if by_kind.setdefault(kind, payload).get("values") != payload.get("values"):
                contradictory.add(kind)
        for kind in contradictory:
            by_kind.pop(kind)
            if not _INFORMATION.fullmatch(kind):
                text = f"interval {number}, {kind}: it stands there twice, with other values"
                self._problem("value_not_understood", text)
        return list(by_kind.values())

    def _asks(
        self, payload: Mapping[str, Any], number: int, part: int, parts: int
    ) -> Iterable[VtnEventAsk]:
        kind, values = payload.get("type"), payload.get("values")
        where = f"interval {number}, {kind!r:.60}"
        if isinstance(kind, str) and _INFORMATION.fullmatch(kind):
            self._informs = True
            return
        if kind not in ("SIMPLE", *_POWERS):
            self._problem("payload_not_supported", f"{where}: this VEN cannot do that")
            return
        if not isinstance(values, list) or len(values) not in (1, parts):
            self._problem(
                "value_not_understood", f"{where}: {values!r:.60} is not one number a part"
            )
            return
        value = values[part] if len(values) == parts else values[0]
        value = _finite(value)
        if value is None:
            said = values[min(part, len(values) - 1)]
            self._problem("value_not_understood", f"{where}: {said!r:.60} is no number")
            return
        if kind == "SIMPLE":
            if value not in (0, 1, 2, 3):
                self._problem("level_not_understood", f"{where}: {value!r} is not 0, 1, 2 or 3")
            else:
                yield VtnEventAsk(LEVEL, float(value))
            return
        kw_per = self._kw_per.get(kind, self._kw_per.get(_ANY, 1.0))
        if kw_per is None:
            self._problem("units_not_understood", f"{where}: its units are not one of KW, W, MW")
            return
        power_kw = value * kw_per
        if kind == "DISPATCH_SETPOINT_RELATIVE":  # the change of consumption
            yield VtnEventAsk(LOAD_UP_KW if power_kw > 0 else SHED_KW, abs(power_kw))
        elif power_kw < 0:
            self._problem("value_not_understood", f"{where}: {value!r} is below 0, no limit is")
        else:
            is_import = kind == "IMPORT_CAPACITY_LIMIT"
            yield VtnEventAsk(IMPORT_LIMIT_KW if is_import else EXPORT_LIMIT_KW, power_kw)

    def report_requests(self) -> Iterable[VtnEventReportRequest]:
        for raw in _objects(self._raw.get("reportDescriptors")):
            payload_type = _text(raw.get("payloadType"))
            if payload_type is None:
                self._problem("report_not_understood", "a report descriptor without payloadType")
                continue
            targets = _read_targets(raw.get("targets"))
            if targets is None:
                text = f"report {payload_type}: its targets are not understood"
                self._problem("report_not_understood", text)
                continue
            yield VtnEventReportRequest(
                payload_type=payload_type,
                reading_type=_text(raw.get("readingType")),
                units=_text(raw.get("units")),
                targets=tuple(target.value for target in targets),
                aggregate=raw.get("aggregate") is True,
                start_interval=_whole(raw.get("startInterval"), -1),
                num_intervals=_whole(raw.get("numIntervals"), -1),
                historical=raw.get("historical") is not False,
                frequency=_whole(raw.get("frequency"), -1),
                repeat=_whole(raw.get("repeat"), 1),
            )

    def _period(self, raw: Any) -> _Period:
        period = _Period()
        if not isinstance(raw, Mapping):
            period.is_readable = raw is None
            return period
        try:
            if raw.get("start") is not None:
                period.start, period.has_start = read_openadr3_event_moment(raw["start"]), True
        except ValueError as error:
            self._problem("start_not_understood", str(error))
            period.is_readable = False
        period.duration = self.duration_or_none(raw.get("duration"))
        if period.duration is None and raw.get("duration") is not None:
            period.is_readable = False
        period.randomize_start = self.duration_or_none(raw.get("randomizeStart")) or timedelta(0)
        if period.randomize_start == FOREVER:
            self._problem("duration_not_understood", "randomizeStart has no end")
            period.randomize_start = timedelta(0)
        return period


class _Period:
    start: datetime | None = None
    has_start = False
    duration: timedelta | None = None
    randomize_start = timedelta(0)
    is_readable = True
    """What it says of start and duration can be read."""


def _finite(value: Any) -> float | None:
    """Also whole numbers with more digits than a float has: these are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) < _HIGHEST_NUMBER else None


def _objects(raw: Any) -> list[Mapping[str, Any]]:
    return [each for each in raw if isinstance(each, Mapping)] if isinstance(raw, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: Any, default: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        return default
    return max(min(value, _HIGHEST_NUMBER), -1)
