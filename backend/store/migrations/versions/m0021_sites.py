"""What is known of a site beyond its telemetry: where it hangs, its limits, its agent, its shadow.

How often it reports tells from when on it is silent.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from backend.store.table_base import JSON_DOCUMENT, VEN_ID
from backend.store.utc_time import UtcDateTime

revision = "0021"
down_revision = "0030"
branch_labels = None
depends_on = None

_VEN_COLUMNS: dict[str, Any] = {
    "feeder": sa.Text(),
    "zone": sa.Text(),
    "tags": JSON_DOCUMENT,
    "most_events_per_day": sa.Integer(),
    "most_event_hours_per_day": sa.Double(),
    "notice_sec": sa.Double(),
}
_STATE_COLUMNS: dict[str, Any] = {
    "report_interval_sec": sa.Double(),
    "quiet_until": UtcDateTime(),
}


def upgrade() -> None:
    for name, kind in _VEN_COLUMNS.items():
        op.add_column("vens", sa.Column(name, kind, nullable=True))
    for name, kind in _STATE_COLUMNS.items():
        op.add_column("ven_state", sa.Column(name, kind, nullable=True))
    op.create_table(
        "ven_agents",
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("health", sa.Text(), nullable=True),
        sa.Column("health_context", sa.Text(), nullable=True),
        sa.Column("certificate_expires_at", UtcDateTime(), nullable=True),
        sa.Column("told_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["ven_id"], ["vens.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ven_id"),
    )
    op.create_table(
        "ven_shadows",
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reported", JSON_DOCUMENT, nullable=True),
        sa.Column("desired", JSON_DOCUMENT, nullable=True),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["ven_id"], ["vens.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ven_id", "name"),
    )


def downgrade() -> None:
    op.drop_table("ven_shadows")
    op.drop_table("ven_agents")
    for name in reversed(_STATE_COLUMNS):
        op.drop_column("ven_state", name)
    for name in reversed(_VEN_COLUMNS):
        op.drop_column("vens", name)
