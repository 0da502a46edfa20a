"""What of a VTN's event becomes events of the operator's side: pieces with a start, an end and kW.

Pure. Intervals that follow each other are levels of one piece, so that nothing is restored between
them. A VEN takes no event that lasts more than a day from when it is told: the end of a longer one,
or of one until further notice, is moved on while it runs, long before it comes. A limit until
further notice is one piece without an end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from backend.openadr.vtn_event import (
    EXPORT_LIMIT_KW,
    IMPORT_LIMIT_KW,
    LEVEL,
    LOAD_UP_KW,
    SHARE,
    SHED_KW,
    VtnEvent,
    VtnEventAsk,
    VtnEventProblem,
    VtnEventTarget,
    vtn_event_occurrences,
)
from VenAgent.contract.op import Op

LONGEST_AHEAD = timedelta(hours=23)
"""No end is further from now, or from the start of what has not begun."""
MOVED_ON_EACH = timedelta(hours=11)
"""An end that is moved on is at least LONGEST_AHEAD less this away: so long the VTN, and we, may be
away without a gap."""
HORIZON = timedelta(hours=24)
"""Repetitions are made so far ahead."""
LEAST_KW = 0.001
LEAST_PIECE = timedelta(seconds=1)
MOST_LEVELS = 288
"""A VEN takes no more in one command."""
_SHED, _LOAD_UP, _IMPORT, _EXPORT = "", "u", "l", "x"
"""What a key begins with, by what is asked."""
_KINDS = {_SHED: Op.EVENT, _LOAD_UP: Op.LOAD_UP, _IMPORT: Op.LIMIT, _EXPORT: Op.LIMIT}
_WITH_LEVELS = (_SHED, _IMPORT)


@dataclass(frozen=True)
class ScheduleAmount:
    """What a level asks: kW, or a share (0 … 1) of what the sites can shed."""

    value: float
    is_share: bool

    def power_kw(self, available_kw: float) -> float:
        """A share of nothing, as while no site is heard of, is asked for all the same: LEAST_KW."""
        if not self.is_share or not self.value:
            return self.value
        return max(self.value * available_kw, LEAST_KW)


@dataclass(frozen=True)
class SchedulePiece:
    """An event of the operator's side. The key is the same as long as it is the same piece."""

    key: str
    start: datetime
    end: datetime | None
    """None: a limit until further notice."""
    power_kw: float
    """To shed, to draw more, or to stay under: as its kind says; the highest of its levels."""
    is_share: bool = False
    """Of what can be shed: it is worked out anew until the piece begins."""
    kind: Op = Op.EVENT
    levels: tuple[tuple[float, float], ...] = ()
    """(seconds, kW) one after the other; none when the power is one and the same."""
    is_export: bool = False
    """A limit of what is fed in, not of what is drawn."""


@dataclass(frozen=True)
class _SchedulePlan:
    pieces: tuple[SchedulePiece, ...]
    problems: tuple[VtnEventProblem, ...]


@dataclass(frozen=True)
class _Stretch:
    """What one occurrence asks of one kind."""

    number: int
    start: datetime
    end: datetime | None
    power_kw: float
    is_share: bool


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
    stretches: dict[str, list[_Stretch]] = {}
    # A piece is looked at as a whole: further than those that are made.
    until = now + HORIZON + LONGEST_AHEAD
    last = event.intervals[-1] if event.intervals else None
    if last is not None and event.loop_for is None:
        until = max(until, _last_start(event, now_means) + timedelta(microseconds=1) + delay)
    for occurrence in vtn_event_occurrences(event, now_means=now_means, delay=delay, until=until):
        asks = list(_first_of_each(occurrence.interval.asks))
        if occurrence.end is None or occurrence.end > now:
            for ask in asks:
                problem = _cannot(ask, levels)
                if problem is not None and problem not in problems:
                    problems.append(problem)
        for what, power_kw, is_share in _asked(asks, levels, available_kw):
            stretch = _Stretch(
                occurrence.number, occurrence.start, occurrence.end, power_kw, is_share
            )
            stretches.setdefault(what, []).append(stretch)
    for what, found in stretches.items():
        if any(_overlaps(one, other) for one, other in pairwise(sorted(found, key=_start))):
            if what in _WITH_LEVELS:
                stretches[what] = _strictest(what, found)
            else:
                text = "intervals overlap: of two at once the one that began first is done"
                problems.append(VtnEventProblem("intervals_overlap", text))
    made = (
        _piece(what, group, now)
        for what, found in stretches.items()
        for group in _groups(what, found)
    )
    pieces = [piece for piece in made if piece and (piece.end is None or piece.end > now)]
    if event.loop_for is not None:
        pieces = [piece for piece in pieces if piece.start < now + HORIZON]
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
    if ask.kind == LEVEL and ask.value > 0 and int(ask.value) not in levels:
        return VtnEventProblem(
            "level_without_amount", f"SIMPLE {int(ask.value)}: OPENADR_LEVELS does not say how much"
        )
    return None


def _asked(
    asks: Collection[VtnEventAsk], levels: Mapping[int, ScheduleAmount], available_kw: float
) -> Iterator[tuple[str, float, bool]]:
    """(what, kW, whether that is a share of what can be shed). Limits stand beside the rest."""
    by_kind = {ask.kind: ask.value for ask in asks}
    if IMPORT_LIMIT_KW in by_kind:
        yield _IMPORT, round(by_kind[IMPORT_LIMIT_KW], 3), False
    if EXPORT_LIMIT_KW in by_kind:
        yield _EXPORT, round(by_kind[EXPORT_LIMIT_KW], 3), False
    power_kw, is_share = 0.0, False
    if SHED_KW in by_kind or LOAD_UP_KW in by_kind:  # a power precedes a level
        power_kw = by_kind.get(SHED_KW, 0.0) - by_kind.get(LOAD_UP_KW, 0.0)
    elif SHARE in by_kind:
        amount = ScheduleAmount(by_kind[SHARE], is_share=True)
        power_kw, is_share = amount.power_kw(available_kw), True
    elif LEVEL in by_kind:
        of_level = levels.get(int(by_kind[LEVEL]))
        if of_level is not None:
            power_kw, is_share = of_level.power_kw(available_kw), of_level.is_share
    if abs(power_kw) >= LEAST_KW:
        yield _LOAD_UP if power_kw < 0 else _SHED, round(abs(power_kw), 3), is_share


def _start(stretch: _Stretch) -> datetime:
    return stretch.start


def _overlaps(one: _Stretch, later: _Stretch) -> bool:
    return one.end is None or later.start < one.end


def _strictest(what: str, stretches: Sequence[_Stretch]) -> list[_Stretch]:
    """Stretches that overlap, each moment with what sheds most, or limits most, of those there."""
    never = datetime.max.replace(tzinfo=stretches[0].start.tzinfo)
    strictest = max if what == _SHED else min
    moments = {each.start for each in stretches} | {each.end or never for each in stretches}
    found: list[_Stretch] = []
    for start, end in pairwise(sorted(moments)):
        there = [each for each in stretches if each.start <= start and end <= (each.end or never)]
        if there:
            ruling = strictest(there, key=lambda each: each.power_kw)
            last = None if end == never else end
            found.append(replace(ruling, number=len(found), start=start, end=last))
    return found


def _groups(what: str, stretches: Sequence[_Stretch]) -> Iterator[list[_Stretch]]:
    """Stretches that make one piece: each begins where the one before ends.

    They are counted from the event's first, also when that is over, so that a piece keeps its key.
    """
    group: list[_Stretch] = []
    for stretch in stretches:
        fits = (
            bool(group)
            and what in _WITH_LEVELS
            and group[-1].end == stretch.start
            and (
                what == _SHED if stretch.end is None else stretch.end - stretch.start >= LEAST_PIECE
            )
            and len(group) < MOST_LEVELS
        )
        if group and not fits:
            yield group
            group = []
        group.append(stretch)
    if group:
        yield group


def _piece(what: str, group: Sequence[_Stretch], now: datetime) -> SchedulePiece | None:
    """None when it is too short to be one."""
    first, end, kind = group[0], group[-1].end, _KINDS[what]
    levels: tuple[tuple[float, float], ...] = ()
    power_kw = first.power_kw
    if kind != Op.LIMIT or end is not None:
        end = _end_by(now, first.start, end)
        while len(group) > 1 and end - group[-1].start < LEAST_PIECE:
            group = group[:-1]
            end = min(end, group[-1].end or end)
        if end - first.start < LEAST_PIECE:
            return None
        levels = tuple(_level(stretch, end) for stretch in group)
        power_kw = max(kw for _, kw in levels)
    return SchedulePiece(
        f"{what}{first.number}",
        first.start,
        end,
        power_kw,
        any(stretch.is_share for stretch in group),
        kind,
        levels if len(levels) > 1 else (),
        is_export=what == _EXPORT,
    )


def _end_by(now: datetime, start: datetime, end: datetime | None) -> datetime:
    """The end as far as it is said at `now`: the same until the next step of MOVED_ON_EACH."""
    steps = max(0, (now - start) // MOVED_ON_EACH)
    said = start + steps * MOVED_ON_EACH + LONGEST_AHEAD
    return said if end is None else min(said, end)


def _level(stretch: _Stretch, end: datetime) -> tuple[float, float]:
    until = end if stretch.end is None else min(stretch.end, end)
    return round((until - stretch.start).total_seconds(), 3), stretch.power_kw


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
        elif target.type in ("RESOURCE_NAME", "VEN_ID") or (
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
