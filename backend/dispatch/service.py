"""The dispatcher: two loops that sleep until something is due, one for events, one for commands.

They wake by the clock at the next start, end or repeat, by a bell when something was added, and by
a fallback should a bell have been missed.
"""

from __future__ import annotations

import asyncio
import platform
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dispatch import follow, lifecycle, metrics
from backend.dispatch.outbox import Outbox
from backend.dispatch.publisher import Publisher
from backend.dispatch.settings import DispatchSettings
from backend.dispatch.tables import ACTIVE, EVENTS, SCHEDULED
from backend.dispatch.transaction import in_transaction
from backend.dispatch.wake import Wake, listen, notify, wait
from backend.store.base import utc_now
from backend.store.database import Database

log = structlog.get_logger(__name__)

AFTER_AN_ERROR_SEC = 1.0
NOT_SOONER_SEC = 0.05
"""What is due but held by another instance is looked at again after this."""
STALLED_AFTER_SEC = 60.0
ENDED_WITHIN_SEC = 10.0


class Dispatcher:
    """Run any number of them on one database; `run` until cancelled."""

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        settings: DispatchSettings,
        *,
        topic: str = "ven/cmd/{venId}",
        wake: Wake | None = None,
    ) -> None:
        self.instance = f"{platform.node()}-{secrets.token_hex(4)}"
        self.wake = wake or Wake()
        self._database = database
        self._publisher = publisher
        self._settings = settings
        self._outbox = Outbox(
            database.engine, publisher, settings, instance=self.instance, topic=topic
        )
        self._beats: dict[str, float] = {}
        self._error: str | None = None
        self._stopping = False

    async def run(self) -> None:
        log.info("dispatch runs", instance=self.instance)
        await self._publisher.open()
        loops = [
            asyncio.create_task(self._loop("events", self._turn_events, self._next_event)),
            asyncio.create_task(self._loop("commands", self._send, self._outbox.next_due)),
            asyncio.create_task(listen(self._database, self.wake)),
        ]
        try:
            await asyncio.shield(asyncio.gather(*loops))
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
        now = time.monotonic()
        late = [name for name, beat in self._beats.items() if now - beat > STALLED_AFTER_SEC]
        if late:
            return f"the loop of {' and '.join(late)} has stalled"
        if self._error:
            return self._error
        return self._publisher.problem()

    # --- the loops -----------------------------------------------------------------------------

    async def _loop(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        next_due: Callable[[], Awaitable[datetime | None]],
    ) -> None:
        bell = self.wake.bell()
        while not self._stopping:
            self._beats[name] = time.monotonic()
            delay_sec = self._settings.fallback_sec
            try:
                await work()
                due = await next_due()
                if due is not None:
                    until_due_sec = (due - utc_now()).total_seconds()
                    delay_sec = min(delay_sec, max(until_due_sec, NOT_SOONER_SEC))
                self._error = None
            except (SQLAlchemyError, OSError) as error:
                self._error = f"the database: {str(error).splitlines()[0][:200]}"
                log.error("dispatch cannot use the database", loop=name, error=self._error)
                delay_sec = AFTER_AN_ERROR_SEC
            await wait(bell, delay_sec)

    async def _turn_events(self) -> None:
        """All turns that are due: begin, end, look after."""
        turned = 0
        for name, turn in (
            ("activated", lambda c: lifecycle.activate_one(c, self._settings)),
            ("completed", lifecycle.finish_one),
            ("followed", lambda c: follow.follow_one(c, self._settings, instance=self.instance)),
        ):
            while True:
                event = await in_transaction(self._database.engine, _and_notify(turn))
                if event is None:
                    break
                turned += 1
                metrics.EVENT_TURNS.labels(name).inc()
                if name == "activated":
                    late_sec = (utc_now() - event.start_time).total_seconds()
                    metrics.ACTIVATION_DELAY.observe(late_sec)
                if name != "followed":
                    log.info(f"event {name}", event_id=event.id, kw=event.requested_reduction_kw)
        if turned:
            self.wake.ring()

    async def _next_event(self) -> datetime | None:
        starts = select(func.min(EVENTS.c.start_time)).where(EVENTS.c.status == SCHEDULED)
        active = select(func.min(EVENTS.c.end_time), func.min(EVENTS.c.claimed_until)).where(
            EVENTS.c.status == ACTIVE
        )
        async with self._database.engine.connect() as connection:
            times = [await connection.scalar(starts), *(await connection.execute(active)).one()]
        return min((moment for moment in times if moment is not None), default=None)

    async def _send(self) -> None:
        """Publish all that is due, a batch after the other; stop when the broker is away."""
        await self._outbox.give_up()
        while True:
            begun = time.monotonic()
            confirmed, failed = await self._outbox.publish_due()
            metrics.COMMANDS.labels("published").inc(confirmed)
            metrics.COMMANDS.labels("failed").inc(failed)
            if confirmed:
                metrics.BATCH_SECONDS.observe(time.monotonic() - begun)
            if failed:
                log.warning("commands not published", count=failed, why=self._publisher.problem())
            self._beats["commands"] = time.monotonic()
            if not confirmed or self._stopping:
                return


def _and_notify(
    turn: Callable[[AsyncConnection], Awaitable[lifecycle.EventRow | None]],
) -> Callable[[AsyncConnection], Awaitable[lifecycle.EventRow | None]]:
    async def work(connection: AsyncConnection) -> lifecycle.EventRow | None:
        event = await turn(connection)
        if event is not None:
            await notify(connection)
        return event

    return work
