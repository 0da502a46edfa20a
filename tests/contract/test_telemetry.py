"""Telemetry and the loads snapshot: exactly the keys of the contract, and nothing invented."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.contract.builders import NOW, a_circuit, a_load, a_telemetry
from tests.support.each_case import each_case
from tests.support.example_count import example_count
from tests.support.unicode_characters import UNICODE_CHARACTERS
from VenAgent.contract import MAX_PAYLOAD_BYTES
from VenAgent.contract.golden import GOLDEN_LOADS, GOLDEN_TELEMETRY
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.reasons import ReasonCode
from VenAgent.contract.telemetry import (
    TelemetryAvailability,
    TelemetryAvailabilityState,
    TelemetryLoadsMessage,
    TelemetryQuality,
    split_telemetry,
)

TELEMETRY_KEYS = {
    "schemaVersion", "venId", "timestamp", "ts_ms", "seq", "usedPowerKw", "shedPowerKw",
    "requestedReductionKw", "eventId", "baselinePowerKw", "batterySOC", "batterySoc",
    "panelAmperageRating", "panelVoltage", "voltage", "panelMaxKw", "currentAmps",
    "panelUtilizationPercent", "quality", "availability", "power_kw", "shed_kw", "circuits",
    "loads",
}  # fmt: skip
CIRCUIT_KEYS = {
    "id", "name", "breakerAmps", "currentKw", "currentAmps", "enabled", "critical",
}  # fmt: skip
LOAD_KEYS = {
    "loadId", "id", "name", "type", "capacityKw", "currentPowerKw", "shedCapabilityKw", "enabled",
    "priority",
}  # fmt: skip


def test_telemetry_has_exactly_the_keys_of_the_contract() -> None:
    wire = a_telemetry().to_wire()
    assert set(wire) == TELEMETRY_KEYS
    assert set(wire["circuits"][0]) == CIRCUIT_KEYS
    assert set(wire["loads"][0]) == LOAD_KEYS


def test_a_loads_snapshot_has_exactly_the_keys_of_the_contract() -> None:
    wire = TelemetryLoadsMessage(ven_id="v1", ts=NOW, loads=(a_load("ev1"),)).to_wire()
    assert set(wire) == {"schemaVersion", "venId", "timestamp", "ts_ms", "loads"}
    assert set(wire["loads"][0]) == LOAD_KEYS
    assert wire["schemaVersion"] == "1.0"


def test_each_value_stands_under_its_name() -> None:
    wire = a_telemetry(
        ven_id="v7",
        seq=42,
        used_power_kw=17.6,
        shed_power_kw=5.0,
        requested_reduction_kw=5.5,
        event_id="e1",
        baseline_power_kw=22.6,
        battery_soc=81.0,
        panel_amperage_rating=200,
        panel_voltage=240,
        voltage=239.5,
        ts=NOW + 0.25,
        panel_max_kw=48.0,
        current_amps=73.5,
        panel_utilization_percent=36.7,
        quality=TelemetryQuality.STALE,
    ).to_wire()
    known = {key: value for key, value in wire.items() if key not in ("circuits", "loads")}
    assert known == {
        "schemaVersion": "1.0",
        "venId": "v7",
        "timestamp": int(NOW),
        "ts_ms": int(NOW) * 1000 + 250,
        "seq": 42,
        "usedPowerKw": 17.6,
        "shedPowerKw": 5.0,
        "requestedReductionKw": 5.5,
        "eventId": "e1",
        "baselinePowerKw": 22.6,
        "batterySOC": 81.0,
        "batterySoc": 81.0,
        "panelAmperageRating": 200,
        "panelVoltage": 240,
        "voltage": 239.5,
        "availability": {"state": "available", "until_ts": None, "reason_code": None},
        "panelMaxKw": 48.0,
        "currentAmps": 73.5,
        "panelUtilizationPercent": 36.7,
        "quality": "stale",
        "power_kw": 17.6,
        "shed_kw": 5.0,
    }


def test_what_peers_read_as_whole_numbers_are_whole_numbers() -> None:
    wire = json.loads(encode_json(a_telemetry(ts=NOW + 0.999).to_wire()))
    for key in ("timestamp", "ts_ms", "seq", "panelVoltage", "panelAmperageRating"):
        assert type(wire[key]) is int


def test_the_golden_telemetry_is_what_is_written() -> None:
    golden = json.loads(json.dumps(GOLDEN_TELEMETRY))
    message = a_telemetry(
        ven_id="site-1",
        ts=1760000000.25,
        seq=1760000001234,
        used_power_kw=12.6,
        shed_power_kw=5.0,
        requested_reduction_kw=5.0,
        event_id="42",
        baseline_power_kw=17.6,
        battery_soc=85.5,
        voltage=240.028,
        current_amps=52.5,
        panel_utilization_percent=26.25,
        circuits=(a_circuit("ev1", name="EV charger", current_kw=6.7, current_amps=27.9),),
        loads=(
            a_load(
                "ev1", name="EV charger", current_power_kw=6.7, shed_capability_kw=6.7, priority=5
            ),
        ),
    )
    assert message.to_wire() == golden
    assert list(message.to_wire())[:5] == list(golden)[:5]
    loads = TelemetryLoadsMessage(ven_id="site-1", ts=1760000000.25, loads=message.loads)
    assert loads.to_wire() == GOLDEN_LOADS


def test_a_site_that_does_not_take_part_says_so() -> None:
    away = TelemetryAvailability(
        state=TelemetryAvailabilityState.OPTED_OUT, until_ts=NOW, reason_code=ReasonCode.OPTED_OUT
    )
    assert a_telemetry(availability=away).to_wire()["availability"] == {
        "state": "opted_out",
        "until_ts": NOW,
        "reason_code": "opted_out",
    }


def test_each_value_of_a_circuit_and_a_load_stands_under_its_name() -> None:
    wire = a_telemetry().to_wire()
    assert wire["circuits"] == [
        {
            "id": "ev1",
            "name": "EV Charger",
            "breakerAmps": 50.0,
            "currentKw": 7.2,
            "currentAmps": 30.0,
            "enabled": True,
            "critical": False,
        }
    ]
    assert wire["loads"] == [
        {
            "loadId": "ev1",
            "id": "ev1",
            "name": "EV Charger",
            "type": "ev",
            "capacityKw": 12.0,
            "currentPowerKw": 7.2,
            "shedCapabilityKw": 7.2,
            "enabled": True,
            "priority": 4,
        }
    ]


@each_case("quality", ["good", "partial", "stale", "missing"])
def test_the_qualities_are_those_of_the_contract(quality: str) -> None:
    assert a_telemetry(quality=TelemetryQuality(quality)).to_wire()["quality"] == quality
    assert len(TelemetryQuality) == 4


def test_what_was_not_read_is_null() -> None:
    message = a_telemetry(
        used_power_kw=None,
        event_id=None,
        baseline_power_kw=None,
        battery_soc=None,
        voltage=None,
        current_amps=None,
        panel_utilization_percent=None,
        circuits=(a_circuit("ev1", current_kw=None, current_amps=None, enabled=None),),
        loads=(a_load("ev1", current_power_kw=None, enabled=None),),
    )
    wire = json.loads(encode_json(message.to_wire()))
    for key in (
        "usedPowerKw", "power_kw", "eventId", "baselinePowerKw", "batterySOC", "batterySoc",
        "voltage", "currentAmps", "panelUtilizationPercent",
    ):  # fmt: skip
        assert wire[key] is None
    assert set(wire) == TELEMETRY_KEYS
    for key in ("currentKw", "currentAmps", "enabled"):
        assert wire["circuits"][0][key] is None
    for key in ("currentPowerKw", "enabled"):
        assert wire["loads"][0][key] is None
    assert wire["shedPowerKw"] == wire["shed_kw"] == 0.0


def test_a_message_cannot_be_changed_nor_given_unheard_of_fields() -> None:
    message = a_telemetry()
    with pytest.raises(ValidationError):
        message.seq = 8
    with pytest.raises(ValidationError):
        a_telemetry(power_watts=5)


@each_case("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_encoded(value: float) -> None:
    wire = a_telemetry(used_power_kw=value).to_wire()
    try:
        payload = encode_json(wire)
    except ValueError:
        return
    assert json.loads(payload)["usedPowerKw"] is None
    assert b"NaN" not in payload
    assert b"Infinity" not in payload


# ---- splitting --------------------------------------------------------------------------------


def message_of(circuits: int, loads: int, name: str = "Circuit") -> dict[str, Any]:
    return a_telemetry(
        circuits=tuple(a_circuit(f"c{i}", name=name) for i in range(circuits)),
        loads=tuple(a_load(f"c{i}", name=name) for i in range(loads)),
    ).to_wire()


def test_a_message_that_fits_is_left_as_it_is() -> None:
    message = message_of(40, 40)
    assert split_telemetry(message) == [message]
    assert len(encode_json(message)) < MAX_PAYLOAD_BYTES


def test_a_panel_of_a_thousand_circuits_is_split_and_stays_below_the_bound() -> None:
    message = message_of(1000, 1000)
    parts = split_telemetry(message)
    assert len(parts) > 1
    assert all(len(encode_json(part)) <= MAX_PAYLOAD_BYTES for part in parts)
    assert [circuit for part in parts for circuit in part["circuits"]] == message["circuits"]
    assert [load for part in parts for load in part["loads"]] == message["loads"]


def test_a_loads_snapshot_is_split_too() -> None:
    loads = tuple(a_load(f"c{i}") for i in range(1000))
    message = TelemetryLoadsMessage(ven_id="v1", ts=NOW, loads=loads).to_wire()
    parts = split_telemetry(message)
    assert [load for part in parts for load in part["loads"]] == message["loads"]
    assert all(len(encode_json(part)) <= MAX_PAYLOAD_BYTES for part in parts)
    assert all("circuits" not in part for part in parts)


def test_a_message_without_circuits_is_left_as_it_is() -> None:
    message = message_of(0, 0)
    assert split_telemetry(message, 10) == [message]


@settings(deadline=None, max_examples=example_count(60))
@given(
    circuits=st.integers(0, 60),
    loads=st.integers(0, 60),
    max_bytes=st.integers(2_500, 20_000),
    name=st.text(UNICODE_CHARACTERS, max_size=30),
)
def test_splitting_loses_nothing_and_stays_below_the_bound(
    circuits: int, loads: int, max_bytes: int, name: str
) -> None:
    message = message_of(circuits, loads, name)
    parts = split_telemetry(message, max_bytes)
    assert [circuit for part in parts for circuit in part["circuits"]] == message["circuits"]
    assert [load for part in parts for load in part["loads"]] == message["loads"]
    assert all(len(encode_json(part)) <= max_bytes for part in parts)
    shared = set(message) - {"circuits", "loads"}
    for number, part in enumerate(parts, start=1):
        assert {key: part[key] for key in shared} == {key: message[key] for key in shared}
        if len(parts) > 1:
            assert (part["part"], part["parts"]) == (number, len(parts))
    if len(encode_json(message)) <= max_bytes:
        assert parts == [message]
