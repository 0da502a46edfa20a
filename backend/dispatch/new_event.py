"""The one way in which an event comes into being: REST's `POST /api/events/`, `send-event` to one
VEN, one circuit's shed, and OpenADR all call `create_event`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dispatch.dispatch_wake import notify_dispatchers
from backend.dispatch.participants import add_participants, lock_assignments
from backend.store.statuses import ACTIVE, GONE, SCHEDULED
from backend.store.tables import EVENTS, PARTICIPANTS, VENS
from backend.store.transaction import database_now

_VENS_AT_ONCE = 5_000


@dataclass(frozen=True)
class NewEvent:
    """What is asked for; power in kW, times with their zone."""

    requested_reduction_kw: float
    start: datetime
    end: datetime
    event_id: str | None = None
    """One is made when there is none."""
    ven_ids: Sequence[str] | None = None
    """The VENs that are asked; none: every VEN that can shed."""
    priority: int | None = None
    """As in OpenADR 3: 0 is the highest, none the lowest."""
    created_by: str | None = None
    """For the record: a key's name, or the program's."""


class EventRefused(Exception):
    """The event is not made; the text tells a person why."""


class EventExists(EventRefused):
    """The id is used already."""

    def __init__(self, event_id: str) -> None:
        super().__init__(f"there is an event {event_id!r} already")


class VenBusy(EventRefused):
    """It takes part in an event that is active."""

    def __init__(self, ven_id: str, event_id: str) -> None:
        super().__init__(f"{ven_id} takes part in event {event_id}: stop that event first")


class VensUnknown(EventRefused):
    """VENs that are asked by name and are not registered: `ven_ids`, sorted."""

    def __init__(self, ven_ids: Sequence[str]) -> None:
        super().__init__(f"there is no VEN {', '.join(ven_ids[:5])}")
        self.ven_ids = list(ven_ids)


async def create_event(connection: AsyncConnection, new: NewEvent) -> Row[Any]:
    """Insert the event as scheduled; a dispatcher begins it at its start, at once if that is past.

    Part of the caller's transaction, whose commit wakes the dispatchers of all processes (those of
    this process at once if `Wake.ring` is called after it). Returns the event's row. Raises
    EventRefused: EventExists, or VensUnknown.
    """
    if new.ven_ids is not None:
        await _require_vens(connection, new.ven_ids)
    event = await _insert(connection, new, await database_now(connection), status=SCHEDULED)
    await notify_dispatchers(connection)
    return event


async def begin_event(
    connection: AsyncConnection, new: NewEvent, *, load_id: str | None = None
) -> Row[Any]:
    """The same for one VEN alone, active at once: its command is in the outbox when this returns.

    It lasts as long as it was asked for, from now. With `load_id` it is for that circuit alone.
    Raises EventRefused (also VenBusy), and ValueError when it is not for one VEN.
    """
    (ven_id,) = new.ven_ids or ()
    await _require_vens(connection, [ven_id])
    await lock_assignments(connection)
    busy = await active_event_of(connection, ven_id)
    if busy is not None:
        raise VenBusy(ven_id, busy)
    now = await database_now(connection)
    new = replace(new, start=now, end=now + (new.end - new.start))
    event = await _insert(connection, new, now, status=ACTIVE, activated_at=now)
    shares = {ven_id: new.requested_reduction_kw}
    await add_participants(connection, event, shares, now, load_id=load_id)
    await notify_dispatchers(connection)
    return event


async def active_event_of(connection: AsyncConnection, ven_id: str) -> str | None:
    """The active event that a VEN takes part in and has not left."""
    found: str | None = await connection.scalar(
        select(PARTICIPANTS.c.event_id)
        .join(EVENTS, EVENTS.c.id == PARTICIPANTS.c.event_id)
        .where(
            PARTICIPANTS.c.ven_id == ven_id,
            EVENTS.c.status == ACTIVE,
            PARTICIPANTS.c.status.not_in(GONE),
        )
        .limit(1)
    )
    return found


async def _insert(
    connection: AsyncConnection, new: NewEvent, now: datetime, **values: Any
) -> Row[Any]:
    event_id = new.event_id or _made_id(now)
    statement = insert(EVENTS).values(
        id=event_id,
        start_time=new.start,
        end_time=new.end,
        requested_reduction_kw=new.requested_reduction_kw,
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
        raise EventExists(event_id) from None


def _made_id(now: datetime) -> str:
    return f"{now:%Y%m%d}-{secrets.token_hex(4)}"


async def _require_vens(connection: AsyncConnection, ven_ids: Sequence[str]) -> None:
    known: set[str] = set()
    for at in range(0, len(ven_ids), _VENS_AT_ONCE):
        some = ven_ids[at : at + _VENS_AT_ONCE]
        known |= set(await connection.scalars(select(VENS.c.id).where(VENS.c.id.in_(some))))
    unknown = sorted(set(ven_ids) - known)
    if unknown:
        raise VensUnknown(unknown)
