"""Participants of an event: VENs that are given a share, and their commands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dispatch.command_marking import LOCK_ORDER
from backend.dispatch.command_outbox import enqueue_commands
from backend.dispatch.participant_commands import ParticipantEventCommands
from backend.store.believed_ven_power import believed_ven_shed_kw, believed_ven_shedding_kw
from backend.store.bulk_copy import bulk_copy_rows
from backend.store.bulk_update import bulk_update_rows
from backend.store.statuses import (
    ACKED,
    ACTIVE,
    ASSIGNED,
    GONE,
    NOT_RESPONDING,
    OPEN,
    WITHDRAWN,
)
from backend.store.tables import COMMANDS, EVENTS, PARTICIPANTS, VEN_STATE, VENS, StoredEvent
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
    await bulk_copy_rows(
        connection,
        PARTICIPANTS,
        [
            {
                "event_id": event.id,
                "ven_id": ven_id,
                **participant_share_columns(event, share_kw),
                "status": ASSIGNED,
                "modification": event.modification,
                "assigned_at": now,
            }
            for ven_id, share_kw in shares.items()
        ],
    )
    modifications = dict.fromkeys(shares, event.modification)
    await send_participant_shares(connection, event, shares, modifications, now, load_id=load_id)


def participant_share_columns(event: StoredEvent, share_kw: float) -> dict[str, float | None]:
    if event.kind == Op.LIMIT:
        return {"assigned_shed_kw": 0.0, "assigned_limit_kw": share_kw}
    return {"assigned_shed_kw": share_kw, "assigned_limit_kw": None}


async def send_participant_shares(
    connection: AsyncConnection,
    event: StoredEvent,
    shares: Mapping[str, float],
    modifications: Mapping[str, int],
    now: datetime,
    *,
    load_id: str | None = None,
) -> None:
    of_event = ParticipantEventCommands(event, now, load_id)
    commands = (
        of_event.of_ven(ven_id, share_kw, modifications[ven_id])
        for ven_id, share_kw in shares.items()
    )
    await enqueue_commands(connection, commands, now, created_by=event.created_by)


async def withdraw_participant_commands(
    connection: AsyncConnection, event_id: str, ven_ids: Collection[str] | None = None
) -> None:
    """What was asked in an event (of these VENs; of all if none) is not sent any more."""
    waiting = COMMANDS.c.state.in_(OPEN if ven_ids is None else (*OPEN, NOT_RESPONDING))
    found = await connection.execute(
        select(COMMANDS.c.id, COMMANDS.c.ven_id).where(
            COMMANDS.c.event_id == event_id, COMMANDS.c.op.in_(EVENT_OPS), waiting
        )
    )
    await bulk_update_rows(
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


async def lock_participant_assignments(connection: AsyncConnection) -> None:
    """Until the transaction ends no other gives VENs to events.

    Two events that begin at one moment on two instances would else both see a VEN as free.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ASSIGNING})"))
    else:  # a write, though of nothing, makes it the database's one writer
        await connection.execute(update(EVENTS).where(text("0")).values(status=EVENTS.c.status))


async def participants_with_ven_state(connection: AsyncConnection, event_id: str) -> Sequence[Any]:
    """The event's participants, each with what its VEN said last."""
    columns = (
        *(PARTICIPANTS.c.ven_id, PARTICIPANTS.c.assigned_shed_kw, PARTICIPANTS.c.status),
        *(PARTICIPANTS.c.actual_shed_kw, PARTICIPANTS.c.modification, PARTICIPANTS.c.assigned_at),
        *(PARTICIPANTS.c.commanded_at, VENS.c.status.label("ven_status"), VENS.c.status_since),
        *(VEN_STATE.c.last_seen, VEN_STATE.c.timestamp),
        believed_ven_shedding_kw().label("shed_power_kw"),
        believed_ven_shed_kw().label("shed_available_kw"),
        VEN_STATE.c.event_id.label("reported_event_id"),
        VEN_STATE.c.quiet_until,
    )
    tables = PARTICIPANTS.outerjoin(VENS, VENS.c.id == PARTICIPANTS.c.ven_id).outerjoin(
        VEN_STATE, VEN_STATE.c.ven_id == PARTICIPANTS.c.ven_id
    )
    statement = select(*columns).select_from(tables).where(PARTICIPANTS.c.event_id == event_id)
    return (await connection.execute(statement)).all()


async def active_event_of_participant(connection: AsyncConnection, ven_id: str) -> str | None:
    """The active event that a VEN takes part in and has not left; limits and dry runs take nobody
    away."""
    found: str | None = await connection.scalar(
        select(PARTICIPANTS.c.event_id)
        .join(EVENTS, EVENTS.c.id == PARTICIPANTS.c.event_id)
        .where(
            PARTICIPANTS.c.ven_id == ven_id,
            EVENTS.c.status == ACTIVE,
            EVENTS.c.kind != Op.LIMIT.value,
            ~EVENTS.c.dry_run,
            PARTICIPANTS.c.status.not_in(GONE),
        )
        .limit(1)
    )
    return found
