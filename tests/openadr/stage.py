"""A VEN between a VTN and a fleet: one turn of it after the other, as the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from openleadr.messaging import parse_message, validate_xml_schema
from sqlalchemy import select, update

from backend.dispatch.dispatcher import Dispatcher
from backend.openadr.openadr20b_service import OpenAdr20bService
from backend.openadr.openadr_settings import OpenAdrSettings
from backend.store.alert_tables import VenAlertRow
from backend.store.database import Database
from backend.store.openadr_tables import OpenAdrEventRow, OpenAdrPieceRow, OpenAdrReportRow
from backend.store.tables import EVENTS
from backend.store.utc_time import utc_now
from tests.backend.dispatching import Answering, add_vens, dispatching, eventually, rows
from tests.openadr import vtn3
from tests.openadr.vtn20b import Vtn20b, running_vtn20b, vtn20b_url
from tests.support.ports import free_port


def settings_for(url: str, version: str = "3.1", **more: str) -> OpenAdrSettings:
    return OpenAdrSettings.from_environment(
        {
            "OPENADR_VTN_URL": url,
            "OPENADR_VERSION": version,
            "OPENADR_CLIENT_ID": "ven-client",
            "OPENADR_CLIENT_SECRET": "secret",
            "OPENADR_VEN_NAME": "operator",
            "OPENADR_REPORT_GRACE_SEC": "0",
            "OPENADR_LEVELS": "1=25%,2=50%,3=9",
            **more,
        }
    )


@asynccontextmanager
async def service_for(
    database: Database, url: str, version: str = "3.1", **more: str
) -> AsyncIterator[Any]:
    from backend.openadr.openadr3_service import OpenAdr3Service

    service = OpenAdr3Service(database, settings_for(url, version, **more))
    try:
        yield service
    finally:
        await service.close()


@dataclass(frozen=True)
class OpenAdrStage:
    """A VTN, its VEN, and the dispatcher of a fleet whose sites answer at once."""

    vtn: vtn3.Vtn
    service: Any
    wire: Answering
    dispatcher: Dispatcher

    async def turn(self) -> None:
        """What the VTN has now is taken, and on its way to the sites."""
        await self.service.turn()
        self.dispatcher.wake.ring()

    async def sent(self, count: int) -> None:
        """So many commands have gone to the sites, in all."""
        await eventually(lambda: len(self.wire.sent) == count)


@asynccontextmanager
async def openadr3_stage(
    database: Database, fleet: dict[str, float]
) -> AsyncIterator[OpenAdrStage]:
    """`fleet`: what each VEN draws, kW."""
    await add_vens(database, fleet)
    wire = Answering(database)
    with vtn3.running() as vtn:
        async with (
            service_for(database, vtn.url) as service,
            dispatching(database, wire) as dispatcher,
        ):
            yield OpenAdrStage(vtn, service, wire, dispatcher)


@asynccontextmanager
async def openadr20b_service(
    database: Database, port: int, **more: str
) -> AsyncIterator[OpenAdr20bService]:
    service = OpenAdr20bService(database, settings_for(vtn20b_url(port), "2.0b", **more))
    try:
        yield service
    finally:
        await service.close()


@asynccontextmanager
async def openadr20b_stage(
    database: Database, fleet: dict[str, float]
) -> AsyncIterator[tuple[Vtn20b, OpenAdr20bService]]:
    """`fleet`: what each VEN draws, kW."""
    await add_vens(database, fleet)
    port = free_port()
    async with running_vtn20b(port) as vtn, openadr20b_service(database, port) as service:
        yield vtn, service


def read_20b_message(xml: str) -> tuple[str, Any]:
    """A message, once it is valid by the standard's schema."""
    validate_xml_schema(xml.encode())
    kind, payload = parse_message(xml.encode())
    return kind, payload


def hurry(service: Any) -> None:
    """The time is over in which a VTN that was not well is left alone."""
    service._quiet_until = 0.0


async def events(database: Database) -> list[Any]:
    """The operator's, in the order of their starts."""
    return sorted(await rows(database, EVENTS), key=lambda event: (event.start_time, event.id))


async def open_events(database: Database) -> list[Any]:
    return [event for event in await events(database) if event.status in ("scheduled", "active")]


async def vtn_event(database: Database, event_id: str) -> Any:
    (row,) = await rows(database, OpenAdrEventRow.__table__, OpenAdrEventRow.id == event_id)
    return row


async def pieces(database: Database) -> list[Any]:
    return await rows(database, OpenAdrPieceRow.__table__)


async def reports(database: Database) -> list[Any]:
    return await rows(database, OpenAdrReportRow.__table__)


async def alerts(database: Database) -> set[str]:
    async with database.engine.connect() as connection:
        return set(await connection.scalars(select(VenAlertRow.code)))


async def let_pass(database: Database, length: timedelta) -> None:
    """As if all that the database knows had happened so much earlier."""
    for table, columns in (
        (EVENTS, ("start_time", "end_time")),
        (OpenAdrPieceRow.__table__, ("start_time", "end_time")),
        (OpenAdrEventRow.__table__, ("first_seen_at", "changed_at")),
        (OpenAdrReportRow.__table__, ("not_before", "created_at")),
    ):
        for row in await rows(database, table):
            key = [column == row._mapping[column.name] for column in table.primary_key]
            values = {name: row._mapping[name] - length for name in columns}
            async with database.engine.begin() as connection:
                await connection.execute(update(table).where(*key).values(**values))


def in_sec(seconds: float) -> datetime:
    return utc_now() + timedelta(seconds=seconds)
