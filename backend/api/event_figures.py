"""How events do now: what their VENs deliver, from the meters where they say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.store.event_tables import EventPerformanceRow
from backend.store.freshness import freshness_of_state
from backend.store.statuses import NOT_RESPONDING, REFUSING, SHEDDING
from backend.store.tables import EVENTS, PARTICIPANTS, VEN_STATE, VENS
from backend.store.utc_time import utc_now
from VenAgent.contract.op import Op

FRESH = timedelta(seconds=90)
"""What was heard longer ago is not told as if it were so now."""
_SURELY_LATER = (timedelta(seconds=15), timedelta(seconds=30))
"""Telemetry heard since the first came after an ack from before the second."""


def _delivered_kw(now: datetime) -> ColumnElement[float | None]:
    """What a participant sheds: its telemetry if it is of the event, else what its ack said.

    Null for one that does not shed, or has not been heard lately; 0 when the event is over and it
    does not say any more that it sheds for it, and while it sheds for another event.
    """
    state, part = VEN_STATE.c, PARTICIPANTS.c
    fresh = freshness_of_state(now, FRESH)
    agreed = part.status.in_(SHEDDING)
    in_it = and_(fresh, state.event_id == part.event_id)
    # It has agreed a while ago, and what it tells now is of no event: it has forgotten, or it
    # never names events. Either way it sheds what it says.
    since = and_(
        agreed,
        state.event_id.is_(None),
        state.last_seen >= now - _SURELY_LATER[0],
        state.timestamp >= part.first_ack_at,
        part.first_ack_at < now - _SURELY_LATER[1],
    )
    told = state.shed_power_kw.is_not(None)
    just_agreed = and_(agreed, or_(fresh, part.first_ack_at >= now - FRESH))
    is_over = exists(
        select(EVENTS.c.id).where(EVENTS.c.id == part.event_id, EVENTS.c.ended_at.is_not(None))
    )
    # Under a limit it may be all the while.
    is_elsewhere = exists(
        select(_OTHER.c.id).where(
            _OTHER.c.id == state.event_id,
            _OTHER.c.id != part.event_id,
            _OTHER.c.kind != Op.LIMIT.value,
        )
    )
    return case(
        (and_(told, in_it), state.shed_power_kw),
        (or_(is_over, and_(fresh, is_elsewhere)), 0.0),
        (and_(told, since), state.shed_power_kw),
        (or_(just_agreed, in_it), part.actual_shed_kw),
        else_=None,
    )


_RESPONDS = and_(
    PARTICIPANTS.c.first_ack_at.is_not(None),
    PARTICIPANTS.c.status.not_in((*REFUSING, NOT_RESPONDING)),
)
_MEASURED = EventPerformanceRow.__table__
_OTHER = EVENTS.alias("other_event")
_TABLES = PARTICIPANTS.outerjoin(VEN_STATE, VEN_STATE.c.ven_id == PARTICIPANTS.c.ven_id)


async def delivered_kw_of_events(
    connection: AsyncConnection, event_ids: Sequence[str]
) -> dict[str, float]:
    """By event, what it brings now."""
    figures = await event_figures(connection, event_ids) if event_ids else {}
    return {event_id: each["current_reduction_kw"] for event_id, each in figures.items()}


async def event_figures(connection: AsyncConnection, event_ids: Iterable[str]) -> dict[str, Any]:
    """By event: current_reduction_kw, vens_responding, avg_response_ms, vens_asked."""
    ids, now_kw = list(event_ids), _delivered_kw(utc_now())
    rows = await connection.execute(
        select(
            PARTICIPANTS.c.event_id,
            func.coalesce(func.sum(now_kw), 0.0).label("current_reduction_kw"),
            func.sum(case((_RESPONDS, 1), else_=0)).label("vens_responding"),
            func.avg(PARTICIPANTS.c.response_ms).label("avg_response_ms"),
            func.count().label("vens_asked"),
        )
        .select_from(_TABLES)
        .where(PARTICIPANTS.c.event_id.in_(ids))
        .group_by(PARTICIPANTS.c.event_id)
    )
    found: dict[str, Any] = {
        event_id: {
            "current_reduction_kw": 0.0,
            "vens_responding": 0,
            "avg_response_ms": 0,
            "vens_asked": 0,
        }
        for event_id in ids
    }
    for row in rows:
        found[row.event_id] = {name: row._mapping[name] for name in found[row.event_id]}
        found[row.event_id]["avg_response_ms"] = round(row.avg_response_ms or 0.0)
    return found


async def event_figures_by_ven(
    connection: AsyncConnection, event_id: str, *, status: str | None = None, limit: int
) -> list[dict[str, Any]]:
    """VENs' parts (those with that status), the largest first."""
    same = and_(
        _MEASURED.c.event_id == PARTICIPANTS.c.event_id, _MEASURED.c.ven_id == PARTICIPANTS.c.ven_id
    )
    statement = (
        select(
            PARTICIPANTS.c.ven_id,
            func.coalesce(VENS.c.name, PARTICIPANTS.c.ven_id).label("ven_name"),
            _delivered_kw(utc_now()).label("shed_kw"),
            PARTICIPANTS.c.status,
            PARTICIPANTS.c.assigned_shed_kw,
            PARTICIPANTS.c.assigned_limit_kw,
            _MEASURED.c.achieved_shed_kw,
            PARTICIPANTS.c.response_ms,
            PARTICIPANTS.c.reason,
            PARTICIPANTS.c.reason_code,
        )
        .select_from(
            _TABLES.outerjoin(VENS, VENS.c.id == PARTICIPANTS.c.ven_id).outerjoin(_MEASURED, same)
        )
        .where(PARTICIPANTS.c.event_id == event_id)
        .order_by(PARTICIPANTS.c.assigned_shed_kw.desc(), PARTICIPANTS.c.ven_id)
        .limit(limit)
    )
    if status is not None:
        statement = statement.where(PARTICIPANTS.c.status == status)
    return [dict(row._mapping) for row in await connection.execute(statement)]


async def event_figures_by_status(connection: AsyncConnection, event_id: str) -> dict[str, int]:
    """How many of the event's VENs are in which status."""
    rows = await connection.execute(
        select(PARTICIPANTS.c.status, func.count().label("vens"))
        .where(PARTICIPANTS.c.event_id == event_id)
        .group_by(PARTICIPANTS.c.status)
        .order_by(PARTICIPANTS.c.status)
    )
    return {row.status: row.vens for row in rows}
