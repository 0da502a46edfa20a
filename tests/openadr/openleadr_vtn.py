"""openleadr's own VTN of OpenADR 2.0b, and a VEN of it between that and a fleet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from openleadr import OpenADRServer
from openleadr.messaging import parse_message, validate_xml_schema

from backend.openadr.openadr20b_service import OpenAdr20bService
from backend.store.database import Database
from tests.backend.dispatching import add_vens
from tests.openadr.stage import settings_for
from tests.support.ports import free_port


class OpenLeadrVtn:
    """openleadr's server, and what the VEN told it."""

    def __init__(self, port: int, **options: Any) -> None:
        self.server = OpenADRServer(
            vtn_id="VTN",
            http_port=port,
            requested_poll_freq=timedelta(seconds=1),
            show_fingerprint=False,
            **options,
        )
        self.registrations = 0
        self.opts: list[tuple[str, str]] = []
        self.offered: list[str] = []
        self.states: list[tuple[str, float]] = []
        self.measured: list[tuple[str, datetime, float]] = []
        self.server.add_handler("on_create_party_registration", self._register)
        self.server.add_handler("on_register_report", self._offer)

    def event(self, payloads: list[float], **more: Any) -> str:
        start = more.pop("start", None) or datetime.now(timezone.utc)
        length = more.pop("duration", timedelta(hours=1))
        more = {"signal_name": "simple", "signal_type": "level", **more}
        intervals = [
            {"dtstart": start + n * length, "duration": length, "signal_payload": payload}
            for n, payload in enumerate(payloads)
        ]
        return str(self.server.add_event("ven-1", intervals=intervals, callback=self._opt, **more))

    def cancel(self, event_id: str) -> None:
        self.server.cancel_event("ven-1", event_id)

    async def _register(self, _info: Any) -> tuple[str, str]:
        self.registrations += 1
        return "ven-1", "registration-1"

    async def _offer(
        self,
        ven_id: str,
        resource_id: str,
        measurement: str,
        unit: str | None,
        scale: str | None,
        min_sampling_interval: timedelta,
        max_sampling_interval: timedelta,
    ) -> Any:
        self.offered.append(f"{resource_id} {measurement} {scale}{unit}")
        if measurement == "RealPower":

            async def keep(data: list[tuple[datetime, float]]) -> None:
                self.measured += [(resource_id, at, value) for at, value in data]

            return keep, timedelta(seconds=1), timedelta(seconds=1)

        async def keep_status(data: list[tuple[datetime, float]]) -> None:
            self.states += [(resource_id, value) for _, value in data]

        return keep_status, timedelta(seconds=1), timedelta(seconds=1)

    async def _opt(self, ven_id: str, event_id: str, opt_type: str) -> None:
        self.opts.append((event_id, opt_type))


@asynccontextmanager
async def running_vtn(port: int, **options: Any) -> AsyncIterator[OpenLeadrVtn]:
    vtn = OpenLeadrVtn(port, **options)
    await vtn.server.run()
    try:
        yield vtn
    finally:
        await vtn.server.stop()


def url_of(port: int) -> str:
    return f"http://127.0.0.1:{port}/OpenADR2/Simple/2.0b"


@asynccontextmanager
async def openadr20b_service(
    database: Database, port: int, **more: str
) -> AsyncIterator[OpenAdr20bService]:
    service = OpenAdr20bService(database, settings_for(url_of(port), "2.0b", **more))
    try:
        yield service
    finally:
        await service.close()


@asynccontextmanager
async def openadr20b_stage(
    database: Database, fleet: dict[str, float]
) -> AsyncIterator[tuple[OpenLeadrVtn, OpenAdr20bService]]:
    """`fleet`: what each VEN draws, kW."""
    await add_vens(database, fleet)
    port = free_port()
    async with running_vtn(port) as vtn, openadr20b_service(database, port) as service:
        yield vtn, service


def read_20b_message(xml: str) -> tuple[str, Any]:
    """A message, once it is valid by the standard's schema."""
    validate_xml_schema(xml.encode())
    kind, payload = parse_message(xml.encode())
    return kind, payload
