"""Tables of commands and their acks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.table_base import Document, RowId, TableBase, VenId
from backend.store.utc_time import utc_now

HEARTBEAT_CORRELATION_PREFIX = "heartbeat-"
"""Of a limit's heartbeat, which is not in the outbox, and whose ack is not kept either."""


class CommandRow(TableBase):
    """The outbox of commands: pending → published → acked, or expired, failed, not_responding."""

    __tablename__ = "commands"
    __table_args__ = (
        Index(
            "ix_commands_due",
            "not_before",
            postgresql_where=text("state IN ('pending', 'published')"),
            sqlite_where=text("state IN ('pending', 'published')"),
        ),
        Index(None, "event_id", "ven_id"),
    )

    id: Mapped[RowId]
    correlation_id: Mapped[str] = mapped_column(unique=True)
    event_id: Mapped[str | None]
    ven_id: Mapped[VenId]
    op: Mapped[str]
    payload: Mapped[Document]
    state: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime] = mapped_column(default=utc_now)
    """When it is to be published, or published again if no ack came."""
    expires_at: Mapped[datetime | None]
    claimed_by: Mapped[str | None]
    claimed_until: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    acked_at: Mapped[datetime | None]
    ack_status: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    created_by: Mapped[str | None]


class CommandAckRow(TableBase):
    """An ack as it came. `digest` (of VEN and payload) makes the same ack stored once."""

    __tablename__ = "ven_acks"
    __table_args__ = (
        Index(None, "ven_id", "timestamp"),
        Index(None, "event_id"),
        Index(None, "correlation_id"),
        Index(None, "created_at"),
    )

    id: Mapped[RowId]
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    ven_id: Mapped[VenId]
    event_id: Mapped[str | None]
    correlation_id: Mapped[str | None]
    timestamp: Mapped[datetime]
    op: Mapped[str | None]
    status: Mapped[str]
    requested_shed_kw: Mapped[float | None]
    actual_shed_kw: Mapped[float | None]
    circuits_curtailed: Mapped[list[Any] | None]
    raw_payload: Mapped[Document]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
