"""The broker as a source: subscribes, delivers, and acknowledges what was stored.

Messages that are not acknowledged stay with the broker: at most `receive_maximum` are under way,
so nothing of ours grows when the database is slow or away. The session is kept under a client id
of the instance's own, so that a restart gets again what was not acknowledged.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable

import structlog

from backend.config.broker_settings import BrokerSettings
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_records import MAX_PAYLOAD_BYTES
from backend.mqtt.mqtt_connection import (
    MqttConnection,
    MqttConnectionHandler,
    MqttConnectionRefused,
    MqttConnectionSession,
    open_mqtt_connection,
)

_log = structlog.get_logger(__name__)

_CONNECT_TIMEOUT_SEC = 15.0
_FIRST_PAUSE_SEC = 0.2
_LONGEST_PAUSE_SEC = 30.0
_PACKET_OVERHEAD_BYTES = 4_096


class MqttSource(MqttConnectionHandler):
    """Keeps a connection until it is cancelled, with a growing pause between attempts.

    `deliver` is called for each message, in order; before the first one `resumed`, if the broker
    kept our session: it sends again whatever it was not told to be stored.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        instance: str,
        deliver: Callable[[IngestMessage, MqttConnection, int], None],
        resumed: Callable[[], None],
    ) -> None:
        self._settings = settings
        group = settings.share_group
        prefix = f"$share/{group}/" if group else ""
        self.session = MqttConnectionSession(
            client_id=settings.client_id or f"{group or 'venagent-ingest'}-{instance}",
            maximum_packet_bytes=MAX_PAYLOAD_BYTES + _PACKET_OVERHEAD_BYTES,
            expiry_sec=settings.session_expiry_sec,
            receive_maximum=settings.receive_maximum,
            # Not every broker shares topics of its own: what comes there each instance stores.
            filters=tuple(
                topic if topic.startswith("$") else prefix + topic for topic in settings.topics
            ),
        )
        self._deliver = deliver
        self._resumed = resumed
        self.connection: MqttConnection | None = None
        self.reason = "not connected yet"
        """Why it is not connected."""

    @property
    def connected(self) -> bool:
        return self.connection is not None

    async def run(self) -> None:
        pause_sec = _FIRST_PAUSE_SEC
        while True:
            try:
                await self._one_connection()
                pause_sec = _FIRST_PAUSE_SEC
            except (OSError, asyncio.TimeoutError, ssl.SSLError, MqttConnectionRefused) as error:
                self.reason = str(error) or type(error).__name__
            _log.warning(
                "no connection to the broker",
                reason=self.reason,
                host=self._settings.host,
                port=self._settings.broker_port,
                client_id=self.session.client_id,
            )
            await asyncio.sleep(pause_sec * random.uniform(0.7, 1.3))
            pause_sec = min(2 * pause_sec, _LONGEST_PAUSE_SEC)

    async def _one_connection(self) -> None:
        """Until it breaks. Raises what prevented it from working at all."""
        connection = await open_mqtt_connection(
            self._settings, self.session, self, timeout_sec=_CONNECT_TIMEOUT_SEC
        )
        self.connection = connection
        _log.info("connected to the broker", topics=self.session.filters)
        try:
            await connection.keep_alive()
            self.reason = connection.reason or "closed"
        finally:
            self.connection = None
            connection.leave()

    # ---- MqttConnectionHandler -----------------------------------------------------------------

    def session_resumed(self) -> None:
        self._resumed()

    def message_received(
        self, connection: MqttConnection, topic: str, payload: bytes, packet_id: int, at: float
    ) -> None:
        self._deliver(IngestMessage(topic, payload, at), connection, packet_id)
