"""Who can be asked, and for how much: VENs with their latest telemetry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.shed_allocation import ShedAllocationDraw, ShedAllocationRoom
from backend.dispatch.site_limits import vens_over_site_limits
from backend.dispatch.ven_selection import selected_vens
from backend.store.believed_ven_power import (
    believed_ven_draw_kw,
    believed_ven_highest_kw,
    believed_ven_raise_kw,
    believed_ven_rated_kw,
    believed_ven_shed_in_all_kw,
)
from backend.store.freshness import freshness_of_state
from backend.store.statuses import ACTIVE, AVAILABLE, GONE, ONLINE, SCHEDULED
from backend.store.tables import EVENTS, PARTICIPANTS, VEN_STATE, VENS, StoredEvent
from VenAgent.contract.op import Op


@dataclass(frozen=True)
class FleetCapabilityChoice:
    """Of whom an event is: what the choice of its VENs goes by. A stored event has it too."""

    id: str
    kind: str
    ven_ids: Sequence[str] | None
    start_time: datetime
    end_time: datetime
    selection: Mapping[str, Any] | None = None
    programme_id: str | None = None
    priority: int | None = None


async def fleet_capabilities(
    connection: AsyncConnection,
    event: FleetCapabilityChoice | StoredEvent,
    now: datetime,
    settings: DispatchSettings,
    *,
    only_online: bool = False,
) -> list[ShedAllocationRoom]:
    """VENs that are not in the event yet, nor in another one of its priority or a higher one: a VEN
    itself lets the higher priority go first, and goes on with the other when that is over.

    Of a program event those that are online, take part and have said lately that they can shed; of
    an event with named VENs all of these, with None for a capability that is not known. What a VEN
    sheds for an event that is over comes back to it, so it can be shed again. Nobody can shed more
    than it was ever seen to draw, or than its panel's rating; nor draw more than that in a loadUp,
    of which the room is what it draws less now.
    """
    named = event.ven_ids
    is_fresh = freshness_of_state(now, timedelta(seconds=settings.fresh_sec))
    joined = VENS.outerjoin(VEN_STATE, and_(VEN_STATE.c.ven_id == VENS.c.id, is_fresh))
    takes_part = func.coalesce(VEN_STATE.c.availability, AVAILABLE) == AVAILABLE
    is_raised = event.kind == Op.LOAD_UP
    believed_kw = believed_ven_raise_kw() if is_raised else believed_ven_shed_in_all_kw()
    room_kw = case((~takes_part, 0.0), else_=believed_kw)
    statement = (
        select(VENS.c.id, room_kw.label("room_kw"), VENS.c.trusted)
        .add_columns(believed_ven_rated_kw().label("rated_kw"))
        .select_from(joined)
        .where(~_takes_part(event), selected_vens(event.selection, connection.dialect.name))
        .order_by(VENS.c.id)
    )
    if named is not None:
        statement = statement.where(VENS.c.id.in_(list(named)))
    else:
        statement = statement.where(room_kw > 0)
    if named is None or only_online:
        statement = statement.where(VENS.c.status == ONLINE)
    over = await vens_over_site_limits(connection, event, now)
    return [
        ShedAllocationRoom(row.id, row.room_kw, row.trusted, row.rated_kw)
        for row in await connection.execute(statement)
        if row.id not in over
    ]


async def fleet_capability_draws(
    connection: AsyncConnection,
    event: FleetCapabilityChoice | StoredEvent,
    now: datetime,
    settings: DispatchSettings,
) -> list[ShedAllocationDraw]:
    """VENs that are to keep a limit and are not in it yet: those named, or those online that take
    part. They may be in other events: at each moment the stricter rules."""
    is_fresh = freshness_of_state(now, timedelta(seconds=settings.fresh_sec))
    joined = VENS.outerjoin(VEN_STATE, VEN_STATE.c.ven_id == VENS.c.id)
    used_kw = case((is_fresh, believed_ven_draw_kw()), else_=None).label("used_power_kw")
    in_it = exists(
        select(PARTICIPANTS.c.ven_id).where(
            PARTICIPANTS.c.ven_id == VENS.c.id, PARTICIPANTS.c.event_id == event.id
        )
    )
    statement = (
        select(VENS.c.id, used_kw, believed_ven_highest_kw().label("highest_kw"), VENS.c.trusted)
        .add_columns(believed_ven_rated_kw().is_not(None).label("rated"))
        .select_from(joined)
        .where(~in_it, selected_vens(event.selection, connection.dialect.name))
        .order_by(VENS.c.id)
    )
    if event.ven_ids is not None:
        statement = statement.where(VENS.c.id.in_(list(event.ven_ids)))
    else:
        takes_part = func.coalesce(VEN_STATE.c.availability, AVAILABLE) == AVAILABLE
        statement = statement.where(VENS.c.status == ONLINE, is_fresh, takes_part)
    over = await vens_over_site_limits(connection, event, now)
    return [
        ShedAllocationDraw(row.id, row.used_power_kw, row.highest_kw, row.trusted, row.rated)
        for row in await connection.execute(statement)
        if row.id not in over
    ]


def _takes_part(event: FleetCapabilityChoice | StoredEvent) -> ColumnElement[bool]:
    """In this event, whatever became of it, or in another that it has not left: one that is active,
    or one that it was told of ahead and that overlaps. A limit and a dry run take nobody away, nor
    does an event of a lower priority (0 is the highest, none the lowest)."""
    overlaps = and_(
        EVENTS.c.status == SCHEDULED,
        EVENTS.c.start_time < event.end_time,
        EVENTS.c.end_time > event.start_time,
    )
    other = and_(
        or_(EVENTS.c.status == ACTIVE, overlaps),
        EVENTS.c.kind != Op.LIMIT.value,
        ~EVENTS.c.dry_run,
        PARTICIPANTS.c.status.not_in(GONE),
        true() if event.priority is None else EVENTS.c.priority <= event.priority,
    )
    return exists(
        select(PARTICIPANTS.c.ven_id)
        .join(EVENTS, EVENTS.c.id == PARTICIPANTS.c.event_id)
        .where(
            PARTICIPANTS.c.ven_id == VENS.c.id,
            (PARTICIPANTS.c.event_id == event.id) | other,
        )
    )
