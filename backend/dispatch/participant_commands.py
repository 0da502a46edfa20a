"""An event's commands to one VEN, by the contract's builders."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from backend.store.tables import StoredEvent
from VenAgent.contract.command_builder import (
    build_cancel_command,
    build_correlation_id,
    build_event_command,
    build_limit_command,
    build_load_up_command,
    build_restore_command,
    build_shed_load_command,
)
from VenAgent.contract.op import Op

RESTORE_VALID_SEC = 86_400.0
"""A restore may come late, to a VEN that was away."""
LIMIT_SENT_WITHIN = timedelta(hours=24)
"""A limit until further notice may be so long under way."""
LONGEST_COMMANDED = timedelta(hours=24)
"""A VEN takes no event that lasts longer, from the start that its command names."""
LONG_EVENT_COMMANDED = timedelta(hours=23, minutes=30)
"""The command of an event that lasts longer begins so long before its end: less than a day, for
clocks are not alike."""


class ParticipantEventCommands:
    """Makes the commands that tell VENs their shares of a stored event; what they have in common is
    made once."""

    def __init__(self, event: StoredEvent, now: datetime, load_id: str | None = None) -> None:
        """`load_id`: the one circuit that it is for."""
        self._event = event
        self._load_id = load_id
        self._start = start = _commanded_start(event, now)
        self._common = common = {
            "event_id": event.id,
            "start_ts": start.timestamp(),
            "event_priority": event.priority,
            "issued_ts": now.timestamp(),
            "test": True if event.test else None,
            "dry_run": True if event.dry_run else None,
            "randomize_start_sec": event.randomize_start_sec,
        }
        end = event.start_time + LIMIT_SENT_WITHIN if event.open_ended else event.end_time
        common["expires_ts"] = end.timestamp()
        if event.open_ended and event.kind != Op.LIMIT:
            common["duration_sec"] = 0.0  # until cancelled; a site's own longest bounds it
        elif not event.open_ended:
            common["end_ts"] = end.timestamp()
            common["duration_sec"] = round((end - start).total_seconds(), 3)
        self._build = {Op.LOAD_UP: self._load_up, Op.LIMIT: self._limit}.get(
            Op(event.kind), self._shed
        )
        self._has_intervals = bool(event.intervals)

    def of_ven(self, ven_id: str, share_kw: float, modification: int) -> dict[str, Any]:
        """`share_kw`: power to shed, or with a limit the power to stay under; negative in a loadUp:
        power to draw more."""
        return self._build(
            share_kw,
            {
                **self._common,
                "ven_id": ven_id,
                "correlation_id": _correlation_id(self._common["event_id"]),
                "modification": modification,
            },
        )

    def _load_up(self, share_kw: float, common: dict[str, Any]) -> dict[str, Any]:
        return build_load_up_command(raise_kw=-share_kw, **common)

    def _limit(self, share_kw: float, common: dict[str, Any]) -> dict[str, Any]:
        event = self._event
        levels = self._intervals(share_kw)
        is_flat = levels is None and event.import_kw is not None
        return build_limit_command(
            import_kw=share_kw if is_flat else None,
            export_kw=event.export_kw,
            window_sec=event.window_sec,
            failsafe_kw=participant_failsafe_kw(event, share_kw),
            heartbeat_sec=event.heartbeat_sec,
            failsafe_min_sec=event.failsafe_min_sec,
            intervals=levels,
            **common,
        )

    def _shed(self, share_kw: float, common: dict[str, Any]) -> dict[str, Any]:
        levels = self._intervals(share_kw)
        if levels is not None:
            common["intervals"] = levels
            share_kw = max(level["shed_kw"] for level in levels)
        if self._load_id is not None:
            return build_shed_load_command(circuit_id=self._load_id, shed_kw=share_kw, **common)
        return build_event_command(shed_kw=share_kw, **common)

    def _intervals(self, share_kw: float) -> list[dict[str, float]] | None:
        if not self._has_intervals:
            return None
        return participant_share_intervals(self._event, share_kw, self._start)


def participant_failsafe_kw(event: StoredEvent, share_kw: float) -> float | None:
    """What rules at a site that does not hear us: of a limit that all keep together its part."""
    if event.failsafe_kw is None or event.limit_per_site or not event.import_kw:
        failsafe_kw: float | None = event.failsafe_kw
        return failsafe_kw
    return round(event.failsafe_kw * share_kw / event.import_kw, 3)


def _commanded_start(event: StoredEvent, now: datetime) -> datetime:
    """The event's start; later, but past, for an event that runs longer than a VEN takes in one
    command: its end was moved on."""
    start: datetime = event.start_time
    later: datetime = event.end_time - LONG_EVENT_COMMANDED
    is_long = not event.open_ended and event.end_time - start > LONGEST_COMMANDED
    return later if is_long and later <= now else start


def participant_share_intervals(
    event: StoredEvent, share_kw: float, start: datetime
) -> list[dict[str, float]]:
    """The event's intervals from `start` on for one VEN, whose share of the highest of all of them
    is `share_kw`."""
    name = "import_kw" if event.kind == Op.LIMIT else "shed_kw"
    highest_kw = max(level[name] for level in event.intervals)
    factor = share_kw / highest_kw if highest_kw else 0.0
    over_sec = (start - event.start_time).total_seconds()
    found: list[dict[str, float]] = []
    for level in event.intervals:
        left_sec = level["duration_sec"] - max(over_sec, 0.0)
        over_sec -= level["duration_sec"]
        if left_sec >= 1.0 or left_sec == level["duration_sec"]:
            power_kw = round(level[name] * factor, 3)
            found.append({"duration_sec": round(left_sec, 3), name: power_kw})
    return found


def participant_cancel_command(
    *, event_id: str, ven_id: str, modification: int, now: datetime
) -> dict[str, Any]:
    """Withdraw an event that this VEN was told of ahead."""
    return build_cancel_command(
        ven_id=ven_id,
        correlation_id=_correlation_id(event_id),
        event_id=event_id,
        modification=modification,
        issued_ts=now.timestamp(),
        expires_ts=now.timestamp() + RESTORE_VALID_SEC,
    )


def participant_restore_command(
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
