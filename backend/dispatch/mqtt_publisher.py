"""The MQTT broker: QoS 1, as many in flight as it allows, confirmed by PUBACK.

Each connection is a client of its own and takes nothing over from the last one: what was not
confirmed is the outbox's to repeat. What is not confirmed in time ends the connection, and what it
still held is thrown away: sent later, it could bring an event's command after its restore.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import cast

import structlog

from backend.config.mqtt_settings import MqttSettings
from backend.dispatch.command_publisher import CommandMessage, PublishOutcome
from backend.mqtt import mqtt_packets, publish_packets
from backend.mqtt.broker_tls import broker_tls_context
from backend.process.timeouts import happens_within
from backend.store.table_base import utc_now

log = structlog.get_logger(__name__)

RECONNECT_SEC = (0.2, 5.0)
"""The first wait, doubled up to the second."""
SENT_WITHIN = 0.7
"""Of the time limit; the rest is for the last PUBACKs."""
LARGEST_ANSWER_BYTES = 65_536


class _Batch:
    """Messages that are published together, and what became of each."""

    def __init__(self, messages: Sequence[CommandMessage], send_by: float) -> None:
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

    def outcomes(self) -> list[PublishOutcome]:
        now = utc_now()
        return [
            PublishOutcome(at or now, error)
            for at, error in zip(self.sent_at, self.errors, strict=True)
        ]


class _Connection(asyncio.Protocol):
    def __init__(self, settings: MqttSettings) -> None:
        self._settings = settings
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._queue: deque[tuple[_Batch, int]] = deque()
        self._in_flight: dict[int, tuple[_Batch, int]] = {}
        self._most_in_flight = 0
        self._packet_id = 0
        self._heard = time.monotonic()
        self.answered = asyncio.Event()
        """The broker has let us in, or it is closed."""
        self.closed = asyncio.Event()
        self.reason: str | None = None
        """Why it is closed."""

    # ---- asyncio.Protocol ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._transport.write(
            mqtt_packets.connect_packet(
                f"venagent-dispatch-{secrets.token_hex(6)}",
                keepalive_sec=self._settings.keepalive_sec,
                session_expiry_sec=0,
                receive_maximum=1,
                maximum_packet_bytes=LARGEST_ANSWER_BYTES,
                username=self._settings.username,
                password=self._settings.password,
            )
        )

    def data_received(self, data: bytes) -> None:
        self._heard = time.monotonic()
        try:
            found, used = mqtt_packets.split_packets(self._buffer + data)
            self._buffer = (self._buffer + data)[used:]
            for packet in found:
                if isinstance(packet, mqtt_packets.ControlPacket):
                    self._handle(packet)
        except (mqtt_packets.MalformedPacket, IndexError) as error:
            self.end(f"the broker sent what is not MQTT 5: {error}")
            return
        self._fill()

    def connection_lost(self, error: Exception | None) -> None:
        self.end(f"the connection was lost: {error or 'the broker closed it'}")

    def _handle(self, packet: mqtt_packets.ControlPacket) -> None:
        if packet.kind == mqtt_packets.PUBACK:
            packet_id, refused = publish_packets.puback_result(packet)
            batch, number = self._in_flight.pop(packet_id, (None, 0))
            if batch is not None:
                why = (
                    f"the broker refuses it: {mqtt_packets.reason_text(refused)}"
                    if refused
                    else None
                )
                batch.settle(number, why)
        elif packet.kind == mqtt_packets.CONNACK:
            reason = mqtt_packets.reason_of(packet)
            if reason:
                self.end(f"the broker refuses us: {mqtt_packets.reason_text(reason)}")
            else:
                self._most_in_flight = publish_packets.receive_maximum_of(packet)
                self.answered.set()
        elif packet.kind == mqtt_packets.DISCONNECT:
            reason = mqtt_packets.reason_of(packet)
            self.end(f"the broker ended the connection: {mqtt_packets.reason_text(reason)}")

    # ---- for the publisher --------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        return self.answered.is_set() and not self.closed.is_set()

    def publish(self, batch: _Batch) -> None:
        self._queue.extend((batch, number) for number in range(len(batch.messages)))
        self._fill()

    def _fill(self) -> None:
        """Send as much of what waits as may be under way."""
        free = self._most_in_flight - len(self._in_flight)
        if free <= 0 or not self._queue or self._transport is None or self.closed.is_set():
            return
        pieces, now = [], utc_now()
        while free and self._queue:
            batch, number = self._queue.popleft()
            if time.monotonic() > batch.send_by:
                batch.settle(number, "the broker confirms too slowly: not sent in time")
                continue
            message = batch.messages[number]
            self._packet_id = self._next_id()
            self._in_flight[self._packet_id] = (batch, number)
            batch.sent_at[number] = now
            pieces.append(
                publish_packets.publish_packet(message.topic, message.payload, self._packet_id)
            )
            free -= 1
        self._transport.write(b"".join(pieces))

    def _next_id(self) -> int:
        packet_id = self._packet_id % publish_packets.MOST_IN_FLIGHT + 1
        while packet_id in self._in_flight:
            packet_id = packet_id % publish_packets.MOST_IN_FLIGHT + 1
        return packet_id

    def end(self, reason: str) -> None:
        """At once, with all that is not on the wire yet."""
        if self.closed.is_set():
            return
        self.reason = reason
        self.closed.set()
        self.answered.set()
        waiting = [*self._in_flight.values(), *self._queue]
        self._in_flight.clear()
        self._queue.clear()
        for batch, number in waiting:
            batch.settle(number, reason)
        if self._transport is not None:
            with contextlib.suppress(OSError, AttributeError):
                self._transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            self._transport.abort()

    def leave(self) -> None:
        """Politely, if nothing is under way."""
        if self._in_flight or self._queue or not self.answered.is_set():
            self.end("the dispatcher stops")
        elif not self.closed.is_set() and self._transport is not None:
            self.closed.set()
            self._transport.write(mqtt_packets.NORMAL_DISCONNECT)
            self._transport.close()

    async def keep_alive(self) -> None:
        """Until it is closed; ends one on which nothing comes any more."""
        interval_sec = self._settings.keepalive_sec / 2
        while not await happens_within(self.closed, interval_sec):
            if time.monotonic() - self._heard > 2 * self._settings.keepalive_sec:
                self.end("the broker is silent")
            elif self._transport is not None:
                self._transport.write(mqtt_packets.PING)


class MqttPublisher:
    """Connects by itself, and again; `publish` waits for a connection as long as it may take."""

    at_once = 5_000

    def __init__(self, settings: MqttSettings, *, timeout_sec: float) -> None:
        self._settings = settings
        self._timeout_sec = timeout_sec
        self._connection: _Connection | None = None
        self._connected = asyncio.Event()
        self._problem: str | None = "not connected yet"
        self._keeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_connected(), name="mqtt-publisher")

    async def publish(self, messages: Sequence[CommandMessage]) -> list[PublishOutcome]:
        await self.open()
        begun = time.monotonic()
        if not await happens_within(self._connected, self._timeout_sec) or self._connection is None:
            error = f"the broker is not connected: {self._problem}"
            return [PublishOutcome(utc_now(), error) for _ in messages]
        batch = _Batch(messages, begun + SENT_WITHIN * self._timeout_sec)
        self._connection.publish(batch)
        left_sec = self._timeout_sec - (time.monotonic() - begun)
        if messages and not await happens_within(batch.done, max(left_sec, 0.0)):
            self._connection.end("the broker did not confirm in time")
        return batch.outcomes()

    def problem(self) -> str | None:
        return self._problem

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None

    async def _keep_connected(self) -> None:
        delay_sec = RECONNECT_SEC[0]
        where = f"{self._settings.host}:{self._settings.broker_port}"
        while True:
            try:
                await self._one_connection()
                delay_sec = RECONNECT_SEC[0]
            except (OSError, ssl.SSLError, ValueError) as error:
                self._problem = f"{where}: {error}"
            log.warning("broker not connected", broker=where, error=self._problem)
            await asyncio.sleep(delay_sec)
            delay_sec = min(delay_sec * 2, RECONNECT_SEC[1])

    async def _one_connection(self) -> None:
        """Until it ends. Raises OSError or ssl.SSLError when it was none that can be used."""
        connection = _Connection(self._settings)
        connecting = asyncio.ensure_future(self._connect(connection))
        try:
            # Not `wait_for`: before Python 3.12 it may lose a cancellation.
            await asyncio.wait((connecting,), timeout=self._timeout_sec)
            if connecting.done():
                connecting.result()
                await happens_within(connection.answered, self._timeout_sec)
            if not connection.is_open:
                raise OSError(connection.reason or "does not answer as an MQTT 5 broker")
            self._connection, self._problem = connection, None
            self._connected.set()
            await connection.keep_alive()
            self._problem = connection.reason
        finally:
            connecting.cancel()
            self._connected.clear()
            self._connection = None
            connection.leave()

    async def _connect(self, connection: _Connection) -> None:
        settings = self._settings
        context = broker_tls_context(settings) if settings.tls else None
        await asyncio.get_running_loop().create_connection(
            lambda: connection, settings.host, settings.broker_port, ssl=context
        )
