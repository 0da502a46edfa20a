"""Kinds of events: limits, load-ups, intervals, tests, dry runs; invitations, programmes, choices.

Events that are there already are sheds of one level.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from backend.store.table_base import JSON_DOCUMENT
from backend.store.utc_time import UtcDateTime

revision = "0020"
down_revision = "0011"
branch_labels = None
depends_on = None

_FLAGS = ("test", "dry_run", "limit_per_site", "open_ended")
_EVENT_COLUMNS: dict[str, Any] = {
    "import_kw": sa.Double(),
    "export_kw": sa.Double(),
    "window_sec": sa.Double(),
    "intervals": JSON_DOCUMENT,
    "randomize_start_sec": sa.Double(),
    "notice_sec": sa.Double(),
    "invited_at": UtcDateTime(),
    "programme_id": sa.Text(),
    "selection": JSON_DOCUMENT,
    "baseline_method": sa.Text(),
}
_PERFORMANCE_COLUMNS: dict[str, Any] = {
    "limit_kw": sa.Double(),
    "highest_kw": sa.Double(),
    "over_limit_kwh": sa.Double(),
    "unseen_sec": sa.Double(),
    "note": sa.Text(),
}


def upgrade() -> None:
    op.add_column("events", sa.Column("kind", sa.Text(), nullable=False, server_default="event"))
    for name in _FLAGS:
        op.add_column(
            "events", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())
        )
    for name, kind in _EVENT_COLUMNS.items():
        op.add_column("events", sa.Column(name, kind, nullable=True))
    op.create_index("ix_events_programme_id", "events", ["programme_id"])
    op.add_column("event_participants", sa.Column("assigned_limit_kw", sa.Double(), nullable=True))
    for name, kind in _PERFORMANCE_COLUMNS.items():
        op.add_column("event_performance", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for name in reversed(_PERFORMANCE_COLUMNS):
        op.drop_column("event_performance", name)
    op.drop_column("event_participants", "assigned_limit_kw")
    op.drop_index("ix_events_programme_id", table_name="events")
    for name in (*reversed(_EVENT_COLUMNS), *_FLAGS, "kind"):
        op.drop_column("events", name)
