"""What VENs say of themselves beside their telemetry: shadows, and what their agents are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.ingest.ingest_records import IngestAckRecord, IngestShadowRecord
from backend.ingest.plausible_values import plausible_epoch_sec
from backend.store.fleet_tables import VenAgentRow, VenRow, VenShadowRow, VenStateRow
from backend.store.utc_time import utc_time_of_epoch
from VenAgent.contract.op import Op

_SHADOWS: Table = VenShadowRow.__table__  # type: ignore[assignment]
_AGENTS: Table = VenAgentRow.__table__  # type: ignore[assignment]
_LATEST_TS = 7_258_118_400


async def stored_site_report_intervals(connection: AsyncConnection) -> dict[str, float]:
    """How often VENs reported, as it was stored last, in seconds."""
    found = await connection.execute(
        select(VenStateRow.ven_id, VenStateRow.report_interval_sec).where(
            VenStateRow.report_interval_sec.is_not(None)
        )
    )
    return {row.ven_id: row.report_interval_sec for row in found}


async def store_site_shadows(
    connection: AsyncConnection, updates: Sequence[IngestShadowRecord]
) -> None:
    """Updates of shadows, put into what is known of each as the shadow service does it: by key, and
    a null takes a key away. Shadows of VENs that nobody knows are left out.

    Each instance hears every update (a broker shares no `$` topics), and may come to it long after
    another: a report older than the one that is known changes nothing.
    """
    known_vens = await _registered(connection, {one.ven_id for one in updates})
    updates = [one for one in updates if one.ven_id in known_vens]
    if not updates:
        return
    parts = await _locked_shadows(connection, {(one.ven_id, one.name) for one in updates})
    received: dict[tuple[str, str], float] = {}
    for one in updates:
        known = parts[(one.ven_id, one.name)]
        if one.reported is not None and not _is_older_report(one, known[0]):
            known[0] = _merged(known[0], one.reported)
        if one.desired is not None:
            known[1] = _merged(known[1], one.desired)
        received[(one.ven_id, one.name)] = one.received
    values = [
        {
            "ven_id": ven_id,
            "name": name,
            "reported": parts[(ven_id, name)][0],
            "desired": parts[(ven_id, name)][1],
            "updated_at": utc_time_of_epoch(at),
        }
        for (ven_id, name), at in sorted(received.items())
    ]
    await _put(connection, _SHADOWS, ("ven_id", "name"), values)


async def _locked_shadows(
    connection: AsyncConnection, keys: set[tuple[str, str]]
) -> dict[tuple[str, str], list[Any]]:
    """Reported and desired of each, which nobody else changes until the transaction ends."""
    bare = [{"ven_id": ven_id, "name": name} for ven_id, name in sorted(keys)]
    kind = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    await connection.execute(kind(_SHADOWS).on_conflict_do_nothing(), bare)
    rows = await connection.execute(
        select(_SHADOWS)
        .where(_SHADOWS.c.ven_id.in_({ven_id for ven_id, _ in keys}))
        .order_by(_SHADOWS.c.ven_id, _SHADOWS.c.name)  # nobody waits for another in a ring
        .with_for_update()
    )
    return {(row.ven_id, row.name): [row.reported, row.desired] for row in rows}


def _is_older_report(update: IngestShadowRecord, known: Any) -> bool:
    """By the site's clock, where both tell the time; one that was ahead of ours tells nothing."""
    said, stored = (
        plausible_epoch_sec(report.get("timestamp")) if isinstance(report, dict) else None
        for report in (update.reported, known)
    )
    return said is not None and stored is not None and said < stored <= update.received


async def store_site_agents(connection: AsyncConnection, acks: Sequence[IngestAckRecord]) -> None:
    """What agents said of themselves when they were asked for their status."""
    latest: dict[str, dict[str, Any]] = {}
    for ack in acks:
        data = ack.raw_payload.get("data") if ack.op == Op.GET else None
        if isinstance(data, dict) and isinstance(data.get("version"), str):
            latest[ack.ven_id] = {
                "ven_id": ack.ven_id,
                "version": data["version"][:64],
                "health": _short(data.get("health")),
                "health_context": _short(data.get("health_context")),
                "certificate_expires_at": _moment(data.get("certificate_expires_ts")),
                "told_at": utc_time_of_epoch(ack.received),
            }
    if latest:
        known = await _registered(connection, set(latest))
        await _put(connection, _AGENTS, ("ven_id",), [latest[ven_id] for ven_id in known])


async def _registered(connection: AsyncConnection, ven_ids: set[str]) -> list[str]:
    if not ven_ids:
        return []
    vens: Table = VenRow.__table__  # type: ignore[assignment]
    found = await connection.scalars(select(vens.c.id).where(vens.c.id.in_(sorted(ven_ids))))
    return sorted(found)


async def _put(
    connection: AsyncConnection, table: Table, key: Sequence[str], rows: list[dict[str, Any]]
) -> None:
    if not rows:
        return
    kind = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    new = kind(table)
    changes = {name: new.excluded[name] for name in rows[0] if name not in key}
    await connection.execute(
        new.on_conflict_do_update(index_elements=list(key), set_=changes), rows
    )


def _merged(known: Any, news: dict[str, Any]) -> dict[str, Any]:
    """JSON Merge Patch (RFC 7396)."""
    merged = dict(known) if isinstance(known, dict) else {}
    for key, value in news.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merged(merged.get(key), value)
        else:
            merged[key] = value
    return merged


def _short(value: Any) -> str | None:
    return value[:500] if isinstance(value, str) else None


def _moment(epoch_sec: Any) -> datetime | None:
    usable = isinstance(epoch_sec, (int, float)) and 0 <= epoch_sec < _LATEST_TS
    return utc_time_of_epoch(epoch_sec) if usable else None
