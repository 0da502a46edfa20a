"""An operator's MQTT 5 client: connects, publishes, waits for what answers.

TLS with a client certificate when the VEN's broker has it (IOT_ENDPOINT with CA_CERT, CLIENT_CERT,
PRIVATE_KEY), plain TCP for the one on this machine.
"""

from __future__ import annotations

import json
import math
import queue
import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ops.clients.ven_target import VenTarget
from ops.host.ops_error import OpsError

KEEPALIVE_SEC = 30
CONNECT_WITHIN_SEC = 10.0


class OperatorMqttClient:
    """A connection for the length of a `with` block; subscriptions survive a reconnect."""

    def __init__(self, target: VenTarget) -> None:
        self._target = target
        self._topics: list[str] = []
        self._inbox: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._connected = threading.Event()
        self._refusal: str | None = None
        self._subscribed: dict[int, threading.Event] = {}
        self._lock = threading.Lock()
        # In AWS an operator's certificate may connect as venagent-… (deploy/aws), a site's may not.
        client_id = f"venagent-ops-{secrets.token_hex(4)}"
        access = target.broker_access or {}
        self._client = _BrokerClient(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=paho.MQTTv5,
            transport=access.get("transport", "tcp"),
        )
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_socket_open = _send_at_once
        self._client.reconnect_delay_set(1, 15)

    def __enter__(self) -> OperatorMqttClient:
        target = self._target
        if target.broker_tls is not None:
            self._client.tls_set_context(_tls_context(target))
        if target.broker_access is not None or target.broker_tls is not None:
            _give_access(self._client, target)
        try:
            self._client.connect(target.broker_host, target.broker_port, KEEPALIVE_SEC)
        except OSError as error:
            raise _unreachable(target, error) from None
        self._client.loop_start()
        has_answered, refusal = self._connected.wait(CONNECT_WITHIN_SEC), self._refusal
        if has_answered and not refusal:
            return self
        self.__exit__(None, None, None)
        if not has_answered:
            raise OpsError(
                f"the broker {target.broker} takes the connection and says nothing within "
                f"{CONNECT_WITHIN_SEC:g} s; nothing was sent",
                "Does it hang, or is it another service's address?",
            )
        advice = "Check its address and your login (docs/cloud.md)."
        if target.broker_tls is not None:
            advice = (
                "Check that CLIENT_CERT is an operator's: a site's own may not send commands in "
                "AWS (docs/cloud.md)."
            )
        raise OpsError(f"the broker {target.broker} {refusal}", advice)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, *topics: str) -> None:
        """Returns when the broker has confirmed: nothing published after that is missed."""
        self._topics += topics
        confirmed = threading.Event()
        with self._lock:  # the confirmation may be here before the number is known
            result, number = self._client.subscribe([(topic, 1) for topic in topics])
            if number is not None:
                self._subscribed[number] = confirmed
        if result != paho.MQTT_ERR_SUCCESS or not confirmed.wait(CONNECT_WITHIN_SEC):
            raise OpsError(f"the broker does not let us listen on {', '.join(topics)}")
        if self._refusal:
            raise OpsError(f"the broker does not let us listen: {self._refusal}")

    def publish(
        self, topic: str, message: Mapping[str, Any], expiry_sec: float | None = None
    ) -> None:
        """QoS 1; returns when the broker has it.

        With `expiry_sec` the broker forgets it after that time (MQTT 5, message expiry), if
        whom it is for is away.
        """
        properties = Properties(PacketTypes.PUBLISH)
        if expiry_sec is not None:
            properties.MessageExpiryInterval = max(1, math.ceil(expiry_sec))
        info = self._client.publish(topic, json.dumps(message), qos=1, properties=properties)
        try:
            info.wait_for_publish(CONNECT_WITHIN_SEC)
        except (RuntimeError, ValueError) as error:
            raise OpsError(f"cannot publish to {topic}: {error}") from None
        if not info.is_published():
            raise OpsError(f"the broker did not confirm what we published to {topic}")

    def messages(self, timeout_sec: float | None = None) -> Iterator[paho.MQTTMessage]:
        """What arrives on the subscribed topics, until that much time has passed."""
        deadline = None if timeout_sec is None else time.monotonic() + timeout_sec
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            try:
                yield self._inbox.get(timeout=left)
            except queue.Empty:
                return

    # --- paho's callbacks, in its thread -------------------------------------------------------

    def _on_connect(
        self,
        client: paho.Client,
        data: Any,
        flags: paho.ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if code.is_failure:
            self._refusal = f"refuses us: {code}"
        elif self._connected.is_set() and self._topics:
            client.subscribe([(topic, 1) for topic in self._topics])
        self._connected.set()

    def _on_disconnect(
        self,
        client: paho.Client,
        data: Any,
        flags: paho.DisconnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if not self._connected.is_set():
            garbled = "speaks no MQTT: is the port right, and tcp or websockets meant?"
            closes = f"closes the connection: {code}"
            self._refusal = garbled if self._client.garbled else closes
            self._connected.set()

    def _on_subscribe(
        self,
        client: paho.Client,
        data: Any,
        number: int,
        codes: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        self._refusal = next((str(code) for code in codes if code.is_failure), None)
        with self._lock:
            confirmed = self._subscribed.pop(number, None)
        if confirmed:
            confirmed.set()

    def _on_message(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        self._inbox.put(message)


class _BrokerClient(paho.Client):
    """paho's, but for a proxy on its way."""

    proxy: Any = None
    garbled = False
    """What came was no MQTT: another service listens there."""

    def _packet_read(self) -> Any:
        try:
            return super()._packet_read()
        except (LookupError, ValueError, struct.error, MQTTException):
            self.garbled = True
            return paho.MQTT_ERR_PROTOCOL

    def _create_socket_connection(self) -> Any:
        if self.proxy is None:
            return super()._create_socket_connection()
        return self.proxy.connect(self._host, self._port, self.connect_timeout)


def _give_access(client: _BrokerClient, target: VenTarget) -> None:
    """Login, path and proxy as the agent has them."""
    # The configuration's models take a while to load, and a broker on this machine needs none.
    from VenAgent.cloud.tls.broker_login import broker_login
    from VenAgent.cloud.tls.http_proxy import HttpProxy
    from VenAgent.cloud.tls.tls_errors import TlsCredentialError
    from VenAgent.config.cloud_config import CloudBrokerConfig

    block = {"host": target.broker_host, "port": target.broker_port, "tls": target.broker_tls}
    broker = CloudBrokerConfig.model_validate({**block, **(target.broker_access or {})})
    try:
        login = broker_login(broker)
    except TlsCredentialError as error:
        raise OpsError(str(error)) from None
    if login is not None:
        client.username_pw_set(*login)
    if broker.transport == "websockets":
        client.ws_set_options(path=broker.path)
    try:
        client.proxy = HttpProxy.for_broker(broker)
    except ValueError as error:
        raise OpsError(str(error)) from None


def _send_at_once(client: paho.Client, data: Any, sock: Any) -> None:
    """Without Nagle's algorithm: 44 ms less for each command."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tls_context(target: VenTarget) -> Any:
    # The TLS files' checks take a while to load, and a broker on this machine has none.
    from VenAgent.cloud.tls.credentials import tls_context_of_credentials
    from VenAgent.cloud.tls.secrets_manager import SecretsManagerError
    from VenAgent.cloud.tls.tls_errors import TlsCredentialError
    from VenAgent.config.cloud_config import CloudTlsConfig

    try:
        return tls_context_of_credentials(
            CloudTlsConfig.model_validate(dict(target.broker_tls or {}))
        )
    except (TlsCredentialError, SecretsManagerError) as error:
        raise OpsError(f"cannot use the TLS settings of {target.broker_host}: {error}") from None


def _unreachable(target: VenTarget, error: OSError) -> OpsError:
    where = target.broker
    if target.broker_tls is not None:
        import ssl

        from VenAgent.cloud.tls.tls_errors import explain_tls_error  # as above

        if isinstance(error, ssl.SSLError):
            return OpsError(explain_tls_error(error, where))
    if isinstance(error, ConnectionRefusedError):
        return OpsError(
            f"no broker listens on {where}", "Is VenAgent started? See `ven_control.sh status`."
        )
    return OpsError(
        f"cannot reach the broker {where}: {error.strerror or error}",
        "Check the address and the network.",
    )


def mqtt_client_messages(
    messages: Iterable[paho.MQTTMessage],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(topic, JSON object) of those messages that hold one."""
    for message in messages:
        try:
            contents = json.loads(message.payload)
        except ValueError:
            continue
        if isinstance(contents, dict):
            yield message.topic, contents
