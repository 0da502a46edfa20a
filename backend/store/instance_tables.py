"""Tables of the operator's own processes: what each said of itself last."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import PrimaryKeyConstraint
from sqlalchemy.orm import Mapped

from backend.store.table_base import TableBase


class BackendInstanceRow(TableBase):
    """A process of the backend, as it says of itself every few seconds."""

    __tablename__ = "backend_instances"
    __table_args__ = (PrimaryKeyConstraint("kind", "instance"),)

    kind: Mapped[str]
    """ingest or dispatch."""
    instance: Mapped[str]
    reported_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    """When it ended in good order; none: it runs, or was killed."""
    problem_code: Mapped[str | None]
    problem: Mapped[str | None]
    problem_since: Mapped[datetime | None]
    lag_sec: Mapped[float | None]
    """How long the oldest message waits to be stored."""
