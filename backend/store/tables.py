"""All tables, for Core statements: thousands of rows a time, no objects.

Whoever imports this has the whole schema in `TableBase.metadata`.
"""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Table
from sqlalchemy.engine import Row

from backend.store import (  # noqa: F401
    access_tables,
    alert_tables,
    ingest_tables,
    instance_tables,
    openadr_tables,
    programme_tables,
    telemetry_tables,
)
from backend.store.command_tables import CommandRow
from backend.store.event_tables import EventRow, ParticipantRow
from backend.store.fleet_tables import VenRow, VenStateRow

EVENTS = cast(Table, EventRow.__table__)
PARTICIPANTS = cast(Table, ParticipantRow.__table__)
COMMANDS = cast(Table, CommandRow.__table__)
VENS = cast(Table, VenRow.__table__)
VEN_STATE = cast(Table, VenStateRow.__table__)

StoredEvent = Row[Any]
"""A row of `events`."""
