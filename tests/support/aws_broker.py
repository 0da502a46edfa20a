"""A mosquitto that behaves like AWS IoT Core: it knows its clients by their certificates.

- a client certificate of the test's CA, or no connection;
- its name is the client's name, and may use what deploy/aws/iot-policy.json lets a thing use;
- no QoS 2, at most 128 KB, at most 100 unacknowledged.

Two things it does otherwise. AWS refuses a client id that is not the thing's name: here the client
gets its own name for an id, whatever it asks for. And AWS cuts the connection of a client that
publishes to a foreign topic: here the message is dropped.
"""

from __future__ import annotations

import os
import queue
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.asked_to_end import asked_to_end
from tests.support.authority import Authority
from tests.support.iot_policy import mosquitto_acl, ven_policy
from tests.support.ports import free_port
from VenAgent.config.cloud_config import CloudTlsConfig

OPERATOR = "operator"
WITHIN_SEC = 10.0


class AwsLikeBroker:
    """In `folder`; remembers its sessions when it is stopped and started."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.authority = authority
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        certificate, key = authority.issue("broker").write(folder, "broker")
        (folder / "clients.pem").write_text(authority.pem)
        rules = [*mosquitto_acl(ven_policy()), f"user {OPERATOR}"]
        rules += ["topic readwrite #", "topic readwrite $aws/#"]
        (folder / "acl").write_text("\n".join(rules) + "\n")
        (folder / "acl").chmod(0o600)
        lines = [
            "user root",  # as who runs the test: mosquitto would change to a user of its own
            "set_tcp_nodelay true",
            "persistence true",
            f"persistence_location {folder}/",
            "max_packet_size 131072",
            "max_inflight_messages 100",
            f"acl_file {folder / 'acl'}",
            f"listener {self.port} 127.0.0.1",
            "max_qos 1",
            f"cafile {folder / 'clients.pem'}",
            f"certfile {certificate}",
            f"keyfile {key}",
            "require_certificate true",
            "use_identity_as_username true",
            "use_username_as_clientid true",
        ]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    @property
    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text()

    def start(self) -> AwsLikeBroker:
        program = os.environ.get("MOSQUITTO", "/usr/sbin/mosquitto")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(self.folder / "mosquitto.conf")],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + WITHIN_SEC
        while not self._listens():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.01)
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def trust(self, *authorities: Authority) -> None:
        """Accept the clients of these CAs from now on: the broker is started again."""
        self.stop()
        (self.folder / "clients.pem").write_text("".join(ca.pem for ca in authorities))
        self.start()

    def stop(self) -> None:
        if self._process is not None:
            asked_to_end(self._process)
            self._process = None

    def files(self, name: str, **validity: float) -> CloudTlsConfig:
        """The credentials of the thing `name`, in files of the broker's folder."""
        return self.authority.files(self.folder, name, **validity)

    def context(self, name: str) -> ssl.SSLContext:
        """For a client of the test with the certificate of `name`."""
        tls = self.files(name)
        assert tls.client_cert
        context = ssl.create_default_context(cafile=tls.ca_cert)
        context.load_cert_chain(tls.client_cert, tls.private_key)
        return context


class Guest:
    """A client with the certificate of `name`, and what it hears."""

    def __init__(
        self,
        broker: AwsLikeBroker,
        name: str,
        client_id: str | None = None,
        *,
        keeps_session: bool = False,
    ) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.cut = threading.Event()
        self._subscribed = threading.Event()
        ready = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id or name, clean_session=not keeps_session
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.tls_set_context(broker.context(name))
        self._client.on_connect = lambda *_: ready.set()
        self._client.on_disconnect = lambda *_: self.cut.set()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _c, _d, message: self.heard.put(
            (message.topic, message.payload)
        )
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert ready.wait(WITHIN_SEC)

    def subscribe(self, *topics: str) -> Guest:
        self._client.subscribe([(topic, 1) for topic in topics])
        assert self._subscribed.wait(WITHIN_SEC)
        return self

    def publish(self, topic: str, payload: str) -> None:
        """Returns when the broker has it."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(WITHIN_SEC)

    def hears(self) -> tuple[str, bytes]:
        return self.heard.get(timeout=WITHIN_SEC)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
