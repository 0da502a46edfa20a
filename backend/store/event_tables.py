"""The events' tables: what was asked of whom, how it was sent, what came back, what it brought."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, PrimaryKeyConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.store.table_base import Document, TableBase, VenId
from backend.store.utc_time import utc_now

WHOLE_EVENT = "*"
"""`EventPerformanceRow.ven_id` of the row for the event as a whole."""


class EventRow(TableBase):
    """A demand-response event: scheduled → active → completed, or cancelled."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "status"), Index(None, "start_time"), Index(None, "programme_id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(default="event", server_default="event")
    """The op of its commands: event, limit or loadUp."""
    status: Mapped[str] = mapped_column(default="scheduled")
    start_time: Mapped[datetime]
    end_time: Mapped[datetime]
    open_ended: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Until it is stopped: the VENs are told no end. A limit's `end_time` is then far away; any
    other event ends at it all the same."""
    requested_reduction_kw: Mapped[float]
    """The highest of its intervals; negative for a loadUp, 0 for a limit."""
    import_kw: Mapped[float | None]
    export_kw: Mapped[float | None]
    window_sec: Mapped[float | None]
    failsafe_kw: Mapped[float | None]
    """Of a limit with heartbeats: what rules at a site that does not hear us."""
    heartbeat_sec: Mapped[float | None]
    failsafe_min_sec: Mapped[float | None]
    heartbeat_due: Mapped[datetime | None]
    """When the sites are due the next sign of life; a dispatcher claims the round by it."""
    limit_per_site: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Each site keeps the limit; else all together, each its share."""
    intervals: Mapped[list[Any] | None]
    """[{"duration_sec", "shed_kw" or "import_kw"}], one after the other from the start."""
    randomize_start_sec: Mapped[float | None]
    test: Mapped[bool] = mapped_column(default=False, server_default=false())
    dry_run: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Nothing is written at the sites, so nothing is delivered or measured."""
    notice_sec: Mapped[float | None]
    """So long before the start the sites are told."""
    invited_at: Mapped[datetime | None]
    programme_id: Mapped[str | None]
    selection: Mapped[Document | None]
    """By which properties the VENs were chosen; none: by name, or all."""
    baseline_method: Mapped[str | None]
    actual_reduction_kw: Mapped[float | None]
    """Measured after the end; `backend.api.event_figures` tells it during the event."""
    ven_ids: Mapped[list[Any] | None]
    """The VENs asked; none: every VEN that can shed (a program event)."""
    priority: Mapped[int | None]
    modification: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    created_by: Mapped[str | None]
    activated_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None]
    claimed_by: Mapped[str | None]
    claimed_until: Mapped[datetime | None]
    measured_at: Mapped[datetime | None]
    """When `event_performance` was written."""

    participants: Mapped[list[ParticipantRow]] = relationship(
        back_populates="event", cascade="all, delete-orphan", passive_deletes=True
    )


class ParticipantRow(TableBase):
    """One VEN's part in one event."""

    __tablename__ = "event_participants"
    __table_args__ = (PrimaryKeyConstraint("event_id", "ven_id"), Index(None, "ven_id"))

    event_id: Mapped[str] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"))
    ven_id: Mapped[VenId]
    assigned_shed_kw: Mapped[float]
    assigned_limit_kw: Mapped[float | None]
    status: Mapped[str] = mapped_column(default="assigned")
    """assigned, commanded, then as its acks say (accepted, scheduled, measured, adjusted,
    completed, opted_out, failed, rejected), or not_responding."""
    actual_shed_kw: Mapped[float | None]
    shed_basis: Mapped[str | None]
    baseline_kw: Mapped[float | None]
    reason: Mapped[str | None]
    reason_code: Mapped[str | None]
    modification: Mapped[int] = mapped_column(default=0)
    assigned_at: Mapped[datetime] = mapped_column(default=utc_now)
    commanded_at: Mapped[datetime | None]
    """When the first command was published."""
    first_ack_at: Mapped[datetime | None]
    last_ack_at: Mapped[datetime | None]
    """The VEN's clock of the ack that `status` comes from: an older one changes nothing."""
    response_ms: Mapped[float | None]
    """From publishing to the first ack's arrival, by the server's clock."""

    event: Mapped[EventRow] = relationship(back_populates="participants")


class EventPerformanceRow(TableBase):
    """What an event brought, by VEN and (`ven_id` WHOLE_EVENT) in all. Power in kW."""

    __tablename__ = "event_performance"
    __table_args__ = (PrimaryKeyConstraint("event_id", "ven_id"), Index(None, "ven_id"))

    event_id: Mapped[str] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"))
    ven_id: Mapped[VenId]
    baseline_method: Mapped[str | None]
    baseline_kw: Mapped[float | None]
    average_kw: Mapped[float | None]
    requested_shed_kw: Mapped[float | None]
    achieved_shed_kw: Mapped[float | None]
    shed_percentage: Mapped[float | None]
    delivered_kwh: Mapped[float | None]
    confidence: Mapped[float | None]
    """0 … 1: how far the samples and the baseline's history carry the figures."""
    limit_kw: Mapped[float | None]
    highest_kw: Mapped[float | None]
    """Of the quarter hours' means."""
    over_limit_kwh: Mapped[float | None]
    unseen_sec: Mapped[float | None]
    note: Mapped[str | None]
    """What was not measured, and why; for a person."""
    samples: Mapped[int]
    expected_samples: Mapped[int]
    response_ms: Mapped[float | None]
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    vens: Mapped[int] = mapped_column(default=1)
    """How many VENs the row stands for."""
    computed_at: Mapped[datetime] = mapped_column(default=utc_now)


class EventPerformanceIntervalRow(TableBase):
    """One quarter hour of a VEN in an event (its start; the first and last may be shorter)."""

    __tablename__ = "event_performance_intervals"
    __table_args__ = (PrimaryKeyConstraint("event_id", "ven_id", "start"),)

    event_id: Mapped[str] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"))
    ven_id: Mapped[VenId]
    start: Mapped[datetime]
    average_kw: Mapped[float]
    baseline_kw: Mapped[float | None]
    seen_sec: Mapped[float]
    """How long of it the meter was seen."""
