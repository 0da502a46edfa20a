"""OpenADR: the state of each link to a utility's VTN, its events and reports."""

from __future__ import annotations

from typing import Any, cast

from fastapi import APIRouter
from sqlalchemy import Table, case, func, select

from backend.api.api_services import Uses
from backend.api.authentication import Reader
from backend.api.openadr_responses import OpenAdrStateResponse
from backend.api.request_fields import Limit
from backend.store.database import database_now
from backend.store.openadr_tables import (
    OpenAdrEventRow,
    OpenAdrLinkRow,
    OpenAdrPieceRow,
    OpenAdrReportRow,
)

openadr_router = APIRouter(prefix="/api/openadr", tags=["OpenADR"])
_LINKS = cast(Table, OpenAdrLinkRow.__table__)
_EVENTS = cast(Table, OpenAdrEventRow.__table__)
_PIECES = cast(Table, OpenAdrPieceRow.__table__)
_REPORTS = cast(Table, OpenAdrReportRow.__table__)


@openadr_router.get("/", response_model=OpenAdrStateResponse)
async def read_openadr_state(uses: Uses, _actor: Reader, limit: Limit = 100) -> dict[str, Any]:
    """Links to VTNs, and the latest of their events."""
    is_open = case((_EVENTS.c.status == "open", 0), else_=1)
    latest = select(_EVENTS).order_by(is_open, _EVENTS.c.changed_at.desc()).limit(limit)
    async with uses.database.engine.connect() as connection:
        now = await database_now(connection)
        links = (await connection.execute(select(_LINKS).order_by(_LINKS.c.link))).all()
        events = (await connection.execute(latest)).all()
        pieces = await connection.execute(
            select(_PIECES.c.link, _PIECES.c.vtn_event_id, _PIECES.c.event_id)
            .where(_PIECES.c.vtn_event_id.in_({event.id for event in events}))
            .order_by(_PIECES.c.start_time)
        )
        became: dict[tuple[str, str], list[str]] = {}
        for piece in pieces:
            became.setdefault((piece.link, piece.vtn_event_id), []).append(piece.event_id)
        reports = await connection.execute(
            select(_REPORTS.c.state, func.count().label("number")).group_by(_REPORTS.c.state)
        )
        number = {row.state: row.number for row in reports}
    return {
        "links": [{**link._mapping, "state": _state_of(link, now)} for link in links],
        "events": [
            {**event._mapping, "event_ids": became.get((event.link, event.id), [])}
            for event in events
        ],
        "reports_waiting": number.get("waiting", 0),
        "reports_given_up": number.get("given_up", 0),
    }


def _state_of(link: Any, now: Any) -> str:
    if link.lease_until is None or link.lease_until < now:
        return "stopped"
    return "failing" if link.problem else "ok"
