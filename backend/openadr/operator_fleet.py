"""What the sites draw, shed and could shed: what reports and shares need of the fleet's tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, case, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.fleet_capability import FleetCapabilityChoice, fleet_capabilities
from backend.store.believed_ven_power import believed_ven_shed_in_all_kw, believed_ven_shed_kw
from backend.store.database import database_now
from backend.store.freshness import freshness_of_row, freshness_of_state
from backend.store.statuses import ACTIVE, AVAILABLE, GONE, ONLINE, SHEDDING
from backend.store.tables import EVENTS, PARTICIPANTS, VEN_STATE, VENS
from backend.store.telemetry_tables import VenTelemetryRow
from VenAgent.contract.op import Op

_TELEMETRY = cast(Table, VenTelemetryRow.__table__)
_FRESH = timedelta(seconds=90)
_DELIVERED = ("completed", "rebound")


@dataclass(frozen=True)
class OperatorPower:
    """Means over a stretch of time, in kW, of what was read of it."""

    used_kw: float | None
    baseline_kw: float | None
    seen_share: float
    """Of the time, 0 … 1: minutes in which the meter was read."""


@dataclass(frozen=True)
class OperatorSite:
    """A VEN as it is now."""

    ven_id: str
    is_online: bool
    sheds: bool
    """In one of the events that were asked for: it does (or keeps a limit), or did."""
    draws_more: bool
    """The same of a load-up."""
    opted_out: bool
    shed_available_kw: float | None


async def operator_known_vens(connection: AsyncConnection) -> list[str]:
    """All VEN ids, sorted."""
    return list(await connection.scalars(select(VENS.c.id).order_by(VENS.c.id)))


async def operator_available_kw(
    connection: AsyncConnection, ven_ids: Sequence[str] | None, own_event_ids: Iterable[str] = ()
) -> float:
    """What the fleet (or these VENs) can shed now, with what it sheds already: as far as it is
    believed, of sites that take part and are free, or in one of these events."""
    now = await database_now(connection)
    is_held = exists(
        select(PARTICIPANTS.c.ven_id)
        .join(EVENTS, EVENTS.c.id == PARTICIPANTS.c.event_id)
        .where(
            PARTICIPANTS.c.ven_id == VENS.c.id,
            PARTICIPANTS.c.status.not_in(GONE),
            EVENTS.c.status == ACTIVE,
            EVENTS.c.kind != Op.LIMIT.value,
            ~EVENTS.c.dry_run,
            EVENTS.c.id.not_in(list(own_event_ids)),
        )
    )
    statement = (
        select(func.coalesce(func.sum(believed_ven_shed_in_all_kw()), 0.0))
        .select_from(VEN_STATE.join(VENS, VENS.c.id == VEN_STATE.c.ven_id))
        .where(VENS.c.status == ONLINE, freshness_of_state(now, _FRESH), _takes_part(), ~is_held)
    )
    if ven_ids is not None:
        statement = statement.where(VENS.c.id.in_(list(ven_ids)))
    return float(await connection.scalar(statement) or 0.0)


def _takes_part() -> ColumnElement[bool]:
    return func.coalesce(VEN_STATE.c.availability, AVAILABLE) == AVAILABLE


async def operator_sites(
    connection: AsyncConnection, ven_ids: Sequence[str] | None, event_ids: Iterable[str]
) -> list[OperatorSite]:
    """The fleet (or these VENs) as it is now, with its part in these events, also past ones."""
    parts = await connection.execute(
        select(PARTICIPANTS.c.ven_id, PARTICIPANTS.c.status, EVENTS.c.kind)
        .join(EVENTS, EVENTS.c.id == PARTICIPANTS.c.event_id)
        .where(PARTICIPANTS.c.event_id.in_(list(event_ids)), EVENTS.c.activated_at.is_not(None))
    )
    status: dict[str, str] = {}
    raising: set[str] = set()
    for part in parts:
        status[part.ven_id] = part.status
        if part.kind == Op.LOAD_UP and part.status in (*SHEDDING, *_DELIVERED):
            raising.add(part.ven_id)
    now = await database_now(connection)
    statement = (
        select(
            VENS.c.id,
            VENS.c.status,
            case((_takes_part(), believed_ven_shed_kw()), else_=0.0).label("shed_available_kw"),
            *(VEN_STATE.c.last_seen, VEN_STATE.c.timestamp, VEN_STATE.c.quiet_until),
        )
        .select_from(VENS.outerjoin(VEN_STATE, VEN_STATE.c.ven_id == VENS.c.id))
        .order_by(VENS.c.id)
    )
    if ven_ids is not None:
        statement = statement.where(VENS.c.id.in_(list(ven_ids)))
    return [
        OperatorSite(
            row.id,
            is_online=row.status == ONLINE,
            sheds=row.id not in raising and status.get(row.id) in (*SHEDDING, *_DELIVERED),
            draws_more=row.id in raising,
            opted_out=status.get(row.id) == "opted_out",
            shed_available_kw=(
                row.shed_available_kw if freshness_of_row(row, now, _FRESH) else None
            ),
        )
        for row in await connection.execute(statement)
    ]


async def operator_raise_kw(
    connection: AsyncConnection, ven_ids: Sequence[str], start: datetime, end: datetime
) -> dict[str, float | None]:
    """By VEN so much more it can draw between `start` and `end`, as dispatch counts on it: up to
    the most it was ever seen to draw, within its panel's rating; 0 for one that takes no part or is
    in another event, None where nothing is known."""
    now = await database_now(connection)
    found: dict[str, float | None] = dict.fromkeys(ven_ids, 0.0)
    for at in range(0, len(ven_ids), 2_000):
        choice = FleetCapabilityChoice(
            "", Op.LOAD_UP.value, list(ven_ids[at : at + 2_000]), max(start, now), max(end, now)
        )
        for room in await fleet_capabilities(connection, choice, now, DispatchSettings()):
            found[room.ven_id] = None if room.room_kw is None else max(room.room_kw, 0.0)
    return found


async def operator_power(
    connection: AsyncConnection, ven_ids: Sequence[str], start: datetime, end: datetime
) -> dict[str, OperatorPower]:
    """By VEN what the meter showed from `start` up to `end`: good telemetry alone."""
    is_within: ColumnElement[bool] = (
        (_TELEMETRY.c.timestamp >= start)
        & (_TELEMETRY.c.timestamp < end)
        & (_TELEMETRY.c.quality.is_(None) | (_TELEMETRY.c.quality == "good"))
        & _TELEMETRY.c.used_power_kw.is_not(None)
    )
    if connection.dialect.name == "sqlite":
        minute: ColumnElement[Any] = func.strftime("%Y%m%d%H%M", _TELEMETRY.c.timestamp)
    else:
        minute = func.date_trunc("minute", _TELEMETRY.c.timestamp)
    length_sec = (end - start).total_seconds()
    found: dict[str, OperatorPower] = {}
    for at in range(0, len(ven_ids), 2_000):
        statement = (
            select(
                _TELEMETRY.c.ven_id,
                func.avg(_TELEMETRY.c.used_power_kw).label("used_kw"),
                func.avg(_TELEMETRY.c.baseline_power_kw).label("baseline_kw"),
                func.count(minute.distinct()).label("minutes"),
                func.max(VEN_STATE.c.report_interval_sec).label("every_sec"),
            )
            .select_from(_TELEMETRY.outerjoin(VEN_STATE, VEN_STATE.c.ven_id == _TELEMETRY.c.ven_id))
            .where(is_within, _TELEMETRY.c.ven_id.in_(list(ven_ids[at : at + 2_000])))
            .group_by(_TELEMETRY.c.ven_id)
        )
        for row in await connection.execute(statement):
            seen_sec = row.minutes * max(60.0, row.every_sec or 0.0)
            share = min(seen_sec / length_sec, 1.0) if length_sec > 0 else 1.0
            found[row.ven_id] = OperatorPower(row.used_kw, row.baseline_kw, share)
    return found
