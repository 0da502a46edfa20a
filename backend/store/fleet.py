"""The fleet's tables: who the VENs are, what they send, and what could not be read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.store.base import JSON_DOCUMENT, ROW_ID, Base, Document, RowId, VenId, Watts, utc_now

ONLINE, OFFLINE, UNKNOWN = "online", "offline", "unknown"
NO_LOADS = 0
"""In `VenLoadSet`; no load set has this id."""


class Ven(Base):
    """A site. Made by the API, or by its first telemetry."""

    __tablename__ = "vens"

    id: Mapped[VenId] = mapped_column(primary_key=True)
    """The AWS IoT thing name."""
    name: Mapped[str]
    registration_id: Mapped[str | None] = mapped_column(unique=True)
    lat: Mapped[float | None]
    lon: Mapped[float | None]
    status: Mapped[str] = mapped_column(default=UNKNOWN)
    status_since: Mapped[datetime] = mapped_column(default=utc_now)
    boot_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    state: Mapped[VenState | None] = relationship(
        back_populates="ven", cascade="all, delete-orphan", passive_deletes=True
    )


class VenState(Base):
    """What a VEN said last: one row a VEN, rewritten every few seconds (HOT, so no index)."""

    __tablename__ = "ven_state"
    __table_args__ = {"postgresql_with": {"fillfactor": 50}}

    ven_id: Mapped[VenId] = mapped_column(
        ForeignKey("vens.id", ondelete="CASCADE"), primary_key=True
    )
    last_seen: Mapped[datetime]
    """The server's clock."""
    timestamp: Mapped[datetime]
    """The VEN's clock."""
    seq: Mapped[int] = mapped_column(ROW_ID)
    used_power_kw: Mapped[float | None]
    shed_power_kw: Mapped[float | None]
    requested_reduction_kw: Mapped[float | None]
    baseline_power_kw: Mapped[float | None]
    battery_soc: Mapped[float | None]
    shed_available_kw: Mapped[float | None]
    """What the VEN could shed now: the sum of its loads' shedCapabilityKw."""
    panel_max_kw: Mapped[float | None]
    event_id: Mapped[str | None]
    quality: Mapped[str | None]
    load_set_id: Mapped[int | None]
    load_power_w: Mapped[Watts | None]
    load_shed_w: Mapped[Watts | None]
    load_enabled: Mapped[str | None]

    ven: Mapped[Ven] = relationship(back_populates="state")


class LoadSet(Base):
    """A panel's loads in order, as telemetry names them. Telemetry rows point to it."""

    __tablename__ = "load_sets"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    members: Mapped[list[LoadSetMember]] = relationship(
        order_by="LoadSetMember.position", cascade="all, delete-orphan", passive_deletes=True
    )


class LoadSetMember(Base):
    """What is fixed of one load. `position` counts from 1: its place in the rows' lists."""

    __tablename__ = "load_set_members"
    __table_args__ = (PrimaryKeyConstraint("load_set_id", "position"),)

    load_set_id: Mapped[int] = mapped_column(ForeignKey("load_sets.id", ondelete="CASCADE"))
    position: Mapped[int]
    load_id: Mapped[str]
    name: Mapped[str | None]
    type: Mapped[str | None]
    capacity_kw: Mapped[float | None]
    priority: Mapped[int | None]


class VenLoadSet(Base):
    """Which load sets a VEN ever used, NO_LOADS for telemetry without loads.

    Most use one all their life: then its telemetry is counted from the index alone.
    """

    __tablename__ = "ven_load_sets"
    __table_args__ = (PrimaryKeyConstraint("ven_id", "load_set_id"),)

    ven_id: Mapped[VenId]
    load_set_id: Mapped[int]


class VenTelemetry(Base):
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


class VenLoads(Base):
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


class QuarterHour(Base):
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


class QuarterHourDue(Base):
    """A quarter of an hour that has telemetry which is not summed up yet."""

    __tablename__ = "quarter_hours_due"

    start: Mapped[datetime] = mapped_column(primary_key=True)


class VenAlert(Base):
    __tablename__ = "ven_alerts"
    __table_args__ = (Index(None, "ven_id", "timestamp"),)

    id: Mapped[RowId]
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    ven_id: Mapped[VenId]
    timestamp: Mapped[datetime]
    severity: Mapped[str | None]
    code: Mapped[str | None]
    message: Mapped[str | None]
    context: Mapped[Any | None] = mapped_column(JSON_DOCUMENT)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class DeadLetter(Base):
    """A message that could not be stored, with the reason."""

    __tablename__ = "dead_letters"
    __table_args__ = (Index(None, "received_at"),)

    id: Mapped[RowId]
    received_at: Mapped[datetime] = mapped_column(default=utc_now)
    source: Mapped[str]
    topic: Mapped[str]
    ven_id: Mapped[VenId | None]
    reason: Mapped[str]
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class KinesisShard(Base):
    """How far a shard was stored, and who reads it. Written with the rows, in one transaction."""

    __tablename__ = "kinesis_checkpoints"
    __table_args__ = (PrimaryKeyConstraint("stream", "shard_id"),)

    stream: Mapped[str]
    shard_id: Mapped[str]
    parent_ids: Mapped[list[Any]]
    sequence_number: Mapped[str | None]
    """The last record that is stored; none before the first."""
    finished: Mapped[bool] = mapped_column(default=False)
    """Read to its end, after a reshard: its children may be read."""
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)
