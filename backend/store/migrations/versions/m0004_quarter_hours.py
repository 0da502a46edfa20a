"""Quarter hours: which are due to be summed up, and an index to find their telemetry by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.utc_time import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quarter_hours_due",
        sa.Column("start", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("start"),
    )
    op.create_index(
        "ix_ven_telemetry_timestamp", "ven_telemetry", ["timestamp"], postgresql_using="brin"
    )


def downgrade() -> None:
    op.drop_index("ix_ven_telemetry_timestamp", "ven_telemetry")
    op.drop_table("quarter_hours_due")
