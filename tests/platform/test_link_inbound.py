"""What comes in when too much comes: bounded, nothing lost, and others take their turn."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.platform.fake_broker import FakeBroker
from tests.platform.link_harness import (
    TIMEOUT_SEC,
    TOPICS,
    Broker,
    MakeNode,
    Node,
    Observer,
    wait_until,
)
from VenAgent.cloud import mqtt_session as session
from VenAgent.cloud import thread_handoff as handoff
from VenAgent.cloud.inbound_message import InboundMessage

pytest_plugins = ["tests.platform.link_fixtures"]


def test_commands_that_found_no_room_are_asked_for_again(
    node: Node, observer: Observer, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    """A broker delivers what was not acknowledged again, but only on another connection."""
    monkeypatch.setattr(handoff, "INBOUND_KEPT", 5)
    node.start()
    texts = [f"c{number}" for number in range(20)]
    for text in texts:
        observer._client.publish("ven/cmd/link-test", text, qos=1)
    deadline = time.monotonic() + TIMEOUT_SEC
    while node.link.dropped == 0 and time.monotonic() < deadline:
        threading.Event().wait(0.01)  # a thread's: the hub is busy and takes nothing out
    assert node.link.dropped
    wait_until(lambda: set(node.commands) == set(texts), "all have come in the end")
    wait_until(lambda: node.link.state.online, "it is online again")
    observer.command("next")
    wait_until(lambda: node.commands[-1] == "next", "so does the next")


@pytest.fixture
def usual_broker(tmp_path: Path) -> Iterator[Broker]:
    """It hands out 20 messages at a time, as mosquitto does unless it is told otherwise."""
    folder = tmp_path / "usual"
    folder.mkdir()
    broker = Broker(folder, ["max_inflight_messages 20"])
    broker.start()
    yield broker
    broker.stop()


def test_a_restore_overtakes_a_burst_that_waits_at_the_broker_and_nothing_is_lost(
    usual_broker: Broker, make_node: MakeNode, tmp_path: Path
) -> None:
    """The agent is busy with one command when the others come; the broker hands out 20 at a time,
    and the restore behind them."""
    burst = 1_500
    texts = [
        json.dumps({"op": "event", "event_id": f"e{number}", "shed_kw": 1, "start_ts": 4e9})
        for number in range(burst)
    ]
    about_500 = json.dumps({"op": "cancel", "event_id": "e500"})
    restore = json.dumps({"op": "restore"})
    node = make_node(usual_broker.port, command_topic=TOPICS.command)
    waiting = node.link._handoff

    def deal(inbound: InboundMessage) -> None:
        if len(node.commands) == 10:
            wait_until(lambda: waiting.waiting == burst + 2 - 11, "all others have come in")
        if restore in node.commands:
            gevent.sleep(TIMEOUT_SEC)  # busy until it is killed
        node._on_command(inbound)

    node.link.start(deal, lambda: None)
    node.running = True
    node.until_subscribed()
    observer = Observer(usual_broker.port)
    for text in texts:
        observer._client.publish(TOPICS.command, text, qos=1)
    observer.command(about_500)
    observer.command(restore)
    wait_until(lambda: restore in node.commands, "the restore has come")
    assert len(node.commands) < 40, "before what was sent before it"
    assert about_500 in node.commands[: node.commands.index(restore)], "enders in their order"
    assert node.commands.index(texts[500]) < node.commands.index(about_500), "not before its event"

    node.stop()  # in the midst of it, as if killed: what is left is in the inbox and at the broker
    again = make_node(usual_broker.port, command_topic=TOPICS.command).start()
    wait_until(lambda: {*node.commands, *again.commands} >= set(texts), "every command has come")
    observer.close()
    first = [each for each in again.commands if each in set(texts)]
    assert first == sorted(first, key=texts.index), "and in order"
    assert len(first) - burst + len(set(node.commands) & set(texts)) <= 21, "hardly one twice"
    wait_until(lambda: not again.link._connection._intake._kept, "all of it was dealt with")


def test_a_command_gets_through_a_flood_of_what_has_no_guarantee(
    usual_broker: Broker, make_node: MakeNode
) -> None:
    """The flood has no end: there is always something more to be read."""
    noise = "ven/bus/link-test/in/cloud/weather/x"
    node = make_node(
        usual_broker.port, command_topic=TOPICS.command, subscriptions=(TOPICS.command, noise)
    )

    def deal(inbound: InboundMessage) -> None:
        gevent.sleep(0.002)  # an agent that is slower than the flood
        node._on_command(inbound)

    node.link.start(deal, lambda: None)
    node.running = True
    node.until_subscribed()
    sender = mqtt.Client(CallbackAPIVersion.VERSION2)
    sender.connect("127.0.0.1", usual_broker.port)
    sender.loop_start()
    ended = threading.Event()

    def flood() -> None:
        """Ahead of what was read by so much that the broker never runs dry."""
        sent = 0
        while not ended.wait(0.001):
            while sent - node.link.dropped - len(node.commands) < 5_000 and not ended.is_set():
                sender.publish(noise, f"{sent}", qos=0)
                sent += 1

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        wait_until(lambda: node.link.dropped > 5_000, "it is a flood")
        for number in range(5):
            text = json.dumps({"op": "ping", "correlationId": f"c{number}"})
            sender.publish(TOPICS.command, text, qos=1)
            wait_until(lambda text=text: text in node.commands, f"{text} came through")
    finally:
        ended.set()
        flooding.join(TIMEOUT_SEC)
        sender.disconnect()
        sender.loop_stop()


def test_a_long_queue_leaves_the_other_greenlets_their_turn(node: Node) -> None:
    handled: list[InboundMessage] = []
    node.link.start(handled.append, lambda: None)
    node.running = True
    turns: list[int] = []

    def take_turns() -> None:
        while len(handled) < 300:
            turns.append(len(handled))
            gevent.sleep(0)

    others = gevent.spawn(take_turns)
    node.until_subscribed()
    for number in range(300):
        node.link._handoff.offer(InboundMessage("t", b"%d" % number, mid=0))
    others.join(60)
    assert len(set(turns)) > 100
    assert [inbound.payload for inbound in handled] == [b"%d" % n for n in range(300)]


def test_a_handler_that_ran_out_of_time_does_not_deafen_the_link(
    node: Node, observer: Observer
) -> None:
    came: list[bytes] = []

    def on_command(inbound: InboundMessage) -> None:
        came.append(inbound.payload)
        if inbound.payload == b"slow":
            raise gevent.Timeout(1.0)  # a BaseException
        node.link.acknowledge(inbound)

    node.link.start(on_command, lambda: None)
    node.running = True
    node.until_subscribed()
    observer.command("slow")
    observer.command("next")
    wait_until(lambda: came == [b"slow", b"next"], "the next command has come")


def test_a_broker_that_never_answers_a_subscription_is_left(
    make_node: MakeNode,
    fake_broker: FakeBroker,
    monkeypatch: pytest.MonkeyPatch,
    impatient: None,
) -> None:
    """It would look online, and no command would ever come."""
    monkeypatch.setattr(session, "UNCONFIRMED_SEC", 0.5)
    fake_broker.answers_subscribes = False
    node = make_node(fake_broker.port).start(until_online=False)
    assert "no command would come" in node.until_why("does not answer what we subscribe")
    fake_broker.answers_subscribes = True
    wait_until(lambda: node.link.state.online, "it is served")
    wait_until(lambda: len(fake_broker.subscribes) >= 2, "it has asked again")
