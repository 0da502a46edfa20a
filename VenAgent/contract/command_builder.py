"""Commands as they are sent: one spelling of each field, so that every VEN in the field reads them.

Whoever sends dates what it sends (`issued_ts`) and says until when it holds (`expires_ts`): a
broker may keep a command for hours. Times are epoch seconds, durations seconds, power kW. A field
that is None is not sent. Each function returns the message; `json_codec.encode_json` makes bytes
of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from VenAgent.contract.op import Op


def build_correlation_id(event_id: str, token: str) -> str:
    """Of a command about an event; `token` is a random text of the sender's, new for each command.

    It is kept with the command, so that asking again is the same.
    """
    return f"evt-{event_id}-{token}"


def build_command(
    op: str | Op,
    *,
    ven_id: str,
    correlation_id: str,
    issued_ts: float | None = None,
    expires_ts: float | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Any command: the envelope, and `fields` as they go on the wire."""
    message = {
        "op": Op(op).value,
        "correlationId": correlation_id,
        "venId": ven_id,
        **fields,
        "issued_ts": issued_ts,
        "expires_ts": expires_ts,
    }
    return {name: value for name, value in message.items() if value is not None}


def build_event_command(
    *,
    ven_id: str,
    correlation_id: str,
    event_id: str,
    shed_kw: float,
    issued_ts: float,
    expires_ts: float,
    start_ts: float | None = None,
    end_ts: float | None = None,
    duration_sec: float | None = None,
    modification: int | None = None,
    event_priority: int | None = None,
    intervals: Sequence[Mapping[str, float]] | None = None,
    randomize_start_sec: float | None = None,
    test: bool | None = None,
    dry_run: bool | None = None,
) -> dict[str, Any]:
    """Shed `shed_kw`, from `start_ts` (now if None) to `end_ts` or for `duration_sec`."""
    return build_command(
        Op.EVENT,
        ven_id=ven_id,
        correlation_id=correlation_id,
        event_id=event_id,
        shed_kw=shed_kw,
        requestedReductionKw=shed_kw,
        start_ts=start_ts,
        end_ts=end_ts,
        duration_sec=duration_sec,
        modification=modification,
        event_priority=event_priority,
        intervals=None if intervals is None else [dict(each) for each in intervals],
        randomize_start_sec=randomize_start_sec,
        test=test,
        dry_run=dry_run,
        issued_ts=issued_ts,
        expires_ts=expires_ts,
    )


def build_shed_load_command(*, circuit_id: str, shed_kw: float, **event: Any) -> dict[str, Any]:
    """The same for one circuit; `event` as of `build_event_command`."""
    message = build_event_command(shed_kw=shed_kw, **event)
    return {**message, "op": Op.SHED_LOAD.value, "loadId": circuit_id, "reduceKw": shed_kw}


def build_load_up_command(*, raise_kw: float, **event: Any) -> dict[str, Any]:
    """Draw `raise_kw` more; `event` as of `build_event_command`."""
    message = build_event_command(shed_kw=raise_kw, **event)
    del message["shed_kw"], message["requestedReductionKw"]
    return {**message, "op": Op.LOAD_UP.value, "raise_kw": raise_kw}


def build_limit_command(
    *,
    ven_id: str,
    correlation_id: str,
    event_id: str,
    issued_ts: float,
    expires_ts: float | None = None,
    import_kw: float | None = None,
    export_kw: float | None = None,
    start_ts: float | None = None,
    end_ts: float | None = None,
    duration_sec: float | None = None,
    window_sec: float | None = None,
    failsafe_kw: float | None = None,
    heartbeat_sec: float | None = None,
    failsafe_min_sec: float | None = None,
    modification: int | None = None,
    event_priority: int | None = None,
    intervals: Sequence[Mapping[str, float]] | None = None,
    randomize_start_sec: float | None = None,
    test: bool | None = None,
    dry_run: bool | None = None,
) -> dict[str, Any]:
    """Keep the site's measured power at or under the limit; without an end, until further notice.

    `expires_ts` is how long the command may be under way, not how long the limit holds.
    """
    return build_command(
        Op.LIMIT,
        ven_id=ven_id,
        correlation_id=correlation_id,
        event_id=event_id,
        import_kw=import_kw,
        export_kw=export_kw,
        start_ts=start_ts,
        end_ts=end_ts,
        duration_sec=duration_sec,
        window_sec=window_sec,
        failsafe_kw=failsafe_kw,
        heartbeat_sec=heartbeat_sec,
        failsafe_min_sec=failsafe_min_sec,
        modification=modification,
        event_priority=event_priority,
        intervals=None if intervals is None else [dict(each) for each in intervals],
        randomize_start_sec=randomize_start_sec,
        test=test,
        dry_run=dry_run,
        issued_ts=issued_ts,
        expires_ts=expires_ts,
    )


def build_restore_command(
    *,
    ven_id: str,
    correlation_id: str,
    issued_ts: float,
    expires_ts: float,
    event_id: str | None = None,
    modification: int | None = None,
) -> dict[str, Any]:
    """End the event (the active one if None) and restore its circuits."""
    return build_command(
        Op.RESTORE,
        ven_id=ven_id,
        correlation_id=correlation_id,
        event_id=event_id,
        modification=modification,
        issued_ts=issued_ts,
        expires_ts=expires_ts,
    )


def build_cancel_command(
    *,
    ven_id: str,
    correlation_id: str,
    event_id: str,
    issued_ts: float,
    expires_ts: float,
    modification: int | None = None,
) -> dict[str, Any]:
    """Withdraw a scheduled event; on an active one as `build_restore_command`."""
    return build_command(
        Op.CANCEL,
        ven_id=ven_id,
        correlation_id=correlation_id,
        event_id=event_id,
        modification=modification,
        issued_ts=issued_ts,
        expires_ts=expires_ts,
    )


def build_ping_command(
    *, ven_id: str, correlation_id: str, issued_ts: float, expires_ts: float
) -> dict[str, Any]:
    """Is it there? The ack says `pong`."""
    return build_command(
        Op.PING,
        ven_id=ven_id,
        correlation_id=correlation_id,
        issued_ts=issued_ts,
        expires_ts=expires_ts,
    )


def build_get_command(
    *, ven_id: str, correlation_id: str, what: str, issued_ts: float, expires_ts: float
) -> dict[str, Any]:
    """Ask for `what` (one of `GetCommand.choices`); it comes in the ack's `data`."""
    return build_command(
        Op.GET,
        ven_id=ven_id,
        correlation_id=correlation_id,
        what=what,
        issued_ts=issued_ts,
        expires_ts=expires_ts,
    )


def build_set_config_command(
    *,
    ven_id: str,
    correlation_id: str,
    issued_ts: float,
    expires_ts: float,
    report_interval_sec: float | None = None,
    shadow_interval_sec: float | None = None,
) -> dict[str, Any]:
    """Change how often it reports."""
    return build_command(
        Op.SET_CONFIG,
        ven_id=ven_id,
        correlation_id=correlation_id,
        report_interval_sec=report_interval_sec,
        shadow_interval_sec=shadow_interval_sec,
        issued_ts=issued_ts,
        expires_ts=expires_ts,
    )


def build_set_load_command(
    *,
    ven_id: str,
    correlation_id: str,
    circuit_id: str,
    issued_ts: float,
    expires_ts: float,
    enabled: bool | None = None,
    priority: int | None = None,
) -> dict[str, Any]:
    """Switch a circuit, or change its priority (1 critical … 5 flexible)."""
    return build_command(
        Op.SET_LOAD,
        ven_id=ven_id,
        correlation_id=correlation_id,
        loadId=circuit_id,
        enabled=enabled,
        priority=priority,
        issued_ts=issued_ts,
        expires_ts=expires_ts,
    )
