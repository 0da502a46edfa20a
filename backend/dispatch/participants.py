"""Participants of an event: VENs that are given a share, and their commands."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import case, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dispatch.command_marking import LOCK_ORDER
from backend.dispatch.command_outbox import enqueue_commands
from backend.dispatch.event_commands import event_shed_command
from backend.store.bulk_copy import insert_rows
from backend.store.bulk_update import update_rows
from backend.store.statuses import ACKED, ASSIGNED, NOT_RESPONDING, OPEN, WITHDRAWN
from backend.store.tables import COMMANDS, EVENTS, PARTICIPANTS, StoredEvent
from VenAgent.contract.op import SHED_OPS


async def add_participants(
    connection: AsyncConnection,
    event: StoredEvent,
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
    event: StoredEvent,
    shares: Mapping[str, float],
    modifications: Mapping[str, int],
    now: datetime,
    *,
    load_id: str | None = None,
) -> None:
    commands = (
        event_shed_command(
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
    await enqueue_commands(connection, commands, now, created_by=event.created_by)


async def withdraw_commands(
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


_ASSIGNING = 0x56454E01
"""The advisory lock of those who give VENs to events."""


async def lock_assignments(connection: AsyncConnection) -> None:
    """Until the transaction ends no other gives VENs to events.

    Two events that begin at one moment on two instances would else both see a VEN as free.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ASSIGNING})"))
    else:  # a write, though of nothing, makes it the database's one writer
        await connection.execute(update(EVENTS).where(text("0")).values(status=EVENTS.c.status))
