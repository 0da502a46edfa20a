"""Whether a VEN was heard lately: each is judged by how often it reports itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, or_

from backend.store.tables import VEN_STATE

SILENT_AFTER = timedelta(seconds=60)
"""Of a VEN that reports often; one that reports seldom is not silent before `quiet_until`."""
SILENT_AFTER_UNKNOWN = timedelta(minutes=5)
"""Of a VEN of which is not known how often it reports."""


def freshness_of_state(now: datetime, within: timedelta) -> ColumnElement[bool]:
    """A row of `ven_state` that still tells what is so: heard `within`, or as often as its own."""
    return or_(VEN_STATE.c.last_seen >= now - within, VEN_STATE.c.quiet_until >= now)


def freshness_of_fleet(now: datetime) -> ColumnElement[bool]:
    """The same with the times above."""
    rare = and_(
        VEN_STATE.c.quiet_until.is_(None), VEN_STATE.c.last_seen >= now - SILENT_AFTER_UNKNOWN
    )
    return or_(freshness_of_state(now, SILENT_AFTER), rare)


def freshness_of_row(row: Any, now: datetime, within: timedelta | None = None) -> bool:
    """The same of a row that was read, with `last_seen` and `quiet_until`."""
    if row.last_seen is None:
        return False
    if row.quiet_until is not None and row.quiet_until >= now:
        return True
    if within is None:
        within = SILENT_AFTER_UNKNOWN if row.quiet_until is None else SILENT_AFTER
    return bool(row.last_seen >= now - within)
