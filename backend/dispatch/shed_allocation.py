"""Who is asked for how much. Pure: power in kW in, power in kW out, whole watts inside."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low

WATTS_PER_KW = 1_000


@dataclass(frozen=True)
class ShedAllocationRoom:
    """What a VEN could shed now; None when it is not known."""

    ven_id: str
    room_kw: float | None
    trusted: bool = True
    """Registered by an operator, or has delivered; others are asked for what these cannot."""
    rated_kw: float | None = None
    """Its panel's rating: it refuses to be asked for more."""


@dataclass(frozen=True)
class ShedAllocationShare:
    """A VEN that takes part. `expected_kw` is what it delivers, or is to deliver shortly."""

    ven_id: str
    assigned_kw: float
    expected_kw: float
    room_kw: float
    """What it could shed beyond what it sheds now."""
    may_change: bool
    """It has answered, has settled, and was not changed too often."""


@dataclass(frozen=True)
class ShedAllocationChanges:
    """New shares: of VENs that join, and of VENs that are in already (their new whole share)."""

    joined: Mapping[str, float]
    changed: Mapping[str, float]


def allocate_shed(
    requested_kw: float,
    rooms: Sequence[ShedAllocationRoom],
    *,
    least_share_kw: float = 0.1,
    in_full: bool = False,
    seed: str = "",
) -> dict[str, float]:
    """Shares in proportion to what each VEN can shed, none larger than that.

    A request too small for everyone goes to those with the most room, so that each share means
    something to a circuit. With `in_full` (a request to VENs named by a person) what exceeds the
    room goes to the VENs whose room is not known, or else to all: they shed what they can.
    `seed` makes the choice among equals another one for each event. VENs that are not trusted are
    asked last, unless a person named them.
    """
    if not in_full and len({room.trusted for room in rooms}) == 2:
        trusted = [room for room in rooms if room.trusted]
        shares_kw = allocate_shed(requested_kw, trusted, least_share_kw=least_share_kw, seed=seed)
        rest_kw = requested_kw - sum(shares_kw.values())
        if rest_kw >= least_share_kw:
            others = [room for room in rooms if not room.trusted]
            shares_kw |= allocate_shed(rest_kw, others, least_share_kw=least_share_kw, seed=seed)
        return shares_kw
    requested_w = round(requested_kw * WATTS_PER_KW)
    known = {room.ven_id: _watts(room.room_kw) for room in rooms if room.room_kw is not None}
    known = {ven_id: room_w for ven_id, room_w in known.items() if room_w > 0}
    shares = _proportional(requested_w, _chosen(requested_w, known, least_share_kw, seed))
    if in_full:
        unknown = [room.ven_id for room in rooms if room.room_kw is None]
        weights = dict.fromkeys(unknown, 1) or {room.ven_id: 0 for room in rooms} | known
        shares = _with_the_rest(requested_w, shares, weights, rooms)
    return {ven_id: watts / WATTS_PER_KW for ven_id, watts in shares.items() if watts > 0}


def _with_the_rest(
    requested_w: int,
    shares: Mapping[str, int],
    weights: Mapping[str, int],
    rooms: Iterable[ShedAllocationRoom],
) -> dict[str, int]:
    """`shares` with what they leave of the request, in the ratio of the weights; nobody is asked
    for more than its rating."""
    most_w = {room.ven_id: _watts(room.rated_kw) for room in rooms if room.rated_kw is not None}
    given, takers = dict(shares), dict(weights)
    while takers and (rest_w := requested_w - sum(given.values())) > 0:
        ratio = takers if any(takers.values()) else dict.fromkeys(takers, 1)
        for ven_id, more_w in _in_ratio(rest_w, ratio).items():
            whole_w = given.get(ven_id, 0) + more_w
            given[ven_id] = min(whole_w, most_w.get(ven_id, whole_w))
            if given[ven_id] < whole_w or more_w == 0:
                del takers[ven_id]
    return given


@dataclass(frozen=True)
class ShedAllocationDraw:
    """What a VEN draws now, and the most it was ever seen to draw; None when it is not known."""

    ven_id: str
    used_power_kw: float | None
    highest_power_kw: float | None = None
    trusted: bool = True
    """Others count as the trusted do in the mean, at most."""
    rated: bool = False
    """Its panel's rating is known, and bounds both."""


LEAST_DRAW_PART = 0.1
"""Of the highest power: a site that draws nothing just now may draw something later."""
_UNLIKELY_TIMES_USUAL = 100
"""So many times what is usual is a slip of the unit, where no rating says otherwise."""


def allocate_shed_under_limit(
    import_kw: float, draws: Sequence[ShedAllocationDraw]
) -> dict[str, float]:
    """Each VEN's part of a limit that all keep together, in proportion to what each draws now.

    A VEN counts with a tenth of its highest power at least, and one of which nothing is known as
    the others do in the mean. The parts make up the limit to the watt. What a VEN says takes
    nothing from the others: without a rating it counts no more than one with a rating ever drew,
    and without being trusted no more than the trusted do in the mean.
    """
    known = {
        draw.ven_id: max(
            _watts(draw.used_power_kw or 0.0),
            _watts((draw.highest_power_kw or 0.0) * LEAST_DRAW_PART),
            1,
        )
        for draw in draws
        if draw.used_power_kw is not None or draw.highest_power_kw is not None
    }
    told = [draw for draw in draws if draw.ven_id in known]
    most_w = _most_likely_draw_w(told, known)
    known |= {draw.ven_id: min(known[draw.ven_id], most_w) for draw in told if not draw.rated}
    trusted = [known[draw.ven_id] for draw in told if draw.trusted]
    counted = trusted or list(known.values())
    usual_w = max(round(sum(counted) / len(counted)), 1) if counted else 1
    if trusted:
        doubted = [draw.ven_id for draw in told if not draw.trusted]
        known |= {ven_id: min(known[ven_id], usual_w) for ven_id in doubted}
    weights = {draw.ven_id: known.get(draw.ven_id, usual_w) for draw in draws}
    parts = _in_ratio(round(import_kw * WATTS_PER_KW), weights)
    return {ven_id: watts / WATTS_PER_KW for ven_id, watts in parts.items()}


def _most_likely_draw_w(draws: Sequence[ShedAllocationDraw], known: Mapping[str, int]) -> int:
    """The most that a trusted VEN with a rating was ever seen to draw; where there is none, the
    largest present draw that is not out of all proportion to the others."""
    trusted = [draw for draw in draws if draw.trusted] or draws
    rated_kw = [max(d.used_power_kw or 0.0, d.highest_power_kw or 0.0) for d in trusted if d.rated]
    if rated_kw or not trusted:
        return max(_watts(max(rated_kw, default=0.0)), 1)
    told = [known[draw.ven_id] for draw in trusted]
    likely_w = max(median_low(told), WATTS_PER_KW) * _UNLIKELY_TIMES_USUAL
    return max((draw_w for draw_w in told if draw_w <= likely_w), default=likely_w)


def adjust_shed_allocation(
    requested_kw: float,
    parts: Sequence[ShedAllocationShare],
    newcomers: Sequence[ShedAllocationRoom],
    *,
    tolerance: float = 0.05,
    least_share_kw: float = 0.1,
    seed: str = "",
) -> ShedAllocationChanges:
    """What to ask in mid-event, so that the sum comes back to the request.

    What is short is asked of newcomers, then of VENs with room; what was asked beyond the request
    is taken back. A newcomer's promise takes nothing from those who deliver.
    """
    expected_kw = sum(part.expected_kw for part in parts)
    short_kw = max(requested_kw - expected_kw, 0.0)
    joined: dict[str, float] = {}
    if short_kw > requested_kw * tolerance:
        joined = allocate_shed(short_kw, newcomers, least_share_kw=least_share_kw, seed=seed)
    joined_kw = sum(joined.values())
    short_kw -= joined_kw
    if short_kw > requested_kw * tolerance:
        return ShedAllocationChanges(joined, _raised(short_kw, parts, least_share_kw, seed))
    committed_kw = sum(min(part.expected_kw, part.assigned_kw) for part in parts)
    if committed_kw > requested_kw * (1 + tolerance):
        return ShedAllocationChanges(
            joined, _lowered(committed_kw - requested_kw, parts, least_share_kw)
        )
    return ShedAllocationChanges(joined, {})


def scale_shed_allocation_changes(
    changes: ShedAllocationChanges,
    parts: Iterable[ShedAllocationShare],
    newcomers: Iterable[ShedAllocationRoom],
    level: float,
    *,
    least_share_kw: float = 0.1,
) -> ShedAllocationChanges:
    """Changes that were found at a lower level of an event, as shares of its highest.

    `level`: the present one as a part of the highest, above 0. Nobody is given more at the highest
    than it can shed as far as is known; a share that stays about what it was is left alone.
    """
    rooms_kw = {one.ven_id: one.room_kw for one in newcomers}
    joined = {}
    for ven_id, share_kw in changes.joined.items():
        room_kw = rooms_kw[ven_id]
        joined[ven_id] = share_kw / level if room_kw is None else min(share_kw / level, room_kw)
    changed = {}
    for part in parts:
        if part.ven_id not in changes.changed:
            continue
        share_kw = changes.changed[part.ven_id]
        most_kw = max(part.expected_kw + part.room_kw, share_kw)
        highest_share_kw = min(share_kw / level, most_kw)
        if abs(highest_share_kw - part.assigned_kw / level) >= least_share_kw:
            changed[part.ven_id] = round(highest_share_kw, 3)
    return ShedAllocationChanges(
        {ven_id: round(share_kw, 3) for ven_id, share_kw in joined.items()}, changed
    )


def _raised(
    short_kw: float, parts: Iterable[ShedAllocationShare], least_share_kw: float, seed: str
) -> dict[str, float]:
    free = {part.ven_id: part for part in parts if part.may_change}
    rooms = [ShedAllocationRoom(part.ven_id, part.room_kw) for part in free.values()]
    more = allocate_shed(short_kw, rooms, least_share_kw=least_share_kw, seed=seed)
    raised = {}
    for ven_id, more_kw in more.items():
        part = free[ven_id]
        # Who gives less than it was asked for is asked for more, but not for what it has not.
        most_kw = max(part.expected_kw + part.room_kw, part.assigned_kw)
        share_kw = round(min(max(part.assigned_kw, part.expected_kw) + more_kw, most_kw), 3)
        if share_kw > part.assigned_kw:
            raised[ven_id] = share_kw
    return raised


def _lowered(
    excess_kw: float, parts: Iterable[ShedAllocationShare], least_share_kw: float
) -> dict[str, float]:
    """A lower share for those asked the most; never below the least that means something."""
    base = {p.ven_id: min(p.assigned_kw, p.expected_kw) for p in parts if p.may_change}
    free = {ven_id: _watts(kw - least_share_kw) for ven_id, kw in base.items()}
    free = {ven_id: watts for ven_id, watts in free.items() if watts > 0}
    less = _proportional(
        _watts(excess_kw), _chosen(_watts(excess_kw), free, least_share_kw, seed="")
    )
    return {
        ven_id: round(base[ven_id] - watts / WATTS_PER_KW, 3)
        for ven_id, watts in less.items()
        if watts > 0
    }


def _watts(power_kw: float) -> int:
    return int(power_kw * WATTS_PER_KW + 1e-6)


def _chosen(
    requested_w: int, rooms: Mapping[str, int], least_share_kw: float, seed: str
) -> dict[str, int]:
    """Those with the most room, no more of them than the request is worth."""
    most = max(1, requested_w // max(round(least_share_kw * WATTS_PER_KW), 1))
    if len(rooms) <= most:
        return dict(rooms)
    ranked = sorted(rooms, key=lambda ven_id: (-rooms[ven_id], _lot(seed, ven_id)))
    return {ven_id: rooms[ven_id] for ven_id in ranked[:most]}


def _lot(seed: str, ven_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{ven_id}".encode(), digest_size=8).digest()


def _proportional(requested_w: int, rooms: Mapping[str, int]) -> dict[str, int]:
    if sum(rooms.values()) <= requested_w:
        return dict(rooms)
    return _in_ratio(requested_w, rooms)


def _in_ratio(total_w: int, weights: Mapping[str, int]) -> dict[str, int]:
    """`total_w` in the ratio of the weights, to the watt: the largest remainders get the rest."""
    whole = sum(weights.values())
    if whole == 0:
        return {}
    shares = {name: total_w * weight // whole for name, weight in weights.items()}
    rest = total_w - sum(shares.values())
    by_remainder = sorted(weights, key=lambda name: -(total_w * weights[name] % whole))
    for name in by_remainder[:rest]:
        shares[name] += 1
    return shares
