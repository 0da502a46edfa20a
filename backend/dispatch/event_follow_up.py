"""Feedback while an event lasts: newcomers join, the silent that come back are asked again, and
what falls short is asked of others with room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Double, Integer, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.event_lifecycle import limit_shares_of_dispatched_event
from backend.dispatch.fleet_capability import fleet_capabilities
from backend.dispatch.participants import (
    add_participants,
    lock_participant_assignments,
    participants_with_ven_state,
    send_participant_shares,
    withdraw_participant_commands,
)
from backend.dispatch.shed_allocation import (
    ShedAllocationShare,
    adjust_shed_allocation,
    allocate_shed,
    scale_shed_allocation_changes,
)
from backend.store.bulk_update import bulk_update_rows
from backend.store.database import database_now
from backend.store.freshness import freshness_of_row
from backend.store.statuses import (
    ACTIVE,
    ASSIGNED,
    CANCELLED,
    COMMANDED,
    COMPLETED,
    GONE,
    NOT_RESPONDING,
    OFFLINE,
    ONLINE,
    PENDING,
    REJECTED,
    SCHEDULED,
    SHEDDING,
)
from backend.store.tables import COMMANDS, EVENTS, PARTICIPANTS, VENS, StoredEvent
from VenAgent.contract.op import EVENT_OPS, Op
from VenAgent.contract.reasons import ReasonCode


async def follow_up_event(
    connection: AsyncConnection, settings: DispatchSettings, *, instance: str
) -> StoredEvent | None:
    """Look after one active event whose turn it is; None when there is none.

    `claimed_until` is when it is looked after next: one instance does it, once an interval.
    """
    now = await database_now(connection)
    one = (
        select(EVENTS.c.id)
        .where(
            EVENTS.c.status == ACTIVE,
            EVENTS.c.end_time > now,
            or_(EVENTS.c.claimed_until.is_(None), EVENTS.c.claimed_until <= now),
        )
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    claim = (
        update(EVENTS)
        .where(EVENTS.c.id == one.scalar_subquery(), EVENTS.c.status == ACTIVE)
        .values(
            claimed_by=instance,
            claimed_until=now + timedelta(seconds=settings.follow_interval_sec),
        )
        .returning(*EVENTS.c)
    )
    event: StoredEvent | None = (await connection.execute(claim)).one_or_none()
    if event is None:
        return None
    await _ask_returned(connection, event, now)
    if event.end_time - now < timedelta(seconds=settings.settle_sec):
        return event  # nothing that is asked now would still come about
    if event.dry_run:
        return event  # what was asked stands
    if event.kind == Op.LOAD_UP:
        await _replace_in_load_up(connection, event, settings, now)
    elif event.kind == Op.LIMIT:
        await _tell_limit(connection, event, settings, now)
    elif not await _is_for_one_load(connection, event):
        await _balance(connection, event, settings, now)
    return event


async def _tell_limit(
    connection: AsyncConnection, event: StoredEvent, settings: DispatchSettings, now: datetime
) -> None:
    """VENs that came online since are told a limit that each site keeps. One that all keep together
    stays divided as it is: to give a newcomer its part it would be taken from all others."""
    if event.heartbeat_sec is not None:
        await _limit_after_failsafe(connection, event, now)
    if event.ven_ids is None and (event.limit_per_site or event.import_kw is None):
        shares = await limit_shares_of_dispatched_event(connection, event, now, settings)
        await add_participants(connection, event, shares, now)


async def _limit_after_failsafe(
    connection: AsyncConnection, event: StoredEvent, now: datetime
) -> None:
    """Sites that did not hear us are told their limit anew, without which a heartbeat does not end
    their failsafe (EEBus LPC-916, LPC-921). Once for each: none enters it again any sooner."""
    least_sec = max(event.heartbeat_sec, event.failsafe_min_sec or 0.0)
    found = await connection.execute(
        select(PARTICIPANTS)
        .join(VENS, VENS.c.id == PARTICIPANTS.c.ven_id)
        .where(
            PARTICIPANTS.c.event_id == event.id,
            PARTICIPANTS.c.reason_code == ReasonCode.FAILSAFE.value,
            PARTICIPANTS.c.status.in_(SHEDDING),
            PARTICIPANTS.c.assigned_at <= now - timedelta(seconds=least_sec),
            VENS.c.status != OFFLINE,
        )
    )
    rows = found.all()
    shares = {row.ven_id: row.assigned_limit_kw for row in rows}
    if shares:
        await follow_up_share_changes(connection, event, rows, shares, now)


async def _replace_in_load_up(
    connection: AsyncConnection, event: StoredEvent, settings: DispatchSettings, now: datetime
) -> None:
    """What VENs that refused, left or are silent were to draw more is asked of others. Those that
    take part keep their shares: how much more a site draws by itself is not told apart."""
    await lock_participant_assignments(connection)
    rows = await participants_with_ven_state(connection, event.id)
    left = (*GONE, NOT_RESPONDING)
    asked_kw = sum(-row.assigned_shed_kw for row in rows if row.status not in left)
    wanted_kw = abs(event.requested_reduction_kw)
    short_kw = wanted_kw - asked_kw
    if short_kw <= wanted_kw * settings.tolerance:
        return
    newcomers = await fleet_capabilities(connection, event, now, settings, only_online=True)
    joined = allocate_shed(
        short_kw, newcomers, least_share_kw=settings.least_share_kw, seed=event.id
    )
    shares = {ven_id: -share_kw for ven_id, share_kw in joined.items()}
    await add_participants(connection, event, shares, now)


async def _is_for_one_load(connection: AsyncConnection, event: StoredEvent) -> bool:
    """A person chose that circuit: no other takes its place."""
    found = select(COMMANDS.c.id).where(
        COMMANDS.c.event_id == event.id, COMMANDS.c.op == Op.SHED_LOAD.value
    )
    return bool(await connection.scalar(select(exists(found))))


async def _ask_returned(connection: AsyncConnection, event: StoredEvent, now: datetime) -> None:
    """VENs that did not respond and have come online since: the same command once more."""
    await _once_more(
        connection, (COMMANDS.c.event_id == event.id) & COMMANDS.c.op.in_(EVENT_OPS), now
    )


async def follow_up_returned_vens(connection: AsyncConnection) -> int:
    """The same for VENs that were away when their event was stopped: how many are told now.

    They shed on until the event's first end, which their command named.
    """
    now = await database_now(connection)
    stopped = select(EVENTS.c.id).where(
        EVENTS.c.status.in_((COMPLETED, CANCELLED)), EVENTS.c.end_time > now
    )
    return await _once_more(
        connection, COMMANDS.c.event_id.in_(stopped) & (COMMANDS.c.op == Op.RESTORE.value), now
    )


async def _once_more(connection: AsyncConnection, which: ColumnElement[bool], now: datetime) -> int:
    returned = exists(
        select(VENS.c.id).where(
            VENS.c.id == COMMANDS.c.ven_id,
            VENS.c.status == ONLINE,
            VENS.c.status_since > COMMANDS.c.published_at,
        )
    )
    silent = (
        select(COMMANDS.c.id)
        .where(which, COMMANDS.c.state == NOT_RESPONDING, COMMANDS.c.expires_at > now, returned)
        .with_for_update(skip_locked=True, of=COMMANDS)
    ).cte("silent")
    # One round of attempts for each return: published_at begins anew.
    statement = (
        update(COMMANDS)
        .where(COMMANDS.c.id.in_(select(silent.c.id)))
        .values(state=PENDING, attempts=0, not_before=now, published_at=None)
    )
    return (await connection.execute(statement)).rowcount


async def _balance(
    connection: AsyncConnection, event: StoredEvent, settings: DispatchSettings, now: datetime
) -> None:
    level = _level_at(event, now)
    if level.part <= 0.0 or level.end - now < timedelta(seconds=settings.settle_sec):
        return
    await lock_participant_assignments(connection)
    rows = await participants_with_ven_state(connection, event.id)
    parts = [_part(row, event, level, settings, now) for row in rows]
    newcomers = await fleet_capabilities(connection, event, now, settings, only_online=True)
    changes = adjust_shed_allocation(
        event.requested_reduction_kw * level.part,
        parts,
        newcomers,
        tolerance=settings.tolerance,
        least_share_kw=settings.least_share_kw,
        seed=event.id,
    )
    if event.intervals:
        changes = scale_shed_allocation_changes(
            changes, parts, newcomers, level.part, least_share_kw=settings.least_share_kw
        )
    await add_participants(connection, event, changes.joined, now)
    if changes.changed:
        await follow_up_share_changes(connection, event, rows, changes.changed, now)


@dataclass(frozen=True)
class _Level:
    """Of an event's intervals the one that rules; an event without has one for its whole time."""

    part: float
    """Of the highest, which the shares are of."""
    start: datetime
    end: datetime


def _level_at(event: StoredEvent, now: datetime) -> _Level:
    start: datetime = event.start_time
    if not event.intervals:
        return _Level(1.0, start, event.end_time)
    highest_kw = max(level["shed_kw"] for level in event.intervals)
    for level in event.intervals:
        end = start + timedelta(seconds=level["duration_sec"])
        if now < end:
            break
        start = end
    return _Level(level["shed_kw"] / highest_kw if highest_kw else 0.0, start, end)


def _part(
    row: Any, event: StoredEvent, level: _Level, settings: DispatchSettings, now: datetime
) -> ShedAllocationShare:
    """What to count on: the meter if it is fresh and settled, else what was asked."""
    told_at = max(row.commanded_at or row.assigned_at, row.assigned_at, level.start)
    assigned_kw = row.assigned_shed_kw * level.part
    is_settled = now - told_at >= timedelta(seconds=settings.settle_sec)
    is_fresh = freshness_of_row(row, now, timedelta(seconds=settings.fresh_sec))
    # It was told ahead, and has not said yet that it began.
    begins_now = row.status == SCHEDULED and now - event.start_time <= timedelta(
        seconds=settings.settle_sec
    )
    # A VEN that refused a modification goes on as before, which its telemetry shows.
    sheds_on = row.status == REJECTED and row.modification > event.modification
    responds = row.status in SHEDDING
    delivered_kw = row.actual_shed_kw
    # One that names no event, though it was heard long after it agreed, has forgotten it or never
    # names one: it sheds what it says.
    half_settled = timedelta(seconds=settings.settle_sec / 2)
    heard_later = row.last_seen is not None and row.last_seen - told_at >= half_settled
    # What a link that lags, or an outbox that is emptied, brings of the time before is no answer.
    is_of_before = row.timestamp is not None and row.timestamp < told_at
    speaks_of_it = not is_of_before and (
        row.reported_event_id == event.id
        or (row.reported_event_id is None and is_settled and heard_later)
    )
    if is_fresh and speaks_of_it and row.shed_power_kw is not None:
        delivered_kw = row.shed_power_kw
    if ((responds and is_settled) or sheds_on) and delivered_kw is not None:
        expected_kw = max(delivered_kw, 0.0)
    elif responds or row.status in (ASSIGNED, COMMANDED) or begins_now:
        expected_kw = assigned_kw
    else:
        expected_kw = 0.0
    # Its end may be moved on for days, each time by a modification: they are so many in 12 hours.
    half_days = max(0, (now - event.start_time) // timedelta(hours=12))
    most_modifications = settings.most_modifications * (1 + half_days)
    may_change = (
        responds
        and is_settled
        and is_fresh
        and row.ven_status == ONLINE
        and row.modification - event.modification < most_modifications
    )
    room_kw = (row.shed_available_kw or 0.0) if may_change else 0.0
    return ShedAllocationShare(row.ven_id, assigned_kw, expected_kw, room_kw, may_change)


async def follow_up_share_changes(
    connection: AsyncConnection,
    event: StoredEvent,
    rows: Sequence[Any],
    shares: Mapping[str, float],
    now: datetime,
) -> None:
    """New shares under a higher modification number, which a VEN takes in place of the old one.

    The old one is not sent any more: after the new one it would be refused, as if the VEN refused.
    """
    numbers = {row.ven_id: row.modification + 1 for row in rows if row.ven_id in shares}
    await withdraw_participant_commands(connection, event.id, shares)
    await bulk_update_rows(
        connection,
        PARTICIPANTS,
        ("event_id", "ven_id"),
        [
            {"event_id": event.id, "ven_id": ven_id, "kw": shed_kw, "number": numbers[ven_id]}
            for ven_id, shed_kw in sorted(shares.items())
        ],
        lambda given: {
            "assigned_limit_kw" if event.kind == Op.LIMIT else "assigned_shed_kw": given("kw"),
            "modification": given("number"),
            "assigned_at": now,
        },
        also={"kw": Double(), "number": Integer()},
    )
    await send_participant_shares(connection, event, shares, numbers, now)
