"""Makes the reports that are due and sends them, again and again until the VTN has them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import structlog
from sqlalchemy import Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.openadr import openadr3_report, operator_fleet, operator_side
from backend.openadr.commanded_pieces import commanded_pieces_of
from backend.openadr.openadr3_report import OpenAdr3ReportCovered, OpenAdr3ReportDue
from backend.openadr.openadr3_vtn import OpenAdr3Vtn, OpenAdr3VtnError, OpenAdr3VtnRefused
from backend.openadr.openadr_settings import OpenAdrSettings
from backend.openadr.operator_fleet import OperatorPower, OperatorSite
from backend.openadr.reconciler import CANCELLED, EVENTS, OPT_OUT, reconciler_document
from backend.openadr.schedule import schedule_vens
from backend.openadr.vtn_event import VtnEvent, VtnEventProblem
from backend.openadr.vtn_link import VtnLink
from backend.store.database import Database
from backend.store.openadr_tables import OpenAdrReportRow

log = structlog.get_logger(__name__)

REPORTS = cast(Table, OpenAdrReportRow.__table__)
WAITING, SENT, GIVEN_UP = "waiting", "sent", "given_up"
SEND_FOR = timedelta(hours=24)
_AT_ONCE = 50
LEAST_SEEN, WHOLLY_SEEN = 0.1, 0.9
"""Of the time of an interval: read less, its value is missing; less than the other, estimated from
what was read."""


class OpenAdr3Reporter:
    """For one link of OpenADR 3."""

    def __init__(
        self, database: Database, settings: OpenAdrSettings, link: VtnLink, vtn: OpenAdr3Vtn
    ) -> None:
        self._database = database
        self._settings = settings
        self._link = link
        self._vtn = vtn

    async def make_due(self) -> None:
        """Put what is due into the outbox, each report once. Raises VtnLinkLost."""
        await operator_side.in_transaction(self._database.engine, self._make_due)

    async def send_due(self) -> None:
        """Send what waits, the oldest first. Raises OpenAdr3VtnError when the VTN is away."""
        for row in await self._waiting():
            values: dict[str, Any] = {"attempts": row.attempts + 1}
            now = await self._now()
            try:
                is_there = row.attempts > 0 and await self._vtn.has_report(
                    row.vtn_event_id, row.name
                )
                if not is_there:
                    await self._vtn.send_report(dict(row.document))
                values |= {"state": SENT, "sent_at": now, "error": None}
            except OpenAdr3VtnRefused as error:
                values |= {"state": GIVEN_UP, "error": str(error)[:500]}
                log.error("the VTN refuses a report", report=row.name, error=str(error))
            except OpenAdr3VtnError as error:
                wait_sec = min(5.0 * 2 ** min(row.attempts, 10), self._settings.most_backoff_sec)
                wait_sec *= random.uniform(0.8, 1.2)
                values |= {
                    "error": str(error)[:500],
                    "not_before": now + timedelta(seconds=wait_sec),
                }
                if now - row.created_at > SEND_FOR:
                    values["state"] = GIVEN_UP
                await self._mark(row.name, values)
                raise
            await self._mark(row.name, values)

    async def _now(self) -> datetime:
        async with self._database.engine.connect() as connection:
            return await operator_side.database_now(connection)

    async def _waiting(self) -> Sequence[Any]:
        now = await self._now()
        statement = (
            select(REPORTS)
            .where(
                REPORTS.c.link == self._link.name,
                REPORTS.c.state == WAITING,
                REPORTS.c.not_before <= now,
            )
            .order_by(REPORTS.c.created_at)
            .limit(_AT_ONCE)
        )
        async with self._database.engine.connect() as connection:
            return (await connection.execute(statement)).all()

    async def _mark(self, name: str, values: Mapping[str, Any]) -> None:
        async def work(connection: AsyncConnection) -> None:
            await connection.execute(
                update(REPORTS)
                .where(REPORTS.c.link == self._link.name, REPORTS.c.name == name)
                .values(**values)
            )

        await operator_side.in_transaction(self._database.engine, work)

    # --- what is due ---------------------------------------------------------------------------

    async def _make_due(self, connection: AsyncConnection) -> None:
        now = await self._link.hold(connection)
        rows = await connection.execute(
            select(EVENTS).where(
                EVENTS.c.link == self._link.name,
                EVENTS.c.status != CANCELLED,
                (EVENTS.c.status == "open")
                | (EVENTS.c.changed_at > now - openadr3_report.MADE_UP_FOR),
            )
        )
        for row in rows.all():
            event = reconciler_document(row)
            problems = [VtnEventProblem(**each) for each in row.problems]
            problems = [each for each in problems if each.code != "not_for_this_ven"]
            due = openadr3_report.due_openadr3_reports(
                event,
                now_means=row.first_seen_at,
                delay=timedelta(seconds=row.delay_sec),
                now=now - timedelta(seconds=self._settings.report_grace_sec),
            )
            wanted = {
                self._name(event, f"{d.position}-{d.number}"): d
                for d in due
                if d.at > now - openadr3_report.MADE_UP_FOR
            }
            said = f"answer-{_digest(problems, row.opt)}"
            answer = self._name(event, said) if problems else None
            names = set(wanted) | ({answer} if answer else set())
            if not names:
                continue
            known = set(
                await connection.scalars(
                    select(REPORTS.c.name).where(
                        REPORTS.c.link == self._link.name, REPORTS.c.name.in_(names)
                    )
                )
            )
            if answer is not None and answer not in known:
                is_out = row.opt == OPT_OUT
                body = self._answer(event, answer, problems, is_out=is_out)
                await self._put(connection, event, answer, body)
            for name, each in wanted.items():
                if name not in known:
                    made = await self._report(connection, event, name, each)
                    if made is not None:
                        await self._put(connection, event, name, made)

    def _name(self, event: VtnEvent, suffix: str) -> str:
        return f"{self._settings.ven_name}-{event.id}-{suffix}"

    async def _put(
        self, connection: AsyncConnection, event: VtnEvent, name: str, body: dict[str, Any]
    ) -> None:
        now = await operator_side.database_now(connection)
        await connection.execute(
            insert(REPORTS).values(
                link=self._link.name,
                name=name,
                vtn_event_id=event.id,
                state=WAITING,
                document=body,
                attempts=0,
                not_before=now,
                created_at=now,
            )
        )

    def _answer(
        self,
        event: VtnEvent,
        name: str,
        problems: Sequence[VtnEventProblem],
        *,
        is_out: bool = False,
    ) -> dict[str, Any]:
        """OpenADR 3 knows no opt-out of an event: a report says what is not done, and why; and that
        we are out of it, when nothing of it is done."""
        said = [f"{problem.code}: {problem.text}"[:500] for problem in problems]
        payloads = [{"type": openadr3_report.ANSWER, "values": said}]
        if is_out:
            payloads.insert(0, {"type": openadr3_report.STATE, "values": ["RUNNING_OPTED_OUT"]})
        return openadr3_report.openadr3_report_body(
            event=event,
            version=self._settings.version,
            client_name=self._settings.ven_name,
            name=name,
            descriptors=[
                openadr3_report.openadr3_report_descriptor(str(payload["type"]), None, None)
                for payload in payloads
            ],
            resources=[
                {
                    "resourceName": openadr3_report.AGGREGATED,
                    "intervals": [{"id": 0, "payloads": payloads}],
                }
            ],
        )

    async def _report(
        self, connection: AsyncConnection, event: VtnEvent, name: str, due: OpenAdr3ReportDue
    ) -> dict[str, Any] | None:
        request = due.request
        scaled = openadr3_report.openadr3_report_scale(request)
        is_ours = openadr3_report.openadr3_report_reading_is_ours(request)
        if request.payload_type not in openadr3_report.SUPPORTED or scaled is None or not is_ours:
            what = f"a report {request.payload_type} in {request.units or 'no units'}"
            what += f", {request.reading_type}" if request.reading_type else ""
            problem = VtnEventProblem("report_not_supported", f"{what}: this VEN has none")
            await operator_side.raise_operator_alert(
                connection,
                code=f"openadr_{problem.code}",
                text=problem.text,
                subject=f"{self._link.name}/{event.id}",
                context={"eventId": event.id},
            )
            return self._answer(event, name, [problem])
        units, factor = scaled
        groups = await self._groups(connection, event, request.targets)
        every = sorted({ven_id for ven_ids in groups.values() for ven_id in ven_ids})
        pieces = await commanded_pieces_of(connection, self._link.name, event.id)
        sites = {
            covered: {
                site.ven_id: site
                for site in await operator_fleet.operator_sites(
                    connection,
                    every,
                    [
                        piece.event_id
                        for piece in pieces
                        if piece.start_time < covered.end and piece.end_time > covered.start
                    ],
                )
            }
            for covered in due.covers
        }
        powers = {
            covered: await operator_fleet.operator_power(
                connection, every, covered.start, covered.end
            )
            for covered in due.covers
        }
        raises: dict[OpenAdr3ReportCovered, dict[str, float | None]] = {}
        if request.payload_type == openadr3_report.DOWN:
            raises = {
                covered: await operator_fleet.operator_raise_kw(
                    connection, every, covered.start, covered.end
                )
                for covered in due.covers
            }
        if request.aggregate:
            groups = {openadr3_report.AGGREGATED: every}
        resources = [
            {
                "resourceName": resource,
                "intervals": [
                    openadr3_report.openadr3_report_interval(
                        covered,
                        _payloads(
                            request.payload_type,
                            units,
                            factor,
                            covered,
                            [
                                (
                                    sites[covered][v],
                                    powers[covered].get(v),
                                    raises.get(covered, {}).get(v),
                                )
                                for v in ven_ids
                                if v in sites[covered]
                            ],
                        ),
                    )
                    for covered in due.covers
                ],
            }
            for resource, ven_ids in groups.items()
        ]
        return openadr3_report.openadr3_report_body(
            event=event,
            version=self._settings.version,
            client_name=self._settings.ven_name,
            name=name,
            descriptors=[
                openadr3_report.openadr3_report_descriptor(
                    request.payload_type, units, request.reading_type
                )
            ],
            resources=resources,
        )

    async def _groups(
        self, connection: AsyncConnection, event: VtnEvent, targets: Sequence[str]
    ) -> dict[str, Sequence[str]]:
        """By resource its VENs: those that the event, or the descriptor, is for."""
        known = await operator_fleet.operator_known_vens(connection)
        chosen = schedule_vens(
            event.targets,
            ven_name=self._settings.ven_name,
            resources=self._settings.resources or None,
            known_vens=known,
        )
        if isinstance(chosen, VtnEventProblem):
            return {}
        asked = set(known if chosen is None else chosen)
        groups: dict[str, Sequence[str]] = (
            {n: [v for v in ids if v in asked] for n, ids in self._settings.resources.items()}
            if self._settings.resources
            else {ven_id: [ven_id] for ven_id in sorted(asked)}
        )
        wanted = {name for name in groups if name in targets}
        return {n: ids for n, ids in groups.items() if ids and (not wanted or n in wanted)}


def _payloads(
    kind: str,
    units: str | None,
    factor: float,
    covered: OpenAdr3ReportCovered,
    parts: Sequence[tuple[OperatorSite, OperatorPower | None, float | None]],
) -> list[dict[str, Any]]:
    """Of one resource in one stretch of time; what was not read is said to be missing."""
    if kind == openadr3_report.STATE:
        return [{"type": kind, "values": [_state([site for site, _, _ in parts])]}]
    hours = (covered.end - covered.start).total_seconds() / 3_600.0
    is_seen = True
    if kind in (openadr3_report.UP, openadr3_report.SHED_AVAILABLE):
        values = [site.shed_available_kw for site, _, _ in parts]
        hours = 1.0
    elif kind == openadr3_report.DOWN:
        values = [raise_kw for _, _, raise_kw in parts]
        hours = 1.0
    else:
        read_parts = [
            power if power is not None and power.seen_share >= LEAST_SEEN else None
            for _, power, _ in parts
        ]
        is_seen = all(power is None or power.seen_share >= WHOLLY_SEEN for power in read_parts)
        is_baseline = kind == openadr3_report.BASELINE
        values = [
            None if power is None else power.baseline_kw if is_baseline else power.used_kw
            for power in read_parts
        ]
    is_energy = units in ("KWH", "WH", "MWH")
    read = [value for value in values if value is not None]
    total = round(sum(read) * (hours if is_energy else 1.0) * factor, 4)
    is_whole = bool(values) and len(read) == len(values) and is_seen
    quality = "OK" if is_whole else "ESTIMATED" if read else "MISSING"
    payloads: list[dict[str, Any]] = [{"type": kind, "values": [total] if read else []}]
    if quality != "OK":
        payloads.append({"type": "DATA_QUALITY", "values": [quality]})
    return payloads


def _state(sites: Sequence[OperatorSite]) -> str:
    """Of a resource: what most of its sites that are there do."""
    if not any(site.is_online for site in sites):
        return "ERROR"
    if any(site.sheds for site in sites):
        return "RUNNING_CURTAILED"
    if any(site.draws_more for site in sites):
        return "RUNNING_HEIGHTENED"
    return "RUNNING_OPTED_OUT" if any(site.opted_out for site in sites) else "RUNNING_NORMAL"


def _digest(problems: Sequence[VtnEventProblem], opt: str) -> str:
    said = "\0".join([opt, *(f"{problem.code}\0{problem.text}" for problem in problems)])
    return hashlib.blake2b(said.encode(), digest_size=5).hexdigest()


async def _next_due_sec(connection: AsyncConnection, link: str, now: datetime) -> float | None:
    """Until a report is to be sent again."""
    first = await connection.scalar(
        select(func.min(REPORTS.c.not_before)).where(
            REPORTS.c.link == link, REPORTS.c.state == WAITING
        )
    )
    return None if first is None else max((first - now).total_seconds(), 0.0)
