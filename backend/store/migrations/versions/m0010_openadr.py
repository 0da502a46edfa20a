"""OpenADR: links to VTNs, their events, what became of these, and reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.table_base import JSON_DOCUMENT
from backend.store.utc_time import UtcDateTime

revision = "0010"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "openadr_links",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("ven_id", sa.Text(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("last_contact_at", UtcDateTime(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("clock_offset_sec", sa.Double(), nullable=True),
        sa.Column("programs", JSON_DOCUMENT, nullable=True),
        sa.PrimaryKeyConstraint("link"),
    )
    op.create_table(
        "openadr_events",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("program_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("stamp", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("opt", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=True),
        sa.Column("document", JSON_DOCUMENT, nullable=False),
        sa.Column("problems", JSON_DOCUMENT, nullable=False),
        sa.Column("delay_sec", sa.Double(), nullable=False),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("link", "id"),
    )
    op.create_index("ix_openadr_events_link_status", "openadr_events", ["link", "status"])
    op.create_table(
        "openadr_pieces",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("vtn_event_id", sa.Text(), nullable=False),
        sa.Column("piece", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("start_time", UtcDateTime(), nullable=False),
        sa.Column("end_time", UtcDateTime(), nullable=False),
        sa.Column("shed_kw", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("link", "vtn_event_id", "piece"),
    )
    op.create_index("ix_openadr_pieces_event_id", "openadr_pieces", ["event_id"], unique=True)
    op.create_table(
        "openadr_reports",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("vtn_event_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("document", JSON_DOCUMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("link", "name"),
    )
    op.create_index("ix_openadr_reports_link_state", "openadr_reports", ["link", "state"])


def downgrade() -> None:
    for table in ("openadr_reports", "openadr_pieces", "openadr_events", "openadr_links"):
        op.drop_table(table)
