"""Which load sets each VEN used: its telemetry can be counted from the index alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.table_base import VEN_ID

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ven_load_sets",
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("load_set_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("ven_id", "load_set_id"),
    )
    op.execute(
        "INSERT INTO ven_load_sets SELECT DISTINCT ven_id, coalesce(load_set_id, 0) "
        "FROM ven_telemetry"
    )


def downgrade() -> None:
    op.drop_table("ven_load_sets")
