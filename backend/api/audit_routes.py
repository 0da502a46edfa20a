"""The audit: who did what, written in the transaction that does it, and read by an admin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import Uses
from backend.api.audit_responses import AuditPageResponse
from backend.api.authentication import Admin, AuthenticatedActor
from backend.api.page_cursor import decode_page_cursor, encode_page_cursor
from backend.api.request_fields import Cursor, Limit
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
            role=actor.role.label,
            action=action,
            object=subject,
            detail=None if detail is None else dict(detail),
            remote=actor.remote,
        )
    )


audit_router = APIRouter(prefix="/api/audit", tags=["Audit"])


@audit_router.get("/", response_model=AuditPageResponse)
async def list_audit_entries(
    uses: Uses, _actor: Admin, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Who sent what, newest first."""
    place = decode_page_cursor(cursor, int)
    table = AuditEntryRow.__table__
    statement = select(table).order_by(table.c.id.desc()).limit(limit)
    if place is not None:
        statement = statement.where(table.c.id < place[0])
    async with uses.database.engine.connect() as connection:
        rows = (await connection.execute(statement)).all()
    return {
        "entries": rows,
        "next_cursor": encode_page_cursor(rows[-1].id) if len(rows) == limit else None,
    }
