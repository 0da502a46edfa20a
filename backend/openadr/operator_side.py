"""All that OpenADR needs of the rest of the backend: events made, changed and ended; who takes
part, what they draw. No other module of this room imports dispatch or the fleet's tables.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.dispatch_wake import send_dispatch_wake
from backend.dispatch.event_follow_up import follow_up_share_changes
from backend.dispatch.event_lifecycle import stop_dispatched_event
from backend.dispatch.fleet_capability import FleetCapabilityChoice, fleet_capabilities
from backend.dispatch.new_event import (
    UNTIL_FURTHER_NOTICE,
    NewEvent,
    NewEventRefused,
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
from VenAgent.contract.op import Op
from VenAgent.contract.reasons import ReasonCode

__all__ = [
    "UNTIL_FURTHER_NOTICE",
    "NewEventRefused",
    "NewEventVensUnknown",
    "database_now",
    "in_transaction",
]

_TELEMETRY = cast(Table, VenTelemetryRow.__table__)
_ALERTS = cast(Table, VenAlertRow.__table__)
_FRESH = timedelta(seconds=90)
CREATED_BY = "openadr"
DELIVERED = ("completed", "rebound")
BY_HAND = (ReasonCode.STOPPED.value, ReasonCode.WITHDRAWN.value)
"""`end_reason` of events that the API ended for a person."""
WITHDRAWN_BY_VTN = ReasonCode.WITHDRAWN_BY_VTN.value
"""`end_reason` of those that the VTN took back."""


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
    """In one of the events that were asked for: it does (or keeps a limit), or did."""
    draws_more: bool
    """The same of a load-up."""
    opted_out: bool
    shed_available_kw: float | None


@dataclass(frozen=True)
class OperatorAsk:
    """What an event of the operator's side asks, from when to when."""

    kind: Op
    start: datetime
    end: datetime
    """UNTIL_FURTHER_NOTICE for a limit that does not lapse."""
    power_kw: float
    """To shed, to draw more, or to stay under; the highest of its levels."""
    levels: Sequence[tuple[float, float]] = ()
    """(seconds, kW) one after the other; none when the power is one and the same."""
    is_export: bool = False
    """A limit of what each site feeds in, not of what it draws."""

    @property
    def intervals(self) -> list[dict[str, float]]:
        name = "import_kw" if self.kind == Op.LIMIT else "shed_kw"
        return [{"duration_sec": sec, name: power_kw} for sec, power_kw in self.levels]


async def create_operator_event(
    connection: AsyncConnection,
    event_id: str,
    ask: OperatorAsk,
    *,
    ven_ids: Sequence[str] | None,
    priority: int | None,
    limit_per_site: bool,
    test: bool,
) -> None:
    """Raises NewEventRefused, NewEventVensUnknown among them."""
    is_flat = not ask.levels
    new = NewEvent(
        kind=ask.kind,
        requested_reduction_kw=ask.power_kw if ask.kind == Op.EVENT else None,
        raise_kw=ask.power_kw if ask.kind == Op.LOAD_UP else None,
        import_kw=ask.power_kw if ask.kind == Op.LIMIT and is_flat and not ask.is_export else None,
        export_kw=ask.power_kw if ask.is_export else None,
        limit_per_site=limit_per_site and ask.kind == Op.LIMIT,
        intervals=ask.intervals,
        start=ask.start,
        end=ask.end,
        event_id=event_id,
        ven_ids=ven_ids,
        priority=None if priority is None else min(priority, 255),
        test=test,
        created_by=CREATED_BY,
    )
    await create_new_event(connection, new)


async def modify_operator_event(
    connection: AsyncConnection, event_id: str, ask: OperatorAsk
) -> bool:
    """Change an event that is not over; its kind stays. False when it is over.

    Who takes part already gets the new end, and its share of the new power, as a modification of
    the same event: no circuit is restored in between.
    """
    row = (
        await connection.execute(select(EVENTS).where(EVENTS.c.id == event_id).with_for_update())
    ).one_or_none()
    if row is None or row.status not in (SCHEDULED, ACTIVE):
        return False
    values: dict[str, Any] = {
        "end_time": ask.end,
        "open_ended": ask.end == UNTIL_FURTHER_NOTICE,
        "intervals": ask.intervals or None,
    }
    if ask.kind == Op.LIMIT:
        values["export_kw" if ask.is_export else "import_kw"] = ask.power_kw
    else:
        sign = -1.0 if ask.kind == Op.LOAD_UP else 1.0
        values["requested_reduction_kw"] = sign * ask.power_kw
    if row.status == SCHEDULED:
        await connection.execute(
            update(EVENTS).where(EVENTS.c.id == event_id).values(start_time=ask.start, **values)
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
    shares = await _changed_shares(connection, row, ask)
    if shares:
        parts = await participants_with_ven_state(connection, event_id)
        await follow_up_share_changes(connection, event, parts, shares, now)
    await send_dispatch_wake(connection)
    return True


async def _changed_shares(
    connection: AsyncConnection, before: Any, ask: OperatorAsk
) -> dict[str, float]:
    """By VEN that was told of the event its share of what is asked now; `before` is its row."""
    parts = await connection.execute(
        select(
            PARTICIPANTS.c.ven_id,
            PARTICIPANTS.c.assigned_shed_kw,
            PARTICIPANTS.c.assigned_limit_kw,
        ).where(
            PARTICIPANTS.c.event_id == before.id,
            PARTICIPANTS.c.status.in_((*SHEDDING, ASSIGNED, COMMANDED)),
        )
    )
    if ask.kind == Op.LIMIT:
        if ask.is_export:  # it holds as it is
            return {part.ven_id: 0.0 for part in parts}
        if before.limit_per_site:
            return {part.ven_id: ask.power_kw for part in parts}
        told = {part.ven_id: part.assigned_limit_kw or 0.0 for part in parts}
        whole_kw = sum(told.values())
        if whole_kw <= 0 and told:  # all were to draw nothing: each gets the same
            return {ven_id: round(ask.power_kw / len(told), 3) for ven_id in told}
        return {ven_id: round(ask.power_kw * kw / whole_kw, 3) for ven_id, kw in told.items()}
    before_kw = abs(before.requested_reduction_kw)
    factor = ask.power_kw / before_kw if before_kw else 1.0
    return {
        part.ven_id: math.copysign(
            max(round(abs(part.assigned_shed_kw) * factor, 3), 0.001), part.assigned_shed_kw
        )
        for part in parts
    }


async def cancel_operator_event(
    connection: AsyncConnection, event_id: str, reason: str = WITHDRAWN_BY_VTN
) -> bool:
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
    return row is not None and row.status == COMPLETED and row.end_reason == ReasonCode.END.value


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
        select(PARTICIPANTS.c.ven_id, PARTICIPANTS.c.status, EVENTS.c.kind)
        .join(EVENTS, EVENTS.c.id == PARTICIPANTS.c.event_id)
        .where(PARTICIPANTS.c.event_id.in_(list(event_ids)), EVENTS.c.activated_at.is_not(None))
    )
    status: dict[str, str] = {}
    raising: set[str] = set()
    for part in parts:
        status[part.ven_id] = part.status
        if part.kind == Op.LOAD_UP and part.status in (*SHEDDING, *DELIVERED):
            raising.add(part.ven_id)
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
            sheds=row.id not in raising and status.get(row.id) in (*SHEDDING, *DELIVERED),
            draws_more=row.id in raising,
            opted_out=status.get(row.id) == "opted_out",
            shed_available_kw=(
                row.shed_available_kw if freshness_of_row(row, now, _FRESH) else None
            ),
        )
        for row in await connection.execute(statement)
    ]


async def operator_raise_kw(
    connection: AsyncConnection, ven_ids: Sequence[str], start: datetime, end: datetime
) -> dict[str, float | None]:
    """By VEN so much more it can draw between `start` and `end`, as dispatch counts on it: up to
    the most it was ever seen to draw, within its panel's rating; 0 for one that takes no part or is
    in another event, None where nothing is known."""
    now = await database_now(connection)
    found: dict[str, float | None] = dict.fromkeys(ven_ids, 0.0)
    for at in range(0, len(ven_ids), 2_000):
        choice = FleetCapabilityChoice(
            "", Op.LOAD_UP.value, list(ven_ids[at : at + 2_000]), max(start, now), max(end, now)
        )
        for room in await fleet_capabilities(connection, choice, now, DispatchSettings()):
            found[room.ven_id] = None if room.room_kw is None else max(room.room_kw, 0.0)
    return found


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
