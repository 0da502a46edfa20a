"""What is read from a message, in every spelling, and why some are refused. No I/O."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ingest.ingest_message import IngestMessage, IngestMessageKind, IngestMessageRefused
from backend.ingest.ingest_records import (
    MAX_PAYLOAD_BYTES,
    IngestAckRecord,
    IngestAlertRecord,
    IngestRecord,
    IngestSnapshotRecord,
    IngestStatusRecord,
    IngestTelemetryRecord,
)
from backend.ingest.known_panels import KnownPanels
from backend.ingest.message_decoder import decode_message, decode_message_kind
from backend.ingest.plausible_values import plausible_times
from tests.backend.builders import LOADS, payload, telemetry
from VenAgent.contract.acks import AckStatus, build_ack
from VenAgent.contract.alerts import AlertSeverity, build_alert
from VenAgent.contract.json_codec import encode_json

NOW = time.time()
METERING = "volttron/metering"
WINDOW = plausible_times(NOW + 10, retention=timedelta(days=30), ahead_sec=60.0)


def read(message: Any, topic: str = METERING) -> IngestRecord:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    window = plausible_times(time.time() + 10, retention=timedelta(days=30), ahead_sec=60.0)
    return decode_message(IngestMessage(topic, data, NOW), window)


def read_telemetry(message: Any, topic: str = METERING) -> IngestTelemetryRecord:
    record = read(message, topic)
    assert isinstance(record, IngestTelemetryRecord)
    return record


def refusal(message: Any, topic: str = METERING) -> str:
    with pytest.raises(IngestMessageRefused) as refused:
        read(message, topic)
    return str(refused.value)


def test_a_telemetry_of_the_contract_is_read_to_the_last_load() -> None:
    record = read_telemetry(payload("ven-1", 7, eventId="e1", shedPowerKw=1.5))
    assert (record.ven_id, record.seq, record.event_id) == ("ven-1", 7, "e1")
    assert (record.used_power_kw, record.shed_power_kw) == (12.345, 1.5)
    assert record.panel_max_kw == 48.0
    assert record.loads is not None
    assert [entry[0] for entry in record.loads.key] == list(LOADS)
    assert record.loads.power_w == [1234] * 8
    assert record.loads.shed_w == [1000] * 8
    assert record.loads.enabled == "tttttttt"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (1_790_000_000.5, 1_790_000_000.5),
        (1_790_000_000_500, 1_790_000_000.5),
        ("1790000000.5", 1_790_000_000.5),
        ("2026-09-21T14:13:20.500Z", 1_790_000_000.5),
        ("2026-09-21T16:13:20.500+02:00", 1_790_000_000.5),
        ("2026-09-21T14:13:20.500", 1_790_000_000.5),
    ],
)
def test_times_are_read_in_every_spelling(written: Any, expected: float) -> None:
    window = plausible_times(1_790_000_100.0, retention=timedelta(days=30), ahead_sec=60.0)
    assert window.moment(written, "timestamp") == datetime.fromtimestamp(expected, timezone.utc)


def test_the_names_of_the_first_generation_are_read() -> None:
    old = {
        "ven_id": "old",
        "ts": NOW,
        "power_kw": "3.5",
        "shed_kw": 1,
        "event_id": 17,
        "circuits": [{"id": 3, "name": "HVAC", "currentKw": "1.5", "enabled": "true"}],
    }
    record = read_telemetry(old)
    assert (record.used_power_kw, record.shed_power_kw, record.event_id) == (3.5, 1.0, "17")
    assert record.seq == 0
    assert record.loads is not None
    assert record.loads.key == (("3", "HVAC", None, None, None),)
    assert (record.loads.power_w, record.loads.shed_w, record.loads.enabled) == (
        [1500],
        [None],
        "t",
    )


def test_what_was_not_read_stays_null() -> None:
    record = read_telemetry({"venId": "v", "timestamp": NOW, "usedPowerKw": None, "loads": []})
    assert record.used_power_kw is None
    assert record.shed_power_kw is None
    assert record.loads is None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"{", "not JSON"),
        (b"[1]", "Expected `object`"),
        ({"timestamp": NOW, "usedPowerKw": 1}, "venId is missing"),
        ({"venId": "", "timestamp": NOW}, "venId is missing"),
        ({"venId": "a/b", "timestamp": NOW}, "not the name of a thing"),
        ({"venId": "v" * 129, "timestamp": NOW}, "not the name of a thing"),
        ({"venId": ".", "timestamp": NOW}, "not the name of a thing"),
        ({"venId": "..", "timestamp": NOW}, "not the name of a thing"),
        ({"venId": "v"}, "timestamp is missing"),
        ({"venId": "v", "timestamp": "noon"}, "neither epoch seconds nor ISO 8601"),
        ({"venId": "v", "timestamp": f"{NOW:_.0f}"}, "neither epoch seconds nor ISO 8601"),
        ({"venId": "v", "timestamp": NOW + 3600}, "too far ahead"),
        ({"venId": "v", "timestamp": 0}, "older than what is kept"),
        ({"venId": "v", "timestamp": "nan"}, "is the clock right"),
        ({"venId": "v", "timestamp": NOW, "usedPowerKw": 1e9}, "out of range"),
        ({"venId": "v", "timestamp": NOW, "usedPowerKw": "nan"}, "out of range"),
        ({"venId": "v", "timestamp": NOW, "usedPowerKw": "much"}, "$.usedPowerKw"),
        ({"venId": "v", "timestamp": NOW, "seq": -1}, "seq -1"),
        ({"venId": "v", "timestamp": NOW, "seq": 2**63}, "out of range"),
        ({"venId": "v", "timestamp": NOW, "loads": [{}]}, "a load without loadId"),
        ({"venId": "v", "timestamp": NOW, "loads": [{"id": "a", "currentPowerKw": 1e9}]}, "load's"),
        ({"venId": "v", "timestamp": NOW, "eventId": "a\0b"}, "U+0000"),
        ({"venId": "v", "timestamp": NOW, "mqttClientId": "w"}, "sent by 'w'"),
        (b'{"venId":"' + b"v" * MAX_PAYLOAD_BYTES + b'"}', "bytes are more than"),
    ],
)
def test_a_bad_telemetry_is_refused_with_the_reason(message: Any, reason: str) -> None:
    assert reason in refusal(message)


def test_a_ven_cannot_speak_on_the_topic_of_another() -> None:
    assert "on the topic of 'ven-2'" in refusal(payload("ven-1"), "ven/telemetry/ven-2")
    assert read_telemetry(payload("ven-2"), "ven/telemetry/ven-2").ven_id == "ven-2"


def test_the_client_that_sent_it_must_be_the_ven() -> None:
    assert read_telemetry(telemetry("ven-1", mqttClientId="ven-1")).ven_id == "ven-1"
    assert "sent by 'mallory'" in refusal(telemetry("ven-1", mqttClientId="mallory"))


def test_an_ack_is_read_with_what_it_shed() -> None:
    message = build_ack(
        op="event",
        status=AckStatus.ACCEPTED,
        ven_id="ven-1",
        ts=NOW,
        correlation_id="c1",
        event_id="e1",
        requested_shed_kw=3.0,
        actual_shed_kw=2.5,
        shed_basis="predicted",
        circuits_curtailed=[{"id": "hvac"}],
    )
    record = read(message, "ven/ack/ven-1")
    assert isinstance(record, IngestAckRecord)
    assert (record.status, record.correlation_id, record.event_id) == ("accepted", "c1", "e1")
    assert (record.requested_shed_kw, record.actual_shed_kw) == (3.0, 2.5)
    assert record.circuits_curtailed == [{"id": "hvac"}]
    assert read(message, "ven/ack/ven-1") == record  # the digest too


def test_an_ack_of_the_first_generation_has_its_ven_from_the_topic() -> None:
    record = read({"op": "restore", "ok": False, "eventId": 5}, "ven/ack/ven-9")
    assert isinstance(record, IngestAckRecord)
    assert (record.ven_id, record.status, record.event_id) == ("ven-9", "failed", "5")
    assert record.timestamp.timestamp() == pytest.approx(NOW, abs=1e-3)
    assert "without status" in refusal({"op": "ping"}, "ven/ack/ven-9")


def test_status_alert_and_loads_are_read() -> None:
    status = read({"venId": "v", "status": "offline", "ts": 1, "bootId": "b"}, "ven/status/v")
    assert status == IngestStatusRecord("v", False, "b", NOW, 1.0)
    for odd in (None, True, [], {}, "never", "", -1, 1e300, "1" * 400):
        dateless = read({"status": "online", "ts": odd}, "ven/status/v")
        assert dateless == IngestStatusRecord("v", True, None, NOW), odd
    for same in (1_796_072_900_000, "1796072900", "2026-11-30T21:08:20Z"):
        dated = read({"status": "online", "ts": same}, "ven/status/v")
        assert isinstance(dated, IngestStatusRecord)
        assert dated.said_at == 1_796_072_900.0, same
    said = build_alert(
        ven_id="v",
        ts=NOW,
        severity=AlertSeverity.WARNING,
        code="meter_stale",
        message="m",
        context={},
    )
    record = read(said, "ven/alerts/v")
    assert isinstance(record, IngestAlertRecord)
    assert (record.severity, record.code) == ("warning", "meter_stale")
    snapshot = read(
        {"venId": "v", "timestamp": NOW, "loads": telemetry("v")["loads"]}, "ven/loads/v"
    )
    assert isinstance(snapshot, IngestSnapshotRecord)
    assert len(snapshot.loads.power_w) == 8
    assert "neither online nor offline" in refusal({"status": "maybe"}, "ven/status/v")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (telemetry("v"), IngestMessageKind.TELEMETRY),
        ({"power_kw": 1}, IngestMessageKind.TELEMETRY),
        ({"op": "event", "status": "accepted"}, IngestMessageKind.ACK),
        ({"status": "online"}, IngestMessageKind.STATUS),
        ({"severity": "warning", "code": "c"}, IngestMessageKind.ALERT),
        ({"loads": []}, IngestMessageKind.LOADS),
        ({"mqttTopic": "ven/ack/v"}, IngestMessageKind.ACK),
    ],
)
def test_a_record_without_a_topic_is_known_by_its_fields(
    message: Any, kind: IngestMessageKind
) -> None:
    assert decode_message_kind(encode_json(message))[0] is kind


def test_a_record_like_nothing_known_is_refused() -> None:
    assert "no field of them" in refusal({"hello": "world"}, "some/topic")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from([*telemetry("v"), "ts", "ven_id", "op", "ok"]), json_values),
    st.sampled_from([METERING, "ven/ack/v", "ven/status/v", "ven/alerts/v", "ven/loads/v", "x"]),
)
def test_whatever_comes_is_read_or_refused(changes: dict[str, Any], topic: str) -> None:
    message = json.dumps({**telemetry("v"), **changes}).encode()
    with suppress(IngestMessageRefused):
        read(message, topic)


@given(st.binary(max_size=64), st.text(max_size=20))
def test_no_bytes_at_all_can_do_more_than_be_refused(data: bytes, topic: str) -> None:
    with pytest.raises(IngestMessageRefused):
        read(data, topic)


def test_a_panel_that_stays_the_same_is_one_object_and_one_that_changes_is_seen() -> None:
    panels = KnownPanels()

    def key_of(ven_id: str, **changes: Any) -> Any:
        loads = [{**load, **changes} for load in telemetry(ven_id)["loads"]]
        one = decode_message(
            IngestMessage(METERING, payload(ven_id, timestamp=NOW, loads=loads), NOW),
            WINDOW,
            panels,
        )
        assert isinstance(one, IngestTelemetryRecord)
        assert one.loads is not None
        return one.loads.key

    first = key_of("ven-1")
    assert key_of("ven-1", currentPowerKw=0.5, enabled=False) is first
    assert key_of("ven-2") is first
    other = key_of("ven-1", priority=2)
    assert {load[4] for load in other} == {2}
    assert key_of("ven-1") is first
    with pytest.raises(IngestMessageRefused, match="priority"):
        key_of("ven-1", priority=10**9)
    with pytest.raises(IngestMessageRefused, match="capacityKw"):
        key_of("ven-1", capacityKw=1e9)


def test_what_is_remembered_of_panels_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.ingest.known_panels._MOST_PANELS", 10)
    panels = KnownPanels()
    for number in range(100):
        ven_id = f"ven-{number}"
        one = decode_message(
            IngestMessage(METERING, payload(ven_id, timestamp=NOW), NOW), WINDOW, panels
        )
        assert isinstance(one, IngestTelemetryRecord)
    assert len(panels._of_ven) <= 10


@pytest.mark.parametrize(
    ("topic", "field"), [("ven/ack/v", "circuits_curtailed"), ("ven/alerts/v", "context")]
)
def test_what_is_nested_too_deeply_to_be_given_back_is_refused(topic: str, field: str) -> None:
    deep = b"[" * 400 + b"]" * 400
    message = b'{"venId":"v","op":"event","status":"accepted","severity":"info","code":"c","%s":%s}'
    assert "nested" in refusal(message % (field.encode(), deep), topic)


def test_a_state_that_nobody_knows_is_not_taken_for_taking_part() -> None:
    states = {"OPTED_OUT": "opted_out", "Available": "available", "asleep": "opted_out"}
    for told, known in states.items():
        message = {
            "venId": "v",
            "timestamp": NOW,
            "usedPowerKw": 1,
            "availability": {"state": told},
        }
        assert read_telemetry(message).availability == known, told
