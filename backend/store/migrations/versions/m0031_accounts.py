"""People that an authenticating proxy names; the audit tells a person from a key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.table_base import JSON_DOCUMENT
from backend.store.utc_time import UtcDateTime

revision = "0031"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("groups", JSON_DOCUMENT, nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.add_column("audit", sa.Column("actor_kind", sa.Text(), nullable=True))
    op.create_index("ix_audit_actor_at", "audit", ["actor", "at"])


def downgrade() -> None:
    op.drop_index("ix_audit_actor_at", "audit")
    op.drop_column("audit", "actor_kind")
    op.drop_table("people")
