"""Who takes part: availability, trust, reasons as codes; and the fleet's curve.

VENs that are known already are trusted: they were there before anybody could be bounded.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.table_base import VEN_ID
from backend.store.utc_time import UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "vens", sa.Column("trusted", sa.Boolean(), nullable=False, server_default=sa.true())
    )
    op.add_column("ven_state", sa.Column("availability", sa.Text(), nullable=True))
    op.add_column("ven_state", sa.Column("availability_until", UtcDateTime(), nullable=True))
    op.add_column("ven_state", sa.Column("availability_reason", sa.Text(), nullable=True))
    op.add_column("ven_state", sa.Column("highest_power_kw", sa.Double(), nullable=True))
    op.add_column("event_participants", sa.Column("reason_code", sa.Text(), nullable=True))
    op.create_table(
        "network_samples",
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("ven_count", sa.Integer(), nullable=False),
        sa.Column("used_power_kw", sa.Double(), nullable=False),
        sa.Column("shed_power_kw", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("at"),
    )
    op.create_table(
        "load_capacities",
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("load_id", sa.Text(), nullable=False),
        sa.Column("capacity_kw", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("ven_id", "load_id"),
    )


def downgrade() -> None:
    op.drop_table("load_capacities")
    op.drop_table("network_samples")
    op.drop_column("event_participants", "reason_code")
    for name in ("highest_power_kw", "availability_reason", "availability_until", "availability"):
        op.drop_column("ven_state", name)
    op.drop_column("vens", "trusted")
