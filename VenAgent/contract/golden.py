"""One example of each message, as it stands on the wire: what the tests of both sides hold to.

The agent's tests hold that it writes exactly these, the backend's that it reads them.
"""

from __future__ import annotations

from typing import Any, Final

VEN_ID: Final = "site-1"
TS: Final = 1_760_000_000.25

_ENVELOPE: Final = {"venId": VEN_ID, "issued_ts": 1760000000.0}
_SENT_BY: Final = {**_ENVELOPE, "expires_ts": 1760000300.0}

GOLDEN_COMMANDS: Final[dict[str, dict[str, Any]]] = {
    "event": {
        **_ENVELOPE,
        "op": "event",
        "correlationId": "evt-42-a1",
        "event_id": "42",
        "shed_kw": 5.0,
        "requestedReductionKw": 5.0,
        "start_ts": 1760000060.0,
        "end_ts": 1760001860.0,
        "duration_sec": 1800.0,
        "modification": 1,
        "event_priority": 2,
        "expires_ts": 1760001860.0,
    },
    "shedLoad": {
        **_ENVELOPE,
        "op": "shedLoad",
        "correlationId": "evt-43-a2",
        "event_id": "43",
        "loadId": "ev1",
        "shed_kw": 3.5,
        "requestedReductionKw": 3.5,
        "reduceKw": 3.5,
        "duration_sec": 900.0,
        "expires_ts": 1760000900.0,
    },
    "limit": {
        **_ENVELOPE,
        "op": "limit",
        "correlationId": "evt-44-a3",
        "event_id": "44",
        "import_kw": 4.2,
        "window_sec": 60.0,
        "failsafe_kw": 4.2,
        "heartbeat_sec": 120.0,
        "failsafe_min_sec": 7200.0,
        "expires_ts": 1760000300.0,
    },
    "loadUp": {
        **_ENVELOPE,
        "op": "loadUp",
        "correlationId": "evt-45-a4",
        "event_id": "45",
        "raise_kw": 2.0,
        "start_ts": 1760000060.0,
        "duration_sec": 600.0,
        "expires_ts": 1760000660.0,
    },
    "restore": {
        **_SENT_BY,
        "op": "restore",
        "correlationId": "evt-42-a5",
        "event_id": "42",
        "modification": 2,
    },
    "cancel": {
        **_SENT_BY,
        "op": "cancel",
        "correlationId": "evt-42-a6",
        "event_id": "42",
        "modification": 2,
    },
    "ping": {**_SENT_BY, "op": "ping", "correlationId": "ping-1"},
    "get": {**_SENT_BY, "op": "get", "correlationId": "get-1", "what": "status"},
    "setConfig": {
        **_SENT_BY,
        "op": "setConfig",
        "correlationId": "set-1",
        "report_interval_sec": 10.0,
        "shadow_interval_sec": 60.0,
    },
    "setLoad": {
        **_SENT_BY,
        "op": "setLoad",
        "correlationId": "set-2",
        "loadId": "ev1",
        "enabled": False,
        "priority": 4,
    },
}
"""By op, with all their usual fields; issued at 1760000000."""

_ACK: Final = {"op": "event", "venId": VEN_ID, "correlationId": "evt-42-a1"}
_OF_EVENT: Final = {
    **_ACK,
    "event_id": "42",
    "requested_shed_kw": 5.0,
    "baseline_kw": 17.6,
    "end_ts": 1760001860.0,
    "modification": 1,
    "circuits_curtailed": [
        {
            "id": "heater1",
            "loadId": "heater1",
            "name": "Water heater",
            "breaker_amps": 30.0,
            "original_kw": 4.5,
            "curtailed_kw": 4.5,
            "shedKw": 4.5,
            "final_kw": 0.0,
            "critical": False,
        }
    ],
}

GOLDEN_ACKS: Final[dict[str, dict[str, Any]]] = {
    "accepted": {
        **_OF_EVENT,
        "status": "accepted",
        "ok": True,
        "ts": 1760000000,
        "ts_ms": 1760000000250,
        "data": {},
        "actual_shed_kw": 4.5,
        "shed_basis": "predicted",
    },
    "measured": {
        **_OF_EVENT,
        "status": "measured",
        "ok": True,
        "ts": 1760000000,
        "ts_ms": 1760000000250,
        "data": {},
        "actual_shed_kw": 4.6,
        "shed_basis": "measured",
    },
    "completed": {
        **_OF_EVENT,
        "status": "completed",
        "ok": True,
        "ts": 1760000000,
        "ts_ms": 1760000000250,
        "data": {},
        "actual_shed_kw": 4.6,
        "shed_basis": "measured",
        "summary": {
            "start_ts": 1760000060.0,
            "end_ts": 1760001860.0,
            "baseline_kw": 17.6,
            "avg_kw": 13.0,
            "delivered_kwh": 2.3,
            "requested_shed_kw": 5.0,
            "achieved_shed_kw": 4.6,
            "shed_percent": 26.1,
            "samples": 360,
            "baseline_method": "mean_5min",
            "unseen_sec": 0.0,
        },
    },
    "success": {
        "op": "ping",
        "status": "success",
        "ok": True,
        "venId": VEN_ID,
        "ts": 1760000000,
        "ts_ms": 1760000000250,
        "correlationId": "ping-1",
        "data": {},
        "pong": True,
    },
    "rejected": {
        **_ACK,
        "status": "rejected",
        "ok": False,
        "ts": 1760000000,
        "ts_ms": 1760000000250,
        "data": {},
        "reason": "durationSecs: unknown field; did you mean duration_sec?",
        "reason_code": "unknown_field",
    },
}
"""By status, written at `TS`."""

GOLDEN_TELEMETRY: Final[dict[str, Any]] = {
    "schemaVersion": "1.0",
    "venId": VEN_ID,
    "timestamp": 1760000000,
    "ts_ms": 1760000000250,
    "seq": 1760000001234,
    "usedPowerKw": 12.6,
    "shedPowerKw": 5.0,
    "requestedReductionKw": 5.0,
    "eventId": "42",
    "baselinePowerKw": 17.6,
    "batterySOC": 85.5,
    "batterySoc": 85.5,
    "panelAmperageRating": 200,
    "panelVoltage": 240,
    "voltage": 240.028,
    "panelMaxKw": 48.0,
    "currentAmps": 52.5,
    "panelUtilizationPercent": 26.25,
    "quality": "good",
    "availability": {"state": "available", "until_ts": None, "reason_code": None},
    "power_kw": 12.6,
    "shed_kw": 5.0,
    "circuits": [
        {
            "id": "ev1",
            "name": "EV charger",
            "breakerAmps": 50.0,
            "currentKw": 6.7,
            "currentAmps": 27.9,
            "enabled": True,
            "critical": False,
        }
    ],
    "loads": [
        {
            "loadId": "ev1",
            "id": "ev1",
            "name": "EV charger",
            "type": "ev",
            "capacityKw": 12.0,
            "currentPowerKw": 6.7,
            "shedCapabilityKw": 6.7,
            "enabled": True,
            "priority": 5,
        }
    ],
}

GOLDEN_LOADS: Final[dict[str, Any]] = {
    "schemaVersion": "1.0",
    "venId": VEN_ID,
    "timestamp": 1760000000,
    "ts_ms": 1760000000250,
    "loads": GOLDEN_TELEMETRY["loads"],
}

GOLDEN_STATUS: Final[dict[str, Any]] = {
    "venId": VEN_ID,
    "status": "online",
    "ts": 1760000000.25,
    "bootId": "5f0c2a",
}

GOLDEN_ALERT: Final[dict[str, Any]] = {
    "venId": VEN_ID,
    "ts": 1760000000.25,
    "severity": "warning",
    "code": "meter_stale",
    "message": "the meter was last read 40 s ago",
    "context": {"subject": "ev1"},
}
