"""When an agent was asked what it is; the time zone that a site's days are of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.utc_time import UtcDateTime

revision = "0025"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ven_agents", sa.Column("asked_at", UtcDateTime(), nullable=True))
    op.add_column("vens", sa.Column("timezone", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("vens", "timezone")
    op.drop_column("ven_agents", "asked_at")
