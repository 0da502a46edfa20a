"""The tables of what VENs send: telemetry, loads, alerts, and what could not be read."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.table_base import ROW_ID, Document, TableBase, VenId, Watts


class VenTelemetryRow(TableBase):
    """One telemetry, its loads in lists: a row a load would cost eight times as much.

    PostgreSQL keeps a partition a UTC day. The key is what makes a message stored once; `seq` is
    0 for a VEN that numbers nothing. `load_enabled` has a letter a load: t, f, or ? for unread.
    """

    __tablename__ = "ven_telemetry"
    __table_args__ = (
        PrimaryKeyConstraint("ven_id", "timestamp", "seq"),
        # All VENs of a stretch of time. Rows come in its order: a BRIN index costs next to nothing.
        Index(None, "timestamp", postgresql_using="brin"),
        {"postgresql_partition_by": "RANGE (timestamp)", "sqlite_with_rowid": False},
    )

    ven_id: Mapped[VenId]
    timestamp: Mapped[datetime]
    seq: Mapped[int] = mapped_column(ROW_ID)
    used_power_kw: Mapped[float | None]
    shed_power_kw: Mapped[float | None]
    requested_reduction_kw: Mapped[float | None]
    baseline_power_kw: Mapped[float | None]
    battery_soc: Mapped[float | None]
    event_id: Mapped[str | None]
    quality: Mapped[str | None]
    load_set_id: Mapped[int | None]
    load_power_w: Mapped[Watts | None]
    load_shed_w: Mapped[Watts | None]
    load_enabled: Mapped[str | None]
    raw_payload: Mapped[Document | None]
    """Only with STORE_RAW_PAYLOAD."""


TELEMETRY_IS_CURTAILED_SQL = """(event_id IS NOT NULL
    AND (coalesce(shed_power_kw, 1.0) <> 0.0 OR coalesce(requested_reduction_kw, 1.0) <> 0.0))"""
"""The site draws not what it would by itself. A limit that holds nothing off names its event too,
perhaps for years, and changes nothing: such telemetry is history for baselines, as in the agent."""


class TelemetryLoadsRow(TableBase):
    """A loads snapshot (`ven/loads/{venId}`), when its topic is configured."""

    __tablename__ = "ven_loads"
    __table_args__ = (
        PrimaryKeyConstraint("ven_id", "timestamp", "part"),
        {"postgresql_partition_by": "RANGE (timestamp)", "sqlite_with_rowid": False},
    )

    ven_id: Mapped[VenId]
    timestamp: Mapped[datetime]
    part: Mapped[int]
    load_set_id: Mapped[int]
    load_power_w: Mapped[Watts]
    load_shed_w: Mapped[Watts]
    load_enabled: Mapped[str]


class TelemetryQuarterHourRow(TableBase):
    """Mean power of a VEN in a quarter of an hour: history for baselines and long plots."""

    __tablename__ = "ven_quarter_hours"
    __table_args__ = (
        PrimaryKeyConstraint("ven_id", "start"),
        Index(None, "start"),
    )

    ven_id: Mapped[VenId]
    start: Mapped[datetime]
    used_power_kw: Mapped[float | None]
    """Mean of the samples that are good."""
    shed_power_kw: Mapped[float | None]
    requested_reduction_kw: Mapped[float | None]
    samples: Mapped[int]
    in_event: Mapped[bool]
    """An event shed during some of it: no history for a baseline."""


class TelemetryQuarterHourDueRow(TableBase):
    """A quarter of an hour that has telemetry which is not summed up yet."""

    __tablename__ = "quarter_hours_due"

    start: Mapped[datetime] = mapped_column(primary_key=True)


class NetworkSampleRow(TableBase):
    """The fleet's power at a moment, once a minute: its curve without reading every telemetry."""

    __tablename__ = "network_samples"

    at: Mapped[datetime] = mapped_column(primary_key=True)
    ven_count: Mapped[int]
    used_power_kw: Mapped[float]
    shed_power_kw: Mapped[float]
