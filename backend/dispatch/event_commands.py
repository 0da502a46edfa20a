"""Commands as they go on the wire: the names of docs/mqtt-topics.md, one superset for every VEN."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

SHED_OP, SHED_LOAD_OP, RESTORE_OP = "event", "shedLoad", "restore"
RESTORE_VALID_SEC = 86_400.0
"""A restore may come late, to a VEN that was away."""


def _correlation_id(event_id: str) -> str:
    """`evt-{eventId}-{random}`; kept in the command's row, so that asking again is the same."""
    return f"evt-{event_id}-{secrets.token_hex(5)}"


def event_shed_command(
    *,
    event_id: str,
    ven_id: str,
    shed_kw: float,
    start: datetime,
    end: datetime,
    modification: int,
    now: datetime,
    priority: int | None = None,
    load_id: str | None = None,
) -> dict[str, Any]:
    """Shed `shed_kw` until `end`; with a load, of that circuit alone. It expires with the event."""
    fields: dict[str, Any] = {} if priority is None else {"event_priority": priority}
    if load_id is not None:
        fields |= {"loadId": load_id, "reduceKw": shed_kw}
    return {
        "op": SHED_OP if load_id is None else SHED_LOAD_OP,
        "correlationId": _correlation_id(event_id),
        "venId": ven_id,
        "event_id": event_id,
        "shed_kw": shed_kw,
        "requestedReductionKw": shed_kw,
        "start_ts": start.timestamp(),
        "end_ts": end.timestamp(),
        "duration_sec": round((end - start).total_seconds(), 3),
        "modification": modification,
        "issued_ts": now.timestamp(),
        "expires_ts": end.timestamp(),
        **fields,
    }


def event_restore_command(
    *, event_id: str, ven_id: str, modification: int, now: datetime
) -> dict[str, Any]:
    """End the event at this VEN and restore its circuits."""
    return {
        "op": RESTORE_OP,
        "correlationId": _correlation_id(event_id),
        "venId": ven_id,
        "event_id": event_id,
        "modification": modification,
        "issued_ts": now.timestamp(),
        "expires_ts": now.timestamp() + RESTORE_VALID_SEC,
    }
