"""The session at the broker: its subscriptions, who takes it over, what belongs to which of its
connections."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.platform.fake_broker import FakeBroker
from tests.platform.link_harness import (
    TOPICS,
    VEN_ID,
    Broker,
    MakeNode,
    Node,
    Observer,
    wait_until,
)
from tests.support.authority import Authority
from tests.support.tcp_proxy import TcpProxy
from VenAgent.cloud import mqtt_session as session
from VenAgent.cloud.link_state import LinkPhase
from VenAgent.cloud.outbox import OutboxRank
from VenAgent.config.cloud_config import CloudTlsConfig

pytest_plugins = ["tests.platform.link_fixtures"]
pytestmark = pytest.mark.usefixtures("impatient")

# ---- subscriptions ------------------------------------------------------------------------------


def test_it_subscribes_again_when_the_broker_has_lost_the_session(
    make_node: MakeNode, fake_broker: FakeBroker
) -> None:
    node = make_node(fake_broker.port).start()
    wait_until(lambda: fake_broker.subscribes == [[TOPICS.command]], "it subscribes")
    fake_broker.hang_up()
    wait_until(lambda: fake_broker.connects == 2, "it connects again")
    wait_until(lambda: len(fake_broker.subscribes) == 2, "it subscribes again")
    assert fake_broker.subscribes[1] == [TOPICS.command]
    node.stop()


def test_it_does_not_subscribe_again_when_the_session_is_still_there(
    make_node: MakeNode, fake_broker: FakeBroker
) -> None:
    node = make_node(fake_broker.port).start()
    wait_until(lambda: fake_broker.subscribes, "it subscribes")
    node.put("before")
    wait_until(lambda: node.outbox.depth() == 0, "the SUBACK is long there")
    fake_broker.session_present = True
    fake_broker.hang_up()
    wait_until(lambda: fake_broker.connects == 2, "it connects again")
    node.put("after")
    wait_until(lambda: node.outbox.depth() == 0, "it is served again")
    assert len(fake_broker.subscribes) == 1


def test_a_broker_that_keeps_the_session_and_not_its_subscriptions_is_asked_again(
    make_node: MakeNode, fake_broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Met at brokers of several machines: the session is there, and nothing is delivered."""
    monkeypatch.setattr(session, "RESUBSCRIBE_SEC", 0.3)
    node = make_node(fake_broker.port).start()
    fake_broker.session_present = True
    fake_broker.hang_up()
    wait_until(lambda: fake_broker.connects == 2, "it connects again")
    wait_until(lambda: len(fake_broker.subscribes) == 2, "a while later it asks again")
    assert fake_broker.subscribes[1] == [TOPICS.command]
    node.put("after")
    wait_until(lambda: node.outbox.depth() == 0, "it is served")
    assert len(fake_broker.subscribes) == 2, "once"


def test_a_process_that_begins_subscribes_whatever_the_session_knows(
    make_node: MakeNode, fake_broker: FakeBroker
) -> None:
    """It may be another configuration's."""
    fake_broker.session_present = True
    make_node(fake_broker.port).start()
    wait_until(lambda: fake_broker.subscribes == [[TOPICS.command]], "it subscribes")


def test_commands_come_again_from_a_broker_that_has_forgotten_everything(
    node: Node, observer: Observer, broker: Broker, tmp_path: Path
) -> None:
    node.start()
    observer.command("before")
    wait_until(lambda: node.commands == ["before"], "it has come")
    broker.stop()
    (tmp_path / "broker" / "mosquitto.db").unlink()
    broker.start()
    late = Observer(broker.port, "late")
    wait_until(lambda: late.statuses()[-1:] == ["online"], "the link is online again")
    late.command("after")
    wait_until(lambda: node.commands == ["before", "after"], "it has come")
    late.close()


def test_more_filters_than_aws_takes_at_once_go_in_lots(
    make_node: MakeNode, fake_broker: FakeBroker
) -> None:
    filters = tuple(f"site/{number}" for number in range(20))
    make_node(fake_broker.port, subscriptions=filters).start()
    wait_until(lambda: sum(map(len, fake_broker.subscribes)) == 20, "it subscribes to all")
    assert [len(each) for each in fake_broker.subscribes] == [8, 8, 4]


def test_a_refused_subscription_is_told_and_asked_for_again(
    make_node: MakeNode, fake_broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RESUBSCRIBE_SEC", 0.2)
    fake_broker.grants = lambda topic_filter: topic_filter != TOPICS.command
    node = make_node(fake_broker.port, subscriptions=("other", TOPICS.command)).start()
    wait_until(lambda: TOPICS.command in node.link.state.why, "the state tells")
    assert node.link.state.online
    assert "other" not in node.link.state.why
    finding = node.link.state.finding("broker")
    assert finding is not None
    assert "does not let us receive" in finding
    wait_until(lambda: len(fake_broker.subscribes) >= 3, "it asks again")
    assert fake_broker.subscribes[-1] == [TOPICS.command]
    fake_broker.grants = lambda topic_filter: True
    wait_until(lambda: node.link.state.why == "", "all is well")
    assert node.link.state.online
    assert fake_broker.connects == 1


# ---- taken over ---------------------------------------------------------------------------------


@pytest.fixture
def rival(broker: Broker) -> Iterator[mqtt.Client]:
    """Another client with our id, which comes back at once whenever it is thrown out."""
    rival = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=VEN_ID, clean_session=False)
    rival.reconnect_delay_set(1, 1)
    yield rival
    rival.disconnect()
    rival.loop_stop()


def test_another_client_with_our_id_is_recognised_and_not_fought(
    node: Node, broker: Broker, rival: mqtt.Client
) -> None:
    node.start()
    rival.connect("127.0.0.1", broker.port)
    rival.loop_start()
    wait_until(lambda: node.link.state.phase is LinkPhase.REFUSED, "it is recognised", 120.0)
    assert f"another client connects with our id {VEN_ID}" in node.link.state.why
    assert node.link._connection._reconnect_policy.pause_sec() >= 30.0


# ---- what belongs to which connection -----------------------------------------------------------


def test_an_acknowledgement_of_the_last_connection_is_not_given_on_the_next(
    make_node: MakeNode, proxy: TcpProxy, observer: Observer
) -> None:
    """There its number may be another message's."""
    node = make_node(proxy.port)
    node.acknowledging = False
    node.start()
    observer.command("c1")
    wait_until(lambda: len(node.inbound) == 1, "it has come")
    proxy.cut()
    wait_until(lambda: len(node.inbound) == 2, "it has come again")
    node.link.acknowledge(node.inbound[0])
    node.put("meanwhile")
    wait_until(lambda: node.outbox.depth() == 0, "the thread has looked")
    proxy.cut()
    wait_until(lambda: len(node.inbound) == 3, "it counts as not acknowledged")
    node.link.acknowledge(node.inbound[2])
    node.put("meanwhile")
    wait_until(lambda: node.outbox.depth() == 0, "the thread has looked")
    observer.command("c2")
    wait_until(lambda: node.commands[-1] == "c2", "the next has come")
    assert node.commands == ["c1", "c1", "c1", "c2"]


def test_made_anew_it_loses_and_repeats_nothing_and_stays_online_for_the_others(
    node: Node, observer: Observer
) -> None:
    node.start()
    texts = [f"m{number}" for number in range(200)]
    for number, text in enumerate(texts):
        node.put(text)
        if number == 100:
            threading.Thread(target=node.link.reconnect).start()
    wait_until(lambda: node.link._connection._number == 2, "it connects again")
    wait_until(lambda: node.outbox.depth() == 0, "all are deleted")
    wait_until(lambda: len(observer.payloads("data")) >= 200, "all have come")
    assert [payload.decode() for payload in observer.payloads("data")] == texts
    assert set(observer.statuses()) == {"online"}


def test_an_ack_is_sent_while_the_backlog_is(
    make_node: MakeNode, observer: Observer, broker: Broker
) -> None:
    node = make_node(broker.port)
    node.put(*[f"old{number}" for number in range(500)])
    node.start()
    wait_until(lambda: observer.payloads("data"), "the backlog has begun")
    node.put("ack", rank=OutboxRank.ACK, topic="ack")
    wait_until(lambda: observer.payloads("ack"), "it has come")
    assert len(observer.payloads("data")) < 500


# ---- the door for which AWS wants a name --------------------------------------------------------


class HttpsDoor:
    """A TLS listener that notes which protocol it was asked for, and hangs up."""

    def __init__(self, folder: Path) -> None:
        authority = Authority()
        server, client = authority.issue("broker"), authority.issue(VEN_ID)
        (folder / "ca.pem").write_text(authority.pem)
        certificate, key = client.write(folder, "ven")
        self.tls = CloudTlsConfig(
            ca_cert=str(folder / "ca.pem"), client_cert=str(certificate), private_key=str(key)
        )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*server.write(folder, "server"))
        self._context.set_alpn_protocols(["http/1.1", "x-amzn-mqtt-ca"])
        self._listener = gevent.socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(1)
        self.port = int(self._listener.getsockname()[1])
        self.protocols: list[Any] = []
        self._greenlet = gevent.spawn(self._serve)

    def _serve(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            with self._context.wrap_socket(sock, server_side=True) as secure:
                self.protocols.append(secure.selected_alpn_protocol())

    def close(self) -> None:
        self._greenlet.kill()
        self._listener.close()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[HttpsDoor]:
    door = HttpsDoor(tmp_path)
    yield door
    door.close()


def test_on_port_443_it_asks_for_mqtt_by_its_name(
    make_node: MakeNode, door: HttpsDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "HTTPS_PORT", door.port)
    make_node(door.port, door.tls).start(until_online=False)
    wait_until(lambda: door.protocols, "it has connected")
    assert door.protocols[0] == "x-amzn-mqtt-ca"


def test_on_other_ports_it_does_not(make_node: MakeNode, door: HttpsDoor) -> None:
    make_node(door.port, door.tls).start(until_online=False)
    wait_until(lambda: door.protocols, "it has connected")
    assert door.protocols[0] is None
