"""How events do now: what their VENs deliver, from the meters where they say so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dispatch.tables import NOT_RESPONDING, PARTICIPANTS, VEN_STATE, VENS

_SHEDS = or_(
    PARTICIPANTS.c.status.in_(("accepted", "measured", "adjusted")),
    VEN_STATE.c.event_id == PARTICIPANTS.c.event_id,
)
DELIVERED_KW = case(
    (
        and_(
            VEN_STATE.c.event_id == PARTICIPANTS.c.event_id,
            VEN_STATE.c.shed_power_kw.is_not(None),
        ),
        VEN_STATE.c.shed_power_kw,
    ),
    (_SHEDS, PARTICIPANTS.c.actual_shed_kw),
    else_=None,
)
"""kW: the VEN's telemetry if it is about the event, else what its last ack says."""
_RESPONDS = and_(
    PARTICIPANTS.c.first_ack_at.is_not(None),
    PARTICIPANTS.c.status.not_in(("rejected", "failed", "opted_out", NOT_RESPONDING)),
)
_TABLES = PARTICIPANTS.outerjoin(VEN_STATE, VEN_STATE.c.ven_id == PARTICIPANTS.c.ven_id)


async def figures(connection: AsyncConnection, event_ids: Iterable[str]) -> dict[str, Any]:
    """By event: current_reduction_kw, vens_responding, avg_response_ms, vens_asked."""
    ids = list(event_ids)
    rows = await connection.execute(
        select(
            PARTICIPANTS.c.event_id,
            func.coalesce(func.sum(DELIVERED_KW), 0.0).label("current_reduction_kw"),
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
            "avg_response_ms": None,
            "vens_asked": 0,
        }
        for event_id in ids
    }
    for row in rows:
        found[row.event_id] = {name: row._mapping[name] for name in found[row.event_id]}
    return found


async def parts(connection: AsyncConnection, event_id: str) -> list[dict[str, Any]]:
    """Each VEN's part, the largest first."""
    rows = await connection.execute(
        select(
            PARTICIPANTS.c.ven_id,
            func.coalesce(VENS.c.name, PARTICIPANTS.c.ven_id).label("ven_name"),
            DELIVERED_KW.label("shed_kw"),
            PARTICIPANTS.c.status,
            PARTICIPANTS.c.assigned_shed_kw,
            PARTICIPANTS.c.response_ms,
            PARTICIPANTS.c.reason,
        )
        .select_from(_TABLES.outerjoin(VENS, VENS.c.id == PARTICIPANTS.c.ven_id))
        .where(PARTICIPANTS.c.event_id == event_id)
        .order_by(PARTICIPANTS.c.assigned_shed_kw.desc(), PARTICIPANTS.c.ven_id)
    )
    return [dict(row._mapping) for row in rows]
