"""The one way in which an event comes into being: REST's `POST /api/events/`, `send-event` to one
VEN, one circuit's shed, and OpenADR all call `create_new_event`.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dispatch.dispatch_wake import send_dispatch_wake
from backend.dispatch.participants import (
    active_event_of_participant,
    add_participants,
    lock_participant_assignments,
)
from backend.store.database import database_now
from backend.store.statuses import ACTIVE, SCHEDULED
from backend.store.tables import EVENTS, VENS
from VenAgent.contract.command_limits import MAX_HEARTBEAT_SEC
from VenAgent.contract.op import Op

_VENS_AT_ONCE = 5_000


LEAST_HEARTBEAT_SEC = 10.0
"""A shorter one would fail at the first request that takes long: a third of it lies between two."""
UNTIL_FURTHER_NOTICE = datetime(2199, 12, 31, tzinfo=timezone.utc)
"""`end` of a limit that does not lapse."""
LONGEST_EVENT = timedelta(hours=24)
"""A VEN takes none that lasts longer; one until it is stopped ends then."""
MOST_INTERVALS = 288
"""A VEN takes no more."""
_SUM_TOLERANCE_SEC = 1.0


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """What is asked for; power in kW, times with their zone.

    As a `kind` Op.EVENT sheds `requested_reduction_kw`, or the `shed_kw` of its intervals;
    Op.LOAD_UP draws `raise_kw` more; Op.LIMIT keeps the VENs at or under `import_kw` (the
    `import_kw` of its intervals, `export_kw`), all together, or each with `limit_per_site`.
    """

    start: datetime
    end: datetime
    """UNTIL_FURTHER_NOTICE for a limit that does not lapse."""
    until_stopped: bool = False
    """Of a shed or loadUp: the VENs are told no end, and each ends it by itself after the longest
    that it takes; `end` is when the backend stops it."""
    kind: Op = Op.EVENT
    requested_reduction_kw: float | None = None
    raise_kw: float | None = None
    import_kw: float | None = None
    export_kw: float | None = None
    window_sec: float | None = None
    failsafe_kw: float | None = None
    """Of a limit: rules at a site that did not hear us for `heartbeat_sec`, for at least
    `failsafe_min_sec`. Divided as `import_kw` is."""
    heartbeat_sec: float | None = None
    failsafe_min_sec: float | None = None
    limit_per_site: bool = False
    intervals: Sequence[Mapping[str, float]] = ()
    """`[{"duration_sec", "shed_kw" or "import_kw"}]`, one after the other from the start."""
    randomize_start_sec: float | None = None
    test: bool = False
    """Marked as a test in every message, row and report."""
    dry_run: bool = False
    """Nothing is written at the sites; their acks say what would be."""
    event_id: str | None = None
    """One is made when there is none."""
    ven_ids: Sequence[str] | None = None
    """The VENs that are asked; none: every VEN that can shed."""
    selection: Mapping[str, Any] | None = None
    """In place of names: of the VENs that can shed those that fit (`backend.dispatch.ven_selection`
    says how, with its groups put in)."""
    notice_sec: float | None = None
    """The VENs are told so long before the start."""
    programme_id: str | None = None
    baseline_method: str | None = None
    priority: int | None = None
    """As in OpenADR 3: 0 is the highest, none the lowest."""
    created_by: str | None = None
    """For the record: a key's name, or the program's."""


class NewEventRefused(Exception):
    """The event is not made; the text tells a person why."""


class NewEventInvalid(NewEventRefused):
    """What is asked for makes no event: `field`, and why."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class NewEventExists(NewEventRefused):
    """The id is used already."""

    def __init__(self, event_id: str) -> None:
        super().__init__(f"there is an event {event_id!r} already")


class NewEventVenBusy(NewEventRefused):
    """It takes part in an event that is active."""

    def __init__(self, ven_id: str, event_id: str) -> None:
        super().__init__(f"{ven_id} takes part in event {event_id}: stop that event first")


class NewEventVensUnknown(NewEventRefused):
    """VENs that are asked by name and are not registered: `ven_ids`, sorted."""

    def __init__(self, ven_ids: Sequence[str]) -> None:
        super().__init__(f"there is no VEN {', '.join(ven_ids[:5])}")
        self.ven_ids = list(ven_ids)


async def create_new_event(connection: AsyncConnection, new: NewEvent) -> Row[Any]:
    """Insert the event as scheduled; a dispatcher begins it at its start, at once if that is past.

    Part of the caller's transaction, whose commit wakes the dispatchers of all processes (those of
    this process at once if `Wake.ring` is called after it). Returns the event's row. Raises
    NewEventRefused: NewEventInvalid, NewEventExists, or NewEventVensUnknown.
    """
    new = checked_new_event(new)
    if new.ven_ids is not None:
        await require_known_vens(connection, new.ven_ids)
    event = await _insert(connection, new, await database_now(connection), status=SCHEDULED)
    await send_dispatch_wake(connection)
    return event


async def begin_new_event(
    connection: AsyncConnection, new: NewEvent, *, load_id: str | None = None
) -> Row[Any]:
    """The same for one VEN alone, active at once: its command is in the outbox when this returns.

    It lasts as long as it was asked for, from now. With `load_id` it is for that circuit alone.
    Raises NewEventRefused (also NewEventVenBusy), and ValueError when it is not for one VEN.
    """
    new = checked_new_event(new)
    (ven_id,) = new.ven_ids or ()
    await require_known_vens(connection, [ven_id])
    await lock_participant_assignments(connection)
    busy = await active_event_of_participant(connection, ven_id)
    if busy is not None and new.kind != Op.LIMIT and not new.dry_run:
        raise NewEventVenBusy(ven_id, busy)
    now = await database_now(connection)
    if new.end != UNTIL_FURTHER_NOTICE:
        new = replace(new, end=now + (new.end - new.start))
    new = replace(new, start=now)
    event = await _insert(connection, new, now, status=ACTIVE, activated_at=now)
    share_kw = event.requested_reduction_kw
    if new.kind == Op.LIMIT:
        share_kw = event.import_kw or 0.0
    shares = {ven_id: share_kw}
    await add_participants(connection, event, shares, now, load_id=load_id)
    await send_dispatch_wake(connection)
    return event


def checked_new_event(new: NewEvent) -> NewEvent:
    """The event with its requested power, from its kind and intervals. Raises NewEventInvalid."""
    _check_fields(new)
    if new.kind == Op.LOAD_UP:
        if new.raise_kw is None or new.raise_kw <= 0:
            raise NewEventInvalid("raise_kw", "a loadUp needs the power to draw more, above 0")
        return replace(new, requested_reduction_kw=-new.raise_kw)
    highest_kw = _highest_of_intervals(new)
    if new.kind == Op.LIMIT:
        import_kw = new.import_kw if highest_kw is None else highest_kw
        if import_kw is None and new.export_kw is None:
            raise NewEventInvalid("import_kw", "a limit needs import_kw, export_kw or intervals")
        return replace(new, import_kw=import_kw, requested_reduction_kw=0.0)
    requested_kw = new.requested_reduction_kw
    if highest_kw is not None:
        if requested_kw not in (None, highest_kw):
            raise NewEventInvalid(
                "requested_reduction_kw", f"must be the highest of the intervals, {highest_kw:g} kW"
            )
        requested_kw = highest_kw
    if requested_kw is None or requested_kw <= 0:
        raise NewEventInvalid("requested_reduction_kw", "an event needs a power to shed, above 0")
    return replace(new, requested_reduction_kw=requested_kw)


_OF_KIND = {
    "requested_reduction_kw": Op.EVENT,
    "raise_kw": Op.LOAD_UP,
    "import_kw": Op.LIMIT,
    "export_kw": Op.LIMIT,
    "window_sec": Op.LIMIT,
    "failsafe_kw": Op.LIMIT,
    "heartbeat_sec": Op.LIMIT,
    "failsafe_min_sec": Op.LIMIT,
    "limit_per_site": Op.LIMIT,
}


def _check_fields(new: NewEvent) -> None:
    """Each kind has fields of its own; what a kind has no use for is refused by name."""
    if new.kind not in (Op.EVENT, Op.LIMIT, Op.LOAD_UP):
        raise NewEventInvalid("kind", "must be event, limit or loadUp")
    for name, kind in _OF_KIND.items():
        if kind != new.kind and getattr(new, name) not in (None, False):
            raise NewEventInvalid(name, f"{new.kind.value} has no use for it; {kind.value} has")
    if new.intervals and new.kind == Op.LOAD_UP:
        raise NewEventInvalid("intervals", "loadUp has no use for it; event and limit have")
    if new.randomize_start_sec and new.kind == Op.LIMIT:
        raise NewEventInvalid(
            "randomize_start_sec", "limit has no use for it: it holds from its start"
        )
    if (new.randomize_start_sec or 0.0) >= (new.end - new.start).total_seconds():
        raise NewEventInvalid("randomize_start_sec", "must be shorter than the event: it ends then")
    if new.selection is not None and not any(new.selection.values()):
        raise NewEventInvalid("selection", "names nobody: leave it out for every VEN")
    if new.ven_ids is not None and new.selection:
        raise NewEventInvalid("selection", "give venIds or a selection, one of them")
    if new.end == UNTIL_FURTHER_NOTICE and new.kind != Op.LIMIT:
        raise NewEventInvalid("end", "only a limit can hold until further notice")
    _check_until_stopped(new)
    _check_failsafe(new)
    for name in ("import_kw", "export_kw", "failsafe_kw"):
        power_kw = getattr(new, name)
        if power_kw is not None and power_kw < 0:
            raise NewEventInvalid(name, "must be 0 or more")


def _check_until_stopped(new: NewEvent) -> None:
    if not new.until_stopped:
        return
    if new.kind == Op.LIMIT:
        raise NewEventInvalid("until_stopped", "a limit has no use for it: it has no end then")
    if new.intervals:
        raise NewEventInvalid("until_stopped", "the intervals say how long it lasts")
    if new.end - new.start > LONGEST_EVENT:
        raise NewEventInvalid("end", "must be 24 hours after the start at most")


def _check_failsafe(new: NewEvent) -> None:
    if (new.failsafe_kw is None) != (new.heartbeat_sec is None):
        missing = "failsafe_kw" if new.failsafe_kw is None else "heartbeat_sec"
        raise NewEventInvalid(missing, "give failsafe and heartbeat, both or neither")
    if new.heartbeat_sec is None:
        if new.failsafe_min_sec is not None:
            raise NewEventInvalid("failsafe_min_sec", "has no use without a heartbeat")
        return
    if not LEAST_HEARTBEAT_SEC <= new.heartbeat_sec <= MAX_HEARTBEAT_SEC:
        least_to_most = f"{LEAST_HEARTBEAT_SEC:g} … {MAX_HEARTBEAT_SEC:g}"
        raise NewEventInvalid("heartbeat_sec", f"must be within {least_to_most} s")
    if not 0 <= (new.failsafe_min_sec or 0.0) <= MAX_HEARTBEAT_SEC:
        raise NewEventInvalid("failsafe_min_sec", f"must be within 0 … {MAX_HEARTBEAT_SEC:g} s")


def _highest_of_intervals(new: NewEvent) -> float | None:
    """None without intervals. Raises NewEventInvalid when they are none, or last another time."""
    if not new.intervals:
        return None
    name, other = "shed_kw", "import_kw"
    if new.kind == Op.LIMIT:
        name, other = other, name
    if len(new.intervals) > MOST_INTERVALS:
        raise NewEventInvalid("intervals", f"at most {MOST_INTERVALS}")
    for number, level in enumerate(new.intervals):
        if level.get(name) is None or level.get(other) is not None:
            raise NewEventInvalid("intervals", f"{number}: {new.kind.value} needs {name}, alone")
        if level[name] < 0 or level["duration_sec"] < 1:
            raise NewEventInvalid("intervals", f"{number}: kW must be 0 or more, seconds 1 or more")
    total_sec = math.fsum(level["duration_sec"] for level in new.intervals)
    given_sec = (new.end - new.start).total_seconds()
    if abs(total_sec - given_sec) > _SUM_TOLERANCE_SEC:
        why = f"they last {total_sec:g} s in all, the event {given_sec:g} s"
        raise NewEventInvalid("intervals", why)
    return max(level[name] for level in new.intervals)


async def _insert(
    connection: AsyncConnection, new: NewEvent, now: datetime, **values: Any
) -> Row[Any]:
    event_id = new.event_id or _made_id(now)
    statement = insert(EVENTS).values(
        id=event_id,
        start_time=new.start,
        end_time=new.end,
        kind=new.kind.value,
        open_ended=new.until_stopped or new.end == UNTIL_FURTHER_NOTICE,
        requested_reduction_kw=new.requested_reduction_kw,
        import_kw=new.import_kw,
        export_kw=new.export_kw,
        window_sec=new.window_sec,
        failsafe_kw=new.failsafe_kw,
        heartbeat_sec=new.heartbeat_sec,
        failsafe_min_sec=new.failsafe_min_sec,
        limit_per_site=new.limit_per_site,
        intervals=[dict(level) for level in new.intervals] or None,
        randomize_start_sec=new.randomize_start_sec or None,
        test=new.test,
        dry_run=new.dry_run,
        selection=dict(new.selection) if new.selection else None,
        notice_sec=new.notice_sec,
        programme_id=new.programme_id,
        baseline_method=new.baseline_method,
        ven_ids=None if new.ven_ids is None else sorted(set(new.ven_ids)),
        priority=new.priority,
        modification=0,
        created_at=now,
        created_by=new.created_by,
        **values,
    )
    try:
        return (await connection.execute(statement.returning(*EVENTS.c))).one()
    except IntegrityError:
        raise NewEventExists(event_id) from None


def _made_id(now: datetime) -> str:
    return f"{now:%Y%m%d}-{secrets.token_hex(4)}"


async def require_known_vens(connection: AsyncConnection, ven_ids: Sequence[str]) -> None:
    known: set[str] = set()
    for at in range(0, len(ven_ids), _VENS_AT_ONCE):
        some = ven_ids[at : at + _VENS_AT_ONCE]
        known |= set(await connection.scalars(select(VENS.c.id).where(VENS.c.id.in_(some))))
    unknown = sorted(set(ven_ids) - known)
    if unknown:
        raise NewEventVensUnknown(unknown)
