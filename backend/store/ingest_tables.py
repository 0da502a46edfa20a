"""Tables of the ingest's own: what it could not read, and how far it has read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.table_base import RowId, TableBase, VenId
from backend.store.utc_time import utc_now


class DeadLetterRow(TableBase):
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


class KinesisShardRow(TableBase):
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
