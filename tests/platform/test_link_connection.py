"""The MQTT connection comes, goes, is lost and found, and says so to both sides."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import gevent
import pytest
from gevent import monkey

from tests.platform.link_harness import (
    ROOT,
    TIMEOUT_SEC,
    TOPICS,
    VEN_ID,
    Broker,
    Listener,
    MakeNode,
    Node,
    Observer,
    wait_until,
)
from tests.support.ports import free_port
from VenAgent.cloud import mqtt_session as session
from VenAgent.cloud import outbox_file

pytest_plugins = ["tests.platform.link_fixtures"]


def test_the_tests_run_with_what_is_patched_in_an_agent() -> None:
    assert monkey.is_module_patched("socket")
    assert monkey.is_module_patched("ssl")
    assert not monkey.is_module_patched("threading")
    assert not monkey.is_module_patched("select")


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


def test_a_last_will_that_comes_after_the_next_birth_is_not_the_last_word(
    node: Node, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "STATUS_AGAIN_SEC", 0.3)
    node.start()
    wait_until(lambda: observer.statuses()[:1] == ["online"], "it says online")
    will = json.dumps({"venId": VEN_ID, "status": "offline", "ts": 0, "bootId": "boot-1"})
    observer.publish(TOPICS.status, will, retain=True)
    wait_until(lambda: "offline" in observer.statuses(), "the old connection's will has come")
    wait_until(lambda: observer.statuses()[-1] == "online", "it says again that it is there")
    node.stop()
    wait_until(lambda: observer.statuses()[-1] == "offline", "and no more when it is gone")


LINKED_PROCESS = """
import sys
from pathlib import Path
import volttron.client
import gevent
from tests.platform.link_harness import settings
from VenAgent.cloud.mqtt_link import MqttLink
from VenAgent.config.cloud_config import CloudBrokerConfig

port, path = int(sys.argv[1]), Path(sys.argv[2])
config = CloudBrokerConfig(host="127.0.0.1", port=port, keepalive_sec=5)
link = MqttLink(settings(path, config, boot_id="boot-2"))
link.start(lambda inbound: print(inbound.payload.decode(), flush=True), lambda: None)
gevent.sleep(3600)
"""


def test_a_killed_process_is_told_offline_by_its_last_will_and_gets_its_command_again(
    observer: Observer, broker: Broker, make_node: MakeNode, tmp_path: Path
) -> None:
    path = tmp_path / "outbox.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", LINKED_PROCESS, str(broker.port), str(path)],
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
    texts = [f"m{number}" for number in range(50)]
    node.put(*texts)
    wait_until(lambda: node.in_flight == 30, "the window is full")
    broker.signal(signal.SIGKILL)  # with what it had read, or not
    broker.stop()
    wait_until(lambda: not node.link.state.online, "the loss is noticed")
    assert node.outbox.depth() == 50
    broker.start()
    wait_until(lambda: node.outbox.depth() == 0, "all are deleted")
    # The broker was killed: it forgot the observer's session; but nothing is left behind here.
    assert not node.in_flight


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
    wait_until(lambda: node.states == [(True, "")], "the agent hears of it")


def test_a_locked_outbox_ends_neither_the_thread_nor_the_connection_for_good(
    node: Node, observer: Observer, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full or slow for a while costs that while."""
    monkeypatch.setattr(outbox_file, "BUSY_TIMEOUT_SEC", 0.05)
    node.start()
    texts = [f"m{number}" for number in range(5)]
    other = sqlite3.connect(node.path, isolation_level=None)
    broker.signal(signal.SIGSTOP)
    try:
        node.put(*texts)
        wait_until(lambda: node.in_flight == 5, "all are on their way")
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


# ---- why it does not connect --------------------------------------------------------------------


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


@pytest.mark.parametrize("reset", [False, True])
def test_a_broker_that_hangs_up_before_it_answers_is_told(make_node: MakeNode, reset: bool) -> None:
    """A TLS alert that says why may be lost with the connection."""
    listener = Listener(hang_up=True, reset=reset)
    try:
        node = make_node(listener.port)
        node.start(until_online=False)
        wait_until(lambda: listener.accepted, "it has tried")
        assert "is the client certificate accepted" in node.until_why("before it answered")
    finally:
        listener.close()
