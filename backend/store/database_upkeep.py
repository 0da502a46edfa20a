"""What a database needs from time to time: who is online, quarter hours, partitions, old rows.

Several processes may run it: on PostgreSQL one at a time does it, and everything may be done twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import structlog
from sqlalchemy import bindparam, delete, func, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.config.backend_settings import BackendSettings
from backend.process.timeouts import happens_within_timeout
from backend.store.access_tables import AuditEntryRow
from backend.store.alert_tables import VenAlertRow
from backend.store.believed_ven_power import believed_ven_draw_kw, believed_ven_shedding_kw
from backend.store.command_tables import CommandAckRow, CommandRow
from backend.store.database import Database
from backend.store.database_errors import database_error_line
from backend.store.day_partitions import (
    create_day_partitions,
    day_partitions_ahead,
    drop_old_day_partitions,
)
from backend.store.fleet_tables import VenRow, VenStateRow
from backend.store.freshness import freshness_of_state
from backend.store.ingest_tables import DeadLetterRow
from backend.store.statuses import MAINTENANCE, OFFLINE, ONLINE
from backend.store.tables import VEN_STATE, VENS
from backend.store.telemetry_tables import (
    TELEMETRY_IS_CURTAILED_SQL,
    NetworkSampleRow,
    TelemetryQuarterHourDueRow,
    TelemetryQuarterHourRow,
)
from backend.store.utc_time import UtcDateTime, utc_now

_log = structlog.get_logger(__name__)

QUARTER_HOUR = timedelta(minutes=15)
GRACE = timedelta(minutes=2)
"""How long after its end a quarter of an hour is summed up: telemetry may be a little late."""
_STATUS_SEC, _SAMPLE_SEC, _SUMS_SEC, _RETENTION_SEC = 5.0, 60.0, 60.0, 3_600.0
_ONE_AT_A_TIME = 72_616_003


async def upkeep_ven_statuses(
    connection: AsyncConnection, settings: BackendSettings, now: datetime
) -> int:
    """Online after a telemetry, offline after silence, of a VEN that reports seldom after a longer
    one; how many VENs changed."""
    silent_since = now - timedelta(seconds=settings.offline_after_sec)
    of_ven = VenStateRow.ven_id == VenRow.id
    seen = select(VenStateRow.last_seen).where(of_ven).scalar_subquery()
    quiet_until = select(VenStateRow.quiet_until).where(of_ven).scalar_subquery()
    is_quiet = func.coalesce(quiet_until, silent_since) >= now
    came = await connection.execute(
        update(VenRow)
        # Later than its own word: a last will comes after the last telemetry.
        .where(VenRow.status.not_in((ONLINE, MAINTENANCE)))
        .where(seen > VenRow.status_since, (seen > silent_since) | is_quiet)
        .values(status=ONLINE, status_since=now)
    )
    went = await connection.execute(
        update(VenRow)
        .where(VenRow.status == ONLINE, VenRow.status_since < silent_since)
        .where((seen < silent_since) | seen.is_(None), ~is_quiet)
        .values(status=OFFLINE, status_since=now)
    )
    return came.rowcount + went.rowcount


async def upkeep_network_samples(connection: AsyncConnection, settings: BackendSettings) -> None:
    """Note what the fleet draws and sheds now, of VENs that were heard lately."""
    now = utc_now()
    within = timedelta(seconds=settings.offline_after_sec)
    sums = select(
        func.count(),
        func.coalesce(func.sum(believed_ven_draw_kw()), 0.0),
        func.coalesce(func.sum(believed_ven_shedding_kw()), 0.0),
    )
    counts = sums.select_from(VENS.join(VEN_STATE, VEN_STATE.c.ven_id == VENS.c.id)).where(
        freshness_of_state(now, within)
    )
    vens, used_kw, shed_kw = (await connection.execute(counts)).one()
    await connection.execute(
        insert(NetworkSampleRow).values(
            at=now, ven_count=vens, used_power_kw=used_kw, shed_power_kw=shed_kw
        )
    )


def upkeep_quarter_hour(moment: datetime) -> datetime:
    """The beginning of the quarter of an hour that `moment` is in."""
    moment = moment.astimezone(timezone.utc)
    return moment.replace(minute=moment.minute - moment.minute % 15, second=0, microsecond=0)


_SUM_UP = text(
    f"""INSERT INTO ven_quarter_hours (ven_id, start, used_power_kw, shed_power_kw,
        requested_reduction_kw, samples, in_event)
    SELECT ven_id, :start, avg(used_power_kw), avg(shed_power_kw), avg(requested_reduction_kw),
        count(used_power_kw), max(CASE WHEN {TELEMETRY_IS_CURTAILED_SQL} THEN 1 ELSE 0 END) = 1
    FROM ven_telemetry
    WHERE timestamp >= :start AND timestamp < :end AND (quality IS NULL OR quality = 'good')
    GROUP BY ven_id
    ON CONFLICT (ven_id, start) DO UPDATE SET used_power_kw = excluded.used_power_kw,
        shed_power_kw = excluded.shed_power_kw,
        requested_reduction_kw = excluded.requested_reduction_kw,
        samples = excluded.samples, in_event = excluded.in_event"""
).bindparams(bindparam("start", type_=UtcDateTime()), bindparam("end", type_=UtcDateTime()))


async def upkeep_quarter_hours(database: Database, now: datetime) -> int:
    """Sum up the quarters of an hour that are over and have new telemetry; how many."""
    async with database.sessions() as session:
        over = TelemetryQuarterHourDueRow.start <= now - QUARTER_HOUR - GRACE
        starts = list(await session.scalars(select(TelemetryQuarterHourDueRow.start).where(over)))
    for start in sorted(starts):
        async with database.engine.begin() as connection:
            # First the mark: a batch that is late sets it again, after this or before.
            await connection.execute(
                delete(TelemetryQuarterHourDueRow).where(TelemetryQuarterHourDueRow.start == start)
            )
            await connection.execute(_SUM_UP, {"start": start, "end": start + QUARTER_HOUR})
    return len(starts)


async def upkeep_retention(database: Database, settings: BackendSettings, now: datetime) -> None:
    """Make the partitions to come, drop what is older than its retention."""
    kept = settings.retention
    async with database.engine.begin() as connection:
        if database.is_postgresql:
            # To drop a day, nobody may be reading; and nobody may store while we wait for that.
            await connection.execute(text("SET LOCAL lock_timeout = '2s'"))
        days = day_partitions_ahead(now)
        await connection.run_sync(create_day_partitions, days)
        for table, kept_days in (
            ("ven_telemetry", kept.telemetry_days),
            ("ven_loads", kept.loads_days),
        ):
            before = now - timedelta(days=kept_days)
            await connection.run_sync(drop_old_day_partitions, table, before)
    columns: list[tuple[Any, int]] = [
        (TelemetryQuarterHourRow.start, kept.quarter_hours_days),
        (NetworkSampleRow.at, kept.quarter_hours_days),
        (CommandAckRow.created_at, kept.acks_days),
        (VenAlertRow.created_at, kept.alerts_days),
        (DeadLetterRow.received_at, kept.dead_letters_days),
        (CommandRow.created_at, kept.commands_days),
        (AuditEntryRow.at, kept.audit_days),
    ]
    for column, kept_days in columns:
        async with database.engine.begin() as connection:
            before = now - timedelta(days=kept_days)
            await connection.execute(delete(column.class_).where(column < before))


@dataclass
class _Chore:
    name: str
    every_sec: float
    do: Callable[[datetime], Awaitable[object]]
    due: float = 0.0


async def run_database_upkeep(
    database: Database, settings: BackendSettings, stop: asyncio.Event
) -> None:
    """Does it all, when it is due, until `stop`. A database that is away is waited for.

    Not to be cancelled on SQLite: work that is broken off leaves a connection that hangs.
    """

    async def statuses(now: datetime) -> None:
        async with database.engine.begin() as connection:
            await upkeep_ven_statuses(connection, settings, now)

    async def sample(_now: datetime) -> None:
        async with database.engine.begin() as connection:
            await upkeep_network_samples(connection, settings)

    chores = [
        _Chore("statuses", _STATUS_SEC, statuses),
        _Chore("network", _SAMPLE_SEC, sample),
        _Chore("quarter hours", _SUMS_SEC, lambda now: upkeep_quarter_hours(database, now)),
        _Chore("retention", _RETENTION_SEC, lambda now: upkeep_retention(database, settings, now)),
    ]
    while not stop.is_set():
        try:
            async with _alone(database) as alone:
                for chore in chores if alone else ():
                    if not stop.is_set():
                        await _do_if_due(chore)
        except (SQLAlchemyError, OSError) as error:
            _log.warning("upkeep has to wait", error=database_error_line(error))
        await happens_within_timeout(stop, _STATUS_SEC)


async def _do_if_due(chore: _Chore) -> None:
    """One that fails is tried again the next time, and keeps none of the others waiting."""
    if time.monotonic() < chore.due:
        return
    try:
        await chore.do(utc_now())
    except SQLAlchemyError as error:
        _log.warning("a chore has to wait", chore=chore.name, error=database_error_line(error))
    else:
        chore.due = time.monotonic() + chore.every_sec


@asynccontextmanager
async def _alone(database: Database) -> AsyncIterator[bool]:
    """Whether nobody else does it now; on PostgreSQL a lock tells, which a crash gives back."""
    if not database.is_postgresql:
        yield True
        return
    async with database.engine.connect() as connection, connection.begin():
        yield bool(
            await connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({_ONE_AT_A_TIME})"))
        )
