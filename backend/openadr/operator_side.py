"""All that OpenADR needs of the rest of the backend: events made, changed and ended; who takes
part, what they draw. No other module of this room imports dispatch or the fleet's tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dispatch.dispatch_wake import send_dispatch_wake
from backend.dispatch.event_follow_up import follow_up_share_changes
from backend.dispatch.event_lifecycle import stop_dispatched_event
from backend.dispatch.new_event import (
    NewEvent,
    NewEventExists,
    NewEventVensUnknown,
    create_new_event,
)
from backend.dispatch.participants import lock_participant_assignments, participants_with_ven_state
from backend.store.alert_tables import VenAlertRow
from backend.store.database import database_now
from backend.store.freshness import freshness_of_row, freshness_of_state
from backend.store.statuses import (
    ACTIVE,
    ASSIGNED,
    CANCELLED,
    COMMANDED,
    COMPLETED,
    ONLINE,
    SCHEDULED,
    SHEDDING,
)
from backend.store.tables import EVENTS, PARTICIPANTS, VEN_STATE, VENS
from backend.store.telemetry_tables import VenTelemetryRow
from backend.store.transaction import in_transaction

__all__ = ["NewEventExists", "NewEventVensUnknown", "database_now", "in_transaction"]

_TELEMETRY = cast(Table, VenTelemetryRow.__table__)
_ALERTS = cast(Table, VenAlertRow.__table__)
_FRESH = timedelta(seconds=90)
CREATED_BY = "openadr"
DELIVERED = ("completed", "rebound")
BY_HAND = ("stopped", "withdrawn")
"""`end_reason` of events that the API ended for a person."""


@dataclass(frozen=True)
class OperatorPower:
    """Means over a stretch of time, in kW; None when there was no telemetry of it."""

    used_kw: float | None
    baseline_kw: float | None
    samples: int


@dataclass(frozen=True)
class OperatorSite:
    """A VEN as it is now."""

    ven_id: str
    is_online: bool
    sheds: bool
    """In one of the events that were asked for: it does, or did."""
    opted_out: bool
    shed_available_kw: float | None


async def create_operator_event(
    connection: AsyncConnection,
    event_id: str,
    *,
    start: datetime,
    end: datetime,
    shed_kw: float,
    ven_ids: Sequence[str] | None,
    priority: int | None,
) -> None:
    """Raises NewEventExists, NewEventVensUnknown."""
    new = NewEvent(
        requested_reduction_kw=shed_kw,
        start=start,
        end=end,
        event_id=event_id,
        ven_ids=ven_ids,
        priority=None if priority is None else min(priority, 255),
        created_by=CREATED_BY,
    )
    await create_new_event(connection, new)


async def modify_operator_event(
    connection: AsyncConnection, event_id: str, *, start: datetime, end: datetime, shed_kw: float
) -> bool:
    """Change an event that is not over. False when it is.

    Who sheds already gets the new end, and its share of the new power, as a modification of the
    same event: no circuit is restored in between.
    """
    row = (
        await connection.execute(select(EVENTS).where(EVENTS.c.id == event_id).with_for_update())
    ).one_or_none()
    if row is None or row.status not in (SCHEDULED, ACTIVE):
        return False
    values: dict[str, Any] = {"end_time": end, "requested_reduction_kw": shed_kw}
    if row.status == SCHEDULED:
        await connection.execute(
            update(EVENTS).where(EVENTS.c.id == event_id).values(start_time=start, **values)
        )
        await send_dispatch_wake(connection)
        return True
    await lock_participant_assignments(connection)
    event = (
        await connection.execute(
            update(EVENTS).where(EVENTS.c.id == event_id).values(**values).returning(*EVENTS.c)
        )
    ).one()
    now = await database_now(connection)
    parts = await participants_with_ven_state(connection, event_id)
    told = [part for part in parts if part.status in (*SHEDDING, ASSIGNED, COMMANDED)]
    factor = shed_kw / row.requested_reduction_kw if row.requested_reduction_kw else 1.0
    shares = {part.ven_id: max(round(part.assigned_shed_kw * factor, 3), 0.001) for part in told}
    if shares:
        await follow_up_share_changes(connection, event, told, shares, now)
    await send_dispatch_wake(connection)
    return True


async def cancel_operator_event(connection: AsyncConnection, event_id: str, reason: str) -> bool:
    """End it now, and restore. False when it is over already."""
    stopped = await stop_dispatched_event(connection, event_id, status=CANCELLED, reason=reason)
    if stopped is not None:
        await send_dispatch_wake(connection)
    return stopped is not None


async def operator_event_ended_by_itself(connection: AsyncConnection, event_id: str) -> bool:
    """It ran to its end: nobody of ours stopped it."""
    row = (
        await connection.execute(
            select(EVENTS.c.status, EVENTS.c.end_reason).where(EVENTS.c.id == event_id)
        )
    ).one_or_none()
    return row is not None and row.status == COMPLETED and row.end_reason == "end"


async def operator_event_stopped_by_hand(
    connection: AsyncConnection, event_ids: Sequence[str]
) -> set[str]:
    """Those of these that a person ended before their end."""
    over = await connection.execute(
        select(EVENTS.c.id, EVENTS.c.end_reason).where(
            EVENTS.c.id.in_(list(event_ids)), EVENTS.c.status.in_((COMPLETED, CANCELLED))
        )
    )
    return {row.id for row in over if row.end_reason in BY_HAND}


async def operator_event_exists(connection: AsyncConnection, event_id: str) -> bool:
    found = await connection.scalar(select(EVENTS.c.id).where(EVENTS.c.id == event_id))
    return found is not None


async def operator_event_is_scheduled(connection: AsyncConnection, event_id: str) -> bool:
    """It has not begun."""
    status = await connection.scalar(select(EVENTS.c.status).where(EVENTS.c.id == event_id))
    return status == SCHEDULED


async def operator_known_vens(connection: AsyncConnection) -> list[str]:
    """All VEN ids, sorted."""
    return list(await connection.scalars(select(VENS.c.id).order_by(VENS.c.id)))


async def operator_available_kw(
    connection: AsyncConnection, ven_ids: Sequence[str] | None
) -> float:
    """What the fleet (or these VENs) says it can shed now, with what it sheds already."""
    now = await database_now(connection)
    room = VEN_STATE.c.shed_available_kw + func.coalesce(VEN_STATE.c.shed_power_kw, 0.0)
    statement = (
        select(func.coalesce(func.sum(room), 0.0))
        .join(VENS, VENS.c.id == VEN_STATE.c.ven_id)
        .where(VENS.c.status == ONLINE, freshness_of_state(now, _FRESH))
    )
    if ven_ids is not None:
        statement = statement.where(VENS.c.id.in_(list(ven_ids)))
    return float(await connection.scalar(statement) or 0.0)


async def operator_sites(
    connection: AsyncConnection, ven_ids: Sequence[str] | None, event_ids: Iterable[str]
) -> list[OperatorSite]:
    """The fleet (or these VENs) as it is now, with its part in these events, also past ones."""
    parts = await connection.execute(
        select(PARTICIPANTS.c.ven_id, PARTICIPANTS.c.status)
        .join(EVENTS, EVENTS.c.id == PARTICIPANTS.c.event_id)
        .where(PARTICIPANTS.c.event_id.in_(list(event_ids)), EVENTS.c.activated_at.is_not(None))
    )
    status = {row.ven_id: row.status for row in parts}
    now = await database_now(connection)
    statement = (
        select(
            VENS.c.id,
            VENS.c.status,
            VEN_STATE.c.shed_available_kw,
            VEN_STATE.c.last_seen,
            VEN_STATE.c.quiet_until,
        )
        .select_from(VENS.outerjoin(VEN_STATE, VEN_STATE.c.ven_id == VENS.c.id))
        .order_by(VENS.c.id)
    )
    if ven_ids is not None:
        statement = statement.where(VENS.c.id.in_(list(ven_ids)))
    return [
        OperatorSite(
            row.id,
            is_online=row.status == ONLINE,
            sheds=status.get(row.id) in (*SHEDDING, *DELIVERED),
            opted_out=status.get(row.id) == "opted_out",
            shed_available_kw=(
                row.shed_available_kw if freshness_of_row(row, now, _FRESH) else None
            ),
        )
        for row in await connection.execute(statement)
    ]


async def operator_power(
    connection: AsyncConnection, ven_ids: Sequence[str], start: datetime, end: datetime
) -> dict[str, OperatorPower]:
    """By VEN what the meter showed from `start` up to `end`: good telemetry alone."""
    is_within: ColumnElement[bool] = (
        (_TELEMETRY.c.timestamp >= start)
        & (_TELEMETRY.c.timestamp < end)
        & (_TELEMETRY.c.quality.is_(None) | (_TELEMETRY.c.quality == "good"))
        & _TELEMETRY.c.used_power_kw.is_not(None)
    )
    found: dict[str, OperatorPower] = {}
    for at in range(0, len(ven_ids), 2_000):
        statement = (
            select(
                _TELEMETRY.c.ven_id,
                func.avg(_TELEMETRY.c.used_power_kw).label("used_kw"),
                func.avg(_TELEMETRY.c.baseline_power_kw).label("baseline_kw"),
                func.count().label("samples"),
            )
            .where(is_within, _TELEMETRY.c.ven_id.in_(list(ven_ids[at : at + 2_000])))
            .group_by(_TELEMETRY.c.ven_id)
        )
        for row in await connection.execute(statement):
            found[row.ven_id] = OperatorPower(row.used_kw, row.baseline_kw, row.samples)
    return found


async def raise_operator_alert(
    connection: AsyncConnection, *, code: str, text: str, subject: str, context: dict[str, Any]
) -> None:
    """One alert a subject and code; an operator sees it among those of the VENs."""
    digest = hashlib.blake2b(
        f"openadr\0{subject}\0{code}\0{text}".encode(), digest_size=16
    ).digest()
    known = await connection.scalar(select(_ALERTS.c.id).where(_ALERTS.c.digest == digest))
    if known is not None:
        return
    now = await database_now(connection)
    await connection.execute(
        insert(_ALERTS).values(
            digest=digest,
            ven_id=CREATED_BY,
            timestamp=now,
            severity="warning",
            code=code,
            message=text,
            context=context,
            created_at=now,
        )
    )
