"""The end of the MQTT connection: what waits is sent, it takes its time only, nothing is left."""

from __future__ import annotations

import gc
import os
import time

import paho.mqtt.client as mqtt

from tests.platform.fake_broker import FakeBroker
from tests.platform.link_harness import (
    TOPICS,
    VEN_ID,
    Broker,
    Listener,
    MakeNode,
    Node,
    Observer,
    threads_of_links,
    wait_until,
)
from tests.support.ports import free_port
from VenAgent.cloud.outbox_sender import LIVE_WINDOW

pytest_plugins = ["tests.platform.link_fixtures"]

LIVES = 5
"""A leak shows as so many; others in this process may open a file or two meanwhile."""


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
        one.running = False
        started = time.monotonic()
        one.link.stop(timeout_sec=120.0)
        assert time.monotonic() - started < 60.0


def test_offline_is_said_though_nothing_is_confirmed_and_the_window_is_full(
    make_node: MakeNode, fake_broker: FakeBroker
) -> None:
    """After a clean disconnect there is no last will: without it "online" would stay for ever."""
    broker = fake_broker
    broker.confirms = lambda topic: topic == TOPICS.status
    node = make_node(broker.port).start()
    node.put(*[f"m{number}" for number in range(40)])
    wait_until(lambda: broker.told.count("data") == LIVE_WINDOW, "the window is full")
    node.running = False
    node.link.stop(timeout_sec=1.0)
    wait_until(lambda: "disconnect" in broker.told, "it has said goodbye")
    assert broker.statuses == ["online", "offline"]
    assert broker.told[-1] == "disconnect"
    assert broker.told.count("data") == LIVE_WINDOW
    assert node.outbox.depth() == 40
    assert threads_of_links() == []
