"""Events' lives as notices: created, started, modified, ended, measured, each told once to each
target, and none of what was past when the target was new."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, insert, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.alerts.notice_outbox import NOTICES, SENT_NOTICE, put_into_notice_outbox
from backend.config.alert_targets import AlertTarget
from backend.store.tables import EVENTS

EVENT_NOTICES_BEGIN = "event.notices_begin"
"""The kind of a row that is never sent: what was past when its target was seen first."""
_LOOKED_BACK = timedelta(minutes=30)
"""An event that was over before that is told no more: nobody ran to tell it."""


async def put_event_notices(
    connection: AsyncConnection, targets: Sequence[AlertTarget], now: datetime
) -> None:
    """What happened to events since the last look, in the order in which it happened."""
    told_to = [target.name for target in targets if target.events]
    if not told_to:
        return
    events = (await connection.execute(select(EVENTS).where(_may_be_told(now)))).all()
    happened = [one for event in events for one in _happenings_of(event, now)]
    happened.sort(key=lambda one: one[0])
    keys = [key for _, key, _, _ in happened]
    past = await _past_at_beginning(connection, told_to)
    told = await connection.execute(
        select(NOTICES.c.target, NOTICES.c.key).where(
            NOTICES.c.target.in_(told_to), NOTICES.c.key.in_(keys)
        )
    )
    known = {(row.target, row.key) for row in told}
    upgraded = {target for target, _ in known}  # told by a version that noted no beginning
    for target in told_to:
        if target not in past:
            past[target] = set() if target in upgraded else set(keys)
            await _begin_event_notices(connection, target, sorted(past[target]), now)
        for _, key, kind, event in happened:
            if key not in past[target] and (target, key) not in known:
                notice = _notice(kind, event, now)
                await put_into_notice_outbox(connection, target, key, notice, now)


async def sweep_alert_notices(connection: AsyncConnection, before: datetime, now: datetime) -> None:
    """Forget notices of before then, but those of events that would be told again without them."""
    of_event = NOTICES.c.key.like(literal("event/").concat(EVENTS.c.id).concat("/%"))
    is_needed = exists(select(EVENTS.c.id).where(of_event, _may_be_told(now)))
    await connection.execute(
        delete(NOTICES).where(
            NOTICES.c.created_at < before, NOTICES.c.kind != EVENT_NOTICES_BEGIN, ~is_needed
        )
    )


def _may_be_told(now: datetime) -> ColumnElement[bool]:
    since = now - _LOOKED_BACK
    return or_(EVENTS.c.ended_at.is_(None), EVENTS.c.ended_at > since, EVENTS.c.measured_at > since)


async def _past_at_beginning(
    connection: AsyncConnection, targets: Collection[str]
) -> dict[str, set[str]]:
    """By target; a new one is not in it."""
    begun = await connection.execute(
        select(NOTICES.c.target, NOTICES.c.payload).where(
            NOTICES.c.target.in_(targets), NOTICES.c.kind == EVENT_NOTICES_BEGIN
        )
    )
    return {row.target: set(row.payload["past"]) for row in begun}


async def _begin_event_notices(
    connection: AsyncConnection, target: str, past: Sequence[str], now: datetime
) -> None:
    await connection.execute(
        insert(NOTICES).values(
            target=target,
            key=EVENT_NOTICES_BEGIN,
            message_id=f"msg_{uuid.uuid4().hex}",
            kind=EVENT_NOTICES_BEGIN,
            payload={"past": list(past)},
            state=SENT_NOTICE,
            not_before=now,
            created_at=now,
        )
    )


def _happenings_of(event: Any, now: datetime) -> list[tuple[datetime, str, str, Any]]:
    """When, under which key, what."""
    found = [(event.created_at, "created", "event.created")]
    if event.activated_at is not None:
        found.append((event.activated_at, "started", "event.started"))
    if event.modification:
        found.append((event.ended_at or now, f"modified/{event.modification}", "event.modified"))
    if event.ended_at is not None:
        found.append((event.ended_at, "ended", "event.ended"))
    if event.measured_at is not None:
        found.append((event.measured_at, "measured", "event.measured"))
    return [(at, f"event/{event.id}/{word}", kind, event) for at, word, kind in found]


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
