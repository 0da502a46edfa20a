"""The shadow service at an MQTT broker: a client that answers on the reserved topics."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.shadow_store import ShadowStore

_TOPIC = re.compile(r"^\$aws/things/([^/]+)/shadow(?:/name/([^/]+))?/(update|get|delete)$")
CONNECT_SEC = 20.0


class ShadowService:
    """Answers all things at the broker, from `start` to `stop`."""

    def __init__(
        self,
        port: int,
        store: ShadowStore | None = None,
        *,
        client_id: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls`: with the certificate of a client that may do as the service does."""
        self.store = store or ShadowStore()
        self.published: list[tuple[str, dict[str, Any]]] = []
        """Every answer, with its whole topic."""
        self.requests: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        self._port = port
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.on_socket_open = lambda _client, _data, sock: sock.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message

    def start(self) -> ShadowService:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._subscribed.wait(CONNECT_SEC), "the shadow service has subscribed"
        return self

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def desire(self, thing: str, desired: dict[str, Any] | None) -> None:
        """What the operator's side does: an update of the desired state."""
        document = {"state": {"desired": desired}, "clientToken": "operator"}
        topic = f"$aws/things/{thing}/shadow/update"
        self._client.publish(topic, json.dumps(document), qos=1)

    def reported(self, thing: str, name: str | None = None) -> dict[str, Any]:
        with self._lock:
            return dict(self.store.document(thing, name).state.get("reported", {}))

    def desired(self, thing: str) -> dict[str, Any]:
        with self._lock:
            return dict(self.store.document(thing).state.get("desired", {}))

    def answers(self, suffix: str) -> list[dict[str, Any]]:
        """What was published on topics that end so."""
        with self._lock:
            return [message for topic, message in self.published if topic.endswith(suffix)]

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        operations = ("update", "get", "delete")
        filters = [f"$aws/things/+/shadow/{operation}" for operation in operations]
        filters += [f"$aws/things/+/shadow/name/+/{operation}" for operation in operations]
        client.subscribe([(name, 1) for name in filters])

    def _on_message(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        match = _TOPIC.match(message.topic)
        if match is None:
            return
        thing, name, operation = match.groups()
        prefix = message.topic.removesuffix(f"/{operation}")
        with self._lock:
            self.requests.append((message.topic, bytes(message.payload)))
            answers = self.store.handle(thing, name, operation, bytes(message.payload), time.time())
            published = [(f"{prefix}/{suffix}", body) for suffix, body in answers]
            self.published += published
        for topic, body in published:
            client.publish(topic, json.dumps(body), qos=1)
