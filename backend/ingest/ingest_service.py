"""The ingest process: sources, writer, upkeep and health, until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Coroutine
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from backend.config.backend_settings import BackendSettings
from backend.ingest import ingest_metrics
from backend.ingest.ingest_health import IngestHealthServer, ingest_health_of_database
from backend.ingest.ingest_pipeline import IngestPipeline, IngestPipelineState
from backend.ingest.ingest_writer import IngestWriter
from backend.ingest.kinesis_source import KinesisSource
from backend.ingest.mqtt_source import MqttSource
from backend.measure.event_measurement import run_event_measurement
from backend.process.timeouts import happens_within_timeout
from backend.store.database import BUSY_TIMEOUT_SEC, Database
from backend.store.database_errors import database_error_line
from backend.store.database_upkeep import run_database_upkeep
from backend.store.instance_report import (
    BROKER_AWAY,
    INGEST_KIND,
    INSTANCE_REPORT_SEC,
    InstanceReport,
    store_instance_end,
    store_instance_report,
)
from backend.store.schema_migration import upgrade_schema

_log = structlog.get_logger(__name__)

_STUCK_AFTER_SEC = 30.0
_ENDS_ITSELF = ("pipeline", "kinesis", "upkeep", "measure", "report")
_LAST_WORDS_SEC = BUSY_TIMEOUT_SEC + 2.0
"""On SQLite each ends by then, and need not be broken off in the midst of a query."""
_LONGEST_PAUSE_SEC = 5.0


class IngestService:
    """One process of the ingest. Several share the work: each has an INGEST_INSTANCE of its own."""

    def __init__(self, settings: BackendSettings) -> None:
        self._settings = settings
        self._database = Database(settings.database_url)
        self._health = IngestPipelineState()
        self._writer = IngestWriter(self._database, settings)
        self._pipeline = IngestPipeline(self._writer, settings, self._health)
        self._mqtt = MqttSource(
            settings.mqtt, settings.instance, self._pipeline.deliver, self._pipeline.forget
        )
        self._kinesis: KinesisSource | None = None
        self._stop = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; then what has arrived is stored. Raises what ended a part."""
        settings = self._settings
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        self._start("stop", _wait(self._stop))
        if settings.health_port:
            server = IngestHealthServer(settings.health_host, settings.health_port, self.troubles)
            self._start("health", server.serve())
        try:
            self._start("migrate", _migrate_patiently(settings.schema_url))
            if await self._first_end() == "migrate":
                self._start_parts()
                ended = await self._first_end()
                if ended != "stop":
                    raise RuntimeError(f"{ended} ended by itself")
        finally:
            await self._end()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[name] = asyncio.create_task(work, name=name)

    def _start_parts(self) -> None:
        settings = self._settings
        self._start("upkeep", run_database_upkeep(self._database, settings, self._stop))
        self._start("measure", run_event_measurement(self._database, settings, self._stop))
        self._start("report", self._report())
        if settings.mqtt.enabled:
            self._start("pipeline", self._pipeline.run())
            self._start("mqtt", self._mqtt.run())
        if settings.kinesis.stream:
            self._kinesis = KinesisSource(self._database, self._writer, settings, self._health)
            self._start("kinesis", self._kinesis.run())
        _log.info(
            "ingest runs",
            instance=settings.instance,
            topics=settings.mqtt.topics if settings.mqtt.enabled else [],
            stream=settings.kinesis.stream,
        )

    async def _first_end(self) -> str:
        """The name of the first task that ends. Raises what it raised."""
        await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        name = next(name for name, task in self._tasks.items() if task.done())
        await self._tasks.pop(name)
        return name

    async def _end(self) -> None:
        if self._mqtt.connection is not None:
            self._mqtt.connection.pause(True)
        self._stop.set()
        self._pipeline.finish()
        if self._kinesis is not None:
            self._kinesis.finish()
        works = [self._tasks[name] for name in _ENDS_ITSELF if name in self._tasks]
        if works:
            # What is not stored by then comes again: it is not acknowledged.
            await asyncio.wait(works, timeout=_LAST_WORDS_SEC)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._database.close()
        _log.info("ingest ended", instance=self._settings.instance)

    async def _report(self) -> None:
        """Says how it does, for those who watch over it, until it is asked to end."""
        instance = self._settings.instance
        while not self._stop.is_set():
            away = self._source_problem()
            report = InstanceReport(
                INGEST_KIND,
                instance,
                problem_code=None if away is None else BROKER_AWAY,
                problem=away,
                lag_sec=self._lag_sec(),
            )
            try:
                async with self._database.engine.begin() as connection:
                    await store_instance_report(connection, report)
            except (SQLAlchemyError, OSError) as error:
                _log.warning("the report has to wait", error=database_error_line(error))
            await happens_within_timeout(self._stop, INSTANCE_REPORT_SEC)
        try:
            async with self._database.engine.begin() as connection:
                await store_instance_end(connection, INGEST_KIND, instance)
        except (SQLAlchemyError, OSError) as error:
            _log.warning("the end could not be reported", error=database_error_line(error))

    def _source_problem(self) -> str | None:
        """Why nothing can come, from the broker or the stream."""
        if self._settings.mqtt.enabled and not self._mqtt.connected:
            return self._mqtt.reason
        return None if self._kinesis is None else self._kinesis.problem

    def _lag_sec(self) -> float:
        """How long messages wait to be stored, here or in the stream."""
        behind_sec = 0.0 if self._kinesis is None else self._kinesis.behind_sec()
        ingest_metrics.KINESIS_BEHIND.set(behind_sec)
        return max(self._pipeline.oldest_waits_sec(time.time()), behind_sec)

    async def troubles(self) -> list[str]:
        """What prevents messages from being stored in time."""
        found = []
        ingest_metrics.CONNECTED.set(self._mqtt.connected)
        if self._settings.mqtt.enabled and not self._mqtt.connected:
            found.append(f"the broker: {self._mqtt.reason}")
        trouble = await ingest_health_of_database(self._database)
        if trouble is not None:
            found.append(trouble)
        elif self._health.error is not None:
            found.append(f"the last batch was not stored: {self._health.error}")
        waits_sec = self._pipeline.oldest_waits_sec(time.time())
        if waits_sec > _STUCK_AFTER_SEC:
            found.append(f"messages wait for {waits_sec:.0f} s to be stored")
        return found


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _migrate_patiently(url: str) -> None:
    """Bring the database to this version's schema; wait while it cannot be reached."""
    pause_sec = 0.2
    while True:
        try:
            await asyncio.to_thread(upgrade_schema, url)
            return
        except (SQLAlchemyError, OSError) as error:
            _log.warning("the database is not ready", error=database_error_line(error))
        await asyncio.sleep(pause_sec)
        pause_sec = min(2 * pause_sec, _LONGEST_PAUSE_SEC)
