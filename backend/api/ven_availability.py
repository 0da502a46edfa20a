"""Whether a VEN takes part, and what it could shed now or in an hour (of its stored state).

One that has opted out, is in maintenance or was not heard lately can shed nothing. What a VEN says
is believed as `backend.store.believed_ven_power` does; the rows have its columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from backend.store.freshness import freshness_of_row, reading_of_row_is_late
from backend.store.statuses import AVAILABLE, MAINTENANCE, OFFLINE, UNKNOWN
from backend.store.utc_time import utc_now

STALE = "stale"
_HOUR = timedelta(hours=1)


def ven_availability(row: Any) -> dict[str, Any]:
    """As an operator says, else as its fresh telemetry does: state, until, reason_code, by whom."""
    if row.status == MAINTENANCE:
        return _availability(MAINTENANCE, code="operator", by="operator")
    if row.last_seen is None:
        return _availability(UNKNOWN)
    if not freshness_of_row(row, utc_now()):
        code = "readings_late" if reading_of_row_is_late(row) else "not_heard"
        return _availability(STALE, code=code)
    if row.status == OFFLINE:
        return _availability(OFFLINE, code="offline")
    state = row.availability or AVAILABLE
    by = None if state == AVAILABLE else "site"
    return _availability(state, row.availability_until, row.availability_reason, by)


def _availability(
    state: str, until: datetime | None = None, code: str | None = None, by: str | None = None
) -> dict[str, Any]:
    return {"state": state, "until": until, "reason_code": code, "by": by}


def ven_available_kw(row: Any) -> float:
    """What it could shed now."""
    takes_part = ven_availability(row)["state"] == AVAILABLE
    return float(row.believed_shed_kw or 0.0) if takes_part else 0.0


def ven_available_in_an_hour_kw(row: Any, event_ends: Mapping[str, datetime]) -> float:
    """What it can now, and what an event gives back that is over by then. A site that comes back
    from opting out counts once it says what it can."""
    now_kw = ven_available_kw(row)
    end = event_ends.get(row.event_id)
    if end is None or end > utc_now() + _HOUR or ven_availability(row)["state"] != AVAILABLE:
        return now_kw
    return max(now_kw, float(row.believed_shed_in_all_kw or 0.0))
