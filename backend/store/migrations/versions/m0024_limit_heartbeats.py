"""Limits with a failsafe: what rules when the operator is not heard, and when a sign is due."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from backend.store.utc_time import UtcDateTime

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_EVENT_COLUMNS: dict[str, Any] = {
    "failsafe_kw": sa.Double(),
    "heartbeat_sec": sa.Double(),
    "failsafe_min_sec": sa.Double(),
    "heartbeat_due": UtcDateTime(),
}


def upgrade() -> None:
    for name, kind in _EVENT_COLUMNS.items():
        op.add_column("events", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for name in reversed(_EVENT_COLUMNS):
        op.drop_column("events", name)
