"""The fleet: VENs, what they send, and what could not be read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.table_base import JSON_DOCUMENT, ROW_ID, VEN_ID, WATTS
from backend.store.utc_time import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vens",
        sa.Column("id", VEN_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("registration_id", sa.Text(), nullable=True),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_since", UtcDateTime(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("registration_id"),
    )
    op.create_table(
        "ven_state",
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("last_seen", UtcDateTime(), nullable=False),
        sa.Column("timestamp", UtcDateTime(), nullable=False),
        sa.Column("seq", ROW_ID, nullable=False),
        sa.Column("used_power_kw", sa.Double(), nullable=True),
        sa.Column("shed_power_kw", sa.Double(), nullable=True),
        sa.Column("requested_reduction_kw", sa.Double(), nullable=True),
        sa.Column("baseline_power_kw", sa.Double(), nullable=True),
        sa.Column("battery_soc", sa.Double(), nullable=True),
        sa.Column("shed_available_kw", sa.Double(), nullable=True),
        sa.Column("panel_max_kw", sa.Double(), nullable=True),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column("quality", sa.Text(), nullable=True),
        sa.Column("load_set_id", sa.Integer(), nullable=True),
        sa.Column("load_power_w", WATTS, nullable=True),
        sa.Column("load_shed_w", WATTS, nullable=True),
        sa.Column("load_enabled", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["ven_id"], ["vens.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ven_id"),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "load_sets",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "load_set_members",
        sa.Column("load_set_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("load_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("capacity_kw", sa.Double(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["load_set_id"], ["load_sets.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("load_set_id", "position"),
    )
    op.create_table(
        "ven_telemetry",
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("timestamp", UtcDateTime(), nullable=False),
        sa.Column("seq", ROW_ID, nullable=False),
        sa.Column("used_power_kw", sa.Double(), nullable=True),
        sa.Column("shed_power_kw", sa.Double(), nullable=True),
        sa.Column("requested_reduction_kw", sa.Double(), nullable=True),
        sa.Column("baseline_power_kw", sa.Double(), nullable=True),
        sa.Column("battery_soc", sa.Double(), nullable=True),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column("quality", sa.Text(), nullable=True),
        sa.Column("load_set_id", sa.Integer(), nullable=True),
        sa.Column("load_power_w", WATTS, nullable=True),
        sa.Column("load_shed_w", WATTS, nullable=True),
        sa.Column("load_enabled", sa.Text(), nullable=True),
        sa.Column("raw_payload", JSON_DOCUMENT, nullable=True),
        sa.PrimaryKeyConstraint("ven_id", "timestamp", "seq"),
        postgresql_partition_by="RANGE (timestamp)",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ven_loads",
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("timestamp", UtcDateTime(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("load_set_id", sa.Integer(), nullable=False),
        sa.Column("load_power_w", WATTS, nullable=False),
        sa.Column("load_shed_w", WATTS, nullable=False),
        sa.Column("load_enabled", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("ven_id", "timestamp", "part"),
        postgresql_partition_by="RANGE (timestamp)",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ven_quarter_hours",
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("start", UtcDateTime(), nullable=False),
        sa.Column("used_power_kw", sa.Double(), nullable=True),
        sa.Column("shed_power_kw", sa.Double(), nullable=True),
        sa.Column("requested_reduction_kw", sa.Double(), nullable=True),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("in_event", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("ven_id", "start"),
    )
    op.create_index("ix_ven_quarter_hours_start", "ven_quarter_hours", ["start"])
    op.create_table(
        "ven_alerts",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("ven_id", VEN_ID, nullable=False),
        sa.Column("timestamp", UtcDateTime(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("context", JSON_DOCUMENT, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("ix_ven_alerts_ven_id_timestamp", "ven_alerts", ["ven_id", "timestamp"])
    op.create_table(
        "dead_letters",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("ven_id", VEN_ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_dead_letters_received_at", "dead_letters", ["received_at"])
    op.create_table(
        "kinesis_checkpoints",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("shard_id", sa.Text(), nullable=False),
        sa.Column("parent_ids", JSON_DOCUMENT, nullable=False),
        sa.Column("sequence_number", sa.Text(), nullable=True),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "shard_id"),
    )


def downgrade() -> None:
    op.drop_table("kinesis_checkpoints")
    op.drop_table("dead_letters")
    op.drop_table("ven_alerts")
    op.drop_table("ven_quarter_hours")
    op.drop_table("ven_loads")
    op.drop_table("ven_telemetry")
    op.drop_table("load_set_members")
    op.drop_table("load_sets")
    op.drop_table("ven_state")
    op.drop_table("vens")
