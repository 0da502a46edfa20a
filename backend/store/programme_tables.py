"""Programmes, after which events are made, and groups: choices of VENs under a name."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from backend.store.table_base import Document, TableBase
from backend.store.utc_time import utc_now


class ProgrammeRow(TableBase):
    """What events of a programme are, unless they say otherwise."""

    __tablename__ = "programmes"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(default="event")
    power_kw: Mapped[float]
    """To shed, to draw more, or of a limit the power to stay under."""
    limit_per_site: Mapped[bool] = mapped_column(default=False)
    selection: Mapped[Document | None]
    baseline_method: Mapped[str | None]
    duration_sec: Mapped[float]
    notice_sec: Mapped[float | None]
    days: Mapped[list[Any] | None]
    """1 Monday … 7 Sunday; none: every day."""
    window_start: Mapped[str | None]
    """HH:MM in `timezone`."""
    window_end: Mapped[str | None]
    timezone: Mapped[str] = mapped_column(default="UTC")
    recurring: Mapped[bool] = mapped_column(default=False)
    """An event at each window's start, by itself."""
    next_start: Mapped[datetime | None]
    """Of a recurring one, the first start that has no event yet."""
    most_events_per_day: Mapped[int | None]
    most_event_hours_per_day: Mapped[float | None]
    test: Mapped[bool] = mapped_column(default=False)
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    created_by: Mapped[str | None]


class VenGroupRow(TableBase):
    __tablename__ = "ven_groups"

    name: Mapped[str] = mapped_column(primary_key=True)
    description: Mapped[str | None]
    selection: Mapped[Document]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
