"""The broker as a source: subscribes, delivers, and acknowledges what was stored.

Messages that are not acknowledged stay with the broker: at most `receive_maximum` are under way,
so nothing of ours grows when the database is slow or away. The session is kept under a client id
of the instance's own, so that a restart gets again what was not acknowledged.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import structlog

from backend.config.mqtt_settings import MqttSettings
from backend.ingest.ingest_records import MAX_PAYLOAD_BYTES, IncomingMessage
from backend.mqtt import mqtt_packets
from backend.mqtt.broker_tls import broker_tls_context
from backend.process.timeouts import result_within

_log = structlog.get_logger(__name__)

_CONNECT_TIMEOUT_SEC = 15.0
_LONGEST_PAUSE_SEC = 30.0
_PACKET_OVERHEAD_BYTES = 4_096


class BrokerRefused(Exception):
    """The broker does not let us in, or ended the connection; the text tells why."""


class MqttSourceConnection(asyncio.Protocol):
    """One connection to the broker.

    `deliver` is called for each message, in order; before the first one `resumed`, if the broker
    kept our session: it sends again whatever it was not told to be stored.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        deliver: Callable[[IncomingMessage, int], None],
        resumed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._deliver = deliver
        self._resumed = resumed
        self._paused = False
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._last_heard = time.monotonic()
        loop = asyncio.get_running_loop()
        self.subscribed: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[str] = loop.create_future()

    # ---- asyncio.Protocol ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        settings = self._settings
        self._write(
            mqtt_packets.connect_packet(
                self._client_id,
                keepalive_sec=settings.keepalive_sec,
                session_expiry_sec=settings.session_expiry_sec,
                receive_maximum=settings.receive_maximum,
                maximum_packet_bytes=MAX_PAYLOAD_BYTES + _PACKET_OVERHEAD_BYTES,
                username=settings.username,
                password=settings.password,
            )
        )

    def data_received(self, data: bytes) -> None:
        self._last_heard = time.monotonic()
        received = time.time()
        if self._buffer:
            data = self._buffer + data
        try:
            found, used = mqtt_packets.split_packets(data)
        except (mqtt_packets.MalformedPacket, IndexError) as error:
            self._fail(f"the broker sent what is not MQTT 5: {error}")
            return
        self._buffer = data[used:]
        deliver = self._deliver
        for packet in found:
            if isinstance(packet, mqtt_packets.PublishPacket):
                topic, payload, packet_id = packet
                deliver(IncomingMessage(topic, payload, received), packet_id)
            else:
                self._handle(packet)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"the connection to the broker broke: {error or 'it was closed'}")

    # ---- packets but PUBLISH ------------------------------------------------------------------

    def _handle(self, packet: mqtt_packets.ControlPacket) -> None:
        if packet.kind == mqtt_packets.CONNACK:
            reason = mqtt_packets.reason_of(packet)
            if reason:
                self._fail(f"the broker refuses the connection: {mqtt_packets.reason_text(reason)}")
                return
            session_kept = mqtt_packets.session_present(packet)
            _log.info("connected to the broker", session_kept=session_kept)
            if session_kept:
                self._resumed()
            self._write(mqtt_packets.subscribe_packet(1, self._filters()))
        elif packet.kind == mqtt_packets.SUBACK:
            refused = [code for code in mqtt_packets.reasons_of_suback(packet) if code >= 0x80]
            if refused:
                self._fail(
                    f"the broker refuses to subscribe: {mqtt_packets.reason_text(refused[0])}"
                )
            elif not self.subscribed.done():
                self.subscribed.set_result(None)
        elif packet.kind == mqtt_packets.DISCONNECT:
            reason = mqtt_packets.reason_of(packet)
            self._fail(f"the broker ended the connection: {mqtt_packets.reason_text(reason)}")

    def _filters(self) -> list[str]:
        group = self._settings.share_group
        prefix = f"$share/{group}/" if group else ""
        return [prefix + topic for topic in self._settings.topics]

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _fail(self, reason: str) -> None:
        if not self.subscribed.done():
            self.subscribed.set_exception(BrokerRefused(reason))
            self.subscribed.exception()  # seen: `closed` tells it too
        if not self.closed.done():
            self.closed.set_result(reason)
        if self._transport is not None:
            self._transport.abort()

    # ---- for the source -----------------------------------------------------------------------

    def acknowledge(self, packet_ids: list[int]) -> None:
        """After the commit. On a connection that is gone it means nothing: all comes again."""
        self._write(mqtt_packets.puback_packets(packet_ids))

    def pause(self, paused: bool) -> None:
        """Stop reading for a while: only messages of QoS 0 need it."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._paused = paused
        self._last_heard = time.monotonic()  # while it is paused nothing can be heard
        with suppress(RuntimeError):  # it is so already
            if paused:
                transport.pause_reading()
            else:
                transport.resume_reading()

    async def keep_alive(self) -> None:
        """Pings until the connection is closed; ends one on which nothing comes any more."""
        interval_sec = self._settings.keepalive_sec / 2
        while not self.closed.done():
            self._write(mqtt_packets.PING)
            await asyncio.wait([self.closed], timeout=interval_sec)
            silent_sec = time.monotonic() - self._last_heard
            if silent_sec > 2 * self._settings.keepalive_sec and not self._paused:
                self._fail("the broker is silent")

    def leave(self) -> None:
        """Ends the connection; the broker keeps the session."""
        self._write(mqtt_packets.NORMAL_DISCONNECT)
        if self._transport is not None:
            self._transport.close()


class MqttSource:
    """Keeps a connection until it is cancelled, with a growing pause between attempts."""

    def __init__(
        self,
        settings: MqttSettings,
        instance: str,
        deliver: Callable[[IncomingMessage, MqttSourceConnection, int], None],
        resumed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._client_id = f"{settings.share_group or 'venagent-ingest'}-{instance}"
        self._deliver = deliver
        self._resumed = resumed
        self.connection: MqttSourceConnection | None = None
        self.connected = False
        self.reason = "not connected yet"
        """Why it is not connected."""

    async def run(self) -> None:
        pause_sec = 0.2
        while True:
            try:
                await self._one_connection()
                pause_sec = 0.2
            except (OSError, asyncio.TimeoutError, ssl.SSLError, BrokerRefused) as error:
                self.reason = str(error) or type(error).__name__
            finally:
                self.connected = False
            _log.warning(
                "no connection to the broker",
                reason=self.reason,
                host=self._settings.host,
                port=self._settings.broker_port,
                client_id=self._client_id,
            )
            await asyncio.sleep(pause_sec * random.uniform(0.7, 1.3))
            pause_sec = min(2 * pause_sec, _LONGEST_PAUSE_SEC)

    async def _one_connection(self) -> None:
        """Until it breaks. Raises what prevented it from working at all."""
        settings = self._settings
        context = broker_tls_context(settings) if settings.tls else None
        connection = MqttSourceConnection(settings, self._client_id, self._receive, self._resumed)
        self.connection = connection
        loop = asyncio.get_running_loop()
        making = loop.create_connection(
            lambda: connection, settings.host, settings.broker_port, ssl=context
        )
        try:
            await result_within(_CONNECT_TIMEOUT_SEC, making)
            await result_within(_CONNECT_TIMEOUT_SEC, asyncio.shield(connection.subscribed))
            self.connected = True
            await connection.keep_alive()
            self.reason = connection.closed.result()
        finally:
            connection.leave()

    def _receive(self, message: IncomingMessage, packet_id: int) -> None:
        assert self.connection is not None
        self._deliver(message, self.connection, packet_id)
