"""The process that speaks for this VEN in OpenADR 2.0b: registers, polls, answers, reports."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from backend.openadr import operator_fleet, operator_side
from backend.openadr.openadr20b_event_reader import OpenAdr20bEventNotRead, read_openadr20b_event
from backend.openadr.openadr20b_report_outbox import OpenAdr20bReportOutbox
from backend.openadr.openadr20b_ven import (
    OPT_IN,
    OpenAdr20bVen,
    OpenAdr20bVenRefused,
    OpenAdr20bVenUnanswered,
)
from backend.openadr.openadr20b_ven import OPT_OUT as SAID_OPT_OUT
from backend.openadr.openadr_settings import OpenAdrSettings
from backend.openadr.reconciler import OPT_OUT, Reconciler, ReconcilerOutcome
from backend.openadr.vtn_link import VtnLink, VtnLinkLost
from backend.process.timeouts import happens_within_timeout
from backend.store.database import Database
from backend.store.database_errors import database_error_line

log = structlog.get_logger(__name__)

_REASON, _OVERRIDDEN = "notParticipating", "overrideStatus"


class OpenAdr20bService:
    """`turn` after turn until stopped."""

    def __init__(self, database: Database, settings: OpenAdrSettings) -> None:
        self._database = database
        self._settings = settings
        self.link = VtnLink(database, settings.link, settings.version, settings.lease_sec)
        self._reconciler = Reconciler(database, settings, self.link)
        self._outbox = OpenAdr20bReportOutbox(database, self.link)
        self.ven: OpenAdr20bVen | None = None
        self._refused: list[ReconcilerOutcome] = []
        self._failures = 0
        self._was_away = False
        self._has_registered = False
        """Since the VTN failed last."""

    async def run(self, stop: asyncio.Event) -> None:
        """Not to be cancelled on SQLite: work that is broken off leaves a connection that hangs."""
        log.info("speaks to the VTN", vtn=self._settings.vtn_url, version="2.0b")
        try:
            while not stop.is_set():
                await happens_within_timeout(stop, await self.turn())
        finally:
            await self.close()

    async def close(self) -> None:
        await self.link.give_up()
        await self._forget_ven()

    async def turn(self) -> float:
        """Once through everything; after how many seconds again."""
        try:
            if not await self.link.take():
                await self._forget_ven()
                return self._settings.lease_sec / 3
            try:
                ven = await self._registered()
                await self._look(ven)
                outcomes = await self._reconciler.carry_on()
                self._refused += [outcome for outcome in outcomes if outcome.newly_out]
                await self._say_why(ven)
                await self._send_reports(ven)
                await self._note()
            except (OpenAdr20bVenUnanswered, OSError) as error:
                self._was_away |= not isinstance(error, OpenAdr20bVenRefused)
                return await self._failed(str(error) or type(error).__name__)
            if self._was_away and not self._has_registered:
                # A VTN that was away may have forgotten that we are there: known ids stay known.
                ven.registration_id = None
            self._failures, self._was_away = 0, False
        except VtnLinkLost as error:
            log.warning("the lease", error=str(error))
            await self._forget_ven()
            return self._settings.lease_sec / 3
        except (SQLAlchemyError, OSError) as error:
            log.error("the database cannot be used", error=database_error_line(error))
            return 1.0
        # The lease is renewed between polls of a VTN that wants few.
        wait_sec = ven.poll_sec * random.uniform(0.9, 1.0)
        return min(wait_sec, max(self._settings.lease_sec / 2, 1.0))

    async def _look(self, ven: OpenAdr20bVen) -> None:
        """What the VTN has for us. An event that it leaves out is cancelled by that ("implied
        cancel", 2.0b Profile Specification, conformance rules); it is asked for all first."""
        await ven.turn()
        open_ids = set(await self._reconciler.open_ids())
        if ven.listed is None and ven.told is not None and open_ids - ven.told:
            ven.ask_for_all_events()
            await ven.turn()
        if ven.listed is not None:
            for event_id in open_ids - ven.listed - (ven.told or set()):
                await self._reconciler.end(event_id)

    async def _send_reports(self, ven: OpenAdr20bVen) -> None:
        """The oldest first; each stays in the database until the VTN has it."""
        await self._outbox.put(ven.ready_reports())
        for name, report in await self._outbox.waiting():
            await ven.send_report(report)
            await self._outbox.remove(name)

    async def _failed(self, problem: str) -> float:
        self._failures += 1
        self._has_registered = False
        if self.ven is not None:
            await self._outbox.put(self.ven.ready_reports())
        log.warning("the VTN", error=problem, failures=self._failures)
        await self.link.failed(problem, self._failures)
        await self._reconciler.carry_on()
        wait_sec = min(
            self._settings.poll_sec * 2 ** min(self._failures, 10),
            self._settings.most_backoff_sec,
        )
        return min(wait_sec * random.uniform(0.5, 1.0), self._settings.lease_sec / 2)

    async def _registered(self) -> OpenAdr20bVen:
        if self.ven is not None and not self.ven.offers_reports:
            await self._forget_ven()
        if self.ven is None:
            self.ven = OpenAdr20bVen(self._settings, self._take)
            self.ven.offer_reports(
                await self._resources(), self._usage, self._status, self._settings.report_sec
            )
        if not self.ven.registration_id:
            row = await self.link.row()
            ven_id = await self.ven.register(row.ven_id if row is not None else None)
            self._has_registered = True
            await self.link.note(ven_id=ven_id)
            log.info("registered", ven_id=ven_id, poll_sec=self.ven.poll_sec)
        return self.ven

    async def _forget_ven(self) -> None:
        if self.ven is not None:
            await self.ven.close()
            self.ven = None

    async def _take(self, raw: dict[str, Any]) -> str:
        """How we answer to one event. Raises what the database raises: then nothing is answered."""
        ven_id = self.ven.ven_id if self.ven is not None else None
        try:
            event = read_openadr20b_event(raw, ven_id)
        except OpenAdr20bEventNotRead as error:
            log.warning("the VTN sends what is no event", error=str(error))
            return SAID_OPT_OUT
        outcome = await self._reconciler.take(event)
        if outcome.newly_out:
            self._refused.append(outcome)
        is_out = outcome.opt == OPT_OUT and outcome.problems and not event.cancelled
        return SAID_OPT_OUT if is_out else OPT_IN

    async def _say_why(self, ven: OpenAdr20bVen) -> None:
        while self._refused:
            outcome = self._refused.pop()
            by_operator = any(each.code == "stopped_by_operator" for each in outcome.problems)
            reason = _OVERRIDDEN if by_operator else _REASON
            await ven.opt_out(outcome.event_id, int(outcome.stamp), reason)

    async def _note(self) -> None:
        async with self._database.engine.connect() as connection:
            now = await operator_side.database_now(connection)
        await self.link.note(last_contact_at=now, problem=None, failures=0)

    # --- reports -------------------------------------------------------------------------------

    async def _resources(self) -> list[str]:
        if self._settings.resources:
            return sorted(self._settings.resources)
        async with self._database.engine.connect() as connection:
            return await operator_fleet.operator_known_vens(connection)

    def _vens_of(self, resource: str) -> Sequence[str]:
        return self._settings.resources.get(resource, (resource,))

    async def _usage(self, resource: str, start: datetime, end: datetime) -> float | None:
        """Mean power in kW of the resource; None when the meter said nothing."""
        ven_ids = self._vens_of(resource)
        async with self._database.engine.connect() as connection:
            powers = await operator_fleet.operator_power(connection, ven_ids, start, end)
        read = [power.used_kw for power in powers.values() if power.used_kw is not None]
        return round(sum(read), 4) if read else None

    async def _status(self, resource: str, _start: datetime, _end: datetime) -> float | None:
        async with self._database.engine.connect() as connection:
            sites = await operator_fleet.operator_sites(connection, self._vens_of(resource), ())
        return 1.0 if any(site.is_online for site in sites) else 0.0
