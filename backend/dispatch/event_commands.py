"""An event's commands to one VEN, by the contract's builders."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from VenAgent.contract.command_builder import (
    build_correlation_id,
    build_event_command,
    build_restore_command,
    build_shed_load_command,
)

RESTORE_VALID_SEC = 86_400.0
"""A restore may come late, to a VEN that was away."""


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
    event: dict[str, Any] = {
        "ven_id": ven_id,
        "correlation_id": _correlation_id(event_id),
        "event_id": event_id,
        "shed_kw": shed_kw,
        "start_ts": start.timestamp(),
        "end_ts": end.timestamp(),
        "duration_sec": round((end - start).total_seconds(), 3),
        "modification": modification,
        "event_priority": priority,
        "issued_ts": now.timestamp(),
        "expires_ts": end.timestamp(),
    }
    if load_id is not None:
        return build_shed_load_command(circuit_id=load_id, **event)
    return build_event_command(**event)


def event_restore_command(
    *, event_id: str, ven_id: str, modification: int, now: datetime
) -> dict[str, Any]:
    """End the event at this VEN and restore its circuits."""
    return build_restore_command(
        ven_id=ven_id,
        correlation_id=_correlation_id(event_id),
        event_id=event_id,
        modification=modification,
        issued_ts=now.timestamp(),
        expires_ts=now.timestamp() + RESTORE_VALID_SEC,
    )


def _correlation_id(event_id: str) -> str:
    return build_correlation_id(event_id, secrets.token_hex(5))
