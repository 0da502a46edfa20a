"""OpenADR: levels of a piece, and how a link to a VTN fares."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from backend.store.table_base import JSON_DOCUMENT
from backend.store.utc_time import UtcDateTime

revision = "0032"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("openadr_pieces", sa.Column("levels", JSON_DOCUMENT, nullable=True))
    failures = sa.Column("failures", sa.Integer(), nullable=False, server_default="0")
    op.add_column("openadr_links", failures)
    op.add_column("openadr_links", sa.Column("last_problem", sa.Text(), nullable=True))
    op.add_column("openadr_links", sa.Column("last_problem_at", UtcDateTime(), nullable=True))
    op.add_column("openadr_links", sa.Column("token_expires_at", UtcDateTime(), nullable=True))
    op.add_column("openadr_links", sa.Column("notifications", sa.Text(), nullable=True))


def downgrade() -> None:
    for name in ("notifications", "token_expires_at", "last_problem_at", "last_problem"):
        op.drop_column("openadr_links", name)
    op.drop_column("openadr_links", "failures")
    op.drop_column("openadr_pieces", "levels")
