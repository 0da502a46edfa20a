"""One connection to the broker, from CONNECT to its end: a paho client and what it is asked to do.

Each connection has a client of its own. paho keeps nothing for the next one: what was not
confirmed is in the outbox, and what was not acknowledged is at the broker.
"""

from __future__ import annotations

import json
import select
import ssl
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from VenAgent.cloud.inbound_intake import InboundIntake
from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.mqtt_session_subscriptions import MqttSessionSubscriptions
from VenAgent.cloud.mqtt_settings import MqttSettings
from VenAgent.cloud.outbox import Outbox, OutboxWaitingMessage
from VenAgent.cloud.outbox_sender import IDLE_SEC, URGENT_WINDOW, OutboxSender
from VenAgent.cloud.paho_client import PahoClient, PahoSocketError
from VenAgent.cloud.reconnect_policy import ReconnectReason
from VenAgent.cloud.thread_handoff import ThreadHandoff
from VenAgent.cloud.tls.broker_login import broker_login
from VenAgent.cloud.tls.http_proxy import HttpProxy
from VenAgent.cloud.tls.tls_errors import explain_tls_error

CONNECT_TIMEOUT_SEC = 10.0
SILENT_KEEPALIVES = 1.5
"""paho asks (PINGREQ) after one keep-alive in which nothing came; it would wait two in all."""
UNCONFIRMED_SEC = 60.0
"""A broker that throttles discards a message for good (AWS IoT Core does): only another connection
sends it again."""
RESUBSCRIBE_SEC = 60.0
"""After a refusal; and once on a connection that goes on with a session: brokers have said that it
is there and delivered nothing any more."""
STATUS_AGAIN_SEC = 300.0
"""The last will of a connection that was lost can come after the next one's birth: so long at most
we look offline."""
RENEW_SEC = 5.0
"""For the PUBACKs of what is in flight, before a connection is made anew."""
SESSION_EXPIRY_SEC = 7 * 86_400
"""MQTT 5: for so long the broker keeps commands for us; AWS IoT Core takes no more."""
HTTPS_PORT, AWS_ALPN = 443, "x-amzn-mqtt-ca"
"""There AWS IoT Core tells MQTT from HTTPS by the protocol's name in the TLS handshake."""
FILTERS_AT_ONCE = 8
"""What AWS IoT Core takes in one SUBSCRIBE."""


class MqttSession:
    """`run` it once. `on_online` is called again and again while it serves, with for how long."""

    def __init__(
        self,
        settings: MqttSettings,
        handoff: ThreadHandoff,
        outbox: Outbox,
        number: int,
        subscribed: MqttSessionSubscriptions,
        intake: InboundIntake,
        on_online: Callable[[float], None],
    ) -> None:
        self._settings = settings
        self._handoff = handoff
        self._number = number
        self._subscribed = subscribed
        self._intake = intake
        self._on_online = on_online
        self._online_at: float | None = None
        self._ended_at: float | None = None
        self._session_present = False
        self._cause = ""
        """Why we ended it."""
        self._refusal = ""
        self._socket_error = PahoSocketError()
        self._pending_subscribes: dict[int, list[str]] = {}
        """SUBSCRIBEs without an answer, by their message number."""
        self._subscribe_sent_at = 0.0
        self._resubscribe_at = float("inf")
        self._status_again_at = float("inf")
        self._reconnect_by = float("inf")
        handoff.missed = False
        self._client = self._make_client()
        intake.connected(number, lambda mid: self._client.ack(mid, 1))
        self.sender = OutboxSender(outbox, self._publish, settings.pace, time.monotonic())

    def run(self) -> ReconnectReason:
        """Serve until the end. Raises what keeps a connection from being made (OSError), and
        sqlite3.Error."""
        broker = self._settings.broker
        try:
            self._client.connect(
                broker.host, broker.port, broker.keepalive_sec, **self._session_options()
            )
            self._last_read_at = time.monotonic()
            self._serve()
        finally:
            self._drop_connection()
        return self._end()

    def _end(self) -> ReconnectReason:
        online_sec, oldest = None, self.sender.oldest
        if self._online_at is not None:
            online_sec = (self._ended_at or time.monotonic()) - self._online_at
        why, where = self._cause, self._settings.where
        error = self._socket_error_explained()
        if not why and self._refusal:
            why = self._refusal
        elif not why and error and (online_sec is not None or self._socket_error.is_tls):
            # TLS says why it ends. Before the broker's answer another error says only that it did.
            why = f"the connection was lost: {error}"
        elif not why and online_sec is not None:
            why = f"the connection was lost: {where} closed it"
        elif not why:
            why = (
                f"{where} hung up before it answered: is the client certificate accepted there, "
                f"and may it connect as {self._settings.ven_id}?"
            )
        return ReconnectReason(
            why=why,
            refused=online_sec is None and not self._cause,
            online_sec=online_sec,
            hung_up=not self._cause and not self._refusal,
            unconfirmed=None if oldest is None else oldest.topic,
        )

    def _socket_error_explained(self) -> str:
        error = self._socket_error.last
        if isinstance(error, ssl.SSLError):
            return explain_tls_error(error, self._settings.where)
        return "" if error is None else str(error.strerror or error)

    def _session_options(self) -> dict[str, Any]:
        """MQTT 5 asks for the session each time: that it goes on, and how long it lasts."""
        if not self._speaks_5:
            return {}
        lasting = Properties(PacketTypes.CONNECT)
        lasting.SessionExpiryInterval = SESSION_EXPIRY_SEC
        return {"clean_start": False, "properties": lasting}

    @property
    def _speaks_5(self) -> bool:
        return self._settings.broker.protocol == "5"

    # ---- the loop ------------------------------------------------------------------------

    def _serve(self) -> None:
        client, handoff, sender, intake = self._client, self._handoff, self.sender, self._intake
        wait_sec = IDLE_SEC
        while (sock := client.socket()) is not None:
            buffered = getattr(sock, "pending", int)()  # bytes that TLS has already read
            wanted: list[Any] = [sock] if client.want_write() else []
            sources: list[Any] = [sock, handoff.wake_read]
            at_once = buffered or intake.is_coming
            readable, writable, _ = select.select(sources, wanted, [], 0 if at_once else wait_sec)
            if handoff.wake_read in readable:
                handoff.drain_wakes()
            if buffered or sock in readable:
                self._last_read_at = time.monotonic()
                client.loop_read()
            if intake.is_due or (intake.is_coming and not (buffered or sock in readable)):
                intake.keep()
            if writable:
                client.loop_write()
            client.loop_misc()
            now = time.monotonic()
            if client.is_connected() and self._online_at is not None:
                intake.settle()
                wait_sec = self._online_step(now, sender)
            elif handoff.stopping and self._online_at is None:
                self._cause = "stopped"
                break  # still shaking hands: no one to say goodbye to
            self._check_liveness(now)

    def _online_step(self, now: float, sender: OutboxSender) -> float:
        """What there is to do while online; for how long there is no more (s)."""
        assert self._online_at is not None
        self._on_online(now - self._online_at)
        if now >= self._resubscribe_at:
            self._subscribe(sorted(self._subscribed.refused or self._settings.subscriptions))
        if now >= self._status_again_at and not self._handoff.stopping:
            self._publish_status("online")
        handoff = self._handoff
        if (handoff.renewing or handoff.has_room_again) and not handoff.stopping:
            return self._drain_and_reconnect(now, sender)
        wait_sec = sender.pump(now)
        if handoff.stopping:
            left_sec = handoff.flush_until - now
            if left_sec < 0 or not (sender.in_flight or sender.held_back):
                self._disconnect_orderly()
            return min(wait_sec, max(left_sec, 0.0))
        return wait_sec

    def _drain_and_reconnect(self, now: float, sender: OutboxSender) -> float:
        """Send nothing more, wait for the PUBACKs, and leave; the status stays online."""
        sender.settle()
        self._reconnect_by = min(self._reconnect_by, now + RENEW_SEC)
        if not sender.in_flight or now >= self._reconnect_by:
            self._cause = "the connection is made anew"
            self._client.disconnect()
            self._client.loop_write()
        return IDLE_SEC

    def _check_liveness(self, now: float) -> None:
        where, keepalive_sec = self._settings.where, self._settings.broker.keepalive_sec
        silent_sec = now - self._last_read_at
        if self._online_at is None:
            if silent_sec > CONNECT_TIMEOUT_SEC:
                self._give_up(f"{where} does not answer: is it an MQTT broker?")
        elif silent_sec > SILENT_KEEPALIVES * keepalive_sec - IDLE_SEC:
            self._give_up(f"the connection was lost: nothing came from {where} for too long")
        elif self.sender.oldest is not None and now - self.sender.oldest.at > UNCONFIRMED_SEC:
            self._give_up(f"{where} does not confirm what we send on {self.sender.oldest.topic}")
        elif self._pending_subscribes and now - self._subscribe_sent_at > UNCONFIRMED_SEC:
            self._give_up(f"{where} does not answer what we subscribe: no command would come")

    def _give_up(self, why: str) -> None:
        self._cause = why
        self._drop_connection()

    def _drop_connection(self) -> None:
        """Without a word: so the broker tells the last will, if it notices."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()
            self._client.loop_read()  # paho notices

    # ---- what we send --------------------------------------------------------------------

    def _make_client(self) -> mqtt.Client:
        settings, broker = self._settings, self._settings.broker
        client = PahoClient(
            CallbackAPIVersion.VERSION2,
            client_id=settings.ven_id,
            clean_session=None if self._speaks_5 else False,
            protocol=mqtt.MQTTv5 if self._speaks_5 else mqtt.MQTTv311,
            transport=broker.transport,
            manual_ack=True,
        )
        client.proxy = HttpProxy.for_broker(broker)
        client.connect_timeout = CONNECT_TIMEOUT_SEC
        client.max_inflight_messages_set(URGENT_WINDOW + 2)  # and birth or goodbye
        if broker.transport == "websockets":
            client.ws_set_options(path=broker.path)
        login = broker_login(broker)
        if settings.tls is not None:
            context = settings.tls.context()
            if broker.port == HTTPS_PORT and broker.transport == "tcp":
                context.set_alpn_protocols([AWS_ALPN])
            client.tls_set_context(context)
            login = login or settings.tls.login()
        if login is not None:
            client.username_pw_set(*login)
        client.will_set(settings.status_topic, self._status("offline"), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.enable_logger(self._socket_error.logger)
        return client

    def close(self) -> None:
        """What paho holds of us; afterwards nothing of this connection is left."""
        client = self._client
        self._intake.disconnected()
        client.on_connect = client.on_disconnect = client.on_subscribe = client.on_message = None
        client.on_publish = None
        client.disable_logger()

    def _publish(self, waiting: OutboxWaitingMessage) -> int:
        sent = self._client.publish(waiting.topic, waiting.payload, qos=1, retain=waiting.retain)
        return sent.mid

    def _subscribe(self, filters: list[str]) -> None:
        self._resubscribe_at = float("inf")
        self._subscribe_sent_at = time.monotonic()
        for first in range(0, len(filters), FILTERS_AT_ONCE):
            some = filters[first : first + FILTERS_AT_ONCE]
            _, mid = self._client.subscribe([self._subscription(each) for each in some])
            if mid is not None:
                self._pending_subscribes[mid] = some

    def _subscription(self, topic_filter: str) -> tuple[str, Any]:
        """MQTT 5 can tell of a command that it is kept, also when it was published just now."""
        if not self._speaks_5 or topic_filter != self._settings.command_topic:
            return topic_filter, 1
        return topic_filter, SubscribeOptions(qos=1, retainAsPublished=True)

    def _publish_status(self, status: str) -> None:
        self._status_again_at = time.monotonic() + STATUS_AGAIN_SEC
        body = self._status(status)
        self._client.publish(self._settings.status_topic, body, qos=1, retain=True)

    def _disconnect_orderly(self) -> None:
        self._cause = "stopped"
        self._publish_status("offline")
        self._client.disconnect()
        self._client.loop_write()

    def _status(self, status: str) -> bytes:
        body = {
            "venId": self._settings.ven_id,
            "status": status,
            "ts": round(time.time(), 3),
            "bootId": self._settings.boot_id,
        }
        return json.dumps(body).encode()

    # ---- called by paho ------------------------------------------------------------------

    def _on_connect(
        self, client: mqtt.Client, _data: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        most = getattr(properties, "ReceiveMaximum", None)
        if most is not None:  # one more unconfirmed message would end the connection
            client.max_inflight_messages_set(min(URGENT_WINDOW + 2, int(most)))
        if reason.is_failure:
            self._refusal = f"the broker refused the connection: {reason}"
            client.disconnect()
            return
        subscribed, wanted = self._subscribed, self._settings.subscriptions
        self._session_present = bool(flags.session_present)
        if not self._session_present:
            subscribed.filters.clear()
        missing = [each for each in wanted if each not in subscribed.filters]
        self._resubscribe_at = time.monotonic() + RESUBSCRIBE_SEC
        if missing:
            self._subscribe(missing)
        self._publish_status("online")
        self._online_at = time.monotonic()
        if self._settings.tls is not None:
            self._settings.tls.accepted()
        self._on_online(0.0)

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, _reason: Any, _properties: Any
    ) -> None:
        self._ended_at = time.monotonic()

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, mid: int, reasons: Any, _properties: Any
    ) -> None:
        for topic_filter, reason in zip(
            self._pending_subscribes.pop(mid, []), reasons, strict=False
        ):
            if reason.is_failure:
                self._subscribed.refused.add(topic_filter)
                self._resubscribe_at = time.monotonic() + RESUBSCRIBE_SEC
            else:
                self._subscribed.refused.discard(topic_filter)
                self._subscribed.filters.add(topic_filter)

    def _on_message(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        is_removal = not message.payload and (
            message.retain or message.topic in self._subscribed.retained
        )
        if is_removal:
            self._subscribed.retained.discard(message.topic)
        if message.retain or is_removal:
            # What comes in is for now; kept by the broker for later subscribers it is a mistake.
            if not is_removal:
                self._handoff.retained += 1
                self._subscribed.retained.add(message.topic)
            if message.mid:
                client.ack(message.mid, 1)
            return
        payload = bytes(message.payload)
        properties = getattr(message, "properties", None)  # there is none in MQTT 3.1.1
        expiry_sec = getattr(properties, "MessageExpiryInterval", None)
        self._intake.take(
            InboundMessage(
                message.topic,
                payload,
                message.mid,
                self._number,
                self._session_present,
                None if expiry_sec is None else time.monotonic() + expiry_sec,
            )
        )

    def _on_publish(
        self, _client: mqtt.Client, _data: Any, mid: int, _reason: Any, _properties: Any
    ) -> None:
        self.sender.confirmed(mid)
