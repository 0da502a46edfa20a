"""What is wrong on the operator's side, as the database tells it: looked at every few seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, exists, false, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.config.alert_settings import AlertSettings
from backend.store.freshness import freshness_of_state
from backend.store.ingest_tables import DeadLetterRow
from backend.store.instance_report import BROKER_AWAY, DISPATCH_FAILS, INGEST_KIND
from backend.store.instance_tables import BackendInstanceRow
from backend.store.statuses import ACTIVE
from backend.store.tables import EVENTS, VEN_STATE, VENS
from VenAgent.contract.alerts import AlertSeverity

INGEST_AWAY, INGEST_LAG = "ingest_away", "ingest_lag"
EVENT_SHORT, DEAD_LETTERS = "event_short", "dead_letters"
VEN_OFFLINE, VEN_STALE = "ven_offline", "ven_stale"
EXPLAIN_SILENCE = (INGEST_AWAY, BROKER_AWAY, INGEST_LAG)
"""While one of these lasts, it is why VENs are silent: the first that is there."""
_CRITICAL, _WARNING = AlertSeverity.CRITICAL.value, AlertSeverity.WARNING.value
_FORGOTTEN = timedelta(days=1)
_LETTERS_WITHIN = timedelta(minutes=5)


async def instance_conditions(
    connection: AsyncConnection, settings: AlertSettings, now: datetime
) -> list[SystemCondition]:
    """Of the processes: the broker is away, messages wait too long, no ingest is left."""
    table = BackendInstanceRow.__table__
    await connection.execute(
        delete(BackendInstanceRow).where(BackendInstanceRow.reported_at < now - _FORGOTTEN)
    )
    rows = (await connection.execute(select(table).where(table.c.ended_at.is_(None)))).all()
    silent_since = now - timedelta(seconds=settings.instance_silent_sec)
    alive = [row for row in rows if row.reported_at >= silent_since]
    found = []
    ingests = [row for row in rows if row.kind == INGEST_KIND]
    if ingests and not any(row in alive for row in ingests):
        names = ", ".join(sorted(row.instance for row in ingests))
        last = max(row.reported_at for row in ingests)
        text = f"no ingest runs: {names} was last heard at {last:%Y-%m-%d %H:%M:%S} UTC"
        found.append(SystemCondition(INGEST_AWAY, _CRITICAL, text))
    away_since = now - timedelta(seconds=settings.broker_away_sec)
    away = [
        row
        for row in alive
        if row.problem_code == BROKER_AWAY and (row.problem_since or now) <= away_since
    ]
    if away:
        who = "; ".join(sorted(f"{row.kind} {row.instance}: {row.problem}" for row in away))
        found.append(SystemCondition(BROKER_AWAY, _CRITICAL, f"the broker is away ({who})"))
    for row in alive:
        if (row.lag_sec or 0.0) > settings.lag_sec:
            minutes = (row.lag_sec or 0.0) // 60 + 1
            text = f"messages wait for up to {minutes:.0f} min to be stored ({row.instance})"
            found.append(SystemCondition(INGEST_LAG, _CRITICAL, text, row.instance))
        failing = row.problem_code == DISPATCH_FAILS and (row.problem_since or now) <= away_since
        if failing:
            text = f"dispatch fails ({row.instance}): {row.problem}"
            found.append(SystemCondition(DISPATCH_FAILS, _CRITICAL, text, row.instance))
    return found


async def dead_letter_conditions(
    connection: AsyncConnection, settings: AlertSettings, now: datetime
) -> list[SystemCondition]:
    """More messages than usual cannot be read."""
    late = DeadLetterRow.received_at > now - _LETTERS_WITHIN
    count = await connection.scalar(select(func.count()).select_from(DeadLetterRow).where(late))
    if (count or 0) < settings.dead_letters:
        return []
    most = (
        await connection.execute(
            select(DeadLetterRow.reason)
            .where(late)
            .group_by(DeadLetterRow.reason)
            .order_by(func.count().desc(), DeadLetterRow.reason)
            .limit(1)
        )
    ).scalar_one()
    text = f"messages are refused, most of them: {most[:300]}"
    return [SystemCondition(DEAD_LETTERS, _WARNING, text)]


async def active_events_for_conditions(connection: AsyncConnection) -> list[Any]:
    return list((await connection.execute(select(EVENTS).where(EVENTS.c.status == ACTIVE))).all())


def event_conditions(
    events: list[Any],
    delivered_kw: Mapping[str, float],
    settings: AlertSettings,
    now: datetime,
) -> list[SystemCondition]:
    """Events that have had their time and deliver too little."""
    found = []
    settled = timedelta(seconds=settings.short_after_sec)
    for event in events:
        if event.kind != "event" or event.dry_run:
            continue  # a limit has no target to fall short of, and a dry run sheds nothing
        asked_kw = event.requested_reduction_kw
        is_settled = event.activated_at is not None and now - event.activated_at >= settled
        least_kw = asked_kw * (1 - settings.short_of_target)
        if is_settled and delivered_kw.get(event.id, 0.0) < least_kw:
            text = f"event {event.id} delivers less than {least_kw:.6g} of {asked_kw:.6g} kW"
            found.append(SystemCondition(EVENT_SHORT, _WARNING, text, event.id))
    return found


def ven_offline_condition(settings: AlertSettings, now: datetime) -> Any:
    """A condition on `vens`."""
    return (VENS.c.status == "offline") & (
        VENS.c.status_since < now - timedelta(seconds=settings.offline_sec)
    )


def ven_stale_condition(settings: AlertSettings, now: datetime) -> Any:
    """A condition on `vens`: it is said to be online, and has sent nothing for longer than that,
    and than it usually takes itself."""
    within = timedelta(seconds=settings.stale_sec)
    fresh = func.coalesce(freshness_of_state(now, within), false())
    silent = exists().where(VEN_STATE.c.ven_id == VENS.c.id, ~fresh)
    return (VENS.c.status == "online") & (VENS.c.status_since < now - within) & silent


def condition_that_explains_silence(conditions: list[SystemCondition]) -> str | None:
    """The cause of an alert of the operator's side that explains silent VENs."""
    for code in EXPLAIN_SILENCE:
        for one in conditions:
            if one.code == code:
                return one.cause
    return None


@dataclass(frozen=True)
class SystemCondition:
    """Something is wrong on the operator's side, as it is seen now."""

    code: str
    severity: str
    message: str
    subject: str = ""
    context: dict[str, Any] = field(default_factory=dict)

    @property
    def cause(self) -> str:
        return f"{self.code}:{self.subject}" if self.subject else self.code
