"""Causes into the outbox: what each target was told is kept, and what it is to be told put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Table, delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.alerts.alert_grouping import (
    GroupedAlert,
    ToldAlertGrouping,
    alert_grouping_notice,
    alerts_grouped_for,
    look_at_alert_grouping,
)
from backend.alerts.alert_store import ALERTS
from backend.alerts.notice_outbox import put_into_notice_outbox
from backend.config.alert_targets import AlertTarget, AlertTargetRouting
from backend.store.alert_tables import AlertGroupRow
from backend.store.tables import VENS

_GROUPS: Table = AlertGroupRow.__table__  # type: ignore[assignment]


async def put_group_notices(
    connection: AsyncConnection, routing: AlertTargetRouting, now: datetime
) -> None:
    """Looks at all causes for all targets."""
    if not routing.targets:
        return
    alerts = await _open_alerts(connection)
    told: dict[tuple[str, str], ToldAlertGrouping] = {}
    for row in await connection.execute(select(_GROUPS)):
        told[row.target, row.cause] = ToldAlertGrouping(
            *(row.begun_at, row.due_at, row.number, row.told_alert_id, row.told_severity, row.most)
        )
    for target in routing.targets:
        wanted = alerts_grouped_for(target, alerts)
        causes = sorted({*wanted, *(cause for name, cause in told if name == target.name)})
        for cause in causes:
            group = told.get((target.name, cause))
            await _look(connection, routing, target, cause, group, wanted.get(cause, []), now)
    names = [target.name for target in routing.targets]
    await connection.execute(delete(_GROUPS).where(_GROUPS.c.target.not_in(names)))


async def _look(
    connection: AsyncConnection,
    routing: AlertTargetRouting,
    target: AlertTarget,
    cause: str,
    told: ToldAlertGrouping | None,
    alerts: Sequence[GroupedAlert],
    now: datetime,
) -> None:
    turn = look_at_alert_grouping(told, alerts, target, routing, now)
    if turn.kind is not None:
        before = told or ToldAlertGrouping(begun_at=now, due_at=now)
        payload = alert_grouping_notice(turn.kind, cause, before, alerts, now)
        number = before.number + 1
        key = f"alert/{cause}/{before.begun_at.isoformat()}/{number}"
        await put_into_notice_outbox(connection, target.name, key, payload, now)
    if turn.group is None:
        if told is not None:
            is_it = (_GROUPS.c.target == target.name) & (_GROUPS.c.cause == cause)
            await connection.execute(delete(_GROUPS).where(is_it))
    elif turn.group != told:
        await _keep(connection, target.name, cause, turn.group, now)


async def _keep(
    connection: AsyncConnection, target: str, cause: str, group: ToldAlertGrouping, now: datetime
) -> None:
    kind = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    values: Mapping[str, Any] = {
        "begun_at": group.begun_at,
        "due_at": group.due_at,
        "number": group.number,
        "told_at": now if group.number else None,
        "told_alert_id": group.told_alert_id,
        "told_severity": group.told_severity,
        "most": group.most,
    }
    new = kind(AlertGroupRow).values(target=target, cause=cause, **values)
    await connection.execute(
        new.on_conflict_do_update(index_elements=["target", "cause"], set_=dict(values))
    )


async def _open_alerts(connection: AsyncConnection) -> list[GroupedAlert]:
    """All that are not over. A VEN's groups are its tags, its feeder and its zone."""
    c = ALERTS.c
    rows = await connection.execute(
        select(
            *(c.id, c.ven_id, c.code, c.subject, c.severity, c.cause, c.message, c.begun_at),
            c.acknowledged_at.is_not(None).label("is_acknowledged"),
            *(VENS.c.tags, VENS.c.feeder, VENS.c.zone),
        )
        .select_from(ALERTS.outerjoin(VENS, VENS.c.id == c.ven_id))
        .where(c.ended_at.is_(None))
    )
    return [
        GroupedAlert(
            *(row.id, row.ven_id, row.code, row.subject, row.severity, row.cause, row.message),
            begun_at=row.begun_at,
            is_acknowledged=row.is_acknowledged,
            groups=(*(row.tags or ()), row.feeder or "", row.zone or ""),
        )
        for row in rows
    ]
