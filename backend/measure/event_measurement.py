"""Measures each event once it is over: `event_performance`, by VEN and in all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Double, Table, bindparam, delete, insert, or_, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.config.backend_settings import BackendSettings
from backend.measure.ven_baseline import (
    PRE_EVENT_SEC,
    USUAL_INTERVAL_SEC,
    VenBaselineTelemetry,
    choose_ven_baseline,
)
from backend.measure.ven_performance import (
    VenPerformance,
    VenPerformanceSlice,
    VenPerformanceWindow,
    measure_ven_performance,
    total_ven_performance,
)
from backend.process.timeouts import happens_within_timeout
from backend.store.bulk_copy import bulk_copy_rows
from backend.store.database import Database
from backend.store.database_errors import database_error_line, is_data_error
from backend.store.event_tables import (
    WHOLE_EVENT,
    EventPerformanceIntervalRow,
    EventPerformanceRow,
    EventRow,
    ParticipantRow,
)
from backend.store.tables import VENS
from backend.store.telemetry_tables import (
    TELEMETRY_IS_CURTAILED_SQL,
    TelemetryQuarterHourRow,
)
from backend.store.utc_time import UtcDateTime, utc_now
from VenAgent.baseline.day_matching import DAY_METHODS, LOOK_BACK_DAYS
from VenAgent.baseline.intervals import DAY_SEC, INTERVAL_SEC, IntervalHistory
from VenAgent.baseline.sampling_interval import sampling_gap_limit_sec
from VenAgent.baseline.site_calendar import SiteCalendar
from VenAgent.contract.op import Op

_log = structlog.get_logger(__name__)

EVENTS: Table = EventRow.__table__  # type: ignore[assignment]
TABLE: Table = EventPerformanceRow.__table__  # type: ignore[assignment]
INTERVALS: Table = EventPerformanceIntervalRow.__table__  # type: ignore[assignment]
_LOOK_SEC = 5.0
PROVEN_PERCENT = 50.0
"""A VEN that delivered so much of its share may be trusted."""
CANNOT_BE_MEASURED = "not measured: a fault of the backend, named in its log"
_VENS_AT_ONCE = 500
_GOOD = "(quality IS NULL OR quality = 'good') AND used_power_kw IS NOT NULL"
_SPAN = [bindparam("begin", type_=UtcDateTime()), bindparam("end", type_=UtcDateTime())]
_EPOCH = {"postgresql": "extract(epoch FROM {})", "sqlite": "(julianday({}) - 2440587.5) * 86400.0"}


async def run_event_measurement(
    database: Database, settings: BackendSettings, stop: asyncio.Event
) -> None:
    """Until `stop`. Several may run: an event is measured by one of them.

    Not to be cancelled on SQLite: work that is broken off leaves a connection that hangs.
    """
    while not stop.is_set():
        try:
            while await measure_next_event(database, settings, utc_now()) is not None:
                if stop.is_set():
                    return
        except (SQLAlchemyError, OSError) as error:
            _log.warning("measuring has to wait", error=database_error_line(error))
        await happens_within_timeout(stop, _LOOK_SEC)


async def measure_next_event(
    database: Database, settings: BackendSettings, now: datetime
) -> str | None:
    """Measure an event that is over and was not measured yet; its id, or None if there is none."""
    settled = now - timedelta(seconds=settings.measure_after_sec)
    async with database.engine.connect() as connection:
        event = (
            await connection.execute(
                select(EVENTS)
                .where(
                    EVENTS.c.measured_at.is_(None),
                    EVENTS.c.activated_at.is_not(None),
                    ~EVENTS.c.dry_run,
                    EVENTS.c.ended_at <= settled,
                )
                .order_by(EVENTS.c.ended_at)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
        ).one_or_none()
        if event is None:
            return None
        measured = update(EVENTS).where(EVENTS.c.id == event.id).values(measured_at=now)
        try:
            total = await _measure_event(connection, event, settings, now)
        except Exception as error:
            if isinstance(error, (SQLAlchemyError, OSError)) and not is_data_error(error):
                raise
            # Something in this event was not foreseen; the others must not wait for it for ever.
            _log.exception("an event cannot be measured", event_id=event.id)
            await connection.rollback()
            await _store_unmeasured(connection, event, now)
            await connection.execute(measured)
            await connection.commit()
            return str(event.id)
        await connection.execute(measured.values(actual_reduction_kw=total.achieved_shed_kw))
        await connection.commit()
    _log.info(
        "an event was measured",
        event_id=event.id,
        achieved_kw=total.achieved_shed_kw,
        delivered_kwh=total.delivered_kwh,
        confidence=total.confidence,
    )
    return str(event.id)


async def _store_unmeasured(connection: AsyncConnection, event: Any, now: datetime) -> None:
    """A settlement names the sites of an event also when their figures could not be made."""
    window = _window_of(event)
    nothing = replace(measure_ven_performance(None, window, (), None), note=CANNOT_BE_MEASURED)
    found = await connection.scalars(
        select(ParticipantRow.ven_id).where(ParticipantRow.event_id == event.id)
    )
    common = {**_columns_of_window(event, window, now), "vens": 1, "response_ms": None}
    rows = [{**common, "ven_id": ven_id} | asdict(nothing) for ven_id in sorted(found)]
    for table in (TABLE, INTERVALS):
        await connection.execute(delete(table).where(table.c.event_id == event.id))
    await bulk_copy_rows(connection, TABLE, rows)


def _window_of(event: Any) -> VenPerformanceWindow:
    begin = event.activated_at or event.start_time
    return VenPerformanceWindow(
        begin.timestamp(), max(begin, event.ended_at or event.end_time).timestamp()
    )


def _columns_of_window(event: Any, window: VenPerformanceWindow, now: datetime) -> dict[str, Any]:
    return {
        "event_id": event.id,
        "window_start": event.activated_at or event.start_time,
        "window_end": datetime.fromtimestamp(window.end, timezone.utc),
        "computed_at": now,
    }


async def _measure_event(
    connection: AsyncConnection, event: Any, settings: BackendSettings, now: datetime
) -> VenPerformance:
    """Write the rows of an event anew, within the caller's transaction; the whole's figures."""
    window = _window_of(event)
    for table in (TABLE, INTERVALS):
        await connection.execute(delete(table).where(table.c.event_id == event.id))
    participants = (
        await connection.execute(
            select(ParticipantRow.__table__)
            .where(ParticipantRow.event_id == event.id)
            .order_by(ParticipantRow.ven_id)
        )
    ).all()
    common = _columns_of_window(event, window, now)
    measured: list[VenPerformance] = []
    for at in range(0, len(participants), _VENS_AT_ONCE):
        some = participants[at : at + _VENS_AT_ONCE]
        found, intervals = await _measure_vens(connection, event, some, window, settings)
        await bulk_copy_rows(connection, INTERVALS, intervals)
        measured += found
        await connection.execute(
            insert(TABLE),
            [
                {**common, "ven_id": one.ven_id, "response_ms": one.response_ms, "vens": 1}
                | asdict(figures)
                for one, figures in zip(some, found, strict=True)
            ],
        )
    await _trust(
        connection,
        [
            one.ven_id
            for one, found in zip(participants, measured, strict=True)
            if _delivered(found)
        ],
    )
    requested_kw = event.requested_reduction_kw * _asked_part(event, window)
    total = total_ven_performance(requested_kw, measured)
    answers = [one.response_ms for one in participants if one.response_ms is not None]
    whole = {
        "ven_id": WHOLE_EVENT,
        "response_ms": sum(answers) / len(answers) if answers else None,
        "vens": len(measured),
    }
    await connection.execute(insert(TABLE), [{**common, **whole} | asdict(total)])
    return total


def _delivered(found: VenPerformance) -> bool:
    percent = found.shed_percentage
    return percent is not None and percent >= PROVEN_PERCENT and found.confidence >= 0.5


async def _trust(connection: AsyncConnection, ven_ids: Sequence[str]) -> None:
    """VENs that have delivered are asked as the others are."""
    for at in range(0, len(ven_ids), _VENS_AT_ONCE):
        some = sorted(ven_ids[at : at + _VENS_AT_ONCE])
        await connection.execute(
            update(VENS).where(VENS.c.id.in_(some), ~VENS.c.trusted).values(trusted=True)
        )


async def _measure_vens(
    connection: AsyncConnection,
    event: Any,
    participants: Sequence[Any],
    window: VenPerformanceWindow,
    settings: BackendSettings,
) -> tuple[list[VenPerformance], list[dict[str, Any]]]:
    """Their figures, and the rows of their quarter hours."""
    method = event.baseline_method or settings.baseline_method
    asked_part = _asked_part(event, window)
    ven_ids = [one.ven_id for one in participants]
    calendar = SiteCalendar(ZoneInfo(settings.measure_timezone))
    before = await _before(connection, ven_ids, window)
    slices = await _slices_by_gap(connection, event, ven_ids, window, before)
    histories = {}
    if method in DAY_METHODS:
        histories = await _histories(connection, ven_ids, window, calendar)
    found: list[VenPerformance] = []
    intervals: list[dict[str, Any]] = []
    for one in participants:
        earlier = before.get(one.ven_id)
        history = histories.get(one.ven_id, IntervalHistory(calendar=calendar))
        baseline = choose_ven_baseline(
            method,
            earlier,
            history,
            start_ts=window.start,
            end_ts=window.end,
        )
        interval_sec = earlier.interval_sec if earlier else USUAL_INTERVAL_SEC
        found.append(
            measure_ven_performance(
                one.assigned_shed_kw * asked_part,
                window,
                slices.get(one.ven_id, []),
                baseline,
                interval_sec,
                one.assigned_limit_kw,
            )
        )
        intervals += [
            {
                "event_id": event.id,
                "ven_id": one.ven_id,
                "start": _moment(max(piece.start, window.start)),
                "average_kw": piece.mean_kw,
                "baseline_kw": None if baseline is None else baseline.baseline.kw_at(piece.start),
                "seen_sec": piece.seen_sec or 0.0,
            }
            for piece in slices.get(one.ven_id, [])
        ]
    return found, intervals


def _asked_part(event: Any, window: VenPerformanceWindow) -> float:
    """How much of its power an event with intervals asked for, in the mean over its time."""
    if not event.intervals or not event.requested_reduction_kw or window.hours <= 0.0:
        return 1.0
    asked_kw_sec, at = 0.0, event.start_time.timestamp()
    for level in event.intervals:
        begin, end = max(at, window.start), min(at + level["duration_sec"], window.end)
        asked_kw_sec += level["shed_kw"] * max(0.0, end - begin)
        at += level["duration_sec"]
    return float(asked_kw_sec / (window.hours * 3_600.0 * event.requested_reduction_kw))


def _moment(epoch_sec: float) -> datetime:
    return datetime.fromtimestamp(epoch_sec, timezone.utc)


async def _before(
    connection: AsyncConnection, ven_ids: Sequence[str], window: VenPerformanceWindow
) -> dict[str, VenBaselineTelemetry]:
    """The five minutes before the event, by VEN."""
    epoch = _EPOCH[connection.dialect.name].format("t.timestamp")
    # `robust_recent_power_kw`, as the agent has it: without the highest and the lowest.
    cut = "CASE WHEN n < 5 THEN (n - 1) / 2 WHEN n < 40 THEN 1 ELSE n / 20 END"
    query = text(
        f"""SELECT ven_id, avg(CASE WHEN place > {cut} AND place <= n - {cut} THEN used_power_kw
                END), max(n), max(at) - min(at), max(CASE WHEN newest = 1 THEN used_power_kw END)
        FROM (SELECT t.ven_id, t.used_power_kw, {epoch} AS at, row_number()
                OVER (PARTITION BY t.ven_id ORDER BY t.timestamp DESC, t.seq DESC) AS newest,
                row_number() OVER (PARTITION BY t.ven_id ORDER BY t.used_power_kw) AS place,
                count(*) OVER (PARTITION BY t.ven_id) AS n
            FROM ven_telemetry t
            WHERE t.ven_id IN :vens AND t.timestamp >= :begin AND t.timestamp < :end
                AND NOT {TELEMETRY_IS_CURTAILED_SQL} AND {_GOOD}) AS samples
        GROUP BY ven_id"""
    ).bindparams(bindparam("vens", expanding=True), *_SPAN)
    span = {
        "begin": _moment(window.start - PRE_EVENT_SEC),
        "end": _moment(window.start),
    }
    rows = await connection.execute(query, {"vens": list(ven_ids), **span})
    return {
        ven_id: VenBaselineTelemetry(float(mean), float(last), count, float(span_sec))
        for ven_id, mean, count, span_sec, last in rows
    }


async def _slices_by_gap(
    connection: AsyncConnection,
    event: Any,
    ven_ids: Sequence[str],
    window: VenPerformanceWindow,
    before: Mapping[str, VenBaselineTelemetry],
) -> dict[str, list[VenPerformanceSlice]]:
    """The meter during the event by quarter hour, by VEN: what is a gap follows from how often each
    reports, as in the agent."""
    by_gap: dict[float, list[str]] = {}
    for ven_id in ven_ids:
        known = before.get(ven_id)
        limit_sec = sampling_gap_limit_sec(None if known is None else known.interval_sec)
        by_gap.setdefault(round(limit_sec, 1), []).append(ven_id)
    found: dict[str, list[VenPerformanceSlice]] = {}
    for limit_sec, some in by_gap.items():
        found |= await _slices(connection, event, some, window, limit_sec)
    return found


_IS_FOR_THIS_EVENT = """(event_id IS NULL OR event_id = :event
    OR event_id NOT IN (SELECT id FROM events WHERE kind <> 'limit'))"""


async def _slices(
    connection: AsyncConnection,
    event: Any,
    ven_ids: Sequence[str],
    window: VenPerformanceWindow,
    gap_limit_sec: float,
) -> dict[str, list[VenPerformanceSlice]]:
    """A reading stands until the next, or the event's end, unless that is longer than the limit.

    While a site sheds for an event that went before this one, it delivers nothing for this one.
    """
    epoch = _EPOCH[connection.dialect.name].format("timestamp")
    # A hair more: SQLite's days are a little short of the whole millisecond.
    number = f"CAST(floor((at + 0.0005) / {INTERVAL_SEC}) AS bigint)"
    stands = "CASE WHEN until - at <= :gap THEN until - at ELSE 0.0 END"
    query = text(
        f"""SELECT ven_id, {number} AS slice, avg(used_power_kw), count(*), sum({stands}),
            sum(used_power_kw * ({stands}))
        FROM (SELECT ven_id, used_power_kw, event_id, CAST({epoch} AS double precision) AS at,
                CAST(coalesce(lead({epoch}) OVER (PARTITION BY ven_id ORDER BY timestamp, seq),
                    :over) AS double precision) AS until
            FROM ven_telemetry
            WHERE ven_id IN :vens AND timestamp >= :begin AND timestamp < :end AND {_GOOD}) AS seen
        WHERE {"true" if event.kind == Op.LIMIT else _IS_FOR_THIS_EVENT}
        GROUP BY ven_id, slice ORDER BY ven_id, slice"""
    ).bindparams(
        bindparam("vens", expanding=True),
        bindparam("gap", type_=Double()),
        bindparam("over", type_=Double()),
        *_SPAN,
    )
    span: dict[str, Any] = {"begin": _moment(window.start), "end": _moment(window.end)}
    span |= {"gap": gap_limit_sec + 0.001, "over": window.end}
    if event.kind != Op.LIMIT:
        span["event"] = event.id
    found: dict[str, list[VenPerformanceSlice]] = {}
    for ven_id, slice_number, mean_kw, count, seen_sec, kw_sec in await connection.execute(
        query, {"vens": list(ven_ids), **span}
    ):
        start = int(slice_number) * INTERVAL_SEC
        if seen_sec > 0.0:
            mean_kw = kw_sec / seen_sec
        piece = VenPerformanceSlice(start, float(mean_kw), count, float(seen_sec))
        found.setdefault(ven_id, []).append(piece)
    return found


async def _histories(
    connection: AsyncConnection,
    ven_ids: Sequence[str],
    window: VenPerformanceWindow,
    calendar: SiteCalendar,
) -> dict[str, IntervalHistory]:
    """The quarter hours that similar days are made of, by VEN."""
    table = TelemetryQuarterHourRow.__table__
    earliest = _moment(window.start - (LOOK_BACK_DAYS + 2) * DAY_SEC)
    rows = await connection.execute(
        select(table.c.ven_id, table.c.start, table.c.used_power_kw, table.c.in_event).where(
            table.c.ven_id.in_(ven_ids),
            table.c.start >= earliest,
            table.c.start < _moment(window.start),
            or_(table.c.used_power_kw.is_not(None), table.c.in_event),
        )
    )
    means: dict[str, dict[int, float]] = {}
    shed: dict[str, set[int]] = {}
    for ven_id, start, power_kw, in_event in rows:
        at = round(start.timestamp())
        if power_kw is not None:
            means.setdefault(ven_id, {})[at] = power_kw
        if in_event:
            shed.setdefault(ven_id, set()).add(at)
    return {
        ven_id: IntervalHistory(means.get(ven_id, {}), shed.get(ven_id, set()), calendar)
        for ven_id in ven_ids
    }
