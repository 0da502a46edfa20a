"""What the tests of the MQTT connection are made of: broker, observer, and link with outbox."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import paho.mqtt.client as mqtt
import volttron.client  # noqa: F401  it patches sockets and TLS, and nothing else
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.asked_to_end import asked_to_end
from tests.support.ports import free_port
from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.mqtt_link import MqttLink
from VenAgent.cloud.mqtt_settings import MqttSettings
from VenAgent.cloud.outbox import Outbox, OutboxMessage, OutboxRank
from VenAgent.cloud.tls.credentials import make_tls_credentials
from VenAgent.config.cloud_config import CloudBrokerConfig, CloudTlsConfig
from VenAgent.contract.topics import Topics

ROOT = Path(__file__).parents[2]
MOSQUITTO = os.environ.get("MOSQUITTO", "/usr/sbin/mosquitto")
VEN_ID = "link-test"
TOPICS = Topics.for_ven(VEN_ID)
TIMEOUT_SEC = 120.0


def wait_until(condition: Callable[[], Any], what: str, timeout_sec: float = TIMEOUT_SEC) -> None:
    deadline = time.monotonic() + timeout_sec
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_sec:g} s: {what}"
        gevent.sleep(0.01)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except OSError:
        return False
    return True


class Broker:
    """A mosquitto of the test, which remembers its sessions when it is stopped and started."""

    def __init__(self, folder: Path, *listeners: Iterable[str]) -> None:
        self.port = free_port()
        self._folder = folder
        lines = [
            "allow_anonymous true",
            # As who runs the test: mosquitto would change to a user of its own, who cannot read
            # the password file in this folder.
            *(["user root"] if os.geteuid() == 0 else []),
            "set_tcp_nodelay true",
            "persistence true",
            "max_queued_messages 0",
            "max_inflight_messages 0",  # an observer that is slow misses nothing
            f"persistence_location {folder}/",
            f"listener {self.port} 127.0.0.1",
            *(line for listener in listeners for line in listener),
        ]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [MOSQUITTO, "-c", str(self._folder / "mosquitto.conf")],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: accepts(self.port), "mosquitto accepts connections")
        assert self._process.poll() is None, (self._folder / "mosquitto.log").read_text()

    def stop(self) -> None:
        if self._process is not None:
            asked_to_end(self._process)
            self._process = None

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class Observer:
    """Another client of the broker: what came, in order, and a way to send commands."""

    def __init__(self, port: int, client_id: str = "observer") -> None:
        self.came: list[mqtt.MQTTMessage] = []
        self._subscribed = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = lambda _client, _data, message: self.came.append(message)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_until(self._subscribed.is_set, "the observer has subscribed")

    def payloads(self, topic: str) -> list[bytes]:
        return [message.payload for message in self.came if message.topic == topic]

    def statuses(self) -> list[str]:
        return [json.loads(payload)["status"] for payload in self.payloads(TOPICS.status)]

    def publish(self, topic: str, payload: str, qos: int = 1, retain: bool = False) -> None:
        info = self._client.publish(topic, payload, qos=qos, retain=retain)
        wait_until(info.is_published, f"{payload} is at the broker")

    def command(self, payload: str, qos: int = 1, retain: bool = False) -> None:
        self.publish(TOPICS.command, payload, qos, retain)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def settings(path: Path, broker: CloudBrokerConfig, boot_id: str, **changes: Any) -> MqttSettings:
    usual = MqttSettings(
        broker=broker,
        ven_id=VEN_ID,
        status_topic=TOPICS.status,
        subscriptions=(TOPICS.command,),
        outbox_path=path,
        boot_id=boot_id,
    )
    return replace(usual, **changes)


class Node:
    """A link with its outbox, and what it told the agent."""

    def __init__(
        self,
        folder: Path,
        port: int,
        tls: CloudTlsConfig | None = None,
        broker: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        """`broker`: further settings of that block."""
        self.path = folder / "outbox.sqlite"
        self.outbox = Outbox(self.path, synced=True)
        usual = {"host": "127.0.0.1", "port": port, "keepalive_sec": 5, "tls": tls}
        config = CloudBrokerConfig(**{**usual, **(broker or {})})
        self.credentials = None if tls is None else make_tls_credentials(tls, folder)
        changes.setdefault("tls", self.credentials)
        self._settings = settings(self.path, config, boot_id="boot-1", **changes)
        self.link = MqttLink(self._settings)
        self.commands: list[str] = []
        self.inbound: list[InboundMessage] = []
        self.states: list[tuple[bool, str]] = []
        self.acknowledging = True
        self.running = False

    def start(self, *, until_online: bool = True) -> Node:
        if self.credentials is not None:
            self.credentials.start(self.link.reconnect)
        self.link.start(self._on_command, self._on_state)
        self.running = True
        if until_online:
            self.until_subscribed()
        return self

    def until_subscribed(self) -> None:
        """Online and subscribed: what is published before is kept for no session that is new."""
        wait_until(lambda: self.link.state.online, "the link is online")
        known = self.link._connection._subscribed
        wanted = set(self._settings.subscriptions)
        wait_until(lambda: wanted <= known.filters | known.refused, "the broker has answered it")

    def _on_command(self, inbound: InboundMessage) -> None:
        self.inbound.append(inbound)
        self.commands.append(inbound.payload.decode())
        if self.acknowledging:
            self.link.acknowledge(inbound)

    def _on_state(self) -> None:
        self.states.append((self.link.state.online, self.link.state.why))

    def put(
        self, *texts: str, rank: OutboxRank = OutboxRank.TELEMETRY, topic: str = "data"
    ) -> None:
        self.outbox.put([OutboxMessage(topic, text.encode(), rank) for text in texts])
        if self.running:
            self.link.wake()

    @property
    def in_flight(self) -> int:
        sender = self.link._connection.sender
        return 0 if sender is None else sender.in_flight

    def until_why(self, part: str) -> str:
        wait_until(
            lambda: not self.link.state.online and part in self.link.state.why,
            f"the state tells of {part!r}, not only {self.link.state.why!r}",
        )
        return self.link.state.why

    def stop(self) -> None:
        if self.running:
            self.running = False
            if self.credentials is not None:
                self.credentials.stop()
            self.link.stop()
        self.outbox.close()


MakeNode = Callable[..., Node]


class Listener:
    """Something that listens and speaks no MQTT: it hangs up at once, or keeps silent.

    With `reset` it hangs up so that what it may have said is lost.
    """

    def __init__(self, *, hang_up: bool, reset: bool = False) -> None:
        self._sock = socket.socket()
        self._sock.bind(("127.0.0.1", 0))
        self._sock.listen(8)
        self.port = int(self._sock.getsockname()[1])
        self.accepted: list[Any] = []
        self._hang_up = hang_up
        self._reset = reset
        self._greenlet = gevent.spawn(self._accept)

    def _accept(self) -> None:
        while True:
            sock, _ = self._sock.accept()
            self.accepted.append(sock)
            if self._reset:
                sock.recv(1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if self._hang_up:
                sock.close()

    def close(self) -> None:
        self._greenlet.kill()
        for sock in [*self.accepted, self._sock]:
            sock.close()


def threads_of_links() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mqtt"]
