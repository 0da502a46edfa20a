"""Feedback while an event lasts: newcomers join, the silent that come back are asked again, and
what falls short is asked of others with room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dispatch import fleet
from backend.dispatch.lifecycle import SET_SHARE, EventRow, add_participants, send_shares
from backend.dispatch.settings import DispatchSettings
from backend.dispatch.split import Part, adjust
from backend.dispatch.tables import (
    ACTIVE,
    ASSIGNED,
    COMMANDED,
    COMMANDS,
    EVENTS,
    NOT_RESPONDING,
    PENDING,
    REJECTED,
    SHED_OPS,
    SHEDDING,
    VENS,
)
from backend.store.base import utc_now
from backend.store.models import ONLINE


async def follow_one(
    connection: AsyncConnection, settings: DispatchSettings, *, instance: str
) -> EventRow | None:
    """Look after one active event whose turn it is; None when there is none.

    `claimed_until` is when it is looked after next: one instance does it, once an interval.
    """
    now = utc_now()
    one = (
        select(EVENTS.c.id)
        .where(
            EVENTS.c.status == ACTIVE,
            EVENTS.c.end_time > now,
            or_(EVENTS.c.claimed_until.is_(None), EVENTS.c.claimed_until <= now),
        )
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    claim = (
        update(EVENTS)
        .where(EVENTS.c.id == one.scalar_subquery(), EVENTS.c.status == ACTIVE)
        .values(
            claimed_by=instance,
            claimed_until=now + timedelta(seconds=settings.follow_interval_sec),
        )
        .returning(*EVENTS.c)
    )
    event: EventRow | None = (await connection.execute(claim)).one_or_none()
    if event is None:
        return None
    await _ask_returned(connection, event, now)
    if not await _is_for_one_load(connection, event):
        await _balance(connection, event, settings, now)
    return event


async def _is_for_one_load(connection: AsyncConnection, event: EventRow) -> bool:
    """A person chose that circuit: no other takes its place."""
    found = select(COMMANDS.c.id).where(
        COMMANDS.c.event_id == event.id, COMMANDS.c.op == "shedLoad"
    )
    return bool(await connection.scalar(select(exists(found))))


async def _ask_returned(connection: AsyncConnection, event: EventRow, now: datetime) -> None:
    """VENs that did not respond and have come online since: the same command once more."""
    returned = exists(
        select(VENS.c.id).where(
            VENS.c.id == COMMANDS.c.ven_id,
            VENS.c.status == ONLINE,
            VENS.c.status_since > COMMANDS.c.published_at,
        )
    )
    # One round of attempts for each return: published_at begins anew.
    statement = (
        update(COMMANDS)
        .where(
            COMMANDS.c.event_id == event.id,
            COMMANDS.c.op.in_(SHED_OPS),
            COMMANDS.c.state == NOT_RESPONDING,
            COMMANDS.c.expires_at > now,
            returned,
        )
        .values(state=PENDING, attempts=0, not_before=now, published_at=None)
    )
    await connection.execute(statement)


async def _balance(
    connection: AsyncConnection, event: EventRow, settings: DispatchSettings, now: datetime
) -> None:
    rows = await fleet.live_parts(connection, event.id)
    parts = [_part(row, event, settings, now) for row in rows]
    newcomers = await fleet.rooms(
        connection, event.id, event.ven_ids, now, settings, only_online=True
    )
    changes = adjust(
        event.requested_reduction_kw,
        parts,
        newcomers,
        tolerance=settings.tolerance,
        least_share_kw=settings.least_share_kw,
        seed=event.id,
    )
    await add_participants(connection, event, changes.joined, now)
    if changes.changed:
        await _modify(connection, event, rows, changes.changed, now)


def _part(row: Any, event: EventRow, settings: DispatchSettings, now: datetime) -> Part:
    """What to count on: the meter if it is fresh and settled, else what was asked."""
    is_fresh = row.last_seen is not None and row.last_seen >= now - timedelta(
        seconds=settings.fresh_sec
    )
    is_settled = now - (row.commanded_at or row.assigned_at) >= timedelta(
        seconds=settings.settle_sec
    ) and now - row.assigned_at >= timedelta(seconds=settings.settle_sec)
    # A VEN that refused a modification goes on as before, which its telemetry shows.
    sheds_on = row.status == REJECTED and row.modification > event.modification
    responds = row.status in SHEDDING
    delivered_kw = row.actual_shed_kw
    if is_fresh and row.reported_event_id == event.id and row.shed_power_kw is not None:
        delivered_kw = row.shed_power_kw
    if ((responds and is_settled) or sheds_on) and delivered_kw is not None:
        expected_kw = max(delivered_kw, 0.0)
    elif responds or row.status in (ASSIGNED, COMMANDED):
        expected_kw = row.assigned_shed_kw
    else:
        expected_kw = 0.0
    may_change = (
        responds
        and is_settled
        and is_fresh
        and row.ven_status == ONLINE
        and row.modification - event.modification < settings.most_modifications
    )
    room_kw = (row.shed_available_kw or 0.0) if may_change else 0.0
    return Part(row.ven_id, row.assigned_shed_kw, expected_kw, room_kw, may_change)


async def _modify(
    connection: AsyncConnection,
    event: EventRow,
    rows: Sequence[Any],
    shares: Mapping[str, float],
    now: datetime,
) -> None:
    """New shares under a higher modification number, which a VEN takes in place of the old one."""
    numbers = {row.ven_id: row.modification + 1 for row in rows if row.ven_id in shares}
    await connection.execute(
        SET_SHARE,
        [
            {
                "event": event.id,
                "ven": ven_id,
                "shed_kw": shed_kw,
                "number": numbers[ven_id],
                "at": now,
            }
            for ven_id, shed_kw in shares.items()
        ],
    )
    await send_shares(connection, event, shares, numbers, now)
