"""`ven_load_samples` and `load_snapshots`: a row a load, read from the lists of the compact tables.

`telemetry_id` is made of the telemetry's key (VEN, sequence number, time).
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# What differs: how a list's element is read, and how a time is written into the id.
_POSTGRESQL = {
    "power_w": "{t}.load_power_w[m.position]",
    "shed_w": "{t}.load_shed_w[m.position]",
    "epoch": "extract(epoch FROM {t}.timestamp)",
    "kw": "({watts} / 1000.0)::double precision",
    "null_document": "NULL::jsonb",
}
_SQLITE = {
    "power_w": "json_extract({t}.load_power_w, '$[' || (m.position - 1) || ']')",
    "shed_w": "json_extract({t}.load_shed_w, '$[' || (m.position - 1) || ']')",
    "epoch": "strftime('%s', {t}.timestamp)",
    "kw": "{watts} / 1000.0",
    "null_document": "NULL",
}


def _load_columns(words: dict[str, str]) -> str:
    power_kw = words["kw"].format(watts=words["power_w"].format(t="t"))
    shed_kw = words["kw"].format(watts=words["shed_w"].format(t="t"))
    return f"""m.load_id, m.name, m.type, m.capacity_kw,
        {power_kw} AS current_power_kw,
        {shed_kw} AS shed_capability_kw,
        CASE substr(t.load_enabled, m.position, 1)
            WHEN 't' THEN true WHEN 'f' THEN false END AS enabled,
        m.priority, {words["null_document"]} AS raw_payload"""


def upgrade() -> None:
    words = _POSTGRESQL if op.get_bind().dialect.name == "postgresql" else _SQLITE
    columns = _load_columns(words)
    members = "JOIN load_set_members m ON m.load_set_id = t.load_set_id"
    op.execute(
        f"""CREATE VIEW ven_load_samples AS SELECT
        t.ven_id || ':' || t.seq || ':' || {words["epoch"].format(t="t")} AS telemetry_id,
        t.ven_id, t.timestamp, t.seq, {columns}
        FROM ven_telemetry t {members}"""
    )
    op.execute(
        f"""CREATE VIEW load_snapshots AS SELECT t.ven_id, t.timestamp, {columns}
        FROM ven_loads t {members}
        UNION ALL SELECT t.ven_id, t.timestamp, {columns}
        FROM ven_telemetry t {members}
        WHERE NOT EXISTS (SELECT 1 FROM ven_loads s
            WHERE s.ven_id = t.ven_id AND s.timestamp = t.timestamp)"""
    )


def downgrade() -> None:
    op.execute("DROP VIEW load_snapshots")
    op.execute("DROP VIEW ven_load_samples")
