"""What a target is told of a cause, and when: one message for all its alerts. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from backend.config.alert_targets import AlertTarget, AlertTargetRouting, alert_target_severity_rank

FIRING, UPDATED, RESOLVED = "alert.firing", "alert.updated", "alert.resolved"
NAMED = 50
"""So many VENs are named in a message; all are counted."""


@dataclass(frozen=True)
class GroupedAlert:
    """An alert that is not over."""

    id: int
    ven_id: str
    code: str
    subject: str
    severity: str
    cause: str
    message: str
    begun_at: datetime
    is_acknowledged: bool = False
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToldAlertGrouping:
    """What a target was told of a cause so far."""

    begun_at: datetime
    due_at: datetime
    number: int = 0
    told_alert_id: int | None = None
    told_severity: str | None = None
    most: int = 0


@dataclass(frozen=True)
class _GroupTurn:
    """What comes of a look at a cause: the group as it is then (None: forgotten), and a notice."""

    group: ToldAlertGrouping | None
    kind: str | None = None


def alerts_grouped_for(
    target: AlertTarget, alerts: Sequence[GroupedAlert]
) -> dict[str, list[GroupedAlert]]:
    """By cause, those that the target wants."""
    found: dict[str, list[GroupedAlert]] = {}
    for one in alerts:
        in_group = not target.groups or bool(set(target.groups) & set(one.groups))
        if in_group and target.wants(one.severity, one.code):
            found.setdefault(one.cause, []).append(one)
    return found


def look_at_alert_grouping(
    told: ToldAlertGrouping | None,
    alerts: Sequence[GroupedAlert],
    target: AlertTarget,
    routing: AlertTargetRouting,
    now: datetime,
) -> _GroupTurn:
    """`alerts` are those of the cause that are open now; `told` is None for a new cause."""
    if told is None:
        if not alerts:
            return _GroupTurn(None)
        wait = timedelta(seconds=routing.group_wait_sec)
        told = ToldAlertGrouping(begun_at=now, due_at=now + wait)
    if told.due_at > now:
        return _GroupTurn(told)
    if not told.number and not alerts:
        return _GroupTurn(None)  # over before anybody was told
    kind = _kind_of(told, alerts, target)
    if kind is None:
        return _GroupTurn(_moved(told, now + timedelta(seconds=routing.group_wait_sec)))
    worst = _worst_severity(alerts) if alerts else (told.told_severity or "warning")
    quiet = target.quiet_hours
    if quiet is not None and alert_target_severity_rank(worst) < alert_target_severity_rank(
        quiet.unless
    ):
        until = quiet.quiet_until(now)
        if until is not None:
            return _GroupTurn(_moved(told, until))
    if kind == RESOLVED:
        return _GroupTurn(None, kind)
    return _GroupTurn(
        ToldAlertGrouping(
            begun_at=told.begun_at,
            due_at=now + timedelta(seconds=routing.group_interval_sec),
            number=told.number + 1,
            told_alert_id=max(one.id for one in alerts),
            told_severity=worst,
            most=max(told.most, len(alerts)),
        ),
        kind,
    )


def _kind_of(
    told: ToldAlertGrouping, alerts: Sequence[GroupedAlert], target: AlertTarget
) -> str | None:
    if not alerts:
        return RESOLVED
    if not told.number:
        return FIRING
    if target.alertmanager:
        return UPDATED  # it takes an alert as over when nobody repeats it
    if all(one.is_acknowledged for one in alerts):
        return None
    newer = any(one.id > (told.told_alert_id or 0) for one in alerts)
    worse = alert_target_severity_rank(_worst_severity(alerts)) > alert_target_severity_rank(
        told.told_severity or "info"
    )
    return UPDATED if newer or worse else None


def _moved(told: ToldAlertGrouping, due_at: datetime) -> ToldAlertGrouping:
    return ToldAlertGrouping(
        told.begun_at, due_at, told.number, told.told_alert_id, told.told_severity, told.most
    )


def _worst_severity(alerts: Sequence[GroupedAlert]) -> str:
    return max((one.severity for one in alerts), key=alert_target_severity_rank)


def alert_grouping_notice(
    kind: str, cause: str, told: ToldAlertGrouping, alerts: Sequence[GroupedAlert], now: datetime
) -> dict[str, Any]:
    """The message, for all kinds of targets. `alerts` is empty when the cause is over."""
    system = next((one for one in alerts if not one.ven_id), None)
    vens = sorted({one.ven_id for one in alerts if one.ven_id})
    code = cause.partition(":")[0]
    since = min((one.begun_at for one in alerts), default=told.begun_at)
    if kind == RESOLVED:
        summary = f"{code}: over"
        if told.most > 1:
            summary += f", {told.most:,} alerts"
    else:
        first = system or alerts[0]
        summary = first.message or code
        if len(vens) > 1 or (vens and system):
            word = "VEN" if len(vens) == 1 else "VENs"
            summary = f"{len(vens):,} {word}: {summary}"
    return {
        "type": kind,
        "timestamp": now.isoformat().replace("+00:00", "Z"),
        "data": {
            "cause": cause,
            "code": code,
            "severity": _worst_severity(alerts) if alerts else told.told_severity,
            "summary": summary,
            "count": len(alerts),
            "most": max(told.most, len(alerts)),
            "since": since.isoformat().replace("+00:00", "Z"),
            "codes": dict(Counter(one.code for one in alerts)),
            "venCount": len(vens),
            "venIds": vens[:NAMED],
        },
    }
