"""OpenADR's tables: what a VTN asked, which events of ours came of it, what is reported to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.table_base import Document, TableBase
from backend.store.utc_time import utc_now


class OpenAdrLinkRow(TableBase):
    """One VEN at one VTN: who speaks for it now (a lease), and how that goes."""

    __tablename__ = "openadr_links"

    link: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]
    ven_id: Mapped[str | None]
    """As the VTN knows us."""
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    last_contact_at: Mapped[datetime | None]
    problem: Mapped[str | None]
    """Why the VTN cannot be used; none when it can."""
    clock_offset_sec: Mapped[float | None]
    """The VTN's clock less ours."""
    programs: Mapped[list[Any] | None]
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    """One after the other, since the VTN was last good."""
    last_problem: Mapped[str | None]
    """What was wrong the last time that something was, also when it is well again."""
    last_problem_at: Mapped[datetime | None]
    token_expires_at: Mapped[datetime | None]
    """Of the token in use, if the VTN said how long it holds."""
    notifications: Mapped[str | None]
    """mqtt when the VTN tells us of changes, mqtt_away when its broker cannot be reached, else
    polling."""


class OpenAdrEventRow(TableBase):
    """An event as the VTN had it last. Rows stay after the event: it must not begin again."""

    __tablename__ = "openadr_events"
    __table_args__ = (PrimaryKeyConstraint("link", "id"), Index(None, "link", "status"))

    link: Mapped[str]
    id: Mapped[str]
    program_id: Mapped[str]
    name: Mapped[str | None]
    stamp: Mapped[str]
    """Changes with each modification."""
    status: Mapped[str]
    """open, over, cancelled."""
    opt: Mapped[str]
    """in, or out when nothing of it can be done."""
    priority: Mapped[int | None]
    document: Mapped[Document]
    """What we understood, to go on with after a restart without the VTN."""
    problems: Mapped[list[Any]]
    """[{"code", "text"}]"""
    delay_sec: Mapped[float]
    """Drawn once for randomizeStart."""
    first_seen_at: Mapped[datetime] = mapped_column(default=utc_now)
    """What "now" means in it."""
    changed_at: Mapped[datetime] = mapped_column(default=utc_now)


class OpenAdrPieceRow(TableBase):
    """Which of the operator's events a piece of a VTN's event became."""

    __tablename__ = "openadr_pieces"
    __table_args__ = (
        PrimaryKeyConstraint("link", "vtn_event_id", "piece"),
        Index(None, "event_id", unique=True),
    )

    link: Mapped[str]
    vtn_event_id: Mapped[str]
    piece: Mapped[str]
    event_id: Mapped[str]
    revision: Mapped[int] = mapped_column(default=0)
    start_time: Mapped[datetime]
    end_time: Mapped[datetime]
    shed_kw: Mapped[float]
    """The piece's power: of a limit what to stay under, of a load-up what to draw more."""
    levels: Mapped[list[Any] | None]
    """[[seconds, kW]] one after the other, where the power is not one and the same."""


class OpenAdrReportRow(TableBase):
    """The outbox of reports: waiting → sent, or given up."""

    __tablename__ = "openadr_reports"
    __table_args__ = (PrimaryKeyConstraint("link", "name"), Index(None, "link", "state"))

    link: Mapped[str]
    name: Mapped[str]
    """Unique: by it the VTN's copy is found when its answer was lost."""
    vtn_event_id: Mapped[str]
    state: Mapped[str] = mapped_column(default="waiting")
    document: Mapped[Document]
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime] = mapped_column(default=utc_now)
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
