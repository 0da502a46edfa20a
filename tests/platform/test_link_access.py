"""Ways to a broker beside a client certificate: a login, TLS of the broker alone, websockets, an
HTTP proxy."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import paho.mqtt.client as mqtt
import pytest
from gevent import socket
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.platform.link_harness import TOPICS, Broker, MakeNode, Observer, wait_until
from tests.platform.test_link_tls import Authority
from tests.support.ports import free_port
from VenAgent.config.cloud_config import CloudTlsConfig

pytest_plugins = ["tests.platform.link_fixtures"]

PASSWORD = "pass word of ours"


class AccessSite:
    """A broker with a door for each way, and a plain one for the observer."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "ours")
        certificate, key = self.authority.issue("broker")
        self.tls_port, self.websockets_port, self.secure_websockets_port = (
            free_port(),
            free_port(),
            free_port(),
        )
        login = ["allow_anonymous false", f"password_file {folder}/passwords"]
        tls = [f"certfile {certificate}", f"keyfile {key}"]
        self.broker = Broker(
            folder,
            ["allow_anonymous true"],
            [f"listener {self.tls_port} 127.0.0.1", *tls, *login],
            [f"listener {self.websockets_port} 127.0.0.1", "protocol websockets", *login],
            [
                f"listener {self.secure_websockets_port} 127.0.0.1",
                "protocol websockets",
                *tls,
                *login,
            ],
        )
        settings = folder / "mosquitto.conf"
        rest = settings.read_text().removeprefix("allow_anonymous true\n")
        settings.write_text(f"per_listener_settings true\n{rest}")
        subprocess.run(
            ["mosquitto_passwd", "-c", "-b", f"{folder}/passwords", "site-1", PASSWORD], check=True
        )


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccessSite]:
    site = AccessSite(tmp_path_factory.mktemp("access"))
    site.broker.start()
    yield site
    site.broker.stop()


def speaks_both_ways(site: AccessSite, node: Any) -> None:
    observer = Observer(site.broker.port)
    node.put("one")
    wait_until(lambda: b"one" in observer.payloads("data"), "what we send comes")
    body = "x" * 60_000
    observer.command(body)
    wait_until(lambda: body in node.commands, "what is sent to us comes")
    wait_until(lambda: node.outbox.depth() == 0, "it is confirmed")
    node.stop()
    wait_until(lambda: observer.statuses()[-1:] == ["offline"], "it says offline")
    observer.close()


def test_a_login_over_tls_of_the_broker_alone(
    access: AccessSite, make_node: MakeNode, tmp_path: Path
) -> None:
    password_file = tmp_path / "password"
    password_file.write_text(f"{PASSWORD}\n")
    login = {"username": "site-1", "password_file": str(password_file)}
    tls = CloudTlsConfig(ca_cert=str(access.authority.path))
    speaks_both_ways(access, make_node(access.tls_port, tls, broker=login).start())


def test_mqtt_5_over_tls_with_a_login(access: AccessSite, make_node: MakeNode) -> None:
    broker = {"username": "site-1", "password": PASSWORD, "protocol": "5"}
    tls = CloudTlsConfig(ca_cert=str(access.authority.path))
    speaks_both_ways(access, make_node(access.tls_port, tls, broker=broker).start())


@pytest.mark.parametrize("secure", [False, True])
def test_over_websockets(access: AccessSite, make_node: MakeNode, secure: bool) -> None:
    port = access.secure_websockets_port if secure else access.websockets_port
    tls = CloudTlsConfig(ca_cert=str(access.authority.path)) if secure else None
    broker = {"username": "site-1", "password": PASSWORD, "transport": "websockets"}
    speaks_both_ways(access, make_node(port, tls, broker=broker).start())


def test_a_wrong_password_is_told_and_not_shown(access: AccessSite, make_node: MakeNode) -> None:
    tls = CloudTlsConfig(ca_cert=str(access.authority.path))
    broker = {"username": "site-1", "password": "a wrong one"}
    node = make_node(access.tls_port, tls, broker=broker).start(until_online=False)
    why = node.until_why("refused the connection")
    assert "a wrong one" not in why


def test_a_password_file_that_is_not_there_is_named(
    access: AccessSite, make_node: MakeNode, tmp_path: Path
) -> None:
    broker = {"username": "site-1", "password_file": str(tmp_path / "none")}
    node = make_node(access.broker.port, broker=broker).start(until_online=False)
    assert "the password file" in node.until_why("cannot be read")


def test_the_machines_authorities_do_not_know_a_broker_of_its_own(
    access: AccessSite, make_node: MakeNode
) -> None:
    node = make_node(access.tls_port, CloudTlsConfig()).start(until_online=False)
    node.until_why("is not trusted")


class ConnectProxy:
    """An HTTP proxy that knows CONNECT; `login` is what it asks for."""

    def __init__(self, login: str | None = None) -> None:
        self._login = login
        self.asked: list[str] = []
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._sock.getsockname()[1])
        self._greenlets = [gevent.spawn(self._accept)]

    def _accept(self) -> None:
        while True:
            client, _ = self._sock.accept()
            self._greenlets.append(gevent.spawn(self._serve, client))

    def _serve(self, client: Any) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        lines = head.decode().split("\r\n")
        self.asked.append(lines[0])
        if self._login is not None and f"Proxy-Authorization: Basic {self._login}" not in lines:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            client.close()
            return
        host, _, port = lines[0].split()[1].rpartition(":")
        server = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._greenlets += [
            gevent.spawn(self._copy, client, server),
            gevent.spawn(self._copy, server, client),
        ]

    def _copy(self, source: Any, sink: Any) -> None:
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.close()

    def close(self) -> None:
        gevent.killall(self._greenlets)
        self._sock.close()


@pytest.fixture
def http_proxy() -> Iterator[ConnectProxy]:
    proxy = ConnectProxy("YTpiOmM=")  # a:b:c
    yield proxy
    proxy.close()


@pytest.mark.parametrize("transport", ["tcp", "websockets"])
def test_through_an_http_proxy_with_a_login(
    access: AccessSite, make_node: MakeNode, http_proxy: ConnectProxy, transport: str
) -> None:
    secure = access.secure_websockets_port if transport == "websockets" else access.tls_port
    broker = {
        "username": "site-1",
        "password": PASSWORD,
        "transport": transport,
        "proxy": f"http://a:b%3Ac@127.0.0.1:{http_proxy.port}",
    }
    tls = CloudTlsConfig(ca_cert=str(access.authority.path))
    speaks_both_ways(access, make_node(secure, tls, broker=broker).start())
    assert http_proxy.asked[0].startswith(f"CONNECT 127.0.0.1:{secure} ")


def test_a_proxy_that_refuses_is_told_without_its_password(
    access: AccessSite, make_node: MakeNode, http_proxy: ConnectProxy
) -> None:
    broker = {"proxy": f"http://a:wrong@127.0.0.1:{http_proxy.port}"}
    node = make_node(access.broker.port, broker=broker).start(until_online=False)
    why = node.until_why("does not let us through")
    assert "407 Proxy Authentication Required" in why
    assert "wrong" not in why


def test_a_retained_command_is_counted_and_told_until_it_is_removed(
    broker: Broker, observer: Observer, make_node: MakeNode
) -> None:
    observer.command(json.dumps({"op": "ping"}), retain=True)
    node = make_node(broker.port).start()
    wait_until(lambda: "the broker keeps a message" in node.link.state.why, "it is told")
    assert TOPICS.command in node.link.state.why
    assert (node.link.retained, node.commands) == (1, [])
    observer.command("", retain=True)
    wait_until(lambda: node.link.state.why == "", "it is over")
    observer.command("after it")
    wait_until(lambda: node.commands, "the next one comes")
    assert node.commands == ["after it"]  # to remove it was no command


def test_with_mqtt_5_a_retained_command_is_not_obeyed_either_while_we_are_connected(
    broker: Broker, observer: Observer, make_node: MakeNode
) -> None:
    speaks_5 = {"protocol": "5"}
    node = make_node(broker.port, broker=speaks_5, command_topic=TOPICS.command).start()
    observer.command(json.dumps({"op": "ping"}), retain=True)
    wait_until(lambda: TOPICS.command in node.link.state.why, "it is told")
    observer.command("", retain=True)
    wait_until(lambda: node.link.state.why == "", "it is over")
    observer.command("after it")
    wait_until(lambda: node.commands, "the next one comes")
    assert (node.link.retained, node.commands) == (1, ["after it"])


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_command_that_expires_while_we_are_away_does_not_come(
    broker: Broker, make_node: MakeNode, protocol: str
) -> None:
    """MQTT 5 message expiry: the broker keeps the time, for a session of MQTT 3.1.1 too."""
    make_node(broker.port, broker={"protocol": protocol}).start().stop()
    sender = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    sender.connect("127.0.0.1", broker.port)
    sender.loop_start()
    brief = Properties(PacketTypes.PUBLISH)
    brief.MessageExpiryInterval = 1
    for text, properties in (("brief", brief), ("lasting", None)):
        sent = sender.publish(TOPICS.command, text, qos=1, properties=properties)
        wait_until(sent.is_published, f"{text} is at the broker")
    published_at = time.monotonic()
    wait_until(lambda: time.monotonic() - published_at > 2.5, "the brief one has expired")
    node = make_node(broker.port, broker={"protocol": protocol}).start()
    wait_until(lambda: node.commands, "the lasting one comes")
    assert node.commands == ["lasting"]
    assert node.inbound[0].session_present
    brief.MessageExpiryInterval = 100
    sender.publish(TOPICS.command, "now", qos=1, properties=brief)
    wait_until(lambda: node.commands[-1] == "now", "what is sent now comes")
    expires_at = node.inbound[-1].expires_at
    assert node.inbound[0].expires_at is None
    if protocol == "5":
        assert expires_at is not None
        assert 90.0 < expires_at - time.monotonic() <= 100.0
    else:
        assert expires_at is None  # the broker alone knows
    sender.disconnect()
    sender.loop_stop()


def test_in_mqtt_5_a_backlog_keeps_to_what_the_broker_receives_at_once(
    broker: Broker, make_node: MakeNode
) -> None:
    """mosquitto ends the connection of a client that sends more than its receive maximum (20)."""
    node = make_node(broker.port, broker={"protocol": "5"})
    for number in range(300):
        node.put(f"n{number}")
    node.start()
    wait_until(lambda: node.outbox.depth() == 0, "all of it is confirmed")
    assert [why for online, why in node.states if not online and why] == []
