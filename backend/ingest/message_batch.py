"""Messages that were read, by kind: what one transaction stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_records import (
    IngestAckRecord,
    IngestAlertRecord,
    IngestRecord,
    IngestShadowRecord,
    IngestSnapshotRecord,
    IngestStatusRecord,
    IngestTelemetryRecord,
)
from backend.store.database_upkeep import upkeep_quarter_hour

Reading = IngestRecord | str
"""What a message says, or why it is refused."""


@dataclass
class MessageBatch:
    """Messages that were read, by kind."""

    telemetry: dict[tuple[str, datetime, int], IngestTelemetryRecord] = field(default_factory=dict)
    snapshots: dict[tuple[str, datetime, int], IngestSnapshotRecord] = field(default_factory=dict)
    acks: dict[bytes, IngestAckRecord] = field(default_factory=dict)
    alerts: dict[bytes, IngestAlertRecord] = field(default_factory=dict)
    statuses: list[IngestStatusRecord] = field(default_factory=list)
    shadows: list[IngestShadowRecord] = field(default_factory=list)
    wholes: dict[str, IngestTelemetryRecord] = field(default_factory=dict)
    """By VEN, of telemetry that came in parts: the newest, with the loads of all parts."""
    refused: list[tuple[IngestMessage, str]] = field(default_factory=list)
    messages: int = 0
    """How many there were, those that came twice too."""

    @classmethod
    def of(cls, messages: Sequence[IngestMessage], readings: Sequence[Reading]) -> MessageBatch:
        batch = cls(messages=len(messages))
        for message, reading in zip(messages, readings, strict=True):
            if isinstance(reading, str):
                batch.refused.append((message, reading))
            else:
                batch._put(reading)
        return batch

    def _put(self, record: IngestRecord) -> None:
        if isinstance(record, IngestTelemetryRecord):
            self.telemetry.setdefault((record.ven_id, record.timestamp, record.seq), record)
        elif isinstance(record, IngestSnapshotRecord):
            self.snapshots.setdefault((record.ven_id, record.timestamp, record.part), record)
        elif isinstance(record, IngestAckRecord):
            self.acks.setdefault(record.digest, record)
        elif isinstance(record, IngestAlertRecord):
            self.alerts.setdefault(record.digest, record)
        elif isinstance(record, IngestShadowRecord):
            self.shadows.append(record)
        else:
            self.statuses.append(record)

    def quarter_hours(self) -> set[datetime]:
        """Those that the telemetry is of: nearly always one, so its ends are looked at first."""
        moments = [key[1] for key in self.telemetry]
        ends = {upkeep_quarter_hour(moment) for moment in _ends(moments)}
        return ends if len(ends) < 2 else {upkeep_quarter_hour(moment) for moment in moments}

    def days(self) -> set[date]:
        """The days that need a partition."""
        moments = [key[1] for rows in (self.telemetry, self.snapshots) for key in rows]
        ends = {moment.date() for moment in _ends(moments)}
        return ends if len(ends) < 2 else {moment.date() for moment in moments}


def _ends(moments: Sequence[datetime]) -> tuple[datetime, ...]:
    return (min(moments), max(moments)) if moments else ()
