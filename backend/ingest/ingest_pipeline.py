"""From the broker to the store: batches by size and time, acknowledged after their commit.

One batch is stored at a time, so acknowledgements go out in the order of arrival, as MQTT asks
(MQTT-4.6.0-2). What arrives meanwhile is the next batch, which grows with the load.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from backend.config.backend_settings import BackendSettings
from backend.ingest import ingest_metrics
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_writer import (
    Also,
    IngestWriter,
    IngestWriterOutcome,
    IngestWriterStopped,
)
from backend.ingest.message_batch import Reading
from backend.mqtt.mqtt_connection import MqttConnection
from backend.process.timeouts import happens_within_timeout
from backend.store.database_errors import database_error_line

_log = structlog.get_logger(__name__)

_FIRST_PAUSE_SEC = 0.2
_LONGEST_PAUSE_SEC = 5.0


_Waiting = tuple[IngestMessage, MqttConnection, int, Reading]


@dataclass
class IngestPipelineState:
    """Whether the database takes what is sent."""

    error: str | None = None
    """Why the last attempt failed."""
    failing_since: float | None = None

    def failed(self, error: BaseException) -> None:
        self.error = f"{type(error).__name__}: {database_error_line(error)}"
        self.failing_since = self.failing_since or time.time()

    def worked(self) -> None:
        self.error = self.failing_since = None


async def store_by_ingest_pipeline(
    writer: IngestWriter,
    health: IngestPipelineState,
    messages: list[IngestMessage],
    source: str,
    also: Also | None = None,
    ending: asyncio.Event | None = None,
    readings: list[Reading] | None = None,
) -> IngestWriterOutcome:
    """Store `messages`, however long the database is away: they are not acknowledged before.

    Raises Stop when the database fails and `ending` is set: the messages come again.
    """
    ending = ending or asyncio.Event()
    pause_sec = _FIRST_PAUSE_SEC
    while True:
        begun = time.perf_counter()
        try:
            outcome = await writer.store(messages, source, also, readings)
        except IngestWriterStopped:
            raise
        except Exception as error:  # whatever it is: giving up would lose them
            health.failed(error)
            ingest_metrics.FAILURES.inc()
            _log.warning(
                "a batch could not be stored, trying again",
                error=health.error,
                messages=len(messages),
                pause_sec=round(pause_sec, 1),
            )
            if await happens_within_timeout(ending, pause_sec):
                raise IngestWriterStopped from error
            pause_sec = min(2 * pause_sec, _LONGEST_PAUSE_SEC)
            continue
        health.worked()
        ingest_metrics.BATCH_SECONDS.observe(time.perf_counter() - begun)
        ingest_metrics.BATCH_SIZE.observe(len(messages))
        if messages:
            ingest_metrics.LAG_SECONDS.observe(time.time() - messages[0].received)
        for name in ("stored", "duplicates", "refused"):
            ingest_metrics.MESSAGES.labels(source, name).inc(getattr(outcome, name))
        if outcome.refused:
            _log.warning("messages were refused, see dead_letters", refused=outcome.refused)
        return outcome


class IngestPipeline:
    """Collects what the broker delivers, and stores it until it is cancelled."""

    def __init__(
        self, writer: IngestWriter, settings: BackendSettings, health: IngestPipelineState
    ) -> None:
        self._writer = writer
        self._settings = settings
        self._health = health
        self._waiting: list[_Waiting] = []
        self._storing = 0
        self._oldest: float | None = None
        self._due = asyncio.Event()
        self._ending = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._states_timer: asyncio.TimerHandle | None = None
        self._paused: set[MqttConnection] = set()
        # Messages of QoS 1 are at most `receive_maximum`; those of QoS 0 know no limit.
        ingest_metrics.WAITING.set_function(lambda: self.waiting)
        self._most_waiting = 2 * settings.mqtt.receive_maximum

    def deliver(self, message: IngestMessage, connection: MqttConnection, packet_id: int) -> None:
        """One message of the broker's.

        It is read at once, while the database is busy with the batch before.
        """
        waiting = self._waiting
        waiting.append((message, connection, packet_id, self._writer.read(message)))
        count = len(waiting)
        if self._timer is None:
            self._set_timer()
        if count == self._settings.batch_max:
            self._due.set()
        if count >= self._most_waiting and connection not in self._paused:
            connection.pause(True)
            self._paused.add(connection)

    def forget(self) -> None:
        """The broker sends again what waits here unstored: each time the connection breaks while
        the database is away, as much again would wait, and be stored as duplicates.
        """
        self._waiting = [one for one in self._waiting if not one[2]]

    @property
    def waiting(self) -> int:
        """Messages that arrived and are not stored."""
        return len(self._waiting) + self._storing

    def oldest_waits_sec(self, now: float) -> float:
        """How long the oldest message waits to be stored (`now`: epoch s); 0 when none does."""
        return now - self._oldest if self._oldest is not None else 0.0

    async def run(self) -> None:
        """Until `finish`, and until all that arrived before is stored, if the database takes it."""
        while not self._ending.is_set():
            await self._due.wait()
            self._due.clear()
            self._stop_timer()
            is_for_states = self._writer.has_states_waiting
            while self._waiting or is_for_states:
                is_for_states = False
                try:
                    await self._store_some()
                except IngestWriterStopped:
                    return
                if len(self._waiting) < self._settings.batch_max and not self._ending.is_set():
                    break
            if self._waiting and self._timer is None:
                self._set_timer()
            elif self._writer.has_states_waiting:
                self._look_again_at_states()

    def _set_timer(self) -> None:
        """The batch is due at the latest then."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._settings.batch_wait_sec, self._due.set)

    def _look_again_at_states(self) -> None:
        """No further message may come that would take the states with it that wait."""
        if self._states_timer is not None:
            self._states_timer.cancel()
        loop = asyncio.get_running_loop()
        interval_sec = self._settings.state_interval_sec
        self._states_timer = loop.call_later(interval_sec, self._due.set)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def finish(self) -> None:
        self._ending.set()
        self._due.set()

    async def _store_some(self) -> None:
        size = self._settings.batch_max
        taken, self._waiting = self._waiting[:size], self._waiting[size:]
        self._storing = len(taken)
        self._oldest = taken[0][0].received if taken else None
        try:
            messages = [one[0] for one in taken]
            readings = [one[3] for one in taken]
            await store_by_ingest_pipeline(
                self._writer,
                self._health,
                messages,
                "mqtt",
                ending=self._ending,
                readings=readings,
            )
        finally:
            self._storing = 0
            self._oldest = self._waiting[0][0].received if self._waiting else None
        _acknowledge_stored(taken)
        if self._paused and len(self._waiting) < self._most_waiting // 2:
            for connection in self._paused:
                connection.pause(False)
            self._paused.clear()


def _acknowledge_stored(taken: list[_Waiting]) -> None:
    """In the order of arrival; messages of QoS 0 have no number and get no answer."""
    numbers: dict[MqttConnection, list[int]] = {}
    for _, connection, packet_id, _ in taken:
        if packet_id:
            numbers.setdefault(connection, []).append(packet_id)
    for connection, packet_ids in numbers.items():
        connection.acknowledge(packet_ids)
