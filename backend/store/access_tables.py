"""The tables of who may use the API, and of what they did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from backend.store.table_base import Document, RowId, TableBase
from backend.store.utc_time import utc_now


class ApiKeyRow(TableBase):
    """A key of the REST API; only its hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[RowId]
    name: Mapped[str] = mapped_column(unique=True)
    key_hash: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    """read, operate or admin."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class PersonRow(TableBase):
    """Somebody whom the authenticating proxy let through."""

    __tablename__ = "people"

    name: Mapped[str] = mapped_column(primary_key=True)
    """The e-mail address, or the user's name where there is none."""
    display_name: Mapped[str]
    groups: Mapped[list[Any]]
    role: Mapped[str | None]
    """read, operate or admin; none: the groups have no role."""
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class AuditEntryRow(TableBase):
    """Who did what."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "at"), Index(None, "actor", "at"))

    id: Mapped[RowId]
    at: Mapped[datetime] = mapped_column(default=utc_now)
    actor: Mapped[str]
    actor_kind: Mapped[str | None]
    """key, person or local: a key may have a person's name."""
    role: Mapped[str | None]
    action: Mapped[str]
    object: Mapped[str | None]
    detail: Mapped[Document | None]
    remote: Mapped[str | None]
