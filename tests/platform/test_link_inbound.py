"""What comes in when too much comes: bounded, nothing lost, and others take their turn."""

from __future__ import annotations

import threading
import time

import gevent
import pytest

from tests.platform.fake_broker import FakeBroker
from tests.platform.link_harness import TIMEOUT_SEC, MakeNode, Node, Observer, wait_until
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
