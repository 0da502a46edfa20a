"""Alerts into their table: begun once, ended once, whoever says so how often.

Rows are written in the order of their keys: nobody waits for another in a ring.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Select,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.alerts.system_conditions import SystemCondition
from backend.store.alert_tables import OPERATORS_SIDE, AlertRow
from backend.store.tables import VENS
from backend.store.utc_time import utc_now
from VenAgent.contract.alerts import AlertSeverity

ALERTS: Table = AlertRow.__table__  # type: ignore[assignment]
MOST_OPEN_OF_A_VEN = 100
"""More than a site has circuits that fail at once; what makes up codes fills no table."""
_KNOWN_SEVERITIES = tuple(each.value for each in AlertSeverity)
_KEYS = ("ven_id", "code", "subject")
_CODE_LENGTH, _TEXT_LENGTH = 100, 1_000


@dataclass(frozen=True)
class AlertChange:
    """A site says that something is wrong, or (`severity` cleared) that it is over."""

    ven_id: str
    code: str
    severity: str
    message: str
    at: datetime
    subject: str = ""
    reason_code: str | None = None
    context: Any = None

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.ven_id, self.code, self.subject)

    @property
    def is_end(self) -> bool:
        return self.severity == AlertSeverity.CLEARED.value


def alert_change_of(row: dict[str, Any]) -> AlertChange:
    """What a VEN's message means, as ingest has read it (a row of `ven_alerts`)."""
    context = row.get("context")
    subject = context.get("subject") if isinstance(context, dict) else None
    reason_code = row.get("reason_code")
    if reason_code is None and isinstance(context, dict):
        reason_code = context.get("reason_code")  # as agents before 1.0 said it
    severity = row.get("severity")
    return AlertChange(
        ven_id=row["ven_id"],
        code=(row.get("code") or "unknown")[:_CODE_LENGTH],
        severity=severity if severity in _KNOWN_SEVERITIES else AlertSeverity.WARNING.value,
        message=(row.get("message") or "")[:_TEXT_LENGTH],
        at=row["timestamp"],
        subject=str(subject)[:_CODE_LENGTH] if subject else "",
        reason_code=reason_code if isinstance(reason_code, str) else None,
        context=context,
    )


async def store_alert_changes(
    connection: AsyncConnection, changes: Iterable[AlertChange], now: datetime
) -> None:
    """In the order of the VENs' clocks. Of VENs that nobody knows nothing is kept."""
    for turn in _in_turns(changes):
        begins = [one for one in turn if not one.is_end]
        ends = [one for one in turn if one.is_end]
        if begins:
            statement = _begin_statement(connection.dialect.name)
            await connection.execute(statement, [_given(one, now) for one in begins])
        if ends:
            given = [
                {"given_ven": o.ven_id, "given_code": o.code, "given_subject": o.subject}
                | {"given_at": o.at, "given_now": now}
                for o in ends
            ]
            await connection.execute(_END, given)


def _in_turns(changes: Iterable[AlertChange]) -> list[list[AlertChange]]:
    """The first change of each alert, then the second of each … sorted by key."""
    turns: list[list[AlertChange]] = []
    seen: dict[tuple[str, str, str], int] = {}
    for one in sorted(changes, key=lambda change: (change.key, change.at)):
        turn = seen.get(one.key, 0)
        seen[one.key] = turn + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(one)
    return turns


def _given(one: AlertChange, now: datetime) -> dict[str, Any]:
    return {
        "given_ven": one.ven_id,
        "given_code": one.code,
        "given_subject": one.subject,
        "given_severity": one.severity,
        "given_message": one.message,
        "given_reason": one.reason_code,
        "given_context": one.context,
        "given_at": one.at,
        "given_now": now,
    }


def _bind(name: str, column: str) -> Any:
    return bindparam(f"given_{name}", type_=ALERTS.c[column].type)


_END = (
    update(ALERTS)
    .where(
        ALERTS.c.ven_id == _bind("ven", "ven_id"),
        ALERTS.c.code == _bind("code", "code"),
        ALERTS.c.subject == _bind("subject", "subject"),
        ALERTS.c.ended_at.is_(None),
        ALERTS.c.begun_at <= _bind("at", "begun_at"),
    )
    .values(
        ended_at=_bind("at", "begun_at"),
        last_at=_bind("at", "begun_at"),
        changed_at=_bind("now", "changed_at"),
    )
)


@cache
def _begin_statement(dialect: str) -> Any:
    """A row, unless it is open already (then its words), or was over later by the VEN's clock."""
    others = ALERTS.alias("others")
    own = others.c.ven_id == _bind("ven", "ven_id")
    is_over = exists().where(
        own,
        others.c.code == _bind("code", "code"),
        others.c.subject == _bind("subject", "subject"),
        others.c.ended_at >= _bind("at", "begun_at"),
    )
    opened = select(func.count()).select_from(others).where(own, others.c.ended_at.is_(None))
    values = {
        "ven_id": VENS.c.id,
        "code": _bind("code", "code"),
        "subject": _bind("subject", "subject"),
        "severity": _bind("severity", "severity"),
        "message": _bind("message", "message"),
        "reason_code": _bind("reason", "reason_code"),
        "context": _bind("context", "context"),
        "cause": _bind("code", "cause"),
        "boot_id": VENS.c.boot_id,
        "begun_at": _bind("at", "begun_at"),
        "last_at": _bind("at", "last_at"),
        "changed_at": _bind("now", "changed_at"),
    }
    rows = select(*values.values()).where(
        VENS.c.id == _bind("ven", "ven_id"),
        ~is_over,
        opened.scalar_subquery() < MOST_OPEN_OF_A_VEN,
    )
    new = _insert(dialect)(ALERTS).from_select(list(values), rows)
    kept = ("severity", "message", "reason_code", "context", "boot_id", "last_at", "changed_at")
    return new.on_conflict_do_update(
        index_elements=list(_KEYS),
        index_where=text("ended_at IS NULL"),
        set_={name: new.excluded[name] for name in kept},
    )


def _insert(dialect: str) -> Any:
    return postgresql_insert if dialect == "postgresql" else sqlite_insert


async def store_alerts_of_conditions(
    connection: AsyncConnection,
    codes: Collection[str],
    conditions: Sequence[SystemCondition],
    now: datetime,
) -> None:
    """What is wrong now of these codes; those of them that are not named are over."""
    seen = {(one.code, one.subject): one for one in conditions}
    rows = await connection.execute(
        select(ALERTS.c.id, ALERTS.c.code, ALERTS.c.subject, ALERTS.c.severity, ALERTS.c.message)
        .where(ALERTS.c.ven_id == OPERATORS_SIDE, ALERTS.c.code.in_(codes))
        .where(ALERTS.c.ended_at.is_(None))
    )
    known = {(row.code, row.subject): row for row in rows}
    for key, row in sorted(known.items()):
        one = seen.get(key)
        if one is None:
            values: dict[str, Any] = {"ended_at": now, "changed_at": now}
        elif (one.severity, one.message) != (row.severity, row.message):
            values = {"severity": one.severity, "message": one.message, "context": one.context}
            values |= {"last_at": now, "changed_at": now}
        else:
            continue
        await connection.execute(update(ALERTS).where(ALERTS.c.id == row.id).values(**values))
    for key, one in sorted(seen.items()):
        if key not in known:
            await _begin_condition(connection, one, now)


async def _begin_condition(
    connection: AsyncConnection, one: SystemCondition, now: datetime
) -> None:
    new = _insert(connection.dialect.name)(ALERTS).values(
        ven_id=OPERATORS_SIDE,
        code=one.code,
        subject=one.subject,
        severity=one.severity,
        message=one.message,
        context=one.context,
        cause=one.cause,
        begun_at=now,
        last_at=now,
        changed_at=now,
    )
    await connection.execute(
        new.on_conflict_do_nothing(index_elements=list(_KEYS), index_where=text("ended_at IS NULL"))
    )


async def store_alerts_of_vens(
    connection: AsyncConnection,
    code: str,
    troubled: Any,
    *,
    message: str,
    cause: str,
    now: datetime,
) -> None:
    """An alert of that code for each VEN that `troubled` (a condition on `vens` and its state)
    names, by one statement; those of the others are over."""
    chosen = select(VENS.c.id).where(VENS.c.id == ALERTS.c.ven_id, troubled)
    await connection.execute(
        update(ALERTS)
        .where(ALERTS.c.code == code, ALERTS.c.ended_at.is_(None), ~exists(chosen))
        .where(ALERTS.c.ven_id != OPERATORS_SIDE)
        .values(ended_at=now, changed_at=now)
    )
    opened = exists().where(
        and_(ALERTS.c.ven_id == VENS.c.id, ALERTS.c.code == code, ALERTS.c.ended_at.is_(None))
    )
    values = {
        "ven_id": VENS.c.id,
        "code": _typed("code", code),
        "subject": _typed("subject", ""),
        "severity": _typed("severity", AlertSeverity.WARNING.value),
        "message": _typed("message", message),
        "cause": _typed("cause", cause),
        "boot_id": VENS.c.boot_id,
        "begun_at": _typed("begun_at", now),
        "last_at": _typed("last_at", now),
        "changed_at": _typed("changed_at", now),
    }
    rows = select(*values.values()).where(troubled, ~opened).order_by(VENS.c.id)
    new = _insert(connection.dialect.name)(ALERTS).from_select(list(values), rows)
    await connection.execute(
        new.on_conflict_do_nothing(index_elements=list(_KEYS), index_where=text("ended_at IS NULL"))
    )


def _typed(column: str, value: Any) -> Any:
    return bindparam(f"new_{column}", value, type_=ALERTS.c[column].type)


async def end_forgotten_stored_alerts(
    connection: AsyncConnection, now: datetime, grace: Any
) -> None:
    """Alerts that a site did not say again after it started anew: they are over."""
    anew: Select[Any] = select(literal_column("1")).where(
        VENS.c.id == ALERTS.c.ven_id,
        VENS.c.boot_id != ALERTS.c.boot_id,
        VENS.c.status_since < now - grace,
        VENS.c.status_since > ALERTS.c.last_at,
    )
    await connection.execute(
        update(ALERTS)
        .where(ALERTS.c.ended_at.is_(None), ALERTS.c.boot_id.is_not(None), exists(anew))
        .where(ALERTS.c.code.not_in(("ven_offline", "ven_stale")))
        .values(ended_at=now, changed_at=now)
    )


async def store_alert_acknowledgements(
    connection: AsyncConnection, which: Any, by: str, note: str | None
) -> int:
    """Somebody has seen them: how many that were open and not acknowledged."""
    now = utc_now()
    result = await connection.execute(
        update(ALERTS)
        .where(which, ALERTS.c.ended_at.is_(None), ALERTS.c.acknowledged_at.is_(None))
        .values(acknowledged_at=now, acknowledged_by=by, note=note, changed_at=now)
    )
    return int(result.rowcount)
