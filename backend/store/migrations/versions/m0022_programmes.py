"""Programmes, after which events are made, and groups: choices of VENs under a name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.table_base import JSON_DOCUMENT
from backend.store.utc_time import UtcDateTime

revision = "0022"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "programmes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("power_kw", sa.Double(), nullable=False),
        sa.Column("limit_per_site", sa.Boolean(), nullable=False),
        sa.Column("selection", JSON_DOCUMENT, nullable=True),
        sa.Column("baseline_method", sa.Text(), nullable=True),
        sa.Column("duration_sec", sa.Double(), nullable=False),
        sa.Column("notice_sec", sa.Double(), nullable=True),
        sa.Column("days", JSON_DOCUMENT, nullable=True),
        sa.Column("window_start", sa.Text(), nullable=True),
        sa.Column("window_end", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("recurring", sa.Boolean(), nullable=False),
        sa.Column("next_start", UtcDateTime(), nullable=True),
        sa.Column("most_events_per_day", sa.Integer(), nullable=True),
        sa.Column("most_event_hours_per_day", sa.Double(), nullable=True),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "ven_groups",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("selection", JSON_DOCUMENT, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    op.drop_table("ven_groups")
    op.drop_table("programmes")
