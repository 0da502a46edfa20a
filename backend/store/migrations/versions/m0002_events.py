"""Events: what was asked, sent, answered and brought; keys and audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.table_base import JSON_DOCUMENT, ROW_ID, VEN_ID
from backend.store.utc_time import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("start_time", UtcDateTime(), nullable=False),
        sa.Column("end_time", UtcDateTime(), nullable=False),
        sa.Column("requested_reduction_kw", sa.Double(), nullable=False),
        sa.Column("actual_reduction_kw", sa.Double(), nullable=True),
        sa.Column("ven_ids", JSON_DOCUMENT, nullable=True),
        sa.Column("priority", sa.Integer(), nullable=True),
        sa.Column("modification", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.Column("activated_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("claimed_until", UtcDateTime(), nullable=True),
        sa.Column("measured_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_events_start_time", "events", ["start_time"])
    op.create_index("ix_events_status", "events", ["status"])
    op.create_table(
        "event_participants",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("assigned_shed_kw", sa.Double(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("actual_shed_kw", sa.Double(), nullable=True),
        sa.Column("shed_basis", sa.Text(), nullable=True),
        sa.Column("baseline_kw", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("modification", sa.Integer(), nullable=False),
        sa.Column("assigned_at", UtcDateTime(), nullable=False),
        sa.Column("commanded_at", UtcDateTime(), nullable=True),
        sa.Column("first_ack_at", UtcDateTime(), nullable=True),
        sa.Column("last_ack_at", UtcDateTime(), nullable=True),
        sa.Column("response_ms", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("event_id", "ven_id"),
    )
    op.create_index("ix_event_participants_ven_id", "event_participants", ["ven_id"])
    op.create_table(
        "commands",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("op", sa.Text(), nullable=False),
        sa.Column("payload", JSON_DOCUMENT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("claimed_until", UtcDateTime(), nullable=True),
        sa.Column("published_at", UtcDateTime(), nullable=True),
        sa.Column("acked_at", UtcDateTime(), nullable=True),
        sa.Column("ack_status", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("correlation_id"),
    )
    op.create_index(
        "ix_commands_due",
        "commands",
        ["not_before"],
        postgresql_where=sa.text("state IN ('pending', 'published')"),
        sqlite_where=sa.text("state IN ('pending', 'published')"),
    )
    op.create_index("ix_commands_event_id_ven_id", "commands", ["event_id", "ven_id"])
    op.create_table(
        "ven_acks",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column("correlation_id", sa.Text(), nullable=True),
        sa.Column("timestamp", UtcDateTime(), nullable=False),
        sa.Column("op", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("requested_shed_kw", sa.Double(), nullable=True),
        sa.Column("actual_shed_kw", sa.Double(), nullable=True),
        sa.Column("circuits_curtailed", JSON_DOCUMENT, nullable=True),
        sa.Column("raw_payload", JSON_DOCUMENT, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("ix_ven_acks_correlation_id", "ven_acks", ["correlation_id"])
    op.create_index("ix_ven_acks_created_at", "ven_acks", ["created_at"])
    op.create_index("ix_ven_acks_event_id", "ven_acks", ["event_id"])
    op.create_index("ix_ven_acks_ven_id_timestamp", "ven_acks", ["ven_id", "timestamp"])
    op.create_table(
        "event_performance",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("baseline_method", sa.Text(), nullable=True),
        sa.Column("baseline_kw", sa.Double(), nullable=True),
        sa.Column("average_kw", sa.Double(), nullable=True),
        sa.Column("requested_shed_kw", sa.Double(), nullable=True),
        sa.Column("achieved_shed_kw", sa.Double(), nullable=True),
        sa.Column("shed_percentage", sa.Double(), nullable=True),
        sa.Column("delivered_kwh", sa.Double(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("expected_samples", sa.Integer(), nullable=False),
        sa.Column("response_ms", sa.Double(), nullable=True),
        sa.Column("window_start", UtcDateTime(), nullable=False),
        sa.Column("window_end", UtcDateTime(), nullable=False),
        sa.Column("vens", sa.Integer(), nullable=False),
        sa.Column("computed_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("event_id", "ven_id"),
    )
    op.create_index("ix_event_performance_ven_id", "event_performance", ["ven_id"])
    op.create_table(
        "api_keys",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_hash"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "audit",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=True),
        sa.Column("detail", JSON_DOCUMENT, nullable=True),
        sa.Column("remote", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])


def downgrade() -> None:
    op.drop_table("audit")
    op.drop_table("api_keys")
    op.drop_table("event_performance")
    op.drop_table("ven_acks")
    op.drop_table("commands")
    op.drop_table("event_participants")
    op.drop_table("events")
