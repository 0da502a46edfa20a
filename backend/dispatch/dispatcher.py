"""The dispatcher: loops that sleep until something is due: events, commands, heartbeats of limits.

They wake by the clock at the next start, end or repeat, by a bell when something was added, and by
a fallback should a bell have been missed.
"""

from __future__ import annotations

import asyncio
import math
import platform
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch import dispatch_metrics
from backend.dispatch.agent_survey import AgentSurvey
from backend.dispatch.command_outbox import CommandOutbox
from backend.dispatch.command_publisher import CommandPublisher
from backend.dispatch.dispatch_wake import (
    DispatchWake,
    listen_for_dispatch_wake,
    send_dispatch_wake,
    wait_for_dispatch_wake,
)
from backend.dispatch.event_follow_up import follow_up_event, follow_up_returned_vens
from backend.dispatch.event_lifecycle import (
    StoredEvent,
    activate_dispatched_event,
    complete_dispatched_event,
    invite_to_dispatched_event,
)
from backend.dispatch.limit_heartbeats import LimitHeartbeats
from backend.dispatch.programme_schedule import plan_programme_event
from backend.store.database import Database, database_now
from backend.store.database_errors import database_error_line
from backend.store.instance_report import (
    BROKER_AWAY,
    DISPATCH_FAILS,
    DISPATCH_KIND,
    INSTANCE_REPORT_SEC,
    InstanceReport,
    store_instance_end,
    store_instance_report,
)
from backend.store.statuses import ACTIVE, SCHEDULED
from backend.store.tables import EVENTS
from backend.store.transaction import in_transaction

log = structlog.get_logger(__name__)

AFTER_AN_ERROR_SEC = 1.0
NOT_SOONER_SEC = 0.05
"""What is due but held by another instance is looked at again after this."""
STALLED_AFTER_SEC = 60.0
"""So late a turn is not only a slow one."""
ENDED_WITHIN_SEC = 10.0


class Dispatcher:
    """Run any number of them on one database; `run` until cancelled."""

    def __init__(
        self,
        database: Database,
        publisher: CommandPublisher,
        settings: DispatchSettings,
        *,
        topic: str = "ven/cmd/{venId}",
        wake: DispatchWake | None = None,
    ) -> None:
        self.instance = f"{platform.node()}-{secrets.token_hex(4)}"
        self.wake = wake or DispatchWake()
        self._database = database
        self._publisher = publisher
        self.settings = self._settings = settings
        self._outbox = CommandOutbox(
            database.engine, publisher, settings, instance=self.instance, topic=topic
        )
        self._heartbeats = LimitHeartbeats(database.engine, publisher, settings, topic=topic)
        self._survey = AgentSurvey(database.engine, settings.ask_agents_sec)
        self._beats: dict[str, float] = {}
        self._troubles: dict[str, str] = {}
        self._faults: dict[str, tuple[float, str]] = {}
        """By loop: when it was met last (monotonic), and what."""
        self._stopping = False

    async def run(self) -> None:
        log.info("dispatch runs", instance=self.instance)
        await self._publisher.open()
        loops = [
            asyncio.create_task(self._loop("events", self._turn_events, self._next_event_sec)),
            asyncio.create_task(self._loop("commands", self._send, self._outbox.next_due_sec)),
            asyncio.create_task(
                self._loop("heartbeats", self._send_heartbeats, self._heartbeats.next_due_sec)
            ),
            asyncio.create_task(self._loop("agents", self._ask_agents, self._survey.next_due_sec)),
            asyncio.create_task(self._report()),
            asyncio.create_task(listen_for_dispatch_wake(self._database, self.wake)),
        ]
        try:
            done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            # Work on the database is finished, not broken off: closing a SQLite connection whose
            # query was cancelled never returns.
            self._stopping = True
            self.wake.ring()
            loops[-1].cancel()
            await asyncio.wait(loops, timeout=ENDED_WITHIN_SEC)
            for task in loops:
                task.cancel()
            await self._publisher.close()

    def problem(self) -> str | None:
        """Why events are not dispatched as they should; None when they are."""
        since = time.monotonic() - self._settings.fallback_sec - STALLED_AFTER_SEC
        late = [name for name, beat in self._beats.items() if beat < since]
        if late:
            return f"the loop of {' and '.join(late)} has stalled"
        return self.fault() or next(iter(self._troubles.values()), self._publisher.problem())

    def fault(self) -> str | None:
        """A mistake of this program that dispatch meets again and again; a restart may help."""
        return next((fault for _, fault in self._faults.values()), None)

    async def _report(self) -> None:
        """Says how it does, for those who watch over it, until it is asked to end."""
        bell = self.wake.bell()
        due = time.monotonic()
        while not self._stopping:
            if time.monotonic() >= due:
                due = time.monotonic() + INSTANCE_REPORT_SEC
                await self._report_once()
            await wait_for_dispatch_wake(bell, due - time.monotonic())
        await self._report_once(is_end=True)

    async def _report_once(self, *, is_end: bool = False) -> None:
        away, fails = self._publisher.problem(), self.problem()
        code = BROKER_AWAY if away else DISPATCH_FAILS if fails else None
        report = InstanceReport(DISPATCH_KIND, self.instance, code, away or fails)
        try:
            async with self._database.engine.begin() as connection:
                if is_end:
                    await store_instance_end(connection, DISPATCH_KIND, self.instance)
                else:
                    await store_instance_report(connection, report)
        except (SQLAlchemyError, OSError) as error:
            log.warning("the report has to wait", error=database_error_line(error))

    # --- the loops -----------------------------------------------------------------------------

    async def _loop(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        next_due_sec: Callable[[], Awaitable[float | None]],
    ) -> None:
        bell = self.wake.bell()
        while not self._stopping:
            self._beats[name] = begun = time.monotonic()
            delay_sec = self._settings.fallback_sec
            try:
                await work()
                due_sec = await next_due_sec()
                if due_sec is not None:
                    delay_sec = min(delay_sec, max(due_sec, NOT_SOONER_SEC))
                self._troubles.pop(name, None)
                delay_sec = min(delay_sec, self._forget_fault(name, begun))
            except (SQLAlchemyError, OSError) as error:
                self._troubles[name] = f"the database: {database_error_line(error)[:200]}"
                log.error("dispatch cannot use the database", loop=name, error=str(error)[:500])
                delay_sec = AFTER_AN_ERROR_SEC
            except Exception as error:
                # Going on beats standing still: the other events depend on it. Health tells.
                fault = f"dispatch of {name} fails: {type(error).__name__}: {error}"
                self._faults[name] = (time.monotonic(), fault)
                log.exception("dispatch fails", loop=name)
                delay_sec = AFTER_AN_ERROR_SEC
            await wait_for_dispatch_wake(bell, delay_sec)

    def _forget_fault(self, name: str, begun: float) -> float:
        """After a good turn; but what failed stays claimed, and no turn meets it until then.

        Returns after how many seconds a turn can tell.
        """
        met, _ = self._faults.get(name, (-math.inf, ""))
        if begun - met > self._settings.lease_sec:
            self._faults.pop(name, None)
            return math.inf
        return max(met + self._settings.lease_sec - begun, NOT_SOONER_SEC)

    async def _turn_events(self) -> None:
        """All turns that are due: end, begin, look after."""
        turned = 0
        # Those that end give their VENs back before those that begin look for some: by one moment,
        # else one could begin whose predecessor was not over a moment before.
        by = await in_transaction(self._database.engine, database_now)
        for name, turn in (
            ("completed", lambda c: complete_dispatched_event(c, by)),
            ("planned", plan_programme_event),
            ("invited", lambda c: invite_to_dispatched_event(c, self._settings, by)),
            ("activated", lambda c: activate_dispatched_event(c, self._settings, by)),
            ("followed", lambda c: follow_up_event(c, self._settings, instance=self.instance)),
        ):
            while True:
                event = await in_transaction(self._database.engine, _and_notify(turn))
                if event is None:
                    break
                turned += 1
                dispatch_metrics.EVENT_TURNS.labels(name).inc()
                if name == "activated":
                    late_sec = (event.activated_at - event.start_time).total_seconds()
                    dispatch_metrics.ACTIVATION_DELAY.observe(late_sec)
                if name != "followed":
                    log.info(f"event {name}", event_id=event.id, kw=event.requested_reduction_kw)
        if await in_transaction(self._database.engine, follow_up_returned_vens):
            turned += 1
        if turned:
            self.wake.ring()

    async def _next_event_sec(self) -> float | None:
        """Until an event begins, ends or is looked after."""
        waiting = select(EVENTS.c.start_time, EVENTS.c.notice_sec, EVENTS.c.invited_at).where(
            EVENTS.c.status == SCHEDULED
        )
        active = select(func.min(EVENTS.c.end_time), func.min(EVENTS.c.claimed_until)).where(
            EVENTS.c.status == ACTIVE
        )
        async with self._database.engine.connect() as connection:
            times = list((await connection.execute(active)).one())
            now = await database_now(connection)
            for row in await connection.execute(waiting):
                ahead_sec = 0.0 if row.invited_at is not None else row.notice_sec or 0.0
                times.append(row.start_time - timedelta(seconds=ahead_sec))
        found = [(moment - now).total_seconds() for moment in times if moment is not None]
        return min(found, default=None)

    async def _send_heartbeats(self) -> None:
        await self._heartbeats.send_due_heartbeats()

    async def _ask_agents(self) -> None:
        if self._settings.ask_agents_sec and await self._survey.ask_due_agents():
            self.wake.ring()

    async def _send(self) -> None:
        """Publish all that is due, a batch after the other; stop when the broker is away."""
        await self._outbox.give_up()
        begun = time.monotonic()

        def goes_on(confirmed: int, failed: int) -> bool:
            nonlocal begun
            dispatch_metrics.COMMANDS.labels("published").inc(confirmed)
            dispatch_metrics.COMMANDS.labels("failed").inc(failed)
            if confirmed:
                dispatch_metrics.BATCH_SECONDS.observe(time.monotonic() - begun)
            if failed:
                log.warning("commands not published", count=failed, why=self._publisher.problem())
            self._beats["commands"] = begun = time.monotonic()
            return confirmed > 0 and not self._stopping

        await self._outbox.publish_all_due(goes_on)


def _and_notify(
    turn: Callable[[AsyncConnection], Awaitable[StoredEvent | None]],
) -> Callable[[AsyncConnection], Awaitable[StoredEvent | None]]:
    async def work(connection: AsyncConnection) -> StoredEvent | None:
        event = await turn(connection)
        if event is not None:
            await send_dispatch_wake(connection)
        return event

    return work
