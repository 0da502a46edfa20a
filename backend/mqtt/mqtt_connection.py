"""One connection to the broker: the ingest subscribes on it, the dispatcher publishes.

It speaks MQTT 5, keeps the connection alive, and tells its handler what comes. What is to become of
messages that were not acknowledged, and when to connect again, is the handler's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from backend.config.broker_settings import BrokerSettings
from backend.mqtt import mqtt_packets
from backend.mqtt.broker_tls import broker_tls_context
from backend.mqtt.mqtt_packets import MqttControlPacket, MqttPublishPacket
from backend.process.timeouts import happens_within_timeout, result_within_timeout


class MqttConnectionRefused(Exception):
    """The broker does not let us in, or ended the connection; the text tells why."""


@dataclass(frozen=True)
class MqttConnectionSession:
    """Who connects, what the broker keeps of it, and what it may send."""

    client_id: str
    maximum_packet_bytes: int
    expiry_sec: int = 0
    """How long the broker keeps the session after the connection's end; 0: not at all."""
    receive_maximum: int = 1
    """How many messages may wait for our acknowledgement."""
    filters: tuple[str, ...] = ()
    """What is subscribed to."""


class MqttConnectionHandler:
    """Who uses a connection; each method is called in the event loop, and does not wait."""

    def session_resumed(self) -> None:
        """The broker kept our session: it sends again whatever was not acknowledged."""

    def message_received(
        self, connection: MqttConnection, topic: str, payload: bytes, packet_id: int, at: float
    ) -> None:
        """A message, in order; `packet_id` is 0 at QoS 0, `at` the clock's epoch seconds."""

    def message_confirmed(self, packet_id: int, refusal: str | None) -> None:
        """The broker has what was published under that number, or why it does not take it."""

    def packets_handled(self) -> None:
        """All that has come so far was told."""

    def connection_ended(self, reason: str) -> None:
        """Nothing comes or goes any more. Called once."""


class MqttConnection(asyncio.Protocol):
    """See `open_mqtt_connection`."""

    def __init__(
        self,
        settings: BrokerSettings,
        session: MqttConnectionSession,
        handler: MqttConnectionHandler,
    ) -> None:
        self._settings = settings
        self._session = session
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._paused = False
        self._last_heard = time.monotonic()
        self.ready = asyncio.Event()
        """The broker has let us in and subscribed us, or the connection is closed."""
        self.closed = asyncio.Event()
        self.reason: str | None = None
        """Why it is closed."""
        self.most_in_flight = 0
        """How many messages the broker lets us have under way."""

    @property
    def is_open(self) -> bool:
        return self.ready.is_set() and not self.closed.is_set()

    # ---- asyncio.Protocol ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        settings, session = self._settings, self._session
        self._write(
            mqtt_packets.connect_packet(
                session.client_id,
                keepalive_sec=settings.keepalive_sec,
                session_expiry_sec=session.expiry_sec,
                receive_maximum=session.receive_maximum,
                maximum_packet_bytes=session.maximum_packet_bytes,
                username=settings.username,
                password=settings.password,
            )
        )

    def data_received(self, data: bytes) -> None:
        self._last_heard = time.monotonic()
        at = time.time()
        if self._buffer:
            data = self._buffer + data
        try:
            found, used = mqtt_packets.split_packets(data)
            self._buffer = data[used:]
            received = self._handler.message_received
            for packet in found:
                if isinstance(packet, MqttPublishPacket):
                    topic, payload, packet_id = packet
                    received(self, topic, payload, packet_id, at)
                else:
                    self._handle(packet)
        except (mqtt_packets.MalformedMqttPacket, IndexError) as error:
            self.end(f"the broker sent what is not MQTT 5: {error}")
            return
        self._handler.packets_handled()

    def connection_lost(self, error: Exception | None) -> None:
        self.end(f"the connection to the broker broke: {error or 'it was closed'}")

    # ---- packets but PUBLISH ------------------------------------------------------------------

    def _handle(self, packet: MqttControlPacket) -> None:
        if packet.kind == mqtt_packets.PUBACK:
            packet_id, refused = mqtt_packets.puback_packet_result(packet)
            why = (
                f"the broker refuses it: {mqtt_packets.packet_reason_text(refused)}"
                if refused
                else None
            )
            self._handler.message_confirmed(packet_id, why)
        elif packet.kind == mqtt_packets.CONNACK:
            self._let_in(packet)
        elif packet.kind == mqtt_packets.SUBACK:
            codes = mqtt_packets.suback_packet_reasons(packet)
            refused = max((code for code in codes if code >= 0x80), default=0)
            if refused:
                self.end(
                    f"the broker refuses to subscribe: {mqtt_packets.packet_reason_text(refused)}"
                )
            else:
                self.ready.set()
        elif packet.kind == mqtt_packets.DISCONNECT:
            reason = mqtt_packets.packet_reason(packet)
            self.end(f"the broker ended the connection: {mqtt_packets.packet_reason_text(reason)}")

    def _let_in(self, connack: MqttControlPacket) -> None:
        reason = mqtt_packets.packet_reason(connack)
        if reason:
            self.end(f"the broker refuses us: {mqtt_packets.packet_reason_text(reason)}")
            return
        self.most_in_flight = mqtt_packets.packet_receive_maximum(connack)
        if mqtt_packets.packet_session_present(connack):
            self._handler.session_resumed()
        if self._session.filters:
            self._write(mqtt_packets.subscribe_packet(1, self._session.filters))
        else:
            self.ready.set()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    # ---- for whoever uses it ------------------------------------------------------------------

    def publish(self, messages: Iterable[tuple[str, bytes, int]]) -> None:
        """(topic, payload, packet id), each at QoS 1, in one piece."""
        self._write(b"".join([mqtt_packets.publish_packet(*message) for message in messages]))

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
        with contextlib.suppress(RuntimeError):  # it is so already
            if paused:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def end(self, reason: str) -> None:
        """At once, with all that is not on the wire yet."""
        if self.closed.is_set():
            return
        self.reason = reason
        self.closed.set()
        self.ready.set()
        if self._transport is not None:
            with contextlib.suppress(OSError, AttributeError):
                self._transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            self._transport.abort()
        self._handler.connection_ended(reason)

    def leave(self) -> None:
        """Politely: what was written is sent, and the broker keeps the session as agreed."""
        if self.closed.is_set():
            return
        self._write(mqtt_packets.NORMAL_DISCONNECT)
        self.reason = "we have left"
        self.closed.set()
        self.ready.set()
        if self._transport is not None:
            self._transport.close()
        self._handler.connection_ended(self.reason)

    async def keep_alive(self) -> None:
        """Pings until it is closed; ends one on which nothing comes any more."""
        interval_sec = self._settings.keepalive_sec / 2
        while not await happens_within_timeout(self.closed, interval_sec):
            silent_sec = time.monotonic() - self._last_heard
            if silent_sec > 2 * self._settings.keepalive_sec and not self._paused:
                self.end("the broker is silent")
            else:
                self._write(mqtt_packets.PING)


async def open_mqtt_connection(
    settings: BrokerSettings,
    session: MqttConnectionSession,
    handler: MqttConnectionHandler,
    *,
    timeout_sec: float,
) -> MqttConnection:
    """A connection on which the broker has let us in, and has subscribed us to the filters.

    Raises OSError, ssl.SSLError, asyncio.TimeoutError, or MqttConnectionRefused with the reason.
    """
    context = broker_tls_context(settings) if settings.tls else None
    connection = MqttConnection(settings, session, handler)
    making = asyncio.get_running_loop().create_connection(
        lambda: connection,
        settings.host,
        settings.broker_port,
        ssl=context,
        server_hostname=settings.tls_server_name if context is not None else None,
    )
    try:
        await result_within_timeout(timeout_sec, making)
        if not await happens_within_timeout(connection.ready, timeout_sec):
            raise MqttConnectionRefused("it does not answer as an MQTT 5 broker")
        if connection.closed.is_set():
            raise MqttConnectionRefused(connection.reason or "closed")
    except BaseException:
        connection.end("it could not be used")
        raise
    return connection
