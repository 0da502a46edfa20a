"""The tables dispatch writes, for Core statements: thousands of rows a time, no objects."""

from __future__ import annotations

from typing import cast

from sqlalchemy import Table

from backend.store.models import Command, Event, Participant, Ven, VenState

EVENTS = cast(Table, Event.__table__)
PARTICIPANTS = cast(Table, Participant.__table__)
COMMANDS = cast(Table, Command.__table__)
VENS = cast(Table, Ven.__table__)
VEN_STATE = cast(Table, VenState.__table__)

SCHEDULED, ACTIVE, COMPLETED, CANCELLED = "scheduled", "active", "completed", "cancelled"
"""An event's status."""

PENDING, PUBLISHED, ACKED = "pending", "published", "acked"
WITHDRAWN, EXPIRED, NOT_RESPONDING = "withdrawn", "expired", "not_responding"
OPEN = (PENDING, PUBLISHED)
"""A command's state: pending → published → acked; the others end it too."""

ASSIGNED, COMMANDED = "assigned", "commanded"
SHEDDING = ("accepted", "measured", "adjusted")
REJECTED = "rejected"
GONE = ("completed", "opted_out", REJECTED, "failed")
"""A participant's status. Those gone deliver nothing; `not_responding` neither."""

SHED_OPS = ("event", "shedLoad")
