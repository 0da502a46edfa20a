"""What the API speaks: camelCase, power in kW, times in ISO 8601 with their zone."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

EARLIEST = datetime(2000, 1, 1, tzinfo=timezone.utc)
LATEST = datetime(2200, 1, 1, tzinfo=timezone.utc)


def _plus(value: Any) -> Any:
    """`+00:00` in a query arrives as ` 00:00` unless it was encoded."""
    return value.replace(" ", "+") if isinstance(value, str) and "T" in value else value


def _within(value: datetime) -> datetime:
    if not EARLIEST <= value < LATEST:
        raise ValueError("must be between the years 2000 and 2200")
    return value.astimezone(timezone.utc)


Moment = Annotated[AwareDatetime, BeforeValidator(_plus), AfterValidator(_within)]
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
ID_PATTERN = r"^[!-\"$-*,-.0-~]{1,128}$"
"""Visible ASCII without / + #, which mean something in an MQTT topic."""
Id = Annotated[str, Field(pattern=ID_PATTERN, max_length=128)]
VenId = Annotated[str, Path(pattern=ID_PATTERN, description="The AWS IoT thing name.")]
EventId = Annotated[str, Path(pattern=ID_PATTERN)]
LoadId = Annotated[str, Path(pattern=r"^[^\x00-\x1f\x7f/]{1,200}$")]
PowerKw = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
DurationSec = Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)]

Start = Annotated[Moment | None, Query(description="From this moment on.")]
End = Annotated[Moment | None, Query(description="Up to, not including, this moment.")]
Cursor = Annotated[
    str | None, Query(max_length=500, description="`nextCursor` of the page before.")
]
Limit = Annotated[int, Query(ge=1, le=1_000)]


class Wire(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, from_attributes=True, extra="ignore"
    )


class Asked(BaseModel):
    """A request's body: what it does not know is refused, by name."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class Location(Wire):
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)


class Load(Wire):
    """`priority`: 1 critical … 5 flexible; `shedCapabilityKw`: what could be taken now."""

    id: str
    load_id: str
    name: str | None
    type: str | None
    capacity_kw: float | None
    current_power_kw: float | None
    shed_capability_kw: float | None
    enabled: bool | None
    priority: int | None


class VenMetrics(Wire):
    current_power_kw: float | None
    shed_availability_kw: float | None
    active_event_id: str | None
    shed_load_ids: list[str]


class VenSummary(Wire):
    id: str
    name: str
    status: str = Field(description="online, offline or unknown", examples=["online"])
    current_power_kw: float | None
    shed_power_kw: float | None
    shed_availability_kw: float | None
    active_event_id: str | None
    last_seen: datetime | None


class Ven(Wire):
    id: str = Field(examples=["volttron_thing"])
    name: str
    status: str = Field(description="online, offline or unknown", examples=["online"])
    registration_id: str | None
    location: Location | None
    metrics: VenMetrics
    created_at: datetime
    last_seen: datetime | None
    loads: list[Load]


_NEW_VEN: JsonDict = {
    "name": "Maple Street 12",
    "registrationId": "maple-12",
    "location": {"lat": 37.7749, "lon": -122.4194},
}


class NewVen(Asked):
    """`registrationId` is the AWS IoT thing name: commands go to `ven/cmd/` it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_NEW_VEN]})

    name: Text
    registration_id: Id | None = None
    location: Location | None = None
    status: str | None = Field(None, pattern="^(online|offline|unknown)$")


class VenChange(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Maple Street 12b"}]})

    name: Text | None = None
    location: Location | None = None
    status: str | None = Field(None, pattern="^(online|offline|unknown)$")


class LoadChange(Asked):
    """Sent to the VEN as `setLoad`; its next telemetry shows it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": False}]})

    enabled: bool | None = None
    priority: int | None = Field(None, ge=1, le=5)


class ShedLoad(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"amountKw": 1.5}]})

    amount_kw: PowerKw
    duration_sec: DurationSec = 3_600.0


class SendEvent(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"shedKw": 2.0, "durationSec": 300}]})

    shed_kw: PowerKw
    duration_sec: DurationSec = 3_600.0
    event_id: Id | None = None


class SentCommand(Wire):
    """A command as it went to `ven/cmd/{venId}`, and how far it came."""

    op: str
    ven_id: str
    correlation_id: str
    event_id: str | None
    state: str = Field(description="pending, published, acked, not_responding, expired, withdrawn")
    published_at: datetime | None
    ack_status: str | None
    payload: dict[str, Any]


class TelemetryPoint(Wire):
    timestamp: datetime
    used_power_kw: float | None
    shed_power_kw: float | None
    requested_reduction_kw: float | None
    baseline_power_kw: float | None
    event_id: str | None
    battery_soc: float | None = Field(alias="batterySOC")
    quality: str | None
    loads: list[Load]


class TelemetryPage(Wire):
    """Newest first."""

    ven_id: str
    telemetry: list[TelemetryPoint]
    total_count: int
    next_cursor: str | None


class Snapshot(Wire):
    timestamp: datetime
    load_id: str
    name: str | None
    type: str | None
    capacity_kw: float | None
    current_power_kw: float | None
    shed_capability_kw: float | None
    enabled: bool | None
    priority: int | None


class SnapshotPage(Wire):
    """Newest first."""

    ven_id: str
    load_id: str | None
    snapshots: list[Snapshot]
    total_count: int
    next_cursor: str | None


class HistoryPoint(Wire):
    timestamp: datetime
    used_power_kw: float | None
    shed_power_kw: float | None
    event_id: str | None
    requested_reduction_kw: float | None


class History(Wire):
    """Means over steps of `granularitySec`, oldest first."""

    points: list[HistoryPoint]
    granularity_sec: int


class VenEvent(Wire):
    """An ack of a VEN."""

    id: int
    ven_id: str
    event_id: str | None
    correlation_id: str | None
    op: str | None
    status: str
    timestamp: datetime
    requested_shed_kw: float | None
    actual_shed_kw: float | None
    circuits_curtailed: list[Any]


class Shadow(Wire):
    reported: dict[str, Any] | None
    desired: dict[str, Any] | None
    source: str = Field(description="aws: the thing's shadow; telemetry: what the VEN said last")


class NetworkStats(Wire):
    ven_count: int
    online_vens: int
    controllable_power_kw: float = Field(description="What loads that may be shed draw now.")
    potential_load_reduction_kw: float = Field(description="What VENs could shed now.")
    household_usage_kw: float
    current_load_reduction_kw: float


class LoadTypeStats(Wire):
    type: str
    count: int
    capacity_kw: float
    current_power_kw: float
    shed_capability_kw: float


class NetworkPoint(Wire):
    timestamp: datetime
    ven_count: int
    household_usage_kw: float
    current_load_reduction_kw: float


class NetworkHistory(Wire):
    """A point a quarter of an hour, oldest first."""

    points: list[NetworkPoint]


class AuditRow(Wire):
    id: int
    at: datetime
    actor: str
    role: str | None
    action: str
    object: str | None
    detail: dict[str, Any] | None
    remote: str | None


class AuditPage(Wire):
    entries: list[AuditRow]
    next_cursor: str | None


class Health(Wire):
    status: str = Field(examples=["ok"])
    reasons: list[str] = []


class Problem(BaseModel):
    detail: str
