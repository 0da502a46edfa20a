"""The tables of alerts: what is wrong and since when, who was told, and which processes run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, PrimaryKeyConstraint, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.table_base import JSON_DOCUMENT, ROW_ID, Document, RowId, TableBase, VenId
from backend.store.utc_time import utc_now

OPERATORS_SIDE = ""
"""`AlertRow.ven_id` of an alert that is no site's: of the ingest, the dispatch, an event."""


class AlertRow(TableBase):
    """A trouble from its begin to its end. Of one VEN, code and subject one is open at most."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "uq_alerts_open",
            "ven_id",
            "code",
            "subject",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
            sqlite_where=text("ended_at IS NULL"),
        ),
        Index(None, "begun_at"),
        Index(None, "ended_at"),
        Index(None, "changed_at"),
        Index(None, "ven_id", "code", "subject"),
    )

    id: Mapped[RowId]
    ven_id: Mapped[VenId]
    code: Mapped[str]
    subject: Mapped[str] = mapped_column(default="")
    """The circuit, event or target it is about; empty where a code is enough."""
    severity: Mapped[str]
    """info, warning or critical."""
    message: Mapped[str]
    reason_code: Mapped[str | None]
    context: Mapped[Any | None] = mapped_column(JSON_DOCUMENT)
    cause: Mapped[str]
    """What a message is sent for: alerts of one cause are told together."""
    boot_id: Mapped[str | None]
    """The VEN's when it said so: a site that started anew says again what is still wrong."""
    begun_at: Mapped[datetime]
    last_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None]
    note: Mapped[str | None]
    changed_at: Mapped[datetime] = mapped_column(default=utc_now)


class AlertGroupRow(TableBase):
    """What a target was told of a cause, and when it is looked at next."""

    __tablename__ = "alert_groups"
    __table_args__ = (PrimaryKeyConstraint("target", "cause"),)

    target: Mapped[str]
    cause: Mapped[str]
    number: Mapped[int] = mapped_column(default=0)
    """How many notices of it there were: part of their keys."""
    begun_at: Mapped[datetime]
    due_at: Mapped[datetime]
    told_at: Mapped[datetime | None]
    told_alert_id: Mapped[int | None] = mapped_column(ROW_ID)
    """The newest alert that was told."""
    told_severity: Mapped[str | None]
    most: Mapped[int] = mapped_column(default=0)
    """The most that were open when it was told."""


class AlertNoticeRow(TableBase):
    """The outbox of notices: pending → sent, or given_up."""

    __tablename__ = "alert_notices"
    __table_args__ = (
        UniqueConstraint("target", "key"),
        Index(
            "ix_alert_notices_due",
            "not_before",
            postgresql_where=text("state = 'pending'"),
            sqlite_where=text("state = 'pending'"),
        ),
        Index(None, "created_at"),
    )

    id: Mapped[RowId]
    target: Mapped[str]
    key: Mapped[str]
    """What it is about: the same is never put in twice."""
    message_id: Mapped[str]
    """The same in each attempt, so that a receiver can tell."""
    kind: Mapped[str]
    payload: Mapped[Document]
    state: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime]
    claimed_by: Mapped[str | None]
    claimed_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime]


class VenAlertRow(TableBase):
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
