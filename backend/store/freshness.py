"""Whether a VEN was heard lately, and with a reading of now: each is judged by how often it reports
itself.

What an outbox or a broker's queue brings of before is stored, and tells nothing of now.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, extract, or_

from backend.store.tables import VEN_STATE

SILENT_AFTER = timedelta(seconds=60)
"""Of a VEN that reports often; one that reports seldom is not silent before `quiet_until`."""
SILENT_AFTER_UNKNOWN = timedelta(minutes=5)
"""Of a VEN of which is not known how often it reports."""
READING_LATE_AFTER = timedelta(minutes=5)
"""So far a reading's own time may be behind its arrival, for a slow link or a clock that is off: as
far as agents let a command's be (`clock_tolerance_sec`). Of a VEN that reports seldom further."""


def freshness_of_state(now: datetime, within: timedelta) -> ColumnElement[bool]:
    """A row of `ven_state` that still tells what is so: heard `within`, or as often as its own, and
    of now."""
    heard = or_(VEN_STATE.c.last_seen >= now - within, VEN_STATE.c.quiet_until >= now)
    return and_(heard, _is_of_now())


def freshness_of_fleet(now: datetime) -> ColumnElement[bool]:
    """The same with the times above."""
    rare = and_(
        VEN_STATE.c.quiet_until.is_(None), VEN_STATE.c.last_seen >= now - SILENT_AFTER_UNKNOWN
    )
    return or_(freshness_of_state(now, SILENT_AFTER), and_(rare, _is_of_now()))


def freshness_of_row(row: Any, now: datetime, within: timedelta | None = None) -> bool:
    """The same of a row that was read, with `last_seen`, `timestamp` and `quiet_until`."""
    return _is_heard(row, now, within) and not reading_of_row_is_late(row)


def reading_of_row_is_late(row: Any) -> bool:
    """It was of long before when it arrived: of before an outage, or by a wrong clock."""
    if row.last_seen is None or row.timestamp is None:
        return False
    pause = (row.quiet_until or row.last_seen) - row.last_seen
    return bool(row.last_seen - row.timestamp > max(pause, READING_LATE_AFTER))


def _is_heard(row: Any, now: datetime, within: timedelta | None) -> bool:
    if row.last_seen is None:
        return False
    if row.quiet_until is not None and row.quiet_until >= now:
        return True
    if within is None:
        within = SILENT_AFTER_UNKNOWN if row.quiet_until is None else SILENT_AFTER
    return bool(row.last_seen >= now - within)


def _is_of_now() -> ColumnElement[bool]:
    arrived, quiet_until = _epoch_sec(VEN_STATE.c.last_seen), _epoch_sec(VEN_STATE.c.quiet_until)
    late_sec = arrived - _epoch_sec(VEN_STATE.c.timestamp)
    return or_(
        late_sec <= READING_LATE_AFTER.total_seconds(),
        and_(VEN_STATE.c.quiet_until.is_not(None), late_sec <= quiet_until - arrived),
    )


def _epoch_sec(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    return extract("epoch", moment)
