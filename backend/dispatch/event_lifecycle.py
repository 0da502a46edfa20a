"""An event's turns: active at its start, completed at its end or on stop, each exactly once.

A turn is one conditional UPDATE that claims the event's row and, in the same transaction, the
rows that follow from it. Whoever is killed in between has done nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.command_outbox import enqueue_commands
from backend.dispatch.fleet_capability import fleet_capabilities, fleet_capability_draws
from backend.dispatch.participant_commands import (
    participant_cancel_command,
    participant_restore_command,
)
from backend.dispatch.participants import (
    add_participants,
    lock_participant_assignments,
    withdraw_participant_commands,
)
from backend.dispatch.shed_allocation import allocate_shed, allocate_shed_under_limit
from backend.store.database import database_now
from backend.store.statuses import ACTIVE, CANCELLED, COMPLETED, CONCLUDED, SCHEDULED
from backend.store.tables import EVENTS, PARTICIPANTS, StoredEvent
from VenAgent.contract.op import Op
from VenAgent.contract.reasons import ReasonCode


async def activate_dispatched_event(
    connection: AsyncConnection, settings: DispatchSettings, by: datetime | None = None
) -> StoredEvent | None:
    """Make one event active that was due `by` a moment (now if none), with its participants and
    commands; None when none was."""
    now = await database_now(connection)
    due = (EVENTS.c.start_time <= (by or now)) & (EVENTS.c.end_time > now)
    # Whoever was asked just now need not be looked after yet.
    follow_at = now + timedelta(seconds=settings.follow_interval_sec)
    values = {"status": ACTIVE, "activated_at": now, "claimed_until": follow_at}
    event = await _turn(connection, SCHEDULED, due, values)
    if event is not None and event.invited_at is None:
        await _ask(connection, event, settings)
    return event


async def invite_to_dispatched_event(
    connection: AsyncConnection, settings: DispatchSettings, by: datetime | None = None
) -> StoredEvent | None:
    """Ask the VENs of one event whose notice has begun: they are told of it ahead, and it stays
    scheduled; None when there is none. Who comes later is asked while it is active."""
    now = await database_now(connection)
    coming = (
        select(EVENTS.c.id, EVENTS.c.start_time, EVENTS.c.notice_sec)
        .where(
            EVENTS.c.status == SCHEDULED,
            EVENTS.c.notice_sec > 0,
            EVENTS.c.invited_at.is_(None),
            EVENTS.c.start_time > now,
        )
        .order_by(EVENTS.c.start_time)
    )
    moment = by or now
    for row in await connection.execute(coming):
        if row.start_time - timedelta(seconds=row.notice_sec) > moment:
            continue
        values = {"status": SCHEDULED, "invited_at": now}
        is_it = (EVENTS.c.id == row.id) & EVENTS.c.invited_at.is_(None)
        event = await _turn(connection, SCHEDULED, is_it, values)
        if event is not None:
            await _ask(connection, event, settings)
            return event
    return None


async def _ask(connection: AsyncConnection, event: StoredEvent, settings: DispatchSettings) -> None:
    """Split the event and write a command for each VEN that is asked."""
    await lock_participant_assignments(connection)
    now = await database_now(connection)
    if event.kind == Op.LIMIT:
        shares = await limit_shares_of_dispatched_event(connection, event, now, settings)
    else:
        rooms = await fleet_capabilities(connection, event, now, settings)
        shares = allocate_shed(
            abs(event.requested_reduction_kw),
            rooms,
            least_share_kw=settings.least_share_kw,
            in_full=event.ven_ids is not None,
            seed=event.id,
        )
        if event.kind == Op.LOAD_UP:
            shares = {ven_id: -share_kw for ven_id, share_kw in shares.items()}
    await add_participants(connection, event, shares, now)


async def limit_shares_of_dispatched_event(
    connection: AsyncConnection, event: StoredEvent, now: datetime, settings: DispatchSettings
) -> dict[str, float]:
    """What each VEN is to stay under: the limit itself if each site keeps it, else its part.

    Of a limit on feeding in alone the shares are 0: it holds as it is for each site.
    """
    draws = await fleet_capability_draws(connection, event, now, settings)
    import_kw = event.import_kw
    if import_kw is None or event.limit_per_site:
        return {draw.ven_id: import_kw or 0.0 for draw in draws}
    return allocate_shed_under_limit(import_kw, draws)


async def complete_dispatched_event(
    connection: AsyncConnection, by: datetime | None = None
) -> StoredEvent | None:
    """Complete one event whose end came `by` a moment (now if none), with its restores; None when
    there is none."""
    now = await database_now(connection)
    due = EVENTS.c.end_time <= (by or now)
    values = {"status": COMPLETED, "ended_at": now, "end_reason": "end"}
    event = await _turn(connection, ACTIVE, due, values)
    if event is not None:
        await _restore_all(connection, event, now)
        return event
    # All instances were down from its start to its end. Those who were told ahead carried it out.
    told = EVENTS.c.invited_at.is_not(None)
    carried_out = {**values, "activated_at": EVENTS.c.start_time}
    event = await _turn(connection, SCHEDULED, due & told, carried_out)
    if event is not None:
        await _restore_all(connection, event, now)
        return event
    values |= {"status": CANCELLED, "end_reason": ReasonCode.NO_DISPATCHER_RAN.value}
    return await _turn(connection, SCHEDULED, due, values)


async def stop_dispatched_event(
    connection: AsyncConnection, event_id: str, *, status: str, reason: str
) -> StoredEvent | None:
    """End an event now: `status` if it was active, cancelled if it had not begun.

    None when it is over already, or does not exist.
    """
    now = await database_now(connection)
    is_it = EVENTS.c.id == event_id
    # Its row is locked first: a turn that is being made by another instance is waited for.
    await connection.execute(select(EVENTS.c.id).where(is_it).with_for_update())
    values = {"ended_at": now, "end_reason": reason}
    event = await _turn(connection, ACTIVE, is_it, {**values, "status": status})
    if event is not None:
        await _restore_all(connection, event, now)
        return event
    event = await _turn(connection, SCHEDULED, is_it, {**values, "status": CANCELLED})
    if event is not None and event.invited_at is not None:
        await _restore_all(connection, event, now)
    return event


async def _turn(
    connection: AsyncConnection,
    status: str,
    condition: ColumnElement[bool],
    values: Mapping[str, Any],
) -> StoredEvent | None:
    """Move one event of that status on; others that want the same one skip it."""
    one = (
        select(EVENTS.c.id)
        .where(EVENTS.c.status == status, condition)
        .order_by(EVENTS.c.start_time)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    statement = (
        update(EVENTS)
        .where(EVENTS.c.id == one.scalar_subquery(), EVENTS.c.status == status)
        .values(**values)
        .returning(*EVENTS.c)
    )
    return (await connection.execute(statement)).one_or_none()


async def _restore_all(connection: AsyncConnection, event: StoredEvent, now: datetime) -> None:
    """Nothing more is published for the event but restores, to all who may be shedding."""
    await withdraw_participant_commands(connection, event.id)
    rows = await connection.execute(
        select(PARTICIPANTS.c.ven_id, PARTICIPANTS.c.modification).where(
            PARTICIPANTS.c.event_id == event.id, PARTICIPANTS.c.status.not_in(CONCLUDED)
        )
    )
    # One that has not begun is withdrawn.
    has_begun = event.activated_at is not None
    command = participant_restore_command if has_begun else participant_cancel_command
    restores = (
        command(event_id=event.id, ven_id=row.ven_id, modification=row.modification, now=now)
        for row in rows.all()
    )
    await enqueue_commands(connection, restores, now, created_by=event.created_by)
