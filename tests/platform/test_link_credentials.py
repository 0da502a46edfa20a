"""The link's credentials, on a broker that behaves like AWS IoT Core."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.platform.link_harness import (
    TOPICS,
    VEN_ID,
    MakeNode,
    Node,
    accepts,
    wait_until,
)
from tests.support.authority import Authority, Pair
from tests.support.aws_broker import OPERATOR, AwsLikeBroker, Guest
from tests.support.ports import free_port
from VenAgent.cloud.outbox import OutboxRank
from VenAgent.cloud.outbox_sender import URGENT_WINDOW
from VenAgent.cloud.tls import credentials as module
from VenAgent.cloud.tls.credential_sources import FileCredentialSource
from VenAgent.cloud.tls.credentials import REFUSED
from VenAgent.config.cloud_config import CloudTlsConfig

pytest_plugins = ["tests.platform.link_fixtures"]
REGION = "eu-west-1"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[AwsLikeBroker]:
    folder = tmp_path / "aws"
    folder.mkdir()
    broker = AwsLikeBroker(folder, Authority("Our CA")).start()
    yield broker
    broker.stop()


@pytest.fixture
def operator(broker: AwsLikeBroker) -> Iterator[Guest]:
    operator = Guest(broker, OPERATOR, keeps_session=True).subscribe(TOPICS.telemetry)
    yield operator
    operator.close()


@pytest.fixture
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileCredentialSource, "every_sec", 0.05)
    monkeypatch.setattr(module, "REFUSED_EVERY_SEC", 0.0)


def renew(files: CloudTlsConfig, pair: Pair) -> None:
    assert files.client_cert
    assert files.private_key
    Path(files.client_cert).write_text(pair.certificate)
    Path(files.private_key).write_text(pair.key)


def serial_number(node: Node) -> str:
    assert node.credentials is not None
    facts = node.credentials.facts
    assert facts is not None
    return facts.serial_number


class Stream:
    """Telemetry that goes on whatever happens, and what of it has come."""

    def __init__(self, node: Node, operator: Guest) -> None:
        self._node = node
        self._operator = operator
        self.sent = 0
        self._came: list[int] = []
        self._greenlet = gevent.spawn(self._send)

    def _send(self) -> None:
        while True:
            self.sent += 1
            self._node.put(str(self.sent), topic=TOPICS.telemetry)
            gevent.sleep(0.05)  # below the pace of a backlog

    def burst(self, count: int) -> None:
        """So many at once, of those that are not paced."""
        numbers = [str(self.sent + number + 1) for number in range(count)]
        self.sent += count
        self._node.put(*numbers, topic=TOPICS.telemetry, rank=OutboxRank.ACK)

    def came(self) -> list[int]:
        while not self._operator.heard.empty():
            self._came.append(int(self._operator.heard.get()[1]))
        return self._came

    def flows(self) -> None:
        """What is sent from now on arrives."""
        goal = self.sent + 5
        wait_until(lambda: goal in self.came(), "the telemetry flows")

    def stop(self) -> None:
        self._greenlet.kill()

    def end(self) -> list[int]:
        """All that came, when all that was sent has."""
        self.stop()
        wait_until(lambda: self._node.outbox.depth() == 0, "all is confirmed")
        wait_until(lambda: set(self.came()) == set(range(1, self.sent + 1)), "all has come")
        return self.came()


MakeStream = Callable[[Node], Stream]


@pytest.fixture
def make_stream(make_node: MakeNode, operator: Guest) -> Iterator[MakeStream]:
    streams: list[Stream] = []

    def make(node: Node) -> Stream:
        streams.append(Stream(node, operator))
        return streams[-1]

    yield make
    for stream in streams:
        stream.stop()


# ---- renewed while messages flow ----------------------------------------------------------------


@pytest.mark.usefixtures("_looks_often")
def test_a_certificate_is_renewed_without_losing_a_message(
    broker: AwsLikeBroker, operator: Guest, make_node: MakeNode, make_stream: MakeStream
) -> None:
    files = broker.files(VEN_ID)
    node = make_node(broker.port, files).start()
    stream = make_stream(node)
    stream.flows()
    before = serial_number(node)
    commands = []
    stream.burst(300)
    renew(files, broker.authority.issue(VEN_ID))
    while serial_number(node) == before or not node.link.state.online:
        commands.append(f"command-{len(commands)}")
        operator.publish(TOPICS.command, commands[-1])
        gevent.sleep(0.01)
    stream.flows()
    came = stream.end()
    assert len(came) - len(set(came)) <= URGENT_WINDOW, "only what was in flight comes twice"
    wait_until(lambda: set(commands) <= set(node.commands), "no command is lost either")


@pytest.mark.usefixtures("_looks_often")
def test_the_ca_is_changed_on_both_sides_without_losing_a_message(
    broker: AwsLikeBroker, make_node: MakeNode, make_stream: MakeStream
) -> None:
    """The broker trusts both, the site gets its new certificate, the broker trusts the new one."""
    new = Authority("New CA")
    files = broker.files(VEN_ID)
    node = make_node(broker.port, files).start()
    stream = make_stream(node)
    stream.flows()
    broker.trust(broker.authority, new)
    stream.flows()
    renew(files, new.issue(VEN_ID))
    before = serial_number(node)
    wait_until(lambda: serial_number(node) != before, "the new certificate is in use")
    stream.flows()
    stream.end()


@pytest.mark.usefixtures("_looks_often")
def test_a_new_certificate_that_the_broker_refuses_does_not_cut_the_site_off(
    broker: AwsLikeBroker, make_node: MakeNode, make_stream: MakeStream
) -> None:
    files = broker.files(VEN_ID)
    node = make_node(broker.port, files).start()
    stream = make_stream(node)
    stream.flows()
    before = serial_number(node)
    renew(files, Authority("Another CA").issue(VEN_ID))
    assert node.credentials is not None
    credentials = node.credentials
    wait_until(
        lambda: REFUSED in [finding.code for finding in credentials.findings()],
        "the finding",
    )
    wait_until(lambda: node.link.state.online, "the link is online again")
    assert serial_number(node) == before
    stream.flows()
    stream.end()


# ---- everything that can be wrong ---------------------------------------------------------------


def expired(broker: AwsLikeBroker) -> CloudTlsConfig:
    return broker.files(VEN_ID, days=-1, since_days=9)


def not_yet(broker: AwsLikeBroker) -> CloudTlsConfig:
    return broker.files(VEN_ID, since_days=-2)


def foreign_key(broker: AwsLikeBroker) -> CloudTlsConfig:
    other = broker.files("other").private_key
    return broker.files(VEN_ID).model_copy(update={"private_key": other})


def wrong_ca(broker: AwsLikeBroker) -> CloudTlsConfig:
    other = Authority("Another CA").files(broker.folder, "other").ca_cert
    return broker.files(VEN_ID).model_copy(update={"ca_cert": other})


def of_another_ca(broker: AwsLikeBroker) -> CloudTlsConfig:
    other = Authority("Another CA").files(broker.folder, VEN_ID)
    return other.model_copy(update={"ca_cert": broker.files("other").ca_cert})


def unreadable(broker: AwsLikeBroker) -> CloudTlsConfig:
    return broker.files(VEN_ID).model_copy(update={"private_key": str(broker.folder)})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (expired, "expired on"),
        (not_yet, "correct the clock"),
        (foreign_key, "does not belong to the client certificate"),
        (wrong_ca, "is not trusted"),
        (of_another_ca, "client certificate"),
        (unreadable, "cannot be read"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_wrong_stands_in_the_links_state(
    broker: AwsLikeBroker, make_node: MakeNode, make: Any, words: str
) -> None:
    node = make_node(broker.port, make(broker)).start(until_online=False)
    why = node.until_why(words)
    assert "BEGIN" not in why


@pytest.mark.usefixtures("_looks_often")
def test_a_site_with_an_expired_certificate_connects_when_a_new_one_is_put_there(
    broker: AwsLikeBroker, make_node: MakeNode
) -> None:
    files = expired(broker)
    node = make_node(broker.port, files).start(until_online=False)
    node.until_why("expired on")
    renew(files, broker.authority.issue(VEN_ID))
    wait_until(lambda: node.link.state.online, "the link is online")


def test_a_neighbours_certificate_under_our_name_acts_for_us_in_nothing(
    broker: AwsLikeBroker, operator: Guest, make_node: MakeNode
) -> None:
    node = make_node(broker.port, broker.files("neighbour")).start()
    node.put("forged", topic=TOPICS.telemetry)
    wait_until(lambda: node.outbox.depth() == 0, "the broker has seen it")
    operator.publish(TOPICS.command, "for the site")
    site = Guest(broker, VEN_ID)
    site.publish(TOPICS.telemetry, "its own")
    assert operator.hears() == (TOPICS.telemetry, b"its own")
    assert node.commands == []
    site.close()


# ---- from AWS Secrets Manager -------------------------------------------------------------------


class Vault:
    """Secrets Manager (moto's, in a process of the tools' environment)."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        python = os.environ["VENAGENT_TOOLS_PYTHON"]
        with (folder / "moto.log").open("wb") as log:
            self.process = subprocess.Popen(
                [Path(python).with_name("moto_server"), "-p", str(self.port)],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: accepts(self.port), "moto listens", 60)

    def store(self, name: str, ca: str, pair: Pair) -> None:
        contents = {"ca": ca, "certificate": pair.certificate, "privateKey": pair.key}
        text = json.dumps(contents)
        script = (
            "import boto3, sys\n"
            f"c = boto3.client('secretsmanager', region_name={REGION!r})\n"
            "name, text = sys.argv[1], sys.stdin.read()\n"
            "try: c.create_secret(Name=name, SecretString=text)\n"
            "except c.exceptions.ResourceExistsException:\n"
            "    c.put_secret_value(SecretId=name, SecretString=text)\n"
        )
        python = os.environ["VENAGENT_TOOLS_PYTHON"]
        subprocess.run(
            [python, "-c", script, name],
            env=dict(os.environ),  # volttrontesting puts another one in the place of the system's
            input=text,
            text=True,
            check=True,
            timeout=60,
        )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    vault = Vault(tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{vault.port}")
    yield vault
    vault.stop()


def test_a_secret_is_fetched_while_the_agents_hub_goes_on(
    broker: AwsLikeBroker, vault: Vault, make_node: MakeNode
) -> None:
    tls = CloudTlsConfig(secret_name="ven/one", region=REGION)
    vault.store("ven/one", broker.authority.pem, broker.authority.issue(VEN_ID))
    vault.process.send_signal(signal.SIGSTOP)  # AWS keeps us waiting
    node = make_node(broker.port, tls).start(until_online=False)
    deadline = time.monotonic() + 2.0
    turns = 0
    while time.monotonic() < deadline:
        gevent.sleep(0.001)
        turns += 1
    assert turns > 100, "the hub has turned meanwhile"
    assert not node.link.state.online
    vault.process.send_signal(signal.SIGCONT)
    wait_until(lambda: node.link.state.online, "the link is online")


def test_the_copy_of_a_secret_starts_a_site_without_network(
    broker: AwsLikeBroker, vault: Vault, make_node: MakeNode
) -> None:
    tls = CloudTlsConfig(secret_name="ven/two", region=REGION)
    vault.store("ven/two", broker.authority.pem, broker.authority.issue(VEN_ID))
    make_node(broker.port, tls).start().stop()
    vault.stop()
    make_node(broker.port, tls).start()


def test_a_renewed_secret_is_fetched_when_the_broker_refuses_the_old_one(
    broker: AwsLikeBroker, vault: Vault, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFUSED_EVERY_SEC", 0.0)
    tls = CloudTlsConfig(secret_name="ven/three", region=REGION)
    vault.store("ven/three", broker.authority.pem, broker.authority.issue(VEN_ID))
    node = make_node(broker.port, tls).start()
    new = Authority("New CA")
    vault.store("ven/three", broker.authority.pem, new.issue(VEN_ID))
    broker.trust(new)
    wait_until(lambda: not node.link.state.online, "the old one is refused")
    wait_until(lambda: node.link.state.online, "the new one is in use", 60)


def test_a_secret_that_is_not_there_stands_in_the_links_state(
    broker: AwsLikeBroker, vault: Vault, make_node: MakeNode
) -> None:
    tls = CloudTlsConfig(secret_name="ven/none", region=REGION)
    node = make_node(broker.port, tls).start(until_online=False)
    assert "TLS_SECRET_NAME" in node.until_why("there is no secret ven/none")
