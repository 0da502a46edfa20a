"""The process that speaks for this VEN: reads the VTN, does what it asks, reports."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from backend.openadr import operator_fleet, operator_side
from backend.openadr.openadr3_event_reader import OpenAdr3EventNotRead, read_openadr3_event
from backend.openadr.openadr3_notifications import OpenAdr3Notifications
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
TOLD_WITHIN_SEC = 0.1
LONGEST_RETRY_AFTER_SEC = 3_600.0


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
        self._unknown_programs: set[str] = set()
        """Of events of programmes that the VTN does not show us."""
        self._failures = 0
        self._quiet_until = 0.0
        """The VTN is not asked before (of the monotonic clock)."""
        self.notifications = OpenAdr3Notifications(settings, self.vtn.connection)

    async def run(self, stop: asyncio.Event) -> None:
        """Not to be cancelled on SQLite: work that is broken off leaves a connection that hangs."""
        log.info("speaks to the VTN", vtn=self._settings.vtn_url, version=self._settings.version)
        try:
            while not stop.is_set():
                await self._wait(stop, await self.turn())
        finally:
            await self.close()

    async def close(self) -> None:
        await self.link.give_up()
        await self.notifications.close()
        await self.vtn.close()

    async def _wait(self, stop: asyncio.Event, wait_sec: float) -> None:
        """Until the next turn, the process's end, or a notification of a VTN that is well."""
        told = self.notifications.told
        waiters = [asyncio.ensure_future(stop.wait())]
        if not self._failures:
            waiters.append(asyncio.ensure_future(told.wait()))
        try:
            await asyncio.wait(waiters, timeout=wait_sec, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiters:
                waiter.cancel()
        if told.is_set() and not stop.is_set():
            # What is told within a moment is read in one go.
            await happens_within_timeout(stop, TOLD_WITHIN_SEC)
        told.clear()

    async def turn(self) -> float:
        """Once through everything; after how many seconds again."""
        poll_sec = self._settings.poll_sec
        try:
            if not await self.link.take():
                await self.notifications.close()
                return self._settings.lease_sec / 3
            quiet_sec = self._quiet_until - time.monotonic()
            if quiet_sec > 0:
                await self._reconciler.carry_on()
                await self._reporter.make_due()
                return min(quiet_sec, self._settings.lease_sec / 2)
            try:
                await self._read()
                await self._reporter.make_due()
                await self._reporter.send_due()
            except OpenAdr3VtnError as error:
                return await self._failed(error)
            self._failures = 0
        except VtnLinkLost as error:
            log.warning("the lease", error=str(error))
            return self._settings.lease_sec / 3
        except (SQLAlchemyError, OSError) as error:
            log.error("the database cannot be used", error=database_error_line(error))
            return 1.0
        wait_sec = poll_sec * random.uniform(0.9, 1.1)
        return min(wait_sec, max(self._settings.lease_sec / 2, 1.0))

    async def _failed(self, error: OpenAdr3VtnError) -> float:
        """The VTN is left alone ever longer, at least as long as it asks; the lease is kept."""
        self._failures += 1
        log.warning("the VTN", error=str(error), failures=self._failures)
        await self.link.failed(str(error), self._failures)
        await self._reconciler.carry_on()
        await self._reporter.make_due()
        wait_sec = min(self._settings.poll_sec * 2 ** min(self._failures, 10), self._most_sec)
        wait_sec *= random.uniform(0.5, 1.0)
        if error.retry_after_sec is not None:
            wait_sec = max(wait_sec, min(error.retry_after_sec, LONGEST_RETRY_AFTER_SEC))
        self._quiet_until = time.monotonic() + wait_sec
        return min(wait_sec, self._settings.lease_sec / 2)

    @property
    def _most_sec(self) -> float:
        return self._settings.most_backoff_sec

    async def _read(self) -> None:
        is_time = time.monotonic() >= self._programs_until
        if not self._programs or is_time:
            await self._read_programs()
            # What was refused is tried again, and new sites are looked for.
            self._ven_id, self._missing = self._ven_id or None, self._missing or None
        events = await self._events()
        await self._reconciler.take_each(events)
        await self._end_gone({event.id for event in events})
        await self._register()
        if is_time or self.notifications.wants_listening:
            await self._listen()
        await self._note()

    async def _read_programs(self) -> None:
        self._programs = await self.vtn.programs()
        self._programs_until = time.monotonic() + PROGRAMS_EVERY_SEC

    async def _listen(self) -> None:
        """By notifications of the VTN where it has them; it need not, and polling goes on."""
        try:
            notifiers = await self.vtn.notifiers()
            topics: set[str] = set()
            if notifiers.get("MQTT"):
                topics = await self.vtn.event_topics(self._ven_id or "", self._programs)
        except OpenAdr3VtnError as error:
            log.warning("the VTN does not say how it notifies", error=str(error))
            return
        await self.notifications.listen(notifiers, topics)

    async def _events(self) -> list[VtnEvent]:
        raws = await self.vtn.events(list(self._programs))
        unknown = {_program_of(raw) for raw in raws} - set(self._programs)
        if unknown - self._unknown_programs:
            await self._read_programs()  # one that is new
        self._unknown_programs = unknown - set(self._programs)
        found: list[VtnEvent] = []
        for raw in raws:
            try:
                event = self._event(raw)
            except OpenAdr3EventNotRead as error:
                log.warning("the VTN lists what is no event", error=str(error))
                continue
            if event.program_id in self._programs:
                found.append(event)
        return found

    def _event(self, raw: Any) -> VtnEvent:
        """Raises OpenAdr3EventNotRead."""
        descriptors = None
        if isinstance(raw, Mapping):
            descriptors = self.vtn.payload_descriptors.get(_program_of(raw))
        return read_openadr3_event(raw, descriptors)

    async def _end_gone(self, listed: set[str]) -> None:
        """Events that the VTN lists no longer. Each is asked for by its id first: a page may have
        moved while it was read, and nothing is ended by that. One whose programme we are shown no
        longer is ended too."""
        for event_id in set(await self._reconciler.open_ids()) - listed:
            raw = await self.vtn.event(event_id)
            event = None
            if raw is not None:
                try:
                    event = self._event(raw)
                except OpenAdr3EventNotRead as error:
                    log.warning("the VTN has what is no event", error=str(error))
                    continue
            if event is None or event.program_id not in self._programs:
                await self._reconciler.end(event_id)
            else:
                await self._reconciler.take_each([event])

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
                    names = await operator_fleet.operator_known_vens(connection)
            known = await self.vtn.resource_names(ven_id) if names else set()
            self._missing = sorted(set(names) - known, reverse=True)
        for _ in range(min(len(self._missing), RESOURCES_A_TURN)):
            await self.vtn.make_resource(ven_id, self._missing[-1])
            self._missing.pop()

    async def _note(self) -> None:
        connection_to_vtn = self.vtn.connection
        offset_sec = connection_to_vtn.clock_offset_sec
        expires_ts = connection_to_vtn.token_expires_ts
        if offset_sec is not None and abs(offset_sec) > CLOCK_APART_SEC:
            log.warning("the VTN's clock is apart from ours", offset_sec=offset_sec)
        async with self._database.engine.connect() as connection:
            now = await operator_side.database_now(connection)
        await self.link.note(
            last_contact_at=now,
            problem=None,
            failures=0,
            clock_offset_sec=offset_sec,
            token_expires_at=None
            if expires_ts is None
            else datetime.fromtimestamp(expires_ts, timezone.utc),
            notifications=self.notifications.state,
            programs=[{"id": i, "name": name} for i, name in sorted(self._programs.items())],
        )


def _program_of(raw: Mapping[str, Any]) -> str:
    program_id = raw.get("programID")
    return str(program_id) if isinstance(program_id, (str, int)) else ""
