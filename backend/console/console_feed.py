"""Live figures for all consoles of a process: asked of the database once, sent to each.

Curves of requested against delivered are kept while their events last, so that a console opened
in mid-event shows them from the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.alerts.alert_store import ALERTS
from backend.api.api_services import ApiServices
from backend.api.event_figures import event_figures
from backend.api.stats_routes import network_stats
from backend.process.timeouts import happens_within_timeout
from backend.store.database_errors import database_error_line
from backend.store.statuses import ACTIVE, SCHEDULED
from backend.store.tables import EVENTS

log = structlog.get_logger(__name__)

EVERY_SEC, UNSEEN_EVERY_SEC, LEAST_PAUSE_SEC = 1.0, 5.0, 0.2
KEEPALIVE_SEC = 15.0
ALLOWED_FOR_SEC = 5.0
CURVE_POINTS = 3_600
SEEN_FROM_ITS_START_SEC = 2 * UNSEEN_EVERY_SEC
QUEUED = 10
"""A console that reads slower than this many seconds is dropped, and comes again by itself."""


_UNSEEN_ALERTS = (
    select(func.count())
    .select_from(ALERTS)
    .where(ALERTS.c.ended_at.is_(None), ALERTS.c.acknowledged_at.is_(None))
)


class ConsoleFeed:
    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._listeners: set[asyncio.Queue[str | None]] = set()
        self._curves: dict[str, deque[tuple[float, float, float]]] = {}
        self._somebody = asyncio.Event()
        self._stopping = False

    async def subscribe(
        self, allowed: Callable[[], Awaitable[bool]] | None = None
    ) -> AsyncIterator[str]:
        """Server-sent events, until `close`, or until `allowed` says no: it is asked at times."""
        ask_at = time.monotonic() + ALLOWED_FOR_SEC
        queue: asyncio.Queue[str | None] = asyncio.Queue(QUEUED)
        self._listeners.add(queue)
        self._somebody.set()
        try:
            yield "retry: 2000\n\n"
            for event_id, curve in self._curves.items():
                yield _message("curve", {"eventId": event_id, "points": list(curve)})
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), KEEPALIVE_SEC)
                except asyncio.TimeoutError:
                    text = ": still here\n\n"
                if text is None:
                    return
                if allowed is not None and time.monotonic() >= ask_at:
                    if not await allowed():
                        return
                    ask_at = time.monotonic() + ALLOWED_FOR_SEC
                yield text
        finally:
            self._listeners.discard(queue)

    def close(self) -> None:
        """Ends the streams and `run`, so that the server can stop."""
        self._stopping = True
        self._somebody.set()
        for queue in self._listeners:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(None)

    async def run(self) -> None:
        """Until `close`; while nobody looks only the curves go on, more slowly."""
        while not self._stopping:
            begun = time.monotonic()
            self._somebody.clear()
            try:
                async with self._services.database.engine.connect() as connection:
                    events = await self._look_at_events(connection)
                    if self._listeners:
                        network = await network_stats(connection)
                        alerts = await connection.scalar(_UNSEEN_ALERTS)
                        self._send(_message("fleet", _fleet(network, events, alerts or 0)))
            except (SQLAlchemyError, OSError) as error:
                log.warning("no figures for the console", error=database_error_line(error))
                self._send(_message("trouble", {"reason": "the database does not answer"}))
            if self._stopping:
                return
            every_sec = EVERY_SEC if self._listeners else UNSEEN_EVERY_SEC
            took_sec = time.monotonic() - begun
            await happens_within_timeout(self._somebody, max(every_sec - took_sec, LEAST_PAUSE_SEC))

    async def _look_at_events(self, connection: AsyncConnection) -> list[dict[str, Any]]:
        rows = (
            await connection.execute(
                select(EVENTS)
                .where(or_(EVENTS.c.status == ACTIVE, EVENTS.c.status == SCHEDULED))
                .order_by(EVENTS.c.start_time, EVENTS.c.id)
                .limit(50)
            )
        ).all()
        active = [row.id for row in rows if row.status == ACTIVE]
        figures = await event_figures(connection, active)
        now = time.time()
        for row in rows:
            if row.status == ACTIVE:
                curve = self._curves.get(row.id)
                if curve is None:
                    begun = row.start_time.timestamp()
                    seen = now - begun < SEEN_FROM_ITS_START_SEC
                    first = [(round(begun, 1), row.requested_reduction_kw, 0.0)] if seen else []
                    curve = self._curves[row.id] = deque(first, CURVE_POINTS)
                delivered_kw = figures[row.id]["current_reduction_kw"]
                curve.append((round(now, 1), row.requested_reduction_kw, round(delivered_kw, 3)))
        self._curves = {name: curve for name, curve in self._curves.items() if name in active}
        return [_event(row, figures.get(row.id)) for row in rows]

    def _send(self, text: str) -> None:
        for queue in tuple(self._listeners):
            try:
                queue.put_nowait(text)
            except asyncio.QueueFull:
                self._listeners.discard(queue)
                with contextlib.suppress(asyncio.QueueEmpty):
                    queue.get_nowait()
                queue.put_nowait(None)


def _fleet(
    network: dict[str, Any], events: list[dict[str, Any]], open_alerts: int
) -> dict[str, Any]:
    return {
        "openAlerts": open_alerts,
        "at": time.time(),
        "network": {_camel(name): value for name, value in network.items()},
        "events": events,
    }


_KIND = ("kind", "import_kw", "export_kw", "open_ended", "test", "dry_run")
"""What tells a shed from a limit, from more load, and from what only tries."""


def _event(row: Any, figures: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        "startTime": _iso(row.start_time),
        "endTime": _iso(row.end_time),
        "requestedReductionKw": row.requested_reduction_kw,
        **{_camel(name): getattr(row, name) for name in _KIND},
        **{_camel(name): value for name, value in (figures or {}).items()},
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _message(kind: str, data: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
