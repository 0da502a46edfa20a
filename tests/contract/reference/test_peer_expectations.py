"""What we send, as a client written for another backend reads it; and its commands, as we do.

Shapes and types are those that peers published, values of our own making.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tests.backend.builders import telemetry
from VenAgent.contract.acks import AckStatus, ack_circuit, build_ack
from VenAgent.contract.command_limits import CommandLimits
from VenAgent.contract.command_reader import read_command
from VenAgent.contract.commands import PingCommand, RestoreCommand, ShedCommand

NOW = 1_771_000_000.0
Whole = Annotated[int, Field(strict=True)]
Real = Annotated[float, Field(strict=True)]


class PeerReads(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class PeerCircuitRead(PeerReads):
    id: str
    name: str
    breakerAmps: Real
    currentKw: Real
    currentAmps: Real
    enabled: bool
    critical: bool


class PeerLoadRead(PeerReads):
    loadId: str
    name: str
    type: str
    capacityKw: Real
    currentPowerKw: Real
    shedCapabilityKw: Real
    enabled: bool
    priority: Whole


class PeerMeteringRead(PeerReads):
    venId: str
    timestamp: Whole
    usedPowerKw: Real
    shedPowerKw: Real
    requestedReductionKw: Real | None
    eventId: str | None
    baselinePowerKw: Real | None
    batterySOC: Real | None
    batterySoc: Real | None
    panelAmperageRating: Whole
    panelVoltage: Whole
    panelMaxKw: Real
    currentAmps: Real
    panelUtilizationPercent: Real
    circuits: list[PeerCircuitRead]
    loads: list[PeerLoadRead]


class PeerCurtailedRead(PeerReads):
    loadId: str
    name: str
    shedKw: Real


class PeerAckRead(PeerReads):
    op: str
    status: str
    event_id: str | None = None
    requested_shed_kw: Real | None = None
    actual_shed_kw: Real | None = None
    circuits_curtailed: list[PeerCurtailedRead] = []
    ts: Whole
    correlationId: str
    data: dict[str, Any]


def sent(message: dict[str, Any]) -> str:
    return json.dumps(message)


def test_our_telemetry_is_what_a_peers_backend_takes() -> None:
    message = telemetry("site-1", eventId="e1", batterySOC=81.5, batterySoc=81.5)
    read = PeerMeteringRead.model_validate_json(sent(message))
    assert (read.panelVoltage, message["voltage"]) == (240, 240.1), "nominal, and as it was read"
    assert read.batterySOC == read.batterySoc == 81.5
    assert message["ts_ms"] // 1_000 == read.timestamp, "nothing is lost of the time"


def test_our_acks_are_what_a_peers_backend_takes() -> None:
    circuit = ack_circuit(
        circuit_id="c2",
        name="Pump",
        breaker_amps=20.0,
        original_kw=1.5,
        final_kw=0.25,
        critical=False,
    )
    shed = build_ack(
        op="event",
        status=AckStatus.ACCEPTED,
        ven_id="site-1",
        ts=NOW + 0.123,
        correlation_id="abc-1",
        event_id="e1",
        requested_shed_kw=2.0,
        actual_shed_kw=1.25,
        circuits_curtailed=[circuit],
    )
    read = PeerAckRead.model_validate_json(sent(shed))
    assert (read.ts, shed["ts_ms"]) == (1_771_000_000, 1_771_000_000_123)
    assert read.circuits_curtailed[0].shedKw == 1.25
    restored = build_ack(
        op="restore",
        status=AckStatus.SUCCESS,
        ven_id="site-1",
        ts=NOW,
        correlation_id="abc-2",
    )
    assert PeerAckRead.model_validate_json(sent(restored)).data == {}


def test_a_peers_commands_are_obeyed_as_they_are_spelled() -> None:
    limits = CommandLimits(max_shed_kw=48.0)

    def read(**message: Any) -> Any:
        return read_command(json.dumps(message), ven_id="site-1", limits=limits, now=NOW)

    event = read(
        op="event",
        event_id="evt-7",
        shed_kw=4.5,
        duration_sec=1800,
        correlationId="abc-1",
        data={"requestedReductionKw": 4.5, "duration_s": 1800},
    )
    assert isinstance(event, ShedCommand)
    assert (event.event_id, event.shed_kw, event.duration_sec) == ("evt-7", 4.5, 1800)
    assert isinstance(read(op="restore", correlationId="abc-2"), RestoreCommand)
    assert isinstance(read(op="ping", correlationId="abc-3"), PingCommand)
