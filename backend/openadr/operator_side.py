"""What OpenADR does at the operator's side: events made, changed and ended. No other module of this
room imports dispatch or the fleet's tables, but `operator_fleet`, which reads them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dispatch.dispatch_wake import send_dispatch_wake
from backend.dispatch.event_follow_up import follow_up_share_changes
from backend.dispatch.event_lifecycle import stop_dispatched_event
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
from backend.store.statuses import (
    ACTIVE,
    ASSIGNED,
    CANCELLED,
    COMMANDED,
    COMPLETED,
    SCHEDULED,
    SHEDDING,
)
from backend.store.tables import EVENTS, PARTICIPANTS
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

_ALERTS = cast(Table, VenAlertRow.__table__)
CREATED_BY = "openadr"
_LEAST_LEVEL_SEC = 1.0
BY_HAND = (ReasonCode.STOPPED.value, ReasonCode.WITHDRAWN.value)
"""`end_reason` of events that the API ended for a person."""
WITHDRAWN_BY_VTN = ReasonCode.WITHDRAWN_BY_VTN.value
"""`end_reason` of those that the VTN took back."""


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

    def begun_at(self, start: datetime) -> OperatorAsk:
        """The same for an event that began at another moment, which stays its start: the levels
        change when they are to, and the first lasts from there."""
        if start == self.start or not self.levels:
            return replace(self, start=start)
        past_sec = (start - self.start).total_seconds()
        left: list[tuple[float, float]] = []
        at_sec = 0.0
        for sec, power_kw in self.levels:
            at_sec += sec
            rest_sec = round(at_sec - past_sec - sum(each for each, _ in left), 3)
            if rest_sec >= _LEAST_LEVEL_SEC:
                left.append((rest_sec, power_kw))
        power_kw = max((power_kw for _, power_kw in left), default=self.power_kw)
        levels = tuple(left) if len(left) > 1 else ()
        return replace(self, start=start, levels=levels, power_kw=power_kw)


@dataclass(frozen=True)
class OperatorEventState:
    """What an event of the operator's side is now."""

    status: str
    ven_ids: tuple[str, ...] | None
    """Who is asked by name; none: the whole fleet."""
    priority: int | None
    asks_nobody: bool
    """It runs, and no site takes part: none is free for it, or none can do it."""

    @property
    def is_open(self) -> bool:
        return self.status in (SCHEDULED, ACTIVE)


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
        priority=operator_priority(priority),
        test=test,
        created_by=CREATED_BY,
    )
    await create_new_event(connection, new)


def operator_priority(priority: int | None) -> int | None:
    """A VTN's as ours: 0 is the highest in both, none the lowest."""
    return None if priority is None else min(priority, 255)


async def operator_event_states(
    connection: AsyncConnection, event_ids: Collection[str]
) -> dict[str, OperatorEventState]:
    """By id; without those that are not there."""
    if not event_ids:
        return {}
    asked = exists(select(PARTICIPANTS.c.ven_id).where(PARTICIPANTS.c.event_id == EVENTS.c.id))
    columns = (EVENTS.c.id, EVENTS.c.status, EVENTS.c.ven_ids, EVENTS.c.priority)
    found = await connection.execute(
        select(*columns, asked.label("is_asked")).where(EVENTS.c.id.in_(list(event_ids)))
    )
    return {
        row.id: OperatorEventState(
            row.status,
            None if row.ven_ids is None else tuple(row.ven_ids),
            row.priority,
            asks_nobody=row.status == ACTIVE and not row.is_asked,
        )
        for row in found
    }


async def modify_operator_event(
    connection: AsyncConnection, event_id: str, ask: OperatorAsk, priority: int | None
) -> bool:
    """Change an event that is not over; its kind, and the start of one that runs, stay. False when
    it is over.

    Who takes part already gets the new end, and its share of the new power, as a modification of
    the same event: no circuit is restored in between.
    """
    row = (
        await connection.execute(select(EVENTS).where(EVENTS.c.id == event_id).with_for_update())
    ).one_or_none()
    if row is None or row.status not in (SCHEDULED, ACTIVE):
        return False
    if row.status == ACTIVE:
        ask = ask.begun_at(row.start_time)
    values: dict[str, Any] = {
        "priority": operator_priority(priority),
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
