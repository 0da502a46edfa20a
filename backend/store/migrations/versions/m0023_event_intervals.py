"""What each site drew in each quarter hour of an event, beside its baseline: for settlements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.table_base import VEN_ID
from backend.store.utc_time import UtcDateTime

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_performance_intervals",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("start", UtcDateTime(), nullable=False),
        sa.Column("average_kw", sa.Double(), nullable=False),
        sa.Column("baseline_kw", sa.Double(), nullable=True),
        sa.Column("seen_sec", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("event_id", "ven_id", "start"),
    )


def downgrade() -> None:
    op.drop_table("event_performance_intervals")
