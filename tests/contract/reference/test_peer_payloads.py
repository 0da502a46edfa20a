"""Messages as other VENs send them are read: their spellings, and what they leave out."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_records import (
    IngestAckRecord,
    IngestRecord,
    IngestSnapshotRecord,
    IngestTelemetryRecord,
)
from backend.ingest.message_decoder import decode_message
from backend.ingest.plausible_values import plausible_times

NOW = 1_771_000_000
AT = datetime.fromtimestamp(NOW, timezone.utc)
LOADS = [
    {
        "loadId": "circuit_2",
        "name": "Chiller",
        "type": "hvac",
        "capacityKw": 7.5,
        "currentPowerKw": 3.25,
        "shedCapabilityKw": 3.0,
        "enabled": True,
        "priority": 2,
    }
]
METERING = {
    "venId": "peer-7",
    "timestamp": NOW,
    "usedPowerKw": 9.5,
    "shedPowerKw": 2.5,
    "requestedReductionKw": 3.0,
    "eventId": "evt-9",
    "baselinePowerKw": 12.0,
    "batterySOC": 40,
    "panelAmperageRating": 150,
    "panelVoltage": 240,
    "panelMaxKw": 36.0,
    "currentAmps": 39.6,
    "panelUtilizationPercent": 26.4,
    "circuits": [
        {
            "id": "circuit_2",
            "name": "Chiller",
            "breakerAmps": 40,
            "currentKw": 3.25,
            "currentAmps": 13.5,
            "enabled": True,
            "critical": False,
        }
    ],
    "loads": LOADS,
}


def read(message: dict[str, Any], topic: str) -> IngestRecord:
    window = plausible_times(NOW + 1.0, retention=timedelta(days=30), ahead_sec=60.0)
    return decode_message(IngestMessage(topic, json.dumps(message).encode(), NOW + 1.0), window)


def test_a_peers_metering() -> None:
    record = read(METERING, "volttron/metering")
    assert isinstance(record, IngestTelemetryRecord)
    assert (record.ven_id, record.timestamp, record.seq) == ("peer-7", AT, 0)
    assert (record.used_power_kw, record.shed_power_kw, record.event_id) == (9.5, 2.5, "evt-9")
    assert (record.baseline_power_kw, record.battery_soc, record.panel_max_kw) == (12.0, 40, 36.0)
    assert record.loads is not None
    assert record.loads.key == (("circuit_2", "Chiller", "hvac", 7.5, 2),)
    assert (record.loads.power_w, record.loads.shed_w) == ([3_250], [3_000])
    assert record.availability is None


def test_a_battery_in_either_spelling() -> None:
    other = {name: value for name, value in METERING.items() if name != "batterySOC"}
    record = read({**other, "batterySoc": 0.5}, "volttron/metering")
    assert isinstance(record, IngestTelemetryRecord)
    assert record.battery_soc == 0.5  # percent: a fraction is not guessed at


def test_a_peers_loads() -> None:
    message = {"schemaVersion": "1.0", "venId": "peer-7", "timestamp": NOW, "loads": LOADS}
    record = read(message, "ven/loads/peer-7")
    assert isinstance(record, IngestSnapshotRecord)
    assert (record.timestamp, record.loads.enabled) == (AT, "t")


def test_a_peers_acks() -> None:
    shed = {
        "op": "event",
        "status": "accepted",
        "event_id": "evt-9",
        "requested_shed_kw": 3.0,
        "actual_shed_kw": 2.5,
        "circuits_curtailed": [{"loadId": "circuit_2", "name": "Chiller", "shedKw": 2.5}],
        "ts": NOW,
        "correlationId": "abc-1",
    }
    record = read(shed, "ven/ack/peer-7")
    assert isinstance(record, IngestAckRecord)
    assert (record.ven_id, record.status, record.timestamp) == ("peer-7", "accepted", AT)
    assert record.circuits_curtailed == shed["circuits_curtailed"]
    restored = {"op": "restore", "status": "success", "ts": NOW, "correlationId": "abc-2"}
    record = read(restored, "ven/ack/peer-7")
    assert isinstance(record, IngestAckRecord)
    assert (record.ven_id, record.event_id, record.correlation_id) == ("peer-7", None, "abc-2")
