"""Messages for the tests of the wire."""

from __future__ import annotations

import json
from typing import Any

from VenAgent.contract.command_limits import CommandLimits
from VenAgent.contract.command_reader import read_command
from VenAgent.contract.commands import (
    CancelCommand,
    Command,
    CommandFeature,
    GetCommand,
    LimitCommand,
    LoadUpCommand,
    PingCommand,
    RestoreCommand,
    SetCommand,
    SetLoadCommand,
    ShedCommand,
    ShedLoadCommand,
)
from VenAgent.contract.telemetry import Telemetry, TelemetryCircuit, TelemetryLoad, TelemetryQuality

NOW = 1_760_000_000.0
VEN_ID = "site-1"
LIMITS = CommandLimits(max_shed_kw=48.0, supported=frozenset(CommandFeature))

OPS = [
    ("event", ShedCommand, {"shed_kw": 5}),
    ("shedPanel", ShedCommand, {"shed_kw": 5}),
    ("shedLoad", ShedLoadCommand, {"shed_kw": 5}),
    ("limit", LimitCommand, {"import_kw": 4}),
    ("loadUp", LoadUpCommand, {"raise_kw": 2}),
    ("restore", RestoreCommand, {}),
    ("restorePanel", RestoreCommand, {}),
    ("cancel", CancelCommand, {"event_id": "e1"}),
    ("ping", PingCommand, {}),
    ("get", GetCommand, {}),
    ("set", SetCommand, {}),
    ("setConfig", SetCommand, {}),
    ("setLoad", SetLoadCommand, {"loadId": "ev1"}),
]
"""Every op, what is made of it, and the fields that it needs."""


def parse(message: Any) -> Command:
    payload = message if isinstance(message, (bytes, str)) else json.dumps(message)
    return read_command(payload, ven_id=VEN_ID, limits=LIMITS, now=NOW)


def a_circuit(circuit_id: str, **fields: Any) -> TelemetryCircuit:
    known: dict[str, Any] = {
        "name": "EV Charger",
        "breaker_amps": 50.0,
        "current_kw": 7.2,
        "current_amps": 30.0,
        "enabled": True,
        "critical": False,
    }
    return TelemetryCircuit(id=circuit_id, **{**known, **fields})


def a_load(load_id: str, **fields: Any) -> TelemetryLoad:
    known: dict[str, Any] = {
        "name": "EV Charger",
        "type": "ev",
        "capacity_kw": 12.0,
        "current_power_kw": 7.2,
        "shed_capability_kw": 7.2,
        "enabled": True,
        "priority": 4,
    }
    return TelemetryLoad(load_id=load_id, id=load_id, **{**known, **fields})


def a_telemetry(**fields: Any) -> Telemetry:
    known: dict[str, Any] = {
        "ven_id": "v1",
        "ts": NOW,
        "seq": 1,
        "used_power_kw": 7.2,
        "shed_power_kw": 0.0,
        "requested_reduction_kw": 0.0,
        "event_id": None,
        "baseline_power_kw": 7.2,
        "battery_soc": None,
        "panel_amperage_rating": 200,
        "panel_voltage": 240,
        "voltage": 240.1,
        "panel_max_kw": 48.0,
        "current_amps": 30.0,
        "panel_utilization_percent": 15.0,
        "quality": TelemetryQuality.GOOD,
        "circuits": (a_circuit("ev1"),),
        "loads": (a_load("ev1"),),
    }
    return Telemetry(**{**known, **fields})
