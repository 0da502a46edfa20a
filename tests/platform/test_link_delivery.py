"""What the MQTT connection delivers, out and in: all of it, in order and once."""

from __future__ import annotations

import signal
import threading

import pytest
from gevent.event import Event as GreenEvent

from tests.platform.link_harness import TOPICS, Broker, MakeNode, Node, Observer, wait_until
from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.outbox import OutboxMessage, OutboxRank

pytest_plugins = ["tests.platform.link_fixtures"]

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
    node.put(*acks, rank=OutboxRank.ACK)
    node.start()
    wait_until(lambda: len(observer.payloads("data")) >= 80, "all have come")
    assert [payload.decode() for payload in observer.payloads("data")] == acks + telemetry
    wait_until(lambda: node.outbox.depth() == 0, "all are deleted")


def test_a_message_arrives_as_it_was_put(node: Node, observer: Observer, broker: Broker) -> None:
    body = bytes(range(256)) * 350  # 90 KB: a large telemetry
    node.start()
    node.outbox.put([OutboxMessage("large/one", body), OutboxMessage("kept", b"k", retain=True)])
    node.link.wake()
    wait_until(lambda: observer.payloads("kept"), "both have come")
    assert observer.payloads("large/one") == [body]
    late = Observer(broker.port, "late")
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
        wait_until(lambda: node.in_flight, "it is on its way")
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

    def on_command(inbound: InboundMessage) -> None:
        threads.append(threading.get_ident())
        node.commands.append(inbound.payload.decode())
        arrived.set()

    node.link.start(on_command, lambda: None)
    node.running = True
    node.until_subscribed()
    observer._client.publish(TOPICS.command, "go", qos=1)
    assert arrived.wait(60.0)
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
    kept: list[InboundMessage] = []
    node.link.start(kept.append, lambda: None)
    node.running = True
    node.until_subscribed()
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
    assert {online for online, _ in node.states} == {True}
    # What the broker keeps may come before the connection was looked at for the first time.
    assert all(not why or "the broker keeps a message" in why for _, why in node.states)
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

    def on_command(inbound: InboundMessage) -> None:
        came.append(inbound.payload)
        if inbound.payload == b"bad":
            raise RuntimeError("a fault of ours")
        node.link.acknowledge(inbound)

    node.link.start(on_command, lambda: None)
    node.running = True
    node.until_subscribed()
    observer.command("bad")
    observer.command("good")
    wait_until(lambda: came == [b"bad", b"good"], "the next command has come")
