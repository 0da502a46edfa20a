"""Alerts: what is wrong, since when, who has seen it, and who was told."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy import case, func, or_, select

from backend.alerts.alert_store import ALERTS, store_alert_acknowledgements
from backend.alerts.event_notices import EVENT_NOTICES_BEGIN
from backend.alerts.notice_outbox import NOTICES
from backend.api.alert_responses import (
    AlertAcknowledgedResponse,
    AlertCausesResponse,
    AlertNoticesResponse,
    AlertPageResponse,
    AlertResponse,
)
from backend.api.api_services import Uses
from backend.api.audit_routes import record_audit
from backend.api.authentication import Operator, Reader
from backend.api.page_cursor import decode_page_cursor, encode_page_cursor
from backend.api.request_bodies import AlertAcknowledgeBody
from backend.api.request_fields import Cursor, End, Limit, RequestWholeNumber, Start
from backend.config.alert_targets import SEVERITIES
from backend.store.alert_tables import OPERATORS_SIDE

alert_router = APIRouter(prefix="/api/alerts", tags=["Alerts"])
SearchText = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]
Code = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]+$")]
_RANK = case({name: rank for rank, name in enumerate(SEVERITIES)}, value=ALERTS.c.severity, else_=1)


@alert_router.get("/", response_model=AlertPageResponse)
async def list_alerts(
    uses: Uses,
    _actor: Reader,
    state: Annotated[str, Query(pattern="^(open|ended|all)$")] = "open",
    severity: Annotated[str | None, Query(pattern="^(info|warning|critical)$")] = None,
    acknowledged: bool | None = None,
    code: Code = None,
    cause: Code = None,
    ven_id: Annotated[str | None, Query(alias="venId", max_length=128)] = None,
    search: SearchText = None,
    start: Start = None,
    end: End = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Newest first. `severity` is the least; `start` and `end` are about their begin."""
    c = ALERTS.c
    where: list[Any] = []
    if state != "all":
        where.append(c.ended_at.is_(None) if state == "open" else c.ended_at.is_not(None))
    if severity is not None:
        where.append(SEVERITIES.index(severity) <= _RANK)
    if acknowledged is not None:
        seen = c.acknowledged_at.is_not(None)
        where.append(seen if acknowledged else ~seen)
    for column, wanted in ((c.code, code), (c.cause, cause), (c.ven_id, ven_id)):
        if wanted is not None:
            where.append(column == wanted)
    if search:
        texts = (c.ven_id, c.code, c.subject, c.message)
        where.append(or_(*(column.icontains(search, autoescape=True) for column in texts)))
    if start is not None:
        where.append(c.begun_at >= start)
    if end is not None:
        where.append(c.begun_at < end)
    place = decode_page_cursor(cursor, int)
    page = select(ALERTS).where(*where).order_by(c.id.desc()).limit(limit)
    if place is not None:
        page = page.where(c.id < place[0])
    async with uses.database.engine.connect() as connection:
        rows = (await connection.execute(page)).all()
        total = await connection.scalar(select(func.count()).select_from(ALERTS).where(*where))
    return {
        "alerts": [_alert(row) for row in rows],
        "total_count": total,
        "next_cursor": encode_page_cursor(rows[-1].id) if len(rows) == limit else None,
    }


def _alert(row: Any) -> dict[str, Any]:
    return {**row._mapping, "ven_id": None if row.ven_id == OPERATORS_SIDE else row.ven_id}


@alert_router.get("/causes", response_model=AlertCausesResponse)
async def list_alert_causes(uses: Uses, _actor: Reader) -> dict[str, Any]:
    """What is wrong now, a row a cause: ten thousand VENs that lost one broker are one row."""
    c = ALERTS.c
    unseen = func.sum(case((c.acknowledged_at.is_(None), 1), else_=0))
    of_a_ven = case((c.ven_id != OPERATORS_SIDE, c.ven_id))
    # The operator's own words, where there are some, explain more than those of one VEN.
    words = func.coalesce(
        func.max(case((c.ven_id == OPERATORS_SIDE, c.message))), func.max(c.message)
    )
    statement = (
        select(
            c.cause,
            func.max(_RANK).label("rank"),
            func.count().label("alerts"),
            func.count(of_a_ven.distinct()).label("ven_count"),
            unseen.label("unacknowledged"),
            func.min(c.begun_at).label("since"),
            words.label("message"),
        )
        .where(c.ended_at.is_(None))
        .group_by(c.cause)
    )
    async with uses.database.engine.connect() as connection:
        rows = (await connection.execute(statement)).all()
    causes = [
        {
            **row._mapping,
            "count": row.alerts,
            "code": row.cause.partition(":")[0],
            "severity": SEVERITIES[row.rank],
        }
        for row in sorted(rows, key=lambda row: (-row.rank, -row.alerts, row.cause))
    ]
    return {
        "causes": causes,
        "open_count": sum(row.alerts for row in rows),
        "unacknowledged": sum(row.unacknowledged for row in rows),
    }


@alert_router.post("/acknowledge", response_model=AlertAcknowledgedResponse)
async def post_alert_acknowledge(
    uses: Uses, actor: Operator, body: AlertAcknowledgeBody
) -> dict[str, Any]:
    """Somebody looks after them: they are told no more, until another of their cause begins."""
    if body.cause is not None:
        which = ALERTS.c.cause == body.cause
    else:
        which = ALERTS.c.id.in_([number for number in body.ids or () if abs(number) < 2**63])
    async with uses.database.engine.begin() as connection:
        count = await store_alert_acknowledgements(connection, which, actor.name, body.note)
        if count:
            detail = {"count": count, **body.model_dump(mode="json", exclude_none=True)}
            detail["ids"] = (body.ids or [])[:100]
            await record_audit(connection, actor, "alert.acknowledge", body.cause or "", detail)
    return {"acknowledged": count}


@alert_router.get("/notices", response_model=AlertNoticesResponse)
async def list_alert_notices(
    uses: Uses,
    _actor: Reader,
    state: Annotated[str | None, Query(pattern="^(pending|sent|given_up)$")] = None,
    target: Code = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """What was sent to whom, newest first, and why not."""
    place = decode_page_cursor(cursor, int)
    is_notice = NOTICES.c.kind != EVENT_NOTICES_BEGIN
    statement = select(NOTICES).where(is_notice).order_by(NOTICES.c.id.desc()).limit(limit)
    if place is not None:
        statement = statement.where(NOTICES.c.id < place[0])
    if state is not None:
        statement = statement.where(NOTICES.c.state == state)
    if target is not None:
        statement = statement.where(NOTICES.c.target == target)
    async with uses.database.engine.connect() as connection:
        rows = (await connection.execute(statement)).all()
    return {
        "notices": rows,
        "next_cursor": encode_page_cursor(rows[-1].id) if len(rows) == limit else None,
    }


@alert_router.get("/{alert_id}", response_model=AlertResponse)
async def get_alert(uses: Uses, _actor: Reader, alert_id: RequestWholeNumber) -> dict[str, Any]:
    if abs(alert_id) >= 2**63:
        raise HTTPException(404, f"there is no alert {alert_id}")
    async with uses.database.engine.connect() as connection:
        statement = select(ALERTS).where(ALERTS.c.id == alert_id)
        row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise HTTPException(404, f"there is no alert {alert_id}")
    return _alert(row)
