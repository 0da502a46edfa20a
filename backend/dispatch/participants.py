"""Participants of an event: VENs that are given a share, and their commands."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import case, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dispatch.command_marking import LOCK_ORDER
from backend.dispatch.command_outbox import enqueue_commands
from backend.dispatch.event_commands import stored_event_command
from backend.store.bulk_copy import insert_rows
from backend.store.bulk_update import update_rows
from backend.store.statuses import ACKED, ASSIGNED, NOT_RESPONDING, OPEN, WITHDRAWN
from backend.store.tables import COMMANDS, EVENTS, PARTICIPANTS, StoredEvent
from VenAgent.contract.op import EVENT_OPS, Op


async def add_participants(
    connection: AsyncConnection,
    event: StoredEvent,
    shares: Mapping[str, float],
    now: datetime,
    *,
    load_id: str | None = None,
) -> None:
    """`shares`: by VEN the power in kW that it is to shed (negative: to draw more), or with a limit
    the power that it is to stay under."""
    if not shares:
        return
    await insert_rows(
        connection,
        PARTICIPANTS,
        [
            {
                "event_id": event.id,
                "ven_id": ven_id,
                **assigned_columns(event, share_kw),
                "status": ASSIGNED,
                "modification": event.modification,
                "assigned_at": now,
            }
            for ven_id, share_kw in shares.items()
        ],
    )
    modifications = dict.fromkeys(shares, event.modification)
    await send_shares(connection, event, shares, modifications, now, load_id=load_id)


def assigned_columns(event: StoredEvent, share_kw: float) -> dict[str, float | None]:
    if event.kind == Op.LIMIT:
        return {"assigned_shed_kw": 0.0, "assigned_limit_kw": share_kw}
    return {"assigned_shed_kw": share_kw, "assigned_limit_kw": None}


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
        stored_event_command(
            event,
            ven_id=ven_id,
            share_kw=share_kw,
            modification=modifications[ven_id],
            now=now,
            load_id=load_id,
        )
        for ven_id, share_kw in shares.items()
    )
    await enqueue_commands(connection, commands, now, created_by=event.created_by)


async def withdraw_commands(
    connection: AsyncConnection, event_id: str, ven_ids: Collection[str] | None = None
) -> None:
    """What was asked in an event (of these VENs; of all if none) is not sent any more."""
    waiting = COMMANDS.c.state.in_(OPEN if ven_ids is None else (*OPEN, NOT_RESPONDING))
    found = await connection.execute(
        select(COMMANDS.c.id, COMMANDS.c.ven_id).where(
            COMMANDS.c.event_id == event_id, COMMANDS.c.op.in_(EVENT_OPS), waiting
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
