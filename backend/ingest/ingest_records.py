"""What a message is before and after it is read. Power in kW, a load's in W; times with zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

MAX_PAYLOAD_BYTES = 131_072
"""AWS IoT Core's limit."""


LoadSetKey = tuple[tuple[str, str | None, str | None, float | None, int | None], ...]
"""What is fixed of a panel's loads: id, name, type, capacity in kW, priority; in order."""


@dataclass(slots=True)
class IngestLoadsRecord:
    """A panel's loads: what is fixed, and the lists of what is measured (W)."""

    key: LoadSetKey
    power_w: list[int | None]
    shed_w: list[int | None]
    enabled: str
    load_set_id: int | None = None
    """The writer finds it."""


class IngestTelemetryRecord(NamedTuple):
    ven_id: str
    timestamp: datetime
    seq: int
    used_power_kw: float | None
    shed_power_kw: float | None
    requested_reduction_kw: float | None
    baseline_power_kw: float | None
    battery_soc: float | None
    event_id: str | None
    quality: str | None
    loads: IngestLoadsRecord | None
    panel_max_kw: float | None
    received: float
    payload: bytes
    availability: str | None = None
    availability_until: datetime | None = None
    availability_reason: str | None = None
    part: int = 1
    parts: int = 1
    """A large panel's telemetry comes in parts, which differ in their loads."""


class IngestSnapshotRecord(NamedTuple):
    ven_id: str
    timestamp: datetime
    part: int
    loads: IngestLoadsRecord


class IngestAckRecord(NamedTuple):
    digest: bytes
    ven_id: str
    event_id: str | None
    correlation_id: str | None
    timestamp: datetime
    op: str | None
    status: str
    requested_shed_kw: float | None
    actual_shed_kw: float | None
    shed_basis: str | None
    baseline_kw: float | None
    reason: str | None
    reason_code: str | None
    circuits_curtailed: list[Any] | None
    raw_payload: dict[str, Any]
    received: float


class IngestStatusRecord(NamedTuple):
    ven_id: str
    online: bool
    boot_id: str | None
    received: float
    said_at: float | None = None
    """By the site's clock (epoch s): of a last will, when its connection was made."""

    def is_of_earlier_boot_than(self, other: IngestStatusRecord) -> bool:
        """A last will that comes when the agent is long back, as another boot."""
        boots = {self.boot_id, other.boot_id}
        if self.online or not other.online or None in boots or len(boots) == 1:
            return False
        return self.said_at is None or other.said_at is None or self.said_at < other.said_at


class IngestAlertRecord(NamedTuple):
    digest: bytes
    ven_id: str
    timestamp: datetime
    severity: str | None
    code: str | None
    message: str | None
    context: Any
    received: float
    reason_code: str | None = None


class IngestShadowRecord(NamedTuple):
    """An update of a shadow; `name` is empty for the classic one. None: nothing said of it."""

    ven_id: str
    name: str
    reported: dict[str, Any] | None
    desired: dict[str, Any] | None
    received: float


IngestRecord = (
    IngestTelemetryRecord
    | IngestSnapshotRecord
    | IngestAckRecord
    | IngestStatusRecord
    | IngestAlertRecord
    | IngestShadowRecord
)
