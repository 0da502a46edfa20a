"""An event's turns: active at its start, completed at its end or on stop, each exactly once.

A turn is one conditional UPDATE that claims the event's row and, in the same transaction, the
rows that follow from it. Whoever is killed in between has done nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from backend.dispatch import fleet
from backend.dispatch.bulk import insert_rows, update_rows
from backend.dispatch.marking import LOCK_ORDER
from backend.dispatch.messages import restore_command, shed_command
from backend.dispatch.settings import DispatchSettings
from backend.dispatch.split import split
from backend.dispatch.tables import (
    ACKED,
    ACTIVE,
    ASSIGNED,
    CANCELLED,
    COMMANDS,
    COMPLETED,
    EVENTS,
    NOT_RESPONDING,
    OPEN,
    PARTICIPANTS,
    PENDING,
    SCHEDULED,
    SHED_OPS,
    WITHDRAWN,
)
from backend.dispatch.transaction import assign_alone, database_now

EventRow = Row[Any]
CONCLUDED = ("completed", "opted_out")
"""These VENs have restored. One that failed or is silent may shed, and is told to restore; so is
one that has refused: it may be a modification that it refused."""


async def activate_one(
    connection: AsyncConnection, settings: DispatchSettings, by: datetime | None = None
) -> EventRow | None:
    """Make one event active that was due `by` a moment (now if none), with its participants and
    commands; None when none was."""
    now = await database_now(connection)
    due = (EVENTS.c.start_time <= (by or now)) & (EVENTS.c.end_time > now)
    # Whoever was asked just now need not be looked after yet.
    follow_at = now + timedelta(seconds=settings.follow_interval_sec)
    values = {"status": ACTIVE, "activated_at": now, "claimed_until": follow_at}
    event = await _turn(connection, SCHEDULED, due, values)
    if event is not None:
        await _ask(connection, event, settings)
    return event


async def _ask(connection: AsyncConnection, event: EventRow, settings: DispatchSettings) -> None:
    """Split the event and write a command for each VEN that is asked."""
    await assign_alone(connection)
    now = await database_now(connection)
    rooms = await fleet.rooms(connection, event.id, event.ven_ids, now, settings)
    shares = split(
        event.requested_reduction_kw,
        rooms,
        least_share_kw=settings.least_share_kw,
        in_full=event.ven_ids is not None,
        seed=event.id,
    )
    await add_participants(connection, event, shares, now)


async def add_participants(
    connection: AsyncConnection,
    event: EventRow,
    shares: Mapping[str, float],
    now: datetime,
    *,
    load_id: str | None = None,
) -> None:
    if not shares:
        return
    await insert_rows(
        connection,
        PARTICIPANTS,
        [
            {
                "event_id": event.id,
                "ven_id": ven_id,
                "assigned_shed_kw": shed_kw,
                "status": ASSIGNED,
                "modification": event.modification,
                "assigned_at": now,
            }
            for ven_id, shed_kw in shares.items()
        ],
    )
    modifications = dict.fromkeys(shares, event.modification)
    await send_shares(connection, event, shares, modifications, now, load_id=load_id)


async def send_shares(
    connection: AsyncConnection,
    event: EventRow,
    shares: Mapping[str, float],
    modifications: Mapping[str, int],
    now: datetime,
    *,
    load_id: str | None = None,
) -> None:
    commands = (
        shed_command(
            event_id=event.id,
            ven_id=ven_id,
            shed_kw=shed_kw,
            start=event.start_time,
            end=event.end_time,
            modification=modifications[ven_id],
            now=now,
            priority=event.priority,
            load_id=load_id,
        )
        for ven_id, shed_kw in shares.items()
    )
    await put(connection, commands, now, created_by=event.created_by)


async def put(
    connection: AsyncConnection,
    commands: Iterable[dict[str, Any]],
    now: datetime,
    *,
    created_by: str | None = None,
) -> None:
    """Commands into the outbox, due at once."""
    rows = [
        {
            "correlation_id": command["correlationId"],
            "event_id": command.get("event_id"),
            "ven_id": command["venId"],
            "op": command["op"],
            "payload": command,
            "state": PENDING,
            "attempts": 0,
            "not_before": now,
            "expires_at": datetime.fromtimestamp(command["expires_ts"], now.tzinfo),
            "created_at": now,
            "created_by": created_by,
        }
        for command in commands
    ]
    await insert_rows(connection, COMMANDS, rows)


async def finish_one(connection: AsyncConnection, by: datetime | None = None) -> EventRow | None:
    """Complete one event whose end came `by` a moment (now if none), with its restores; None when
    there is none."""
    now = await database_now(connection)
    due = EVENTS.c.end_time <= (by or now)
    values = {"status": COMPLETED, "ended_at": now, "end_reason": "end"}
    event = await _turn(connection, ACTIVE, due, values)
    if event is not None:
        await _restore_all(connection, event, now)
        return event
    # All instances were down from its start to its end: nobody was ever told.
    values |= {"status": CANCELLED, "end_reason": "no dispatcher ran during the event"}
    return await _turn(connection, SCHEDULED, due, values)


async def stop(
    connection: AsyncConnection, event_id: str, *, status: str, reason: str
) -> EventRow | None:
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
    return await _turn(connection, SCHEDULED, is_it, {**values, "status": CANCELLED})


async def _turn(
    connection: AsyncConnection,
    status: str,
    condition: ColumnElement[bool],
    values: Mapping[str, Any],
) -> EventRow | None:
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


async def _restore_all(connection: AsyncConnection, event: EventRow, now: datetime) -> None:
    """Nothing more is published for the event but restores, to all who may be shedding."""
    await withdraw(connection, event.id)
    rows = await connection.execute(
        select(PARTICIPANTS.c.ven_id, PARTICIPANTS.c.modification).where(
            PARTICIPANTS.c.event_id == event.id, PARTICIPANTS.c.status.not_in(CONCLUDED)
        )
    )
    restores = (
        restore_command(
            event_id=event.id, ven_id=row.ven_id, modification=row.modification, now=now
        )
        for row in rows.all()
    )
    await put(connection, restores, now, created_by=event.created_by)


async def withdraw(
    connection: AsyncConnection, event_id: str, ven_ids: Collection[str] | None = None
) -> None:
    """What was asked in an event (of these VENs; of all if none) is not sent any more."""
    waiting = COMMANDS.c.state.in_(OPEN if ven_ids is None else (*OPEN, NOT_RESPONDING))
    found = await connection.execute(
        select(COMMANDS.c.id, COMMANDS.c.ven_id).where(
            COMMANDS.c.event_id == event_id, COMMANDS.c.op.in_(SHED_OPS), waiting
        )
    )
    await update_rows(
        connection,
        COMMANDS,
        ("id",),
        [{"id": row.id} for row in found if ven_ids is None or row.ven_id in ven_ids],
        # Its ack may have come meanwhile.
        lambda _given: {"state": case((COMMANDS.c.state == ACKED, ACKED), else_=WITHDRAWN)},
        lock_order=LOCK_ORDER,
    )
