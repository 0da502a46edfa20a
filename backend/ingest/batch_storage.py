"""The few rows of a batch that are not bulk: registrations, load sets, acks, statuses, alerts.

Rows are sorted by key: instances that write the same rows must not wait for each other in a ring.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import (
    Boolean,
    Double,
    Table,
    Update,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.alerts.alert_store import alert_change_of, store_alert_changes
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_records import (
    IngestAckRecord,
    IngestAlertRecord,
    IngestStatusRecord,
    LoadSetKey,
)
from backend.ingest.known_panels import known_panel_digest
from backend.store.alert_tables import VenAlertRow
from backend.store.command_tables import (
    HEARTBEAT_CORRELATION_PREFIX,
    CommandAckRow,
    CommandRow,
)
from backend.store.event_tables import ParticipantRow
from backend.store.fleet_tables import LoadSetMemberRow, LoadSetRow, VenLoadSetRow, VenRow
from backend.store.ingest_tables import DeadLetterRow
from backend.store.statuses import (
    ACKED,
    MAINTENANCE,
    OFFLINE,
    ONLINE,
    REFUSING,
    SHEDDING,
)
from backend.store.telemetry_tables import TelemetryQuarterHourDueRow
from backend.store.utc_time import utc_now, utc_time_of_epoch
from VenAgent.contract.acks import AckStatus
from VenAgent.contract.op import EVENT_OPS, Op
from VenAgent.contract.reasons import ReasonCode

T = TypeVar("T")
ACK_CHANNEL = "ven_acks"
"""PostgreSQL's NOTIFY: an event's id, when acks of it were stored."""
_PASSING = (AckStatus.REBOUND.value, AckStatus.SUPERSEDED.value)
"""These do not change what a participant does: another ack of the event tells that."""


async def _add_new(
    connection: AsyncConnection,
    table: Any,
    rows: Sequence[dict[str, Any]],
    key: str,
    *,
    others_too: bool = False,
) -> set[Any]:
    """Insert `rows`, without those whose `key` is there already (`others_too`: or anything else
    that must be unique); the keys that were new."""
    if not rows:
        return set()
    kind = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    unique = None if others_too else [key]
    new = kind(table).on_conflict_do_nothing(index_elements=unique).returning(getattr(table, key))
    return set(await connection.scalars(new, rows))


async def register_batch_vens(
    connection: AsyncConnection, ven_ids: Iterable[str], now: datetime
) -> None:
    """VENs that send telemetry and are not known yet."""
    rows = [
        {
            "id": ven_id,
            "name": ven_id,
            "registration_id": ven_id,
            "trusted": False,
            "status": ONLINE,
            "status_since": now,
            "created_at": now,
        }
        for ven_id in sorted(ven_ids)
    ]
    await _add_new(connection, VenRow, rows, "id", others_too=True)
    # An operator may have given its name to another VEN as that one's registrationId.
    bare = [{**row, "registration_id": None} for row in rows]
    await _add_new(connection, VenRow, bare, "id")


async def batch_load_set_ids(
    connection: AsyncConnection, keys: Iterable[LoadSetKey], now: datetime
) -> dict[LoadSetKey, int]:
    """The ids of load sets, which are made where they are new."""
    digests = {known_panel_digest(key): key for key in keys}
    rows = [{"digest": digest, "created_at": now} for digest in sorted(digests)]
    await _add_new(connection, LoadSetRow, rows, "digest")
    found: dict[LoadSetKey, int] = {}
    for some in _slices(sorted(digests), 500):
        ids = await connection.execute(
            select(LoadSetRow.digest, LoadSetRow.id).where(LoadSetRow.digest.in_(some))
        )
        found.update({digests[bytes(digest)]: number for digest, number in ids})
    members = [
        {
            "load_set_id": number,
            "position": position,
            "load_id": load_id,
            "name": name,
            "type": kind,
            "capacity_kw": capacity_kw,
            "priority": priority,
        }
        for key, number in sorted(found.items(), key=lambda item: item[1])
        for position, (load_id, name, kind, capacity_kw, priority) in enumerate(key, start=1)
    ]
    dialect = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    if members:
        await connection.execute(dialect(LoadSetMemberRow).on_conflict_do_nothing(), members)
    return found


async def store_batch_load_sets(
    connection: AsyncConnection, uses: Iterable[tuple[str, int]]
) -> None:
    """Which VEN used which load set."""
    rows = [{"ven_id": ven_id, "load_set_id": number} for ven_id, number in sorted(uses)]
    kind = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    await connection.execute(kind(VenLoadSetRow).on_conflict_do_nothing(), rows)


def _slices(values: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (values[at : at + size] for at in range(0, len(values), size))


async def store_batch_acks(connection: AsyncConnection, acks: Sequence[IngestAckRecord]) -> int:
    """Acks, and what they mean for commands and participants; how many were new.

    One that the broker sends again means nothing more: later ones may have been stored since.
    """
    heartbeats = sum(is_heartbeat_ack(ack) for ack in acks)
    if heartbeats:
        acks = [ack for ack in acks if not is_heartbeat_ack(ack)]
    acks = await _tied(connection, acks)
    rows = [_ack_row(ack) for ack in sorted(acks, key=lambda ack: ack.digest)]
    new = await _add_new(connection, CommandAckRow, rows, "digest")
    acks = [ack for ack in acks if ack.digest in new]
    answered = [
        {
            "correlation": ack.correlation_id,
            "ven": ack.ven_id,
            "said": ack.status,
            "at": utc_time_of_epoch(ack.received),
        }
        for ack in sorted(acks, key=lambda ack: (ack.correlation_id or "", ack.timestamp))
        if ack.correlation_id is not None
    ]
    if answered:
        await connection.execute(_ANSWERED, answered)
    parts = [
        _participant_change(ack)
        for ack in sorted(acks, key=lambda ack: (ack.event_id or "", ack.ven_id, ack.timestamp))
        if ack.event_id is not None and ack.op in EVENT_OPS and ack.status not in _PASSING
    ]
    if parts:
        await connection.execute(_took_part(connection.dialect.name), parts)
    if connection.dialect.name == "postgresql":
        for event_id in sorted({ack.event_id for ack in acks if ack.event_id is not None}):
            await connection.execute(
                text("SELECT pg_notify(:channel, :event_id)"),
                {"channel": ACK_CHANNEL, "event_id": event_id},
            )
    return len(new) + heartbeats


def is_heartbeat_ack(ack: IngestAckRecord) -> bool:
    """Of a limit's heartbeat. It says nothing that a telemetry does not, and there would be
    thousands a day of each site."""
    return ack.op == Op.PING and (ack.correlation_id or "").startswith(HEARTBEAT_CORRELATION_PREFIX)


async def _tied(
    connection: AsyncConnection, acks: Sequence[IngestAckRecord]
) -> list[IngestAckRecord]:
    """Acks that name no event, with the event of the command that they answer."""
    wanted = {ack.correlation_id for ack in acks if ack.event_id is None and ack.correlation_id}
    events: dict[tuple[str, str], str] = {}
    for some in _slices(sorted(wanted), 500):
        found = await connection.execute(
            select(_commands.c.ven_id, _commands.c.correlation_id, _commands.c.event_id).where(
                _commands.c.correlation_id.in_(some), _commands.c.event_id.is_not(None)
            )
        )
        events.update({(row.ven_id, row.correlation_id): row.event_id for row in found})
    return [
        ack
        if ack.event_id is not None
        else ack._replace(event_id=events.get((ack.ven_id, ack.correlation_id or "")))
        for ack in acks
    ]


def _ack_row(ack: IngestAckRecord) -> dict[str, Any]:
    return {
        "digest": ack.digest,
        "ven_id": ack.ven_id,
        "event_id": ack.event_id,
        "correlation_id": ack.correlation_id,
        "timestamp": ack.timestamp,
        "op": ack.op,
        "status": ack.status,
        "requested_shed_kw": ack.requested_shed_kw,
        "actual_shed_kw": ack.actual_shed_kw,
        "circuits_curtailed": ack.circuits_curtailed,
        "raw_payload": ack.raw_payload,
        "created_at": utc_time_of_epoch(ack.received),
    }


_commands: Table = CommandRow.__table__  # type: ignore[assignment]
_ANSWERED = (
    update(_commands)
    .where(
        _commands.c.correlation_id == bindparam("correlation"),
        _commands.c.ven_id == bindparam("ven"),
    )
    .values(
        state=ACKED,
        ack_status=bindparam("said"),
        acked_at=func.coalesce(
            _commands.c.acked_at, bindparam("at", type_=_commands.c.acked_at.type)
        ),
    )
)


def _participant_change(ack: IngestAckRecord) -> dict[str, Any]:
    return {
        "event": ack.event_id,
        "ven": ack.ven_id,
        "said": ack.status,
        "shed": ack.actual_shed_kw,
        "basis": ack.shed_basis,
        "base": ack.baseline_kw,
        "why": ack.reason,
        "code": _participant_reason_code(ack),
        "limited": ack.raw_payload.get("limit_state") == "limited",
        "at": utc_time_of_epoch(ack.received),
        "ts": ack.timestamp,
    }


def _participant_reason_code(ack: IngestAckRecord) -> str | None:
    """While a failsafe limit rules, that: what else a site does meanwhile must not hide it, for by
    it the limit is given anew."""
    is_failsafe = ack.raw_payload.get("limit_state") == "failsafe" and ack.status in SHEDDING
    return ReasonCode.FAILSAFE.value if is_failsafe else ack.reason_code


_parts: Table = ParticipantRow.__table__  # type: ignore[assignment]


def _kept(column: str, name: str) -> Any:
    """What the ack says, or what was known when it says nothing."""
    return func.coalesce(bindparam(name, type_=_parts.c[column].type), _parts.c[column])


def _kept_but_failsafe(column: str, name: str) -> Any:
    """The same, but for a failsafe that is over: the site says that its limit rules, with the
    command that ended it perhaps, and no other reason. Nor is the reason of a refusal that of what
    the site agrees to later."""
    said = bindparam("said", type_=_parts.c.status.type)
    over = or_(
        and_(
            bindparam("limited", type_=Boolean()),
            _parts.c.reason_code == ReasonCode.FAILSAFE.value,
        ),
        # Without IN, which goes not with many rows at once.
        and_(
            or_(*(_parts.c.status == status for status in REFUSING)),
            or_(*(said == status for status in SHEDDING)),
        ),
    )
    return case((over, bindparam(name, type_=_parts.c[column].type)), else_=_kept(column, name))


def _milliseconds_since_commanded(at: Any, dialect: str) -> Any:
    """From the command's publishing to `at`; null when it is not known, never negative."""
    commanded = _parts.c.commanded_at
    if dialect == "postgresql":
        passed = func.extract("epoch", at - commanded) * 1000.0
        return cast(func.greatest(passed, 0.0), Double)
    return func.max((func.julianday(at) - func.julianday(commanded)) * 86_400_000.0, 0.0)


@lru_cache(maxsize=2)
def _took_part(dialect: str) -> Update:
    at = bindparam("at", type_=_parts.c.first_ack_at.type)
    ts = bindparam("ts", type_=_parts.c.last_ack_at.type)
    return (
        update(_parts)
        .where(
            _parts.c.event_id == bindparam("event"),
            _parts.c.ven_id == bindparam("ven"),
            # The last: the VEN's clock was ahead, and is right again.
            or_(
                _parts.c.last_ack_at.is_(None),
                _parts.c.last_ack_at <= ts,
                _parts.c.last_ack_at > at,
            ),
        )
        .values(
            status=bindparam("said"),
            actual_shed_kw=_kept("actual_shed_kw", "shed"),
            shed_basis=_kept("shed_basis", "basis"),
            baseline_kw=_kept("baseline_kw", "base"),
            reason=_kept_but_failsafe("reason", "why"),
            reason_code=_kept_but_failsafe("reason_code", "code"),
            response_ms=func.coalesce(
                _parts.c.response_ms, _milliseconds_since_commanded(at, dialect)
            ),
            first_ack_at=func.coalesce(_parts.c.first_ack_at, at),
            last_ack_at=ts,
        )
    )


async def store_batch_statuses(
    connection: AsyncConnection, statuses: Sequence[IngestStatusRecord]
) -> None:
    """Online and offline, as VENs and their last wills say; an earlier boot's will says nothing."""
    latest: dict[str, IngestStatusRecord] = {}
    for status in statuses:
        before = latest.get(status.ven_id)
        if before is None or not status.is_of_earlier_boot_than(before):
            latest[status.ven_id] = status
    vens: Table = VenRow.__table__  # type: ignore[assignment]
    rows = [
        {
            "ven": ven_id,
            "said": ONLINE if status.online else OFFLINE,
            "since": utc_time_of_epoch(status.received),
            "boot": status.boot_id,
            "sure": status.online or status.boot_id is None,
            "at": utc_time_of_epoch(min(status.said_at or 0.0, status.received)),
        }
        for ven_id, status in sorted(latest.items())
    ]
    boot = bindparam("boot", type_=vens.c.boot_id.type)
    if rows:
        await connection.execute(
            update(vens)
            .where(vens.c.id == bindparam("ven"), vens.c.status != MAINTENANCE)
            .where(
                or_(
                    bindparam("sure", type_=Boolean),
                    vens.c.boot_id.is_(None),
                    vens.c.boot_id == boot,
                    vens.c.status_since <= bindparam("at", type_=vens.c.status_since.type),
                )
            )
            .values(
                status=bindparam("said"),
                status_since=bindparam("since", type_=vens.c.status_since.type),
                boot_id=func.coalesce(boot, vens.c.boot_id),
            ),
            rows,
        )


async def store_batch_alerts(
    connection: AsyncConnection, alerts: Sequence[IngestAlertRecord]
) -> int:
    """Alerts; how many were new."""
    rows = [
        {**alert._asdict(), "created_at": utc_time_of_epoch(alert.received)}
        for alert in sorted(alerts, key=lambda alert: alert.digest)
    ]
    reasons = {}
    for row in rows:
        del row["received"]
        reasons[row["digest"]] = row.pop("reason_code")
    new = await _add_new(connection, VenAlertRow, rows, "digest")
    changes = [
        alert_change_of({**row, "reason_code": reasons[row["digest"]]})
        for row in rows
        if row["digest"] in new
    ]
    await store_alert_changes(connection, changes, utc_now())
    return len(new)


async def mark_batch_quarter_hours_due(
    connection: AsyncConnection, quarter_hours: Iterable[datetime]
) -> None:
    """Quarters of an hour that are to be summed up (again).

    A mark that is there is locked: it must not be taken away before this transaction's rows count.
    """
    rows = [{"start": start} for start in sorted(quarter_hours)]
    if rows:
        kind = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
        new = kind(TelemetryQuarterHourDueRow)
        change = new.on_conflict_do_update(
            index_elements=["start"], set_={"start": new.excluded.start}
        )
        await connection.execute(change, rows)


async def store_batch_refusals(
    connection: AsyncConnection, source: str, refused: Sequence[tuple[IngestMessage, str]]
) -> None:
    """What could not be read, as it came, with the reason."""
    rows = [
        {
            "received_at": utc_time_of_epoch(message.received),
            "source": source,
            "topic": message.topic.replace("\0", "\N{REPLACEMENT CHARACTER}"),
            "ven_id": None,
            "reason": reason.replace("\0", "\N{REPLACEMENT CHARACTER}")[:1_000],
            "payload": message.payload,
        }
        for message, reason in refused
    ]
    if rows:
        await connection.execute(insert(DeadLetterRow), rows)
