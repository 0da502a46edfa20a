"""What of a VTN's event becomes events of the operator's side: pieces with a start, an end and kW.

Pure. A VEN takes events of at most a day, so longer ones, and those until further notice, are cut
into pieces that follow each other without a restore between.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.openadr.vtn_event import (
    IMPORT_LIMIT_KW,
    LEVEL,
    LOAD_UP_KW,
    SHARE,
    SHED_KW,
    VtnEvent,
    VtnEventAsk,
    VtnEventOccurrence,
    VtnEventProblem,
    VtnEventTarget,
    vtn_event_occurrences,
)

LONGEST_PIECE = timedelta(hours=12)
HORIZON = timedelta(hours=36)
"""Pieces without an end, and repetitions, are made so far ahead."""
LEAST_KW = 0.001
LEAST_PIECE = timedelta(seconds=1)


@dataclass(frozen=True)
class ScheduleAmount:
    """What a level asks: kW, or a share (0 … 1) of what the sites can shed."""

    value: float
    is_share: bool

    def power_kw(self, available_kw: float) -> float:
        return self.value * available_kw if self.is_share else self.value


@dataclass(frozen=True)
class SchedulePiece:
    """An event of the operator's side. The key is the same as long as it is the same piece."""

    key: str
    start: datetime
    end: datetime
    shed_kw: float
    is_share: bool
    """Of what can be shed: it is worked out anew until the piece begins."""


@dataclass(frozen=True)
class _SchedulePlan:
    pieces: tuple[SchedulePiece, ...]
    problems: tuple[VtnEventProblem, ...]


def make_schedule(
    event: VtnEvent,
    *,
    now: datetime,
    now_means: datetime,
    delay: timedelta,
    levels: Mapping[int, ScheduleAmount],
    available_kw: float,
) -> _SchedulePlan:
    """Pieces that are not over, and what of the event cannot be done."""
    if event.cancelled:
        return _SchedulePlan((), event.problems)
    problems = list(event.problems)
    pieces: list[SchedulePiece] = []
    until = now + HORIZON
    last = event.intervals[-1] if event.intervals else None
    if last is not None and event.loop_for is None:
        until = max(until, _last_start(event, now_means) + timedelta(microseconds=1) + delay)
    for occurrence in vtn_event_occurrences(event, now_means=now_means, delay=delay, until=until):
        if occurrence.end is not None and occurrence.end <= now:
            continue
        for ask in _first_of_each(occurrence.interval.asks):
            problem = _cannot(ask, levels)
            if problem is not None and problem not in problems:
                problems.append(problem)
        asked = _asked(occurrence.interval.asks, levels, available_kw)
        if asked is None or asked[0] < LEAST_KW:
            continue
        pieces += _cut(occurrence, *asked, now=now)
    return _SchedulePlan(tuple(pieces), tuple(problems))


def _last_start(event: VtnEvent, now_means: datetime) -> datetime:
    """Of the intervals as they stand: a year ahead is shown to people a year ahead."""
    at = now_means
    latest = at
    for interval in event.intervals:
        at = interval.start or at
        latest = max(latest, at)
        try:
            at = at + interval.duration
        except OverflowError:
            break
    return latest


def _first_of_each(asks: Collection[VtnEventAsk]) -> list[VtnEventAsk]:
    return list({ask.kind: ask for ask in reversed(list(asks))}.values())


def _cannot(ask: VtnEventAsk, levels: Mapping[int, ScheduleAmount]) -> VtnEventProblem | None:
    if ask.kind == IMPORT_LIMIT_KW:
        return VtnEventProblem(
            "limit_not_supported",
            f"IMPORT_CAPACITY_LIMIT of {ask.value:g} kW: the fleet takes no limits yet",
        )
    if ask.kind == LOAD_UP_KW:
        return VtnEventProblem(
            "load_up_not_supported",
            f"DISPATCH_SETPOINT_RELATIVE of +{ask.value:g} kW: the fleet cannot draw more",
        )
    if ask.kind == LEVEL and ask.value > 0 and int(ask.value) not in levels:
        return VtnEventProblem(
            "level_without_amount", f"SIMPLE {int(ask.value)}: OPENADR_LEVELS does not say how much"
        )
    return None


def _asked(
    asks: Collection[VtnEventAsk], levels: Mapping[int, ScheduleAmount], available_kw: float
) -> tuple[float, bool] | None:
    """kW to shed, and whether that is a share of what can be shed. A power precedes a level."""
    for ask in asks:
        if ask.kind == SHED_KW:
            return ask.value, False
    for ask in asks:
        if ask.kind == SHARE:
            return round(ask.value * available_kw, 3), True
        if ask.kind == LEVEL:
            amount = levels.get(int(ask.value))
            if amount is not None:
                return round(amount.power_kw(available_kw), 3), amount.is_share
    return None


def _cut(
    occurrence: VtnEventOccurrence, shed_kw: float, is_share: bool, *, now: datetime
) -> list[SchedulePiece]:
    """At most LONGEST_PIECE each, counted from the interval's start, up to the horizon."""
    end = occurrence.end
    pieces: list[SchedulePiece] = []
    # Pieces that are over are not looked at again, however long the event lasts already.
    number = max(0, int((now - occurrence.start) / LONGEST_PIECE))
    while True:
        start = occurrence.start + number * LONGEST_PIECE
        if (end is not None and start >= end) or (pieces and start >= now + HORIZON):
            return pieces
        until = start + LONGEST_PIECE
        until = until if end is None else min(until, end)
        if until - start >= LEAST_PIECE:
            key = f"{occurrence.number}" if number == 0 else f"{occurrence.number}.{number}"
            pieces.append(SchedulePiece(key, start, until, shed_kw, is_share))
        if end is not None and until >= end:
            return pieces
        number += 1


def schedule_vens(
    targets: Collection[VtnEventTarget],
    *,
    ven_name: str,
    resources: Mapping[str, Collection[str]] | None,
    known_vens: Collection[str],
) -> list[str] | VtnEventProblem | None:
    """Who is asked: VEN ids, or None for the whole fleet; a Problem when it is not for us.

    A target that names one of our resources (a group of the settings, or a VEN) means that one.
    Other strings, of 3.1, are labels that the VTN matched with ours before it showed the event.
    """
    groups: dict[str, Collection[str]] = dict(resources or {})
    named: set[str] = set()
    is_for_others = False
    is_for_all = not targets
    for target in targets:
        if target.value in groups:
            named |= set(groups[target.value])
        elif target.value in known_vens and (target.type in (None, "RESOURCE_NAME")):
            named.add(target.value)
        elif target.type == "RESOURCE_NAME" or (
            target.type == "VEN_NAME" and target.value != ven_name
        ):
            is_for_others = True
        else:
            is_for_all = True
    if named:
        return sorted(named)
    if is_for_others and not is_for_all:
        what = ", ".join(sorted(target.value for target in targets)[:5])
        return VtnEventProblem("not_for_this_ven", f"it is for {what}: none of them is ours")
    if resources:
        return sorted({ven_id for ven_ids in groups.values() for ven_id in ven_ids})
    return None
