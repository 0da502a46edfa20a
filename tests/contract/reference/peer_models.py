"""What a client written for another backend expects: numbers where it has numbers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(strict=True)]


class Peer(BaseModel):
    model_config = ConfigDict(extra="ignore")


class PeerLocation(Peer):
    lat: Number
    lon: Number


class PeerLoad(Peer):
    id: str
    type: str
    name: str | None
    capacityKw: Number
    shedCapabilityKw: Number
    currentPowerKw: Number


class PeerMetrics(Peer):
    currentPowerKw: Number
    shedAvailabilityKw: Number
    activeEventId: str | None
    shedLoadIds: list[str]


class PeerVen(Peer):
    id: str
    name: str
    status: str
    registrationId: str
    location: PeerLocation
    metrics: PeerMetrics
    createdAt: datetime
    loads: list[PeerLoad]


class PeerSummaryRow(Peer):
    id: str
    name: str
    location: str
    status: str
    controllablePower: Number
    currentPower: Number
    address: str
    lastSeen: datetime | None
    responseTime: Annotated[int, Field(strict=True)]


class PeerPoint(Peer):
    timestamp: datetime
    usedPowerKw: Number
    shedPowerKw: Number
    eventId: str | None
    requestedReductionKw: float | None


class PeerHistory(Peer):
    points: list[PeerPoint]


class PeerSnapshot(Peer):
    timestamp: datetime
    loadId: str
    type: str
    capacityKw: Number
    currentPowerKw: Number
    shedCapabilityKw: Number


class PeerSnapshots(Peer):
    venId: str
    loadId: str | None
    snapshots: list[PeerSnapshot]
    totalCount: int


class PeerTelemetry(Peer):
    timestamp: datetime
    usedPowerKw: float | None
    shedPowerKw: float | None
    batterySOC: float | None
    loads: list[PeerLoad]


class PeerTelemetryPage(Peer):
    venId: str
    telemetry: list[PeerTelemetry]
    totalCount: int


class PeerEvent(Peer):
    id: str
    status: str
    startTime: datetime
    endTime: datetime
    requestedReductionKw: Number
    actualReductionKw: Number


class PeerEventVen(Peer):
    venId: str
    venName: str
    shedKw: float | None
    status: str


class PeerEventMetrics(Peer):
    currentReductionKw: Number
    vensResponding: int
    avgResponseMs: Annotated[int, Field(strict=True)]


class PeerEventDetail(PeerEvent, PeerEventMetrics):
    vens: list[PeerEventVen]


class PeerNetwork(Peer):
    venCount: int
    onlineVens: int
    controllablePowerKw: Number
    potentialLoadReductionKw: Number
    householdUsageKw: Number
    currentLoadReductionKw: Number


class PeerLoadType(Peer):
    type: str
    totalCapacityKw: Number
    totalShedCapabilityKw: Number
    currentUsageKw: Number


class PeerVenAck(Peer):
    venId: str
    eventId: str | None
    correlationId: str | None
    op: str | None
    status: str
    timestamp: datetime
    requestedShedKw: float | None
    actualShedKw: float | None
    circuitsCurtailed: list[dict[str, object]]


class PeerShadow(Peer):
    state: dict[str, dict[str, object] | None]
