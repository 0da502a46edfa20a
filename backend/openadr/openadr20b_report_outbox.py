"""Reports of OpenADR 2.0b that wait in the database until the VTN has them: a restart, or a VTN
that is away, loses none of a day."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from openleadr import objects
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.openadr import operator_side
from backend.openadr.openadr3_reporter import REPORTS, SEND_FOR, WAITING
from backend.openadr.vtn_link import VtnLink
from backend.store.database import Database

MOST_REPORTS_KEPT = 5_000
"""The oldest go first: a VTN that was away wants the latest."""
_AT_ONCE = 50


class OpenAdr20bReportOutbox:
    """For one link. What was sent is removed: nobody asks for it again."""

    def __init__(self, database: Database, link: VtnLink) -> None:
        self._database = database
        self._link = link

    async def put(self, reports: Sequence[objects.Report]) -> None:
        """Raises VtnLinkLost."""
        if not reports:
            return

        async def work(connection: AsyncConnection) -> None:
            now = await self._link.hold(connection)
            made = [
                {
                    "link": self._link.name,
                    "name": f"{now:%Y%m%dT%H%M%S.%f}-{number:04d}-{secrets.token_hex(4)}",
                    "vtn_event_id": "",
                    "state": WAITING,
                    "document": _document(report),
                    "attempts": 0,
                    "not_before": now,
                    "created_at": now,
                }
                for number, report in enumerate(reports)
            ]
            await connection.execute(insert(REPORTS), made)
            await self._remove_old(connection, now)

        await operator_side.in_transaction(self._database.engine, work)

    async def waiting(self) -> list[tuple[str, objects.Report]]:
        """Names and reports, the oldest first; not all at once."""
        statement = (
            select(REPORTS.c.name, REPORTS.c.document)
            .where(REPORTS.c.link == self._link.name)
            .order_by(REPORTS.c.name)
            .limit(_AT_ONCE)
        )
        async with self._database.engine.connect() as connection:
            rows = await connection.execute(statement)
            return [(row.name, _report(row.document)) for row in rows]

    async def remove(self, name: str) -> None:
        """The VTN has it, or never will take it."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(
                delete(REPORTS).where(REPORTS.c.link == self._link.name, REPORTS.c.name == name)
            )

        await operator_side.in_transaction(self._database.engine, work)

    async def _remove_old(self, connection: AsyncConnection, now: datetime) -> None:
        ours = REPORTS.c.link == self._link.name
        await connection.execute(delete(REPORTS).where(ours, REPORTS.c.created_at < now - SEND_FOR))
        count = await connection.scalar(select(func.count()).select_from(REPORTS).where(ours)) or 0
        if count > MOST_REPORTS_KEPT:
            oldest = (
                select(REPORTS.c.name)
                .where(ours)
                .order_by(REPORTS.c.name)
                .limit(count - MOST_REPORTS_KEPT)
            )
            names = list(await connection.scalars(oldest))
            await connection.execute(delete(REPORTS).where(ours, REPORTS.c.name.in_(names)))


def _document(report: objects.Report) -> dict[str, Any]:
    return {
        "specifier_id": report.report_specifier_id,
        "name": report.report_name,
        "request_id": report.report_request_id,
        "created": report.created_date_time.isoformat(),
        "intervals": [
            {
                "dtstart": interval.dtstart.isoformat(),
                "duration_sec": interval.duration.total_seconds() if interval.duration else None,
                "r_id": interval.report_payload.r_id,
                "value": interval.report_payload.value,
            }
            for interval in report.intervals
        ],
    }


def _report(document: Any) -> objects.Report:
    intervals = [
        objects.ReportInterval(
            dtstart=datetime.fromisoformat(each["dtstart"]),
            report_payload=objects.ReportPayload(r_id=each["r_id"], value=each["value"]),
            duration=timedelta(seconds=each["duration_sec"]) if each["duration_sec"] else None,
        )
        for each in document["intervals"]
    ]
    return objects.Report(
        report_specifier_id=document["specifier_id"],
        report_name=document["name"],
        report_request_id=document["request_id"],
        created_date_time=datetime.fromisoformat(document["created"]),
        dtstart=min(interval.dtstart for interval in intervals),
        intervals=intervals,
    )
