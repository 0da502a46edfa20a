"""Events' lives as notices: created, started, modified, ended, each told once to each target."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.alerts.notice_outbox import NOTICES, put_into_notice_outbox
from backend.config.alert_targets import AlertTarget
from backend.store.tables import EVENTS

_LOOKED_BACK = timedelta(minutes=30)
"""An event that was over before that is told no more: nobody ran to tell it."""


async def put_event_notices(
    connection: AsyncConnection, targets: Sequence[AlertTarget], now: datetime
) -> None:
    """What happened to events since the last look."""
    told_to = [target.name for target in targets if target.events]
    if not told_to:
        return
    late = or_(EVENTS.c.ended_at.is_(None), EVENTS.c.ended_at > now - _LOOKED_BACK)
    events = (await connection.execute(select(EVENTS).where(late))).all()
    wanted = {key: notice for event in events for key, notice in _notices_of(event, now).items()}
    if not wanted:
        return
    known = await connection.execute(
        select(NOTICES.c.target, NOTICES.c.key).where(
            NOTICES.c.target.in_(told_to), NOTICES.c.key.in_(list(wanted))
        )
    )
    there = {(row.target, row.key) for row in known}
    for target in told_to:
        for key, notice in wanted.items():
            if (target, key) not in there:
                await put_into_notice_outbox(connection, target, key, notice, now)


def _notices_of(event: Any, now: datetime) -> dict[str, dict[str, Any]]:
    """By key, in the order in which they happened."""
    found = {f"event/{event.id}/created": "event.created"}
    if event.activated_at is not None:
        found[f"event/{event.id}/started"] = "event.started"
    if event.modification:
        found[f"event/{event.id}/modified/{event.modification}"] = "event.modified"
    if event.ended_at is not None:
        found[f"event/{event.id}/ended"] = "event.ended"
    return {key: _notice(kind, event, now) for key, kind in found.items()}


def _notice(kind: str, event: Any, now: datetime) -> dict[str, Any]:
    return {
        "type": kind,
        "timestamp": _iso(now),
        "data": {
            "id": event.id,
            "status": event.status,
            "kind": event.kind,
            "test": event.test,
            "dryRun": event.dry_run,
            "programmeId": event.programme_id,
            "startTime": _iso(event.start_time),
            "endTime": _iso(event.ended_at or event.end_time),
            "requestedReductionKw": event.requested_reduction_kw,
            "actualReductionKw": event.actual_reduction_kw or 0.0,
            "actualReductionKnown": event.actual_reduction_kw is not None,
            "modification": event.modification,
            "createdBy": event.created_by,
            "endReason": event.end_reason,
        },
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
