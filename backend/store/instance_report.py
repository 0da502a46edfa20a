"""A process of the backend says how it does, so that others can tell when it does not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.store.database import database_now
from backend.store.instance_tables import BackendInstanceRow

INGEST_KIND, DISPATCH_KIND = "ingest", "dispatch"
BROKER_AWAY, DISPATCH_FAILS = "broker_away", "dispatch_fails"
INSTANCE_REPORT_SEC = 5.0
_TABLE = BackendInstanceRow.__table__


@dataclass(frozen=True)
class InstanceReport:
    """How a process does; without a problem code all is well."""

    kind: str
    instance: str
    problem_code: str | None = None
    problem: str | None = None
    lag_sec: float | None = None


async def store_instance_report(connection: AsyncConnection, report: InstanceReport) -> None:
    """Write it over the one before; a problem of the same code keeps its begin."""
    now = await database_now(connection)
    kind = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    since: datetime | None = None if report.problem_code is None else now
    new = kind(BackendInstanceRow).values(
        kind=report.kind,
        instance=report.instance,
        reported_at=now,
        ended_at=None,
        problem_code=report.problem_code,
        problem=report.problem and report.problem[:500],
        problem_since=since,
        lag_sec=report.lag_sec,
    )
    given = new.excluded
    same = _TABLE.c.problem_code == given.problem_code
    kept = case((same, func.coalesce(_TABLE.c.problem_since, given.problem_since)))
    values = {name: given[name] for name in ("reported_at", "problem_code", "problem", "lag_sec")}
    await connection.execute(
        new.on_conflict_do_update(
            index_elements=["kind", "instance"],
            set_={
                **values,
                "ended_at": None,
                "problem_since": func.coalesce(kept, given.problem_since),
            },
        )
    )


async def ingest_lag_sec(connection: AsyncConnection, now: datetime) -> float:
    """How long messages wait to be stored, as the ingests that run said last; 0 if none did."""
    lag_sec = await connection.scalar(
        select(func.max(_TABLE.c.lag_sec)).where(
            _TABLE.c.kind == INGEST_KIND,
            _TABLE.c.ended_at.is_(None),
            _TABLE.c.reported_at > now - timedelta(seconds=6 * INSTANCE_REPORT_SEC),
        )
    )
    return lag_sec or 0.0


async def store_instance_end(connection: AsyncConnection, kind: str, instance: str) -> None:
    """It ends in good order: nobody need worry that it is silent."""
    now = await database_now(connection)
    is_it = (BackendInstanceRow.kind == kind) & (BackendInstanceRow.instance == instance)
    await connection.execute(update(BackendInstanceRow).where(is_it).values(ended_at=now))
