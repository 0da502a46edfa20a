"""The shadow's reported state."""

from __future__ import annotations

from typing import Any

from tests.contract.builders import NOW, a_circuit, a_telemetry
from VenAgent.contract.shadow import MAX_SHADOW_BYTES, reported_state, update_document
from VenAgent.contract.wire import encode


def reported(**fields: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "available": {"ev1": True},
        "active_event": None,
        "report_interval_sec": 5.0,
    }
    telemetry = fields.pop("telemetry", None) or a_telemetry(
        used_power_kw=17.6, shed_power_kw=5.0, baseline_power_kw=22.6
    )
    return reported_state(telemetry, **{**known, **fields})


def test_the_reported_state_has_exactly_the_fields_of_the_contract() -> None:
    assert reported() == {
        "schemaVersion": "1.0",
        "power_kw": 17.6,
        "shed_kw": 5.0,
        "base_power_kw": 22.6,
        "panel_amperage": 200.0,
        "panel_voltage": 240.0,
        "panel_max_kw": 48.0,
        "circuits": [
            {
                "id": "ev1",
                "name": "EV Charger",
                "enabled": True,
                "available": True,
                "current_kw": 7.2,
                "breaker_amps": 50.0,
                "current_amps": 30.0,
                "critical": False,
            }
        ],
        "active_event": None,
        "report_interval_sec": 5.0,
        "timestamp": NOW,
    }


def test_a_circuit_of_which_nothing_is_known_is_not_available() -> None:
    state = reported(available={"other": True})
    assert state["circuits"][0]["available"] is False


def test_a_running_event_is_reported() -> None:
    event = {"event_id": "e1", "shed_kw": 5.0, "end_ts": NOW + 60.0}
    assert reported(active_event=event)["active_event"] == event


def test_what_was_not_read_is_null() -> None:
    circuit = a_circuit("ev1", current_kw=None, current_amps=None, enabled=None)
    telemetry = a_telemetry(used_power_kw=None, panel_voltage=None, circuits=(circuit,))
    state = reported(telemetry=telemetry)
    assert state["power_kw"] is state["panel_voltage"] is None
    assert state["circuits"][0]["enabled"] is None
    assert state["circuits"][0]["current_kw"] is None


def test_the_update_is_the_reported_state_only() -> None:
    assert update_document({"a": 1}) == {"state": {"reported": {"a": 1}}}


def test_the_shadow_of_a_house_stays_below_the_limit() -> None:
    circuits = tuple(a_circuit(f"circuit-{i}", name="A circuit with a name") for i in range(24))
    state = reported(telemetry=a_telemetry(circuits=circuits))
    assert len(encode(update_document(state))) <= MAX_SHADOW_BYTES == 8192
