"""The audit: who did what, written in the transaction that does it, and read by an admin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import Uses
from backend.api.audit_responses import AuditPageResponse
from backend.api.authentication import Admin, AuthenticatedActor
from backend.api.page_cursor import decode_page_cursor, encode_page_cursor
from backend.api.request_fields import Cursor, End, Limit, Start
from backend.store.access_tables import AuditEntryRow
from backend.store.utc_time import utc_now


async def record_audit(
    connection: AsyncConnection,
    actor: AuthenticatedActor,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Who did what, in the transaction that does it."""
    await connection.execute(
        insert(AuditEntryRow).values(
            at=utc_now(),
            actor=actor.name,
            actor_kind=actor.kind,
            role=actor.role.label,
            action=action,
            object=subject,
            detail=None if detail is None else dict(detail),
            remote=actor.remote,
        )
    )


AuditText = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]
audit_router = APIRouter(prefix="/api/audit", tags=["Audit"])


@audit_router.get("/", response_model=AuditPageResponse)
async def list_audit_entries(
    uses: Uses,
    _actor: Admin,
    actor: AuditText = None,
    action: AuditText = None,
    object_: Annotated[AuditText, Query(alias="object")] = None,
    search: AuditText = None,
    start: Start = None,
    end: End = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Who did what, newest first. `search` finds a part of a name, an action, or its object."""
    place = decode_page_cursor(cursor, int)
    c = AuditEntryRow.__table__.c
    statement = select(AuditEntryRow.__table__).order_by(c.id.desc()).limit(limit)
    for column, wanted in ((c.actor, actor), (c.action, action), (c.object, object_)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if search:
        texts = (c.actor, c.action, c.object, c.remote)
        found = (column.icontains(search, autoescape=True) for column in texts)
        statement = statement.where(or_(*found))
    if start is not None:
        statement = statement.where(c.at >= start)
    if end is not None:
        statement = statement.where(c.at < end)
    if place is not None:
        statement = statement.where(c.id < place[0])
    async with uses.database.engine.connect() as connection:
        rows = (await connection.execute(statement)).all()
    return {
        "entries": rows,
        "next_cursor": encode_page_cursor(rows[-1].id) if len(rows) == limit else None,
    }
