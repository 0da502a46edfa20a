"""The fleet's tables: who the VENs are, what they send, and what could not be read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, PrimaryKeyConstraint, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.store.statuses import UNKNOWN
from backend.store.table_base import ROW_ID, Document, TableBase, VenId, Watts
from backend.store.utc_time import utc_now

NO_LOADS = 0
"""In `VenLoadSetRow`; no load set has this id."""


class VenRow(TableBase):
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
    trusted: Mapped[bool] = mapped_column(default=True, server_default=true())
    """Registered by an operator, or has delivered: of the others less is asked, and last."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    feeder: Mapped[str | None]
    zone: Mapped[str | None]
    tags: Mapped[list[Any] | None]
    """Texts, sorted; groups choose by them."""
    most_events_per_day: Mapped[int | None]
    most_event_hours_per_day: Mapped[float | None]
    notice_sec: Mapped[float | None]
    """The least time between the invitation and the event's start."""
    timezone: Mapped[str | None]
    """Of its days, for its limits; none: the programme's, else UTC."""

    state: Mapped[VenStateRow | None] = relationship(
        back_populates="ven", cascade="all, delete-orphan", passive_deletes=True
    )


class VenStateRow(TableBase):
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
    availability: Mapped[str | None]
    """available, opted_out or maintenance, as the site says; none: it does not say."""
    availability_until: Mapped[datetime | None]
    availability_reason: Mapped[str | None]
    """A code."""
    highest_power_kw: Mapped[float | None]
    """The most it was ever seen to draw: it can shed no more."""
    report_interval_sec: Mapped[float | None]
    """How often it reports, from the times of its telemetry."""
    quiet_until: Mapped[datetime | None]
    """It is not silent before: it reports as seldom as that."""

    ven: Mapped[VenRow] = relationship(back_populates="state")


class VenAgentRow(TableBase):
    """What a VEN's agent says of itself, when it is asked (`get` of its status)."""

    __tablename__ = "ven_agents"

    ven_id: Mapped[VenId] = mapped_column(
        ForeignKey("vens.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[str | None]
    health: Mapped[str | None]
    health_context: Mapped[str | None]
    certificate_expires_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]
    asked_at: Mapped[datetime | None]
    """When it was asked last without a person's asking."""


class VenShadowRow(TableBase):
    """A shadow as its VEN and others report and desire it over MQTT, where there is no AWS.

    `name` is empty for the classic one; a large panel's circuits have shadows of their own.
    """

    __tablename__ = "ven_shadows"
    __table_args__ = (PrimaryKeyConstraint("ven_id", "name"),)

    ven_id: Mapped[VenId] = mapped_column(ForeignKey("vens.id", ondelete="CASCADE"))
    name: Mapped[str]
    reported: Mapped[Document | None]
    desired: Mapped[Document | None]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)


class LoadSetRow(TableBase):
    """A panel's loads in order, as telemetry names them. Telemetry rows point to it."""

    __tablename__ = "load_sets"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    members: Mapped[list[LoadSetMemberRow]] = relationship(
        order_by="LoadSetMemberRow.position", cascade="all, delete-orphan", passive_deletes=True
    )


class LoadSetMemberRow(TableBase):
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


class VenLoadSetRow(TableBase):
    """Which load sets a VEN ever used, NO_LOADS for telemetry without loads.

    Most use one all their life: then its telemetry is counted from the index alone.
    """

    __tablename__ = "ven_load_sets"
    __table_args__ = (PrimaryKeyConstraint("ven_id", "load_set_id"),)

    ven_id: Mapped[VenId]
    load_set_id: Mapped[int]


class LoadCapacityRow(TableBase):
    """A load's capacity that an operator has set, in place of what its VEN says."""

    __tablename__ = "load_capacities"
    __table_args__ = (PrimaryKeyConstraint("ven_id", "load_id"),)

    ven_id: Mapped[VenId]
    load_id: Mapped[str]
    capacity_kw: Mapped[float]
