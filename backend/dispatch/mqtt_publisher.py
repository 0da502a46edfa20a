"""The MQTT broker: QoS 1, as many in flight as it allows, confirmed by PUBACK.

Each connection is a client of its own and takes nothing over from the last one: what was not
confirmed is the outbox's to repeat. What is not confirmed in time ends the connection, and what it
still held is thrown away: sent later, it could bring an event's command after its restore.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime

import structlog

from backend.config.broker_settings import BrokerSettings
from backend.dispatch.command_publisher import CommandPublisherMessage, CommandPublisherOutcome
from backend.mqtt.mqtt_connection import (
    MqttConnection,
    MqttConnectionHandler,
    MqttConnectionRefused,
    MqttConnectionSession,
    open_mqtt_connection,
)
from backend.mqtt.mqtt_packets import MOST_IN_FLIGHT
from backend.process.timeouts import happens_within_timeout
from backend.store.utc_time import utc_now

log = structlog.get_logger(__name__)

RECONNECT_SEC = (0.2, 5.0)
"""The first wait, doubled up to the second."""
SENT_WITHIN = 0.7
"""Of the time limit; the rest is for the last PUBACKs."""
LARGEST_ANSWER_BYTES = 65_536
_CANNOT_CONNECT = (OSError, asyncio.TimeoutError, ssl.SSLError, ValueError)


class _Batch:
    """Messages that are published together, and what became of each."""

    def __init__(self, messages: Sequence[CommandPublisherMessage], send_by: float) -> None:
        self.messages = messages
        self.send_by = send_by
        """Monotonic: what a slow broker has kept waiting so long is not sent."""
        self.sent_at: list[datetime | None] = [None] * len(messages)
        self.errors: list[str | None] = ["the broker did not confirm in time"] * len(messages)
        self.open = len(messages)
        self.done = asyncio.Event()

    def settle(self, number: int, error: str | None) -> None:
        self.errors[number] = error
        self.open -= 1
        if not self.open:
            self.done.set()

    def outcomes(self) -> list[CommandPublisherOutcome]:
        now = utc_now()
        return [
            CommandPublisherOutcome(at or now, error)
            for at, error in zip(self.sent_at, self.errors, strict=True)
        ]


class _Publications(MqttConnectionHandler):
    """What waits to be published on one connection, and what is under way."""

    def __init__(self) -> None:
        self.connection: MqttConnection | None = None
        self._queue: deque[tuple[_Batch, int]] = deque()
        self._in_flight: dict[int, tuple[_Batch, int]] = {}
        self._packet_id = 0

    def publish(self, batch: _Batch) -> None:
        self._queue.extend((batch, number) for number in range(len(batch.messages)))
        self.packets_handled()

    @property
    def idle(self) -> bool:
        return not self._in_flight and not self._queue

    def message_confirmed(self, packet_id: int, refusal: str | None) -> None:
        batch, number = self._in_flight.pop(packet_id, (None, 0))
        if batch is not None:
            batch.settle(number, refusal)

    def packets_handled(self) -> None:
        """Send as much of what waits as may be under way."""
        connection = self.connection
        if connection is None or not self._queue or not connection.is_open:
            return
        free = connection.most_in_flight - len(self._in_flight)
        pieces, now = [], utc_now()
        while free > 0 and self._queue:
            batch, number = self._queue.popleft()
            if time.monotonic() > batch.send_by:
                batch.settle(number, "the broker confirms too slowly: not sent in time")
                continue
            message = batch.messages[number]
            self._packet_id = self._next_id()
            self._in_flight[self._packet_id] = (batch, number)
            batch.sent_at[number] = now
            pieces.append((message.topic, message.payload, self._packet_id))
            free -= 1
        connection.publish(pieces)

    def _next_id(self) -> int:
        packet_id = self._packet_id % MOST_IN_FLIGHT + 1
        while packet_id in self._in_flight:
            packet_id = packet_id % MOST_IN_FLIGHT + 1
        return packet_id

    def connection_ended(self, reason: str) -> None:
        waiting = [*self._in_flight.values(), *self._queue]
        self._in_flight.clear()
        self._queue.clear()
        for batch, number in waiting:
            batch.settle(number, reason)


class MqttPublisher:
    """Connects by itself, and again; `publish` waits for a connection as long as it may take."""

    at_once = 5_000

    def __init__(self, settings: BrokerSettings, *, timeout_sec: float) -> None:
        self._settings = settings
        self._timeout_sec = timeout_sec
        self._publications: _Publications | None = None
        self._connected = asyncio.Event()
        self._problem: str | None = "not connected yet"
        self._keeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_connected(), name="mqtt-publisher")

    async def publish(
        self, messages: Sequence[CommandPublisherMessage]
    ) -> list[CommandPublisherOutcome]:
        await self.open()
        begun = time.monotonic()
        if (
            not await happens_within_timeout(self._connected, self._timeout_sec)
            or (publications := self._publications) is None
        ):
            error = f"the broker is not connected: {self._problem}"
            return [CommandPublisherOutcome(utc_now(), error) for _ in messages]
        batch = _Batch(messages, begun + SENT_WITHIN * self._timeout_sec)
        publications.publish(batch)
        left_sec = self._timeout_sec - (time.monotonic() - begun)
        if messages and not await happens_within_timeout(batch.done, max(left_sec, 0.0)):
            self._end(publications, "the broker did not confirm in time")
        return batch.outcomes()

    def problem(self) -> str | None:
        return self._problem

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None

    @staticmethod
    def _end(publications: _Publications, reason: str) -> None:
        if publications.connection is not None:
            publications.connection.end(reason)

    async def _keep_connected(self) -> None:
        delay_sec = RECONNECT_SEC[0]
        where = f"{self._settings.host}:{self._settings.broker_port}"
        while True:
            try:
                await self._one_connection()
                delay_sec = RECONNECT_SEC[0]
            except (
                OSError,
                asyncio.TimeoutError,
                ssl.SSLError,
                ValueError,
                MqttConnectionRefused,
            ) as error:
                self._problem = f"{where}: {error or type(error).__name__}"
            log.warning("broker not connected", broker=where, error=self._problem)
            await asyncio.sleep(delay_sec)
            delay_sec = min(delay_sec * 2, RECONNECT_SEC[1])

    async def _one_connection(self) -> None:
        """Until it ends. Raises what prevented it from working at all."""
        publications = _Publications()
        session = MqttConnectionSession(
            client_id=f"{self._settings.client_id or 'venagent'}-dispatch-{secrets.token_hex(6)}",
            maximum_packet_bytes=LARGEST_ANSWER_BYTES,
        )
        connection = await open_mqtt_connection(
            self._settings, session, publications, timeout_sec=self._timeout_sec
        )
        publications.connection = connection
        self._publications, self._problem = publications, None
        self._connected.set()
        try:
            await connection.keep_alive()
            self._problem = connection.reason
        finally:
            self._connected.clear()
            self._publications = None
            if publications.idle:
                connection.leave()
            else:
                connection.end("the dispatcher stops")
