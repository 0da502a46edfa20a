"""The process that speaks for this VEN: reads the VTN, does what it asks, reports."""

from __future__ import annotations

import asyncio
import random
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from backend.openadr import operator_side
from backend.openadr.openadr3_event_reader import OpenAdr3EventNotRead, read_openadr3_event
from backend.openadr.openadr3_reporter import OpenAdr3Reporter
from backend.openadr.openadr3_vtn import OpenAdr3Vtn, OpenAdr3VtnError, OpenAdr3VtnRefused
from backend.openadr.openadr_settings import OpenAdrSettings
from backend.openadr.reconciler import Reconciler
from backend.openadr.vtn_event import VtnEvent
from backend.openadr.vtn_link import VtnLink, VtnLinkLost
from backend.process.timeouts import happens_within_timeout
from backend.store.database import Database
from backend.store.database_errors import database_error_line

log = structlog.get_logger(__name__)

CLOCK_APART_SEC = 5.0
RESOURCES_A_TURN = 20
"""So many resources are registered before events are looked at again."""
PROGRAMS_EVERY_SEC = 300.0


class OpenAdr3Service:
    """OpenADR 3.1 and 3.0."""

    def __init__(self, database: Database, settings: OpenAdrSettings) -> None:
        self._database = database
        self._settings = settings
        self.link = VtnLink(database, settings.link, settings.version, settings.lease_sec)
        self.vtn = OpenAdr3Vtn(settings)
        self._reconciler = Reconciler(database, settings, self.link)
        self._reporter = OpenAdr3Reporter(database, settings, self.link, self.vtn)
        self._ven_id: str | None = None
        self._missing: list[str] | None = None
        """Resources that the VTN has not got; None until it was asked."""
        self._programs: dict[str, str] = {}
        self._programs_until = 0.0
        self._failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Not to be cancelled on SQLite: work that is broken off leaves a connection that hangs."""
        log.info("speaks to the VTN", vtn=self._settings.vtn_url, version=self._settings.version)
        try:
            while not stop.is_set():
                await happens_within_timeout(stop, await self.turn())
        finally:
            await self.link.give_up()
            await self.vtn.close()

    async def turn(self) -> float:
        """Once through everything; after how many seconds again."""
        poll_sec = self._settings.poll_sec
        try:
            if not await self.link.take():
                return self._settings.lease_sec / 3
            try:
                await self._read()
                await self._reporter.make_due()
                await self._reporter.send_due()
            except OpenAdr3VtnError as error:
                self._failures += 1
                log.warning("the VTN", error=str(error), failures=self._failures)
                await self.link.note(problem=str(error)[:500])
                await self._reconciler.carry_on()
                await self._reporter.make_due()
                wait_sec = min(poll_sec * 2 ** min(self._failures, 10), self._most_sec)
                return min(wait_sec * random.uniform(0.5, 1.0), self._settings.lease_sec / 2)
            self._failures = 0
        except VtnLinkLost as error:
            log.warning("the lease", error=str(error))
            return self._settings.lease_sec / 3
        except (SQLAlchemyError, OSError) as error:
            log.error("the database cannot be used", error=database_error_line(error))
            return 1.0
        return poll_sec * random.uniform(0.9, 1.1)

    @property
    def _most_sec(self) -> float:
        return self._settings.most_backoff_sec

    async def _read(self) -> None:
        if not self._programs or time.monotonic() >= self._programs_until:
            self._programs = await self.vtn.programs()
            # What was refused is tried again, and new sites are looked for.
            self._ven_id, self._missing = self._ven_id or None, self._missing or None
            self._programs_until = time.monotonic() + PROGRAMS_EVERY_SEC
        events = await self._events()
        await self._reconciler.take_each(events)
        await self._end_gone({event.id for event in events})
        await self._register()
        await self._note()

    async def _events(self) -> list[VtnEvent]:
        found: list[VtnEvent] = []
        for raw in await self.vtn.events(list(self._programs)):
            try:
                found.append(read_openadr3_event(raw))
            except OpenAdr3EventNotRead as error:
                log.warning("the VTN lists what is no event", error=str(error))
        return found

    async def _end_gone(self, listed: set[str]) -> None:
        """Events that the VTN lists no longer. Each is asked for by its id first: a page may have
        moved while it was read, and nothing is ended by that."""
        for event_id in set(await self._reconciler.open_ids()) - listed:
            raw = await self.vtn.event(event_id)
            if raw is None:
                await self._reconciler.end(event_id)
            else:
                await self._reconciler.take(read_openadr3_event(raw))

    async def _register(self) -> None:
        """The VEN and its resources; a VTN that does it otherwise need not hold up events."""
        try:
            if self._ven_id is None:
                self._ven_id = await self.vtn.register_ven()
                await self.link.note(ven_id=self._ven_id)
                log.info("registered", ven_id=self._ven_id)
            if self._ven_id:
                await self._make_resources(self._ven_id)
        except OpenAdr3VtnRefused as error:
            log.warning("the VTN does not register this VEN", error=str(error))
            self._ven_id, self._missing = self._ven_id or "", []

    async def _make_resources(self, ven_id: str) -> None:
        """Some a turn; a site that comes later is one when the programmes are read again."""
        if self._missing is None:
            names = sorted(self._settings.resources)
            if not names:
                async with self._database.engine.connect() as connection:
                    names = await operator_side.operator_known_vens(connection)
            known = await self.vtn.resource_names(ven_id) if names else set()
            self._missing = sorted(set(names) - known, reverse=True)
        for _ in range(min(len(self._missing), RESOURCES_A_TURN)):
            await self.vtn.make_resource(ven_id, self._missing[-1])
            self._missing.pop()

    async def _note(self) -> None:
        offset_sec = self.vtn.clock_offset_sec
        if offset_sec is not None and abs(offset_sec) > CLOCK_APART_SEC:
            log.warning("the VTN's clock is apart from ours", offset_sec=offset_sec)
        async with self._database.engine.connect() as connection:
            now = await operator_side.database_now(connection)
        await self.link.note(
            last_contact_at=now,
            problem=None,
            clock_offset_sec=offset_sec,
            programs=[{"id": i, "name": name} for i, name in sorted(self._programs.items())],
        )
