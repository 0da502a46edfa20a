"""The MQTT connection at a real broker, with sockets and TLS patched as in a VOLTTRON agent."""

from __future__ import annotations

import gc
import ipaddress
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import gevent
import paho.mqtt.client as mqtt
import pytest
import volttron.client  # noqa: F401  it patches sockets and TLS, and nothing else
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gevent import monkey
from gevent.event import Event as GreenEvent
from paho.mqtt.enums import CallbackAPIVersion

from VenAgent.cloud import outbox as outbox_module
from VenAgent.cloud.link import Inbound, Link
from VenAgent.cloud.outbox import Message, Outbox, Rank
from VenAgent.config import BrokerConfig, TlsConfig
from VenAgent.contract.topics import Topics

ROOT = Path(__file__).parents[2]
MOSQUITTO = os.environ.get("MOSQUITTO", "/usr/sbin/mosquitto")
VEN_ID = "link-test"
TOPICS = Topics.for_ven(VEN_ID)
TIMEOUT_SEC = 20.0


def wait_until(condition: Callable[[], Any], what: str, timeout_sec: float = TIMEOUT_SEC) -> None:
    deadline = time.monotonic() + timeout_sec
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_sec:g} s: {what}"
        gevent.sleep(0.01)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
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
            "set_tcp_nodelay true",
            "persistence true",
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
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(folder)
    broker.start()
    yield broker
    broker.stop()


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


@pytest.fixture
def observer(broker: Broker) -> Iterator[Observer]:
    observer = Observer(broker.port)
    yield observer
    observer.close()


class Node:
    """A link with its outbox, and what it told the agent."""

    def __init__(self, folder: Path, port: int, tls: TlsConfig | None = None) -> None:
        self.path = folder / "outbox.sqlite"
        self.outbox = Outbox(self.path, synced=True)
        config = BrokerConfig(host="127.0.0.1", port=port, keepalive_sec=5, tls=tls)
        self.link = Link(config, TOPICS, VEN_ID, self.path, boot_id="boot-1")
        self.commands: list[str] = []
        self.states: list[tuple[bool, str]] = []
        self.acknowledging = True
        self.running = False

    def start(self, *, until_online: bool = True) -> Node:
        self.link.start(self._on_command, self._on_state)
        self.running = True
        if until_online:
            wait_until(lambda: self.link.state.online, "the link is online")
        return self

    def _on_command(self, inbound: Inbound) -> None:
        self.commands.append(inbound.payload.decode())
        if self.acknowledging:
            self.link.acknowledge(inbound)

    def _on_state(self) -> None:
        self.states.append((self.link.state.online, self.link.state.why))

    def put(self, *texts: str, rank: Rank = Rank.TELEMETRY, topic: str = "data") -> None:
        self.outbox.put([Message(topic, text.encode(), rank) for text in texts])
        if self.running:
            self.link.wake()

    def until_why(self, part: str) -> str:
        wait_until(
            lambda: not self.link.state.online and part in self.link.state.why,
            f"the state tells of {part!r}, not only {self.link.state.why!r}",
        )
        return self.link.state.why

    def stop(self) -> None:
        if self.running:
            self.running = False
            self.link.stop()
        self.outbox.close()


MakeNode = Callable[..., Node]


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[MakeNode]:
    nodes: list[Node] = []

    def make(port: int, tls: TlsConfig | None = None) -> Node:
        nodes.append(Node(tmp_path, port, tls))
        return nodes[-1]

    yield make
    for node in nodes:
        node.stop()


@pytest.fixture
def node(make_node: MakeNode, broker: Broker) -> Node:
    return make_node(broker.port)


def test_the_tests_run_with_what_is_patched_in_an_agent() -> None:
    assert monkey.is_module_patched("socket")
    assert monkey.is_module_patched("ssl")
    assert not monkey.is_module_patched("threading")
    assert not monkey.is_module_patched("select")


# ---- out ----------------------------------------------------------------------------------------


def test_what_is_put_in_the_outbox_arrives_and_is_deleted(node: Node, observer: Observer) -> None:
    node.start()
    node.put("one", "two")
    wait_until(lambda: observer.payloads("data") == [b"one", b"two"], "both have come")
    wait_until(lambda: node.outbox.depth() == 0, "both are deleted")


def test_what_waited_before_the_start_is_sent_acks_first(node: Node, observer: Observer) -> None:
    telemetry = [f"t{number}" for number in range(50)]
    acks = [f"a{number}" for number in range(30)]
    node.put(*telemetry)
    node.put(*acks, rank=Rank.ACK)
    node.start()
    wait_until(lambda: len(observer.payloads("data")) >= 80, "all have come")
    assert [payload.decode() for payload in observer.payloads("data")] == acks + telemetry
    wait_until(lambda: node.outbox.depth() == 0, "all are deleted")


def test_a_message_arrives_as_it_was_put(node: Node, observer: Observer) -> None:
    body = bytes(range(256)) * 350  # 90 KB: a large telemetry
    node.start()
    node.outbox.put([Message("large/one", body), Message("kept", b"k", retain=True)])
    node.link.wake()
    wait_until(lambda: observer.payloads("kept"), "both have come")
    assert observer.payloads("large/one") == [body]
    late = Observer(node.link._broker.port, "late")
    wait_until(lambda: late.payloads("kept") == [b"k"], "the retained one is kept")
    assert late.payloads("large/one") == []
    late.close()


def test_a_message_stays_until_the_broker_has_confirmed_it(
    node: Node, observer: Observer, broker: Broker
) -> None:
    node.start()
    broker.signal(signal.SIGSTOP)
    try:
        node.put("one")
        wait_until(lambda: node.link._in_flight, "it is on its way")
        assert node.outbox.depth() == 1
    finally:
        broker.signal(signal.SIGCONT)
    wait_until(lambda: node.outbox.depth() == 0, "it is deleted")
    wait_until(lambda: observer.payloads("data") == [b"one"], "it has come")


# ---- in -----------------------------------------------------------------------------------------


def test_a_command_wakes_an_idle_hub(node: Node, observer: Observer) -> None:
    """Nothing else runs in the hub: it sleeps until the thread wakes it."""
    arrived = GreenEvent()
    threads: list[int] = []

    def on_command(inbound: Inbound) -> None:
        threads.append(threading.get_ident())
        node.commands.append(inbound.payload.decode())
        arrived.set()

    node.link.start(on_command, lambda: None)
    node.running = True
    wait_until(lambda: node.link.state.online, "the link is online")
    observer._client.publish(TOPICS.command, "go", qos=1)
    assert arrived.wait(5.0)
    assert node.commands == ["go"]
    assert threads == [threading.main_thread().ident]


def test_commands_come_in_order_and_once(node: Node, observer: Observer) -> None:
    node.start()
    sent = [f"c{number}" for number in range(100)]
    for text in sent:
        observer._client.publish(TOPICS.command, text, qos=1)
    wait_until(lambda: len(node.commands) >= 100, "all have come")
    assert node.commands == sent


def test_what_is_not_acknowledged_is_delivered_again_and_what_is_is_not(
    node: Node, observer: Observer, make_node: MakeNode, broker: Broker
) -> None:
    node.acknowledging = False
    kept: list[Inbound] = []
    node.link.start(kept.append, lambda: None)
    node.running = True
    wait_until(lambda: node.link.state.online, "the link is online")
    for text in ("c1", "c2", "c3"):
        observer.command(text)
    wait_until(lambda: len(kept) == 3, "all have come")
    node.link.acknowledge(kept[1])
    node.stop()
    again = make_node(broker.port).start()
    observer.command("c4")
    wait_until(lambda: "c4" in again.commands, "the last has come")
    assert again.commands == ["c1", "c3", "c4"]


def test_a_command_that_came_while_away_is_delivered(
    node: Node, observer: Observer, make_node: MakeNode, broker: Broker
) -> None:
    node.start().stop()
    observer.command("meanwhile")
    again = make_node(broker.port).start()
    wait_until(lambda: again.commands == ["meanwhile"], "it has come")


@pytest.mark.parametrize("qos", [0, 1])
def test_a_retained_command_is_ignored(
    node: Node, observer: Observer, make_node: MakeNode, broker: Broker, qos: int
) -> None:
    observer.command("retained", qos=qos, retain=True)
    node.start()
    observer.command("fresh")
    wait_until(lambda: node.commands, "the other has come")
    assert_undisturbed(node)
    node.stop()
    again = make_node(broker.port).start()  # and it is not delivered as unacknowledged either
    observer.command("fresher")
    wait_until(lambda: again.commands, "the last has come")
    assert_undisturbed(again)
    assert node.commands == ["fresh"]
    assert again.commands == ["fresher"]


def assert_undisturbed(node: Node) -> None:
    """The connection has served until now, and still does: the broker minded nothing it got."""
    node.put("still here")
    wait_until(lambda: node.outbox.depth() == 0, "messages go out")
    assert node.states == [(True, "")]
    assert node.link.state.online


def test_a_command_with_qos_0_is_obeyed_and_harms_nothing(node: Node, observer: Observer) -> None:
    """The contract says 1, but mosquitto_pub's default is 0."""
    node.start()
    observer.command("careless", qos=0)
    wait_until(lambda: node.commands == ["careless"], "it has come")
    observer.command("careful")
    wait_until(lambda: node.commands == ["careless", "careful"], "the next has come")
    assert_undisturbed(node)


def test_a_command_whose_handling_fails_is_not_the_last(node: Node, observer: Observer) -> None:
    came: list[bytes] = []

    def on_command(inbound: Inbound) -> None:
        came.append(inbound.payload)
        if inbound.payload == b"bad":
            raise RuntimeError("a fault of ours")
        node.link.acknowledge(inbound)

    node.link.start(on_command, lambda: None)
    node.running = True
    wait_until(lambda: node.link.state.online, "the link is online")
    observer.command("bad")
    observer.command("good")
    wait_until(lambda: came == [b"bad", b"good"], "the next command has come", 5.0)


# ---- birth and last will ------------------------------------------------------------------------


def test_it_says_online_when_it_comes_and_offline_when_it_goes(
    node: Node, observer: Observer
) -> None:
    before = time.time()
    node.start()
    wait_until(lambda: observer.statuses() == ["online"], "it says online")
    birth = json.loads(observer.payloads(TOPICS.status)[0])
    assert birth["venId"] == VEN_ID
    assert birth["bootId"] == "boot-1"
    assert before - 0.01 <= birth["ts"] <= time.time() + 0.01
    node.stop()
    wait_until(lambda: observer.statuses() == ["online", "offline"], "it says offline")


def test_the_status_is_retained(node: Node, observer: Observer, broker: Broker) -> None:
    node.start()
    wait_until(lambda: observer.statuses() == ["online"], "it says online")
    late = Observer(broker.port, "late")
    wait_until(lambda: late.statuses() == ["online"], "the status is kept")
    assert late.came[0].retain
    late.close()
    node.stop()
    later = Observer(broker.port, "later")
    wait_until(lambda: later.statuses() == ["offline"], "the status is kept")
    assert later.came[0].retain
    later.close()


LINKED_PROCESS = """
import sys
from pathlib import Path
import volttron.client
import gevent
from VenAgent.cloud.link import Link
from VenAgent.config import BrokerConfig
from VenAgent.contract.topics import Topics

port, ven_id, path = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
config = BrokerConfig(host="127.0.0.1", port=port, keepalive_sec=5)
link = Link(config, Topics.for_ven(ven_id), ven_id, path, boot_id="boot-2")
link.start(lambda inbound: print(inbound.payload.decode(), flush=True), lambda: None)
gevent.sleep(3600)
"""


def test_a_killed_process_is_told_offline_by_its_last_will_and_gets_its_command_again(
    observer: Observer, broker: Broker, make_node: MakeNode, tmp_path: Path
) -> None:
    path = tmp_path / "outbox.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", LINKED_PROCESS, str(broker.port), VEN_ID, str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_until(lambda: observer.statuses() == ["online"], "it says online")
            observer.command("begun")
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
        finally:
            process.kill()
    wait_until(lambda: observer.statuses() == ["online", "offline"], "the broker says offline")
    last_will = json.loads(observer.payloads(TOPICS.status)[1])
    assert (last_will["venId"], last_will["bootId"]) == (VEN_ID, "boot-2")
    late = Observer(broker.port, "late")
    wait_until(lambda: late.statuses() == ["offline"], "the last will is kept")
    late.close()
    again = make_node(broker.port).start()
    wait_until(lambda: again.commands == ["begun"], "the command has come again")


# ---- lost and found -----------------------------------------------------------------------------


def test_it_comes_back_after_the_broker_and_sends_what_was_put_meanwhile(
    node: Node, observer: Observer, broker: Broker
) -> None:
    node.start()
    node.put("before")
    wait_until(lambda: node.outbox.depth() == 0, "the first is deleted")
    broker.stop()
    wait_until(lambda: not node.link.state.online, "the loss is noticed")
    assert node.link.state.why
    meanwhile = [f"m{number}" for number in range(60)]
    node.put(*meanwhile)
    broker.start()
    wait_until(lambda: node.link.state.online, "the link is online again")
    wait_until(lambda: node.outbox.depth() == 0, "all are deleted")
    wait_until(lambda: len(observer.payloads("data")) >= 61, "all have come")
    assert [payload.decode() for payload in observer.payloads("data")] == ["before", *meanwhile]
    observer.command("after")
    wait_until(lambda: node.commands == ["after"], "commands come again")
    assert [online for online, _ in node.states][0::2] == [True] * len(node.states[0::2])
    assert node.states[-1] == (True, "")


def test_what_was_in_flight_when_the_broker_went_is_sent_again(
    node: Node, observer: Observer, broker: Broker
) -> None:
    node.start()
    broker.signal(signal.SIGSTOP)
    texts = [f"m{number}" for number in range(30)]
    node.put(*texts)
    wait_until(lambda: len(node.link._in_flight) == 20, "the window is full")
    broker.signal(signal.SIGKILL)  # with what it had read, or not
    broker.stop()
    wait_until(lambda: not node.link.state.online, "the loss is noticed")
    assert node.outbox.depth() == 30
    broker.start()
    wait_until(lambda: node.outbox.depth() == 0, "all are deleted")
    # The broker was killed: it forgot the observer's session; but nothing is left behind here.
    assert not node.link._in_flight


def test_each_change_of_the_state_is_told_once(
    node: Node, observer: Observer, broker: Broker
) -> None:
    node.start()
    wait_until(lambda: node.states == [(True, "")], "the agent hears of it")
    broker.stop()
    why = node.until_why("nothing listens at")
    wait_until(lambda: node.states[-1] == (False, why), "the agent hears why")
    assert all(before != after for before, after in pairwise(node.states))
    assert node.link.state.since_ts <= time.time()


def test_a_connection_made_while_the_hub_was_busy_is_told(node: Node) -> None:
    node.start(until_online=False)
    deadline = time.monotonic() + TIMEOUT_SEC
    while not node.link.state.online and time.monotonic() < deadline:
        threading.Event().wait(0.001)  # a thread's: no other greenlet runs meanwhile
    wait_until(lambda: node.states == [(True, "")], "the agent hears of it", 2.0)


def test_a_locked_outbox_ends_neither_the_thread_nor_the_connection_for_good(
    node: Node, observer: Observer, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full or slow for a while costs that while."""
    monkeypatch.setattr(outbox_module, "BUSY_TIMEOUT_SEC", 0.05)
    node.start()
    texts = [f"m{number}" for number in range(5)]
    other = sqlite3.connect(node.path, isolation_level=None)
    broker.signal(signal.SIGSTOP)
    try:
        node.put(*texts)
        wait_until(lambda: len(node.link._in_flight) == 5, "all are on their way")
        other.execute("BEGIN IMMEDIATE")
    finally:
        broker.signal(signal.SIGCONT)
    # Now the deletion after the first PUBACK fails, and the others are still in flight.
    alive = node.link._thread.is_alive
    wait_until(lambda: not (alive() and node.link.state.online), "the failure is noticed")
    assert alive()
    assert "locked" in node.link.state.why
    other.execute("ROLLBACK")
    other.close()
    node.put("after")
    wait_until(lambda: node.outbox.depth() == 0, "all are deleted")
    expected = {text.encode() for text in [*texts, "after"]}
    wait_until(lambda: set(observer.payloads("data")) == expected, "all have come")


def test_an_idle_link_costs_nothing(node: Node, observer: Observer) -> None:
    node.start()
    for _ in range(100):
        node.link.wake()
    assert node.link._thread.ident is not None
    clock = time.pthread_getcpuclockid(node.link._thread.ident)
    before = time.clock_gettime(clock)
    gevent.sleep(0.5)
    assert time.clock_gettime(clock) - before < 0.1


# ---- TLS, and why it does not connect -----------------------------------------------------------


class Authority:
    """A certificate authority of the test."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(self._name, self._key.public_key(), authority=True)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(certificate)

    def _certificate(self, subject: x509.Name, key: Any, *, authority: bool) -> bytes:
        now = datetime.now(timezone.utc)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate_path = self._folder / f"{name}.crt"
        certificate_path.write_bytes(self._certificate(subject, key.public_key(), authority=False))
        key_path = self._folder / f"{name}.key"
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate_path, key_path

    def client(self, name: str) -> TlsConfig:
        certificate, key = self.issue(name)
        return tls_config(self.path, certificate, key)


def tls_config(ca_cert: Path, client_cert: Path, private_key: Path) -> TlsConfig:
    return TlsConfig(
        ca_cert=str(ca_cert), client_cert=str(client_cert), private_key=str(private_key)
    )


class SecureSite:
    """A broker that wants client certificates, with a plain door for the observer."""

    def __init__(self, folder: Path) -> None:
        self.ours = Authority(folder, "ours")
        self.others = Authority(folder, "others")
        self.tls_port = free_port()
        certificate, key = self.ours.issue("broker")
        self.broker = Broker(
            folder,
            [
                f"listener {self.tls_port} 127.0.0.1",
                f"cafile {self.ours.path}",
                f"certfile {certificate}",
                f"keyfile {key}",
                "require_certificate true",
            ],
        )


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureSite]:
    site = SecureSite(tmp_path_factory.mktemp("secure"))
    site.broker.start()
    yield site
    site.broker.stop()


def test_with_a_client_certificate_it_speaks_both_ways(
    secure: SecureSite, make_node: MakeNode
) -> None:
    observer = Observer(secure.broker.port)
    node = make_node(secure.tls_port, secure.ours.client("ven")).start()
    body = os.urandom(50_000).hex()  # several TLS records
    node.put("one", body)
    wait_until(lambda: observer.payloads("data") == [b"one", body.encode()], "both have come")
    wait_until(lambda: node.outbox.depth() == 0, "both are deleted")
    commands = [f"c{number}" + "x" * 5_000 for number in range(20)]
    for text in commands:
        observer._client.publish(TOPICS.command, text, qos=1)
    wait_until(lambda: len(node.commands) >= 20, "all have come")
    assert node.commands == commands
    node.stop()
    wait_until(lambda: observer.statuses()[-1:] == ["offline"], "it says offline")
    observer.close()


def test_a_broker_of_another_authority_is_not_trusted(
    secure: SecureSite, make_node: MakeNode
) -> None:
    certificate, key = secure.ours.issue("ven")
    node = make_node(secure.tls_port, tls_config(secure.others.path, certificate, key))
    node.start(until_online=False)
    why = node.until_why("is not trusted")
    assert f"127.0.0.1:{secure.tls_port}" in why


def test_a_client_certificate_of_another_authority_is_told(
    secure: SecureSite, make_node: MakeNode
) -> None:
    """The broker hangs up after the handshake, as AWS does when a policy forbids to connect."""
    certificate, key = secure.others.issue("stranger")
    node = make_node(secure.tls_port, tls_config(secure.ours.path, certificate, key))
    node.start(until_online=False)
    wait_until(lambda: node.link.state.why != "connecting", "the state tells why", 10.0)
    assert not node.link.state.online
    assert node.link.state.why


@pytest.mark.parametrize("missing", ["ca_cert", "client_cert", "private_key"])
def test_a_missing_file_is_named(secure: SecureSite, make_node: MakeNode, missing: str) -> None:
    whole = secure.ours.client("ven")
    path = str(Path(whole.ca_cert).with_name(f"no-{missing}.pem"))
    node = make_node(secure.tls_port, whole.model_copy(update={missing: path}))
    node.start(until_online=False)
    assert path in node.until_why("a TLS file is missing")


@pytest.mark.parametrize("wrong", ["ca_cert", "client_cert", "private_key"])
def test_a_file_that_is_no_certificate_is_told(
    secure: SecureSite, make_node: MakeNode, wrong: str
) -> None:
    whole = secure.ours.client("ven")
    path = Path(whole.ca_cert).with_name("rubbish.pem")
    path.write_text("no certificate, no key\n")
    node = make_node(secure.tls_port, whole.model_copy(update={wrong: str(path)}))
    node.start(until_online=False)
    assert "TLS" in node.until_why("TLS")


def test_that_nothing_listens_is_told(make_node: MakeNode) -> None:
    port = free_port()
    node = make_node(port)
    node.start(until_online=False)
    assert node.until_why("nothing listens") == f"nothing listens at 127.0.0.1:{port}"


def test_that_the_broker_refuses_is_told(tmp_path: Path, make_node: MakeNode) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    broker = Broker(folder)
    conf = folder / "mosquitto.conf"
    conf.write_text(conf.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    broker.start()
    try:
        node = make_node(broker.port)
        node.start(until_online=False)
        assert "uthoriz" in node.until_why("the broker refused the connection")
    finally:
        broker.stop()


class Listener:
    """Something that listens and speaks no MQTT: it hangs up at once, or keeps silent."""

    def __init__(self, *, hang_up: bool) -> None:
        self._sock = socket.socket()
        self._sock.bind(("127.0.0.1", 0))
        self._sock.listen(8)
        self.port = int(self._sock.getsockname()[1])
        self.accepted: list[Any] = []
        self._hang_up = hang_up
        self._greenlet = gevent.spawn(self._accept)

    def _accept(self) -> None:
        while True:
            sock, _ = self._sock.accept()
            self.accepted.append(sock)
            if self._hang_up:
                sock.close()

    def close(self) -> None:
        self._greenlet.kill()
        for sock in [*self.accepted, self._sock]:
            sock.close()


@pytest.fixture
def silent_listener() -> Iterator[Listener]:
    listener = Listener(hang_up=False)
    yield listener
    listener.close()


def test_a_broker_that_hangs_up_before_it_answers_is_told(make_node: MakeNode) -> None:
    listener = Listener(hang_up=True)
    try:
        node = make_node(listener.port)
        node.start(until_online=False)
        wait_until(lambda: listener.accepted, "it has tried")
        wait_until(lambda: node.link.state.why != "connecting", "the state tells why", 10.0)
        assert node.link.state.why
    finally:
        listener.close()


# ---- the end ------------------------------------------------------------------------------------


LIVES = 5
"""A leak shows as so many; others in this process may open a file or two meanwhile."""


def threads_of_links() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mqtt"]


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def clients_of_links() -> list[mqtt.Client]:
    gc.collect()
    found = [each for each in gc.get_objects() if isinstance(each, mqtt.Client)]
    return [client for client in found if client._client_id == VEN_ID.encode()]


def test_what_waits_is_sent_before_the_end(node: Node, observer: Observer) -> None:
    node.start()
    texts = [f"m{number}" for number in range(100)]
    node.put(*texts)
    node.running = False
    node.link.stop()
    assert node.outbox.depth() == 0
    wait_until(lambda: len(observer.payloads("data")) == 100, "all have come")
    wait_until(lambda: observer.statuses() == ["online", "offline"], "it says offline")
    assert observer.came[-1].topic == TOPICS.status


def test_stopping_ends_the_thread_and_leaves_no_file_open(
    observer: Observer, broker: Broker, make_node: MakeNode
) -> None:
    def live() -> None:
        node = make_node(broker.port).start()
        node.put("one")
        wait_until(lambda: node.outbox.depth() == 0, "it is deleted")
        node.stop()

    live()  # what is opened once and kept
    assert threads_of_links() == []
    before, clients_before = open_files(), len(clients_of_links())
    for _ in range(LIVES):
        live()
    assert threads_of_links() == []
    assert open_files() < before + LIVES
    assert len(clients_of_links()) <= clients_before


def test_stopping_a_link_that_never_connected_leaves_no_file_open(
    make_node: MakeNode, silent_listener: Listener
) -> None:
    def live(port: int) -> None:
        known = len(silent_listener.accepted)
        node = make_node(port).start(until_online=False)
        if port == silent_listener.port:
            wait_until(lambda: len(silent_listener.accepted) > known, "it has connected")
        else:
            node.until_why("nothing listens")
        node.stop()

    for port in (free_port(), silent_listener.port):
        live(port)
        before = open_files() - len(silent_listener.accepted)
        for _ in range(LIVES):
            live(port)
        assert threads_of_links() == []
        assert open_files() - len(silent_listener.accepted) < before + LIVES


def test_stopping_is_quick_when_there_is_nothing_to_wait_for(
    node: Node, observer: Observer, make_node: MakeNode, silent_listener: Listener
) -> None:
    node.start()
    silent = make_node(silent_listener.port).start(until_online=False)
    wait_until(lambda: silent_listener.accepted, "it has connected")
    absent = make_node(free_port()).start(until_online=False)
    absent.until_why("nothing listens")
    for one in (node, silent, absent):
        started = time.monotonic()
        one.stop()
        assert time.monotonic() - started < 2.0


def test_stopping_before_a_silent_broker_has_shaken_hands_keeps_its_time_limit(
    secure: SecureSite, make_node: MakeNode, silent_listener: Listener
) -> None:
    node = make_node(silent_listener.port, secure.ours.client("ven"))
    node.start(until_online=False)
    wait_until(lambda: silent_listener.accepted, "it has connected")
    node.running = False
    started = time.monotonic()
    node.link.stop(timeout_sec=1.0)
    assert time.monotonic() - started < 1.5
    silent_listener.close()  # the handshake fails, and the thread ends after all
    wait_until(lambda: threads_of_links() == [], "the thread has ended")


class ForgetfulBroker:
    """It takes every message and confirms the status only, as one that throttles might."""

    def __init__(self) -> None:
        self._sock = socket.socket()
        self._sock.bind(("127.0.0.1", 0))
        self._sock.listen(1)
        self.port = int(self._sock.getsockname()[1])
        self.told: list[str] = []
        """Topics that were published on, and "disconnect"."""
        self.statuses: list[str] = []
        self._greenlet = gevent.spawn(self._serve)

    def _serve(self) -> None:
        sock, _ = self._sock.accept()
        with sock, sock.makefile("rb") as stream:
            while first := stream.read(1):
                kind = first[0] >> 4
                length, shift = 0, 0
                while True:
                    (byte,) = stream.read(1)
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                self._take(sock, kind, stream.read(length))

    def _take(self, sock: Any, kind: int, body: bytes) -> None:
        if kind == 1:  # CONNECT
            sock.sendall(b"\x20\x02\x00\x00")
        elif kind == 8:  # SUBSCRIBE
            sock.sendall(b"\x90\x03" + body[:2] + b"\x01")
        elif kind == 3:  # PUBLISH
            end = 2 + int.from_bytes(body[:2], "big")
            self.told.append(body[2:end].decode())
            if self.told[-1] == TOPICS.status:
                self.statuses.append(json.loads(body[end + 2 :])["status"])
                sock.sendall(b"\x40\x02" + body[end : end + 2])
        elif kind == 14:
            self.told.append("disconnect")

    def close(self) -> None:
        self._greenlet.kill()
        self._sock.close()


def test_offline_is_said_though_nothing_is_confirmed_and_the_window_is_full(
    make_node: MakeNode,
) -> None:
    """After a clean disconnect there is no last will: without it "online" would stay for ever."""
    broker = ForgetfulBroker()
    try:
        node = make_node(broker.port).start()
        node.put(*[f"m{number}" for number in range(40)])
        wait_until(lambda: broker.told.count("data") == 20, "the window is full")
        node.running = False
        node.link.stop(timeout_sec=1.0)
        wait_until(lambda: "disconnect" in broker.told, "it has said goodbye")
        assert broker.statuses == ["online", "offline"]
        assert broker.told[-1] == "disconnect"
        assert broker.told.count("data") == 20
        assert node.outbox.depth() == 40
        assert threads_of_links() == []
    finally:
        broker.close()
