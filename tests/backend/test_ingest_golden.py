"""What the agent writes by the contract, the ingest reads: golden payloads, and any others."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_records import (
    IngestAckRecord,
    IngestAlertRecord,
    IngestLoadsRecord,
    IngestRecord,
    IngestSnapshotRecord,
    IngestStatusRecord,
    IngestTelemetryRecord,
)
from backend.ingest.message_decoder import decode_message
from backend.ingest.plausible_values import plausible_times
from VenAgent.contract import golden
from VenAgent.contract.acks import AckStatus, build_ack
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.telemetry import (
    Telemetry,
    TelemetryAvailability,
    TelemetryAvailabilityState,
    TelemetryLoad,
    TelemetryQuality,
)
from VenAgent.contract.topics import Topics

TOPICS = Topics.for_ven(golden.VEN_ID)
AT = datetime.fromtimestamp(golden.TS, timezone.utc)


def read(message: Any, topic: str) -> IngestRecord:
    window = plausible_times(golden.TS, retention=timedelta(days=30), ahead_sec=60.0)
    return decode_message(IngestMessage(topic, encode_json(message), golden.TS), window)


def loads_of(record: IngestLoadsRecord | None) -> list[tuple[Any, ...]]:
    assert record is not None
    rows = zip(record.key, record.power_w, record.shed_w, record.enabled, strict=True)
    return [(*key, power, shed, enabled) for key, power, shed, enabled in rows]


@pytest.mark.parametrize("topic", [TOPICS.metering, TOPICS.telemetry])
def test_the_golden_telemetry(topic: str) -> None:
    message = golden.GOLDEN_TELEMETRY
    record = read(message, topic)
    assert isinstance(record, IngestTelemetryRecord)
    assert (record.ven_id, record.seq, record.timestamp) == (golden.VEN_ID, message["seq"], AT)
    assert (record.used_power_kw, record.shed_power_kw) == (12.6, 5.0)
    assert (record.requested_reduction_kw, record.baseline_power_kw) == (5.0, 17.6)
    assert (record.event_id, record.quality) == ("42", "good")
    assert (record.battery_soc, record.panel_max_kw) == (85.5, 48.0)
    assert loads_of(record.loads) == [("ev1", "EV charger", "ev", 12.0, 5, 6700, 6700, "t")]


def test_the_golden_loads_snapshot() -> None:
    record = read(golden.GOLDEN_LOADS, TOPICS.loads)
    assert isinstance(record, IngestSnapshotRecord)
    assert (record.ven_id, record.timestamp) == (golden.VEN_ID, AT)
    assert loads_of(record.loads) == [("ev1", "EV charger", "ev", 12.0, 5, 6700, 6700, "t")]


@pytest.mark.parametrize("status", golden.GOLDEN_ACKS)
def test_the_golden_acks(status: str) -> None:
    message = golden.GOLDEN_ACKS[status]
    record = read(message, TOPICS.ack)
    assert isinstance(record, IngestAckRecord)
    assert (record.ven_id, record.status, record.timestamp) == (golden.VEN_ID, status, AT)
    assert (record.op, record.correlation_id) == (message["op"], message["correlationId"])
    for name in ("event_id", "requested_shed_kw", "actual_shed_kw", "shed_basis", "baseline_kw"):
        assert getattr(record, name) == message.get(name), name
    assert (record.reason, record.raw_payload) == (message.get("reason"), message)
    assert record.circuits_curtailed == message.get("circuits_curtailed")


def test_the_golden_status_and_alert() -> None:
    status = read(golden.GOLDEN_STATUS, TOPICS.status)
    assert status == IngestStatusRecord(golden.VEN_ID, True, "5f0c2a", golden.TS, golden.TS)
    alert = read(golden.GOLDEN_ALERT, TOPICS.alerts)
    assert isinstance(alert, IngestAlertRecord)
    assert (alert.timestamp, alert.severity, alert.code) == (AT, "warning", "meter_stale")
    assert alert.context == {"subject": "ev1"}


power_kw = st.floats(-1e3, 1e3).map(lambda kw: round(kw, 3))
name = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
load = st.fixed_dictionaries(
    {
        "load_id": name,
        "id": name,
        "name": name,
        "type": name,
        "capacity_kw": st.floats(0.0, 1e3),
        "current_power_kw": st.none() | power_kw,
        "shed_capability_kw": power_kw,
        "enabled": st.none() | st.booleans(),
        "priority": st.integers(1, 5),
    }
).map(lambda fields: TelemetryLoad(**fields))
availability = st.sampled_from(TelemetryAvailabilityState).map(
    lambda state: TelemetryAvailability(state=state)
)
telemetry = st.fixed_dictionaries(
    {
        "ven_id": st.just(golden.VEN_ID),
        "ts": st.just(golden.TS),
        "seq": st.integers(0, 2**62),
        "used_power_kw": st.none() | power_kw,
        "shed_power_kw": st.none() | power_kw,
        "requested_reduction_kw": power_kw,
        "event_id": st.none() | name,
        "baseline_power_kw": st.none() | power_kw,
        "battery_soc": st.none() | st.floats(0.0, 100.0),
        "panel_amperage_rating": st.just(200),
        "panel_voltage": st.just(240),
        "voltage": st.none() | st.floats(200.0, 260.0),
        "availability": st.sampled_from(TelemetryAvailabilityState).map(
            lambda state: TelemetryAvailability(state=state)
        ),
        "panel_max_kw": st.just(48.0),
        "current_amps": st.none(),
        "panel_utilization_percent": st.none(),
        "quality": st.sampled_from(TelemetryQuality),
        "circuits": st.just(()),
        "loads": st.lists(load, max_size=4, unique_by=lambda one: one.load_id).map(tuple),
    }
).map(lambda fields: Telemetry(**fields))


@given(telemetry)
def test_whatever_telemetry_the_contract_writes_is_read_as_it_was_meant(sent: Telemetry) -> None:
    wire = sent.to_wire()
    record = read(wire, TOPICS.metering)
    assert isinstance(record, IngestTelemetryRecord)
    assert (record.seq, record.quality) == (sent.seq, sent.quality.value)
    assert record.timestamp == AT
    for name in ("used_power_kw", "shed_power_kw", "requested_reduction_kw", "battery_soc"):
        assert getattr(record, name) == getattr(sent, name), name
    assert record.event_id == sent.event_id
    assert record.availability == sent.availability.state.value
    assert json.loads(record.payload) == wire
    if not sent.loads:
        assert record.loads is None
        return
    letters = {True: "t", False: "f", None: "?"}
    assert loads_of(record.loads) == [
        (
            *(one.load_id, one.name, one.type, one.capacity_kw, one.priority),
            None if one.current_power_kw is None else round(one.current_power_kw * 1_000),
            round(one.shed_capability_kw * 1_000),
            letters[one.enabled],
        )
        for one in sent.loads
    ]


@given(st.sampled_from(AckStatus), st.none() | name, st.none() | power_kw)
def test_whatever_ack_the_contract_writes_is_read_as_it_was_meant(
    status: AckStatus, event_id: str | None, shed_kw: float | None
) -> None:
    sent = build_ack(
        op="event",
        status=status,
        ven_id=golden.VEN_ID,
        ts=golden.TS,
        correlation_id="c-1",
        event_id=event_id,
        actual_shed_kw=shed_kw,
    )
    record = read(sent, TOPICS.ack)
    assert isinstance(record, IngestAckRecord)
    assert (record.status, record.event_id) == (status.value, event_id)
    assert (record.actual_shed_kw, record.correlation_id) == (shed_kw, "c-1")
    assert abs(record.timestamp - AT) < timedelta(seconds=1)
