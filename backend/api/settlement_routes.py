"""Settlement: what events delivered, by programme, month and site, with how it was measured.

Tests stand apart unless they are asked for; dry runs deliver nothing and are not in it. A VEN that
was not measured has no kWh and says why.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Response
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import Uses
from backend.api.authentication import Reader
from backend.api.request_fields import (
    ID_PATTERN,
    End,
    Start,
    TimeZoneField,
    invalid_request_field,
)
from backend.api.settlement_responses import SettlementResponse
from backend.store.event_tables import (
    WHOLE_EVENT,
    EventPerformanceIntervalRow,
    EventPerformanceRow,
)
from backend.store.programme_tables import ProgrammeRow
from backend.store.tables import EVENTS, VENS
from VenAgent.contract.op import Op

router = APIRouter(prefix="/api/settlement", tags=["Settlement"])
_MEASURED: Any = EventPerformanceRow.__table__
_INTERVALS: Any = EventPerformanceIntervalRow.__table__
MOST_ROWS = 100_000
Chosen = Annotated[str | None, Query(pattern=ID_PATTERN)]


@router.get("", response_model=SettlementResponse)
async def get_settlement(
    uses: Uses,
    _actor: Reader,
    month: Annotated[
        str | None, Query(pattern="^20[0-9]{2}-(0[1-9]|1[0-2])$", examples=["2030-06"])
    ] = None,
    start: Start = None,
    end: End = None,
    programme_id: Chosen = None,
    event_id: Chosen = None,
    ven_id: Chosen = None,
    tests: Annotated[bool, Query(description="Of test events in place of the others.")] = False,
    intervals: Annotated[bool, Query(description="With each quarter hour.")] = False,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    time_zone: Annotated[TimeZoneField | None, Query(alias="timezone")] = None,
) -> Any:
    """By event and site. `format=csv` has a row a site's event, with `intervals` one a quarter hour
    of it. Events begin in `month`, or from `start` up to `end`. A month is of `timezone`, else of
    the programme's that is named, else UTC's."""
    zone = ZoneInfo(time_zone or await _programme_zone(uses, programme_id))
    if month is not None:
        if start is not None or end is not None:
            raise invalid_request_field("month", "give month, or start and end")
        year, number = map(int, month.split("-"))
        start = datetime(year, number, 1, tzinfo=zone).astimezone(timezone.utc)
        end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=zone)
        end = end.astimezone(timezone.utc)
    where = [EVENTS.c.test == tests]
    if start is not None:
        where.append(EVENTS.c.start_time >= start)
    if end is not None:
        where.append(EVENTS.c.start_time < end)
    for column, value in (
        (EVENTS.c.programme_id, programme_id),
        (EVENTS.c.id, event_id),
        (_MEASURED.c.ven_id, ven_id),
    ):
        if value is not None:
            where.append(column == value)
    async with uses.database.engine.connect() as connection:
        sites = await _sites(connection, where)
        if intervals or form == "csv":
            await _put_intervals(connection, sites, where)
    if form == "csv":
        text = "".join(_csv(sites, with_intervals=intervals))
        name = f"settlement-{month or 'events'}.csv"
        disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(text, media_type="text/csv", headers=disposition)
    return {
        "start": start,
        "end": end,
        "sites": sites,
        "totals": _totals(sites, zone),
        "truncated": len(sites) == MOST_ROWS,
    }


async def _programme_zone(uses: Uses, programme_id: str | None) -> str:
    if programme_id is None:
        return "UTC"
    async with uses.database.engine.connect() as connection:
        found = select(ProgrammeRow.timezone).where(ProgrammeRow.id == programme_id)
        zone: str | None = await connection.scalar(found)
    return zone or "UTC"


async def _sites(connection: AsyncConnection, where: list[Any]) -> list[dict[str, Any]]:
    columns = (
        EVENTS.c.programme_id,
        ProgrammeRow.name.label("programme_name"),
        EVENTS.c.kind,
        EVENTS.c.test,
        EVENTS.c.start_time,
        *(column for column in _MEASURED.c if column.name not in ("vens", "computed_at")),
        func.coalesce(VENS.c.name, _MEASURED.c.ven_id).label("ven_name"),
    )
    statement = (
        select(*columns)
        .select_from(
            _MEASURED.join(EVENTS, EVENTS.c.id == _MEASURED.c.event_id)
            .outerjoin(VENS, VENS.c.id == _MEASURED.c.ven_id)
            .outerjoin(ProgrammeRow.__table__, ProgrammeRow.id == EVENTS.c.programme_id)
        )
        .where(_MEASURED.c.ven_id != WHOLE_EVENT, *where)
        .order_by(EVENTS.c.start_time, EVENTS.c.id, _MEASURED.c.ven_id)
        .limit(MOST_ROWS)
    )
    return [_site(row) for row in (await connection.execute(statement)).all()]


def _site(row: Any) -> dict[str, Any]:
    """What a limit held off is no delivery: what is shed under it is settled with the event that
    asked for it."""
    site = {**row._mapping, "held_off_kwh": None, "intervals": []}
    if row.kind == Op.LIMIT.value and row.delivered_kwh is not None:
        site |= {"held_off_kwh": row.delivered_kwh, "delivered_kwh": 0.0}
    return site


async def _put_intervals(
    connection: AsyncConnection, sites: list[dict[str, Any]], where: list[Any]
) -> None:
    statement = (
        select(_INTERVALS)
        .select_from(
            _INTERVALS.join(EVENTS, EVENTS.c.id == _INTERVALS.c.event_id).join(
                _MEASURED,
                (_MEASURED.c.event_id == _INTERVALS.c.event_id)
                & (_MEASURED.c.ven_id == _INTERVALS.c.ven_id),
            )
        )
        .where(*where)
        .order_by(_INTERVALS.c.start)
    )
    of_site = {(site["event_id"], site["ven_id"]): site for site in sites}
    for row in await connection.execute(statement):
        site = of_site.get((row.event_id, row.ven_id))
        if site is not None:
            site["intervals"].append(
                {
                    "start": row.start,
                    "average_kw": row.average_kw,
                    "baseline_kw": row.baseline_kw,
                    "seen_sec": row.seen_sec,
                    "delivered_kwh": _delivered_kwh(site, row),
                }
            )


def _delivered_kwh(site: dict[str, Any], row: Any) -> float | None:
    if row.baseline_kw is None or site["delivered_kwh"] is None:
        return None
    if site["kind"] == Op.LIMIT.value:
        return 0.0
    return float((row.baseline_kw - row.average_kw) * row.seen_sec / 3_600.0)


def _totals(sites: list[dict[str, Any]], zone: ZoneInfo) -> list[dict[str, Any]]:
    """By programme and month, in which the events begin."""
    found: dict[tuple[str | None, str], dict[str, Any]] = {}
    for site in sites:
        key = (site["programme_id"], f"{site['start_time'].astimezone(zone):%Y-%m}")
        total = found.setdefault(
            key,
            {
                "programme_id": key[0],
                "programme_name": site["programme_name"],
                "month": key[1],
                "events": set(),
                "vens": set(),
                "delivered_kwh": 0.0,
                "not_measured": 0,
            },
        )
        total["events"].add(site["event_id"])
        total["vens"].add(site["ven_id"])
        if site["delivered_kwh"] is None:
            total["not_measured"] += 1
        else:
            total["delivered_kwh"] += site["delivered_kwh"]
    return [
        {**total, "events": len(total["events"]), "vens": len(total["vens"])}
        for _, total in sorted(found.items(), key=lambda item: (item[0][1], item[0][0] or ""))
    ]


_COLUMNS = (
    *("programme_id", "event_id", "kind", "test", "ven_id", "ven_name", "window_start"),
    *("window_end", "baseline_method", "baseline_kw", "average_kw", "requested_shed_kw"),
    *("achieved_shed_kw", "delivered_kwh", "confidence", "limit_kw", "highest_kw"),
    *("over_limit_kwh", "samples", "expected_samples", "unseen_sec", "note", "held_off_kwh"),
)
_INTERVAL_COLUMNS = ("start", "baseline_kw", "average_kw", "seen_sec", "delivered_kwh")


def _csv(sites: list[dict[str, Any]], *, with_intervals: bool) -> Iterator[str]:
    more = tuple(f"interval_{name}" for name in _INTERVAL_COLUMNS) if with_intervals else ()
    yield _line((*_COLUMNS, *more))
    for site in sites:
        known = [_plain(site[name]) for name in _COLUMNS]
        if not with_intervals:
            yield _line(known)
            continue
        for interval in site["intervals"] or [dict.fromkeys(_INTERVAL_COLUMNS)]:
            yield _line((*known, *(_plain(interval[name]) for name in _INTERVAL_COLUMNS)))


def _line(values: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(values)
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    """As a cell: a text that a spreadsheet would take for a formula is quoted."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
