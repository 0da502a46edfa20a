"""The way to the broker fails in every way that a network has; nothing is lost, little is doubled.

The far end judges: by `seq`, by order, and by how often each message came.
"""

from __future__ import annotations

import json
import random
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from tests.platform.fake_broker import FakeBroker
from tests.platform.link_harness import (
    ROOT,
    TOPICS,
    Broker,
    MakeNode,
    Observer,
    wait_until,
)
from tests.support.tcp_proxy import TcpProxy
from VenAgent.cloud import mqtt_session as session
from VenAgent.cloud.link_state import LinkPhase
from VenAgent.cloud.outbox import Outbox, OutboxMessage, OutboxRank
from VenAgent.cloud.outbox_sender import URGENT_WINDOW, OutboxSenderPace

pytest_plugins = ["tests.platform.link_fixtures"]
pytestmark = pytest.mark.usefixtures("impatient")

KEEPALIVE_SEC = 5.0
"""The harness's."""
FOUND_SEC = 1.5 * KEEPALIVE_SEC
GRACE_SEC = 20.0
"""For a machine that does other things as well."""

# ---- cut, half-open, stalled, slow --------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_connection_that_was_cut_is_made_again(
    make_node: MakeNode, proxy: TcpProxy, observer: Observer, reset: bool
) -> None:
    node = make_node(proxy.port).start()
    proxy.cut(reset=reset)
    wait_until(lambda: not node.link.state.online, "the loss is noticed")
    assert node.link.state.phase is LinkPhase.OFFLINE
    assert "the connection was lost" in node.link.state.why
    node.put("meanwhile")
    wait_until(lambda: observer.payloads("data") == [b"meanwhile"], "it has come")
    wait_until(lambda: node.link.state.online, "it is online again")


def test_a_half_open_connection_is_found_while_nothing_is_sent(
    make_node: MakeNode, proxy: TcpProxy, observer: Observer
) -> None:
    node = make_node(proxy.port).start()
    proxy.half_open()
    wait_until(lambda: not node.link.state.online, "it is found", FOUND_SEC + GRACE_SEC)
    assert "nothing came from" in node.link.state.why
    proxy.heal()
    wait_until(lambda: node.link.state.online, "it is online again")


def test_a_half_open_connection_is_found_while_telemetry_goes_out(
    make_node: MakeNode, proxy: TcpProxy, observer: Observer
) -> None:
    """What is written keeps paho's clock of writes going, and TCP takes it."""
    node = make_node(proxy.port).start()
    proxy.half_open()
    deadline = time.monotonic() + FOUND_SEC + GRACE_SEC
    sent = []
    while node.link.state.online:
        assert time.monotonic() < deadline, "it was not found in time"
        sent.append(f"m{len(sent)}")
        node.put(sent[-1])
        gevent.sleep(0.1)
    assert len(sent) > 5
    proxy.heal()
    wait_until(lambda: node.outbox.depth() == 0, "all are deleted")
    wait_until(lambda: len(observer.payloads("data")) >= len(sent), "all have come")
    assert [payload.decode() for payload in observer.payloads("data")] == sent


def test_a_broker_that_hears_us_but_whose_answers_are_lost_is_found(
    make_node: MakeNode, proxy: TcpProxy, observer: Observer
) -> None:
    node = make_node(proxy.port).start()
    proxy.stalled_down = True
    node.put("one")
    wait_until(lambda: not node.link.state.online, "it is found", FOUND_SEC + GRACE_SEC)
    proxy.cut()
    proxy.heal()
    wait_until(lambda: node.outbox.depth() == 0, "it is confirmed")
    wait_until(lambda: observer.payloads("data"), "it has come")
    assert observer.payloads("data") in ([b"one"], [b"one", b"one"])


def test_a_stall_shorter_than_a_keepalive_costs_nothing(
    make_node: MakeNode, proxy: TcpProxy, observer: Observer
) -> None:
    node = make_node(proxy.port).start()
    proxy.stalled_up = proxy.stalled_down = True
    texts = [f"m{number}" for number in range(60)]
    node.put(*texts)
    wait_until(lambda: node.in_flight == 30, "the window is full")
    proxy.stalled_up = proxy.stalled_down = False
    wait_until(lambda: node.outbox.depth() == 0, "all are deleted")
    wait_until(lambda: len(observer.payloads("data")) >= len(texts), "all have come")
    assert [payload.decode() for payload in observer.payloads("data")] == texts
    assert node.states == [(True, "")]


def test_a_slow_line_delivers_all(make_node: MakeNode, proxy: TcpProxy, observer: Observer) -> None:
    proxy.delay_sec = 0.2
    node = make_node(proxy.port).start()
    texts = [f"m{number}" for number in range(100)]
    node.put(*texts)
    wait_until(lambda: node.outbox.depth() == 0, "all are deleted")
    wait_until(lambda: len(observer.payloads("data")) >= len(texts), "all have come")
    assert [payload.decode() for payload in observer.payloads("data")] == texts
    observer.command("go")
    wait_until(lambda: node.commands == ["go"], "the command has come")


def test_a_broker_that_confirms_nothing_though_it_answers_pings_is_left(
    make_node: MakeNode, fake_broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS IoT Core discards what exceeds its limits: the PUBACK never comes."""
    monkeypatch.setattr(session, "UNCONFIRMED_SEC", 0.5)
    fake_broker.confirms = lambda topic: topic != "data"
    node = make_node(fake_broker.port).start()
    node.put("one")
    assert "does not confirm what we send on data" in node.until_why("does not confirm")
    fake_broker.confirms = lambda topic: True
    wait_until(lambda: node.outbox.depth() == 0, "it was sent again")
    assert fake_broker.told.count("data") >= 2


def test_one_that_accepts_and_never_answers_is_told(
    make_node: MakeNode, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CONNECT_TIMEOUT_SEC", 0.5)
    proxy.half_open()
    node = make_node(proxy.port).start(until_online=False)
    assert "does not answer" in node.until_why("does not answer")
    assert node.link.state.phase is LinkPhase.OFFLINE


def test_an_outbox_that_breaks_costs_what_waited_in_it_and_not_the_link(
    make_node: MakeNode, observer: Observer, broker: Broker, tmp_path: Path
) -> None:
    path = tmp_path / "outbox.sqlite"
    before = Outbox(path, synced=True)
    before.put([OutboxMessage("data", b"x" * 4_096) for _ in range(50)])
    before.close()
    content = path.read_bytes()
    node = make_node(broker.port)
    path.write_bytes(content[:4_096] + b"\xff" * (len(content) - 4_096))
    node.start(until_online=False)
    assert "the outbox cannot be used" in node.until_why("outbox")
    node.put("after", rank=OutboxRank.ACK)
    wait_until(lambda: observer.payloads("data")[-1:] == [b"after"], "it has come", 120.0)
    assert node.outbox.damage is not None
    observer.command("go")
    wait_until(lambda: node.commands == ["go"], "commands come")


# ---- a day away ---------------------------------------------------------------------------------

DAY_REPORTS = 86_400 // 5
ACKS = 20
FAST = OutboxSenderPace(messages_per_sec=8_000.0, bytes_per_sec=1e9)
"""So that the test takes seconds; the pace itself is tested with a clock of its own."""


def test_after_a_day_away_acks_come_first_then_the_day_in_order_and_live_beside_it(
    make_node: MakeNode, observer: Observer, broker: Broker
) -> None:
    node = make_node(broker.port, pace=FAST)
    day_began = time.time() - 86_400

    def telemetry(seq: int, ts: float) -> list[OutboxMessage]:
        body = json.dumps({"seq": seq, "timestamp": ts}).encode()
        return [OutboxMessage("metering", body), OutboxMessage("telemetry", body)]

    for _ in range(0, DAY_REPORTS, 1_080):

        def lot(first: int) -> tuple[list[OutboxMessage], int]:
            numbers = range(first, first + 1_080)
            messages = [m for seq in numbers for m in telemetry(seq, day_began + 5.0 * seq)]
            return messages, len(numbers)

        node.outbox.put_numbered(lot)
    node.put(*[f"ack{number}" for number in range(ACKS)], rank=OutboxRank.ACK)
    began = time.monotonic()
    node.start()
    live = 0
    while node.outbox.depth():
        assert time.monotonic() - began < 180.0, f"{node.outbox.depth()} wait still"
        node.outbox.put_numbered(lambda seq: (telemetry(seq, time.time()), 1))
        node.link.wake()
        live += 1
        gevent.sleep(0.1)
    assert time.monotonic() - began >= 2 * DAY_REPORTS / FAST.messages_per_sec - 1.0
    everything = 2 * (DAY_REPORTS + live) + ACKS
    wait_until(lambda: len(observer.came) >= everything, "all have come", 120.0)
    sent = [message for message in observer.came if message.topic != TOPICS.status]
    assert [message.topic for message in sent[:ACKS]] == ["data"] * ACKS
    assert [m.payload.decode() for m in sent[:ACKS]] == [f"ack{number}" for number in range(ACKS)]
    for topic in ("metering", "telemetry"):
        seqs = [json.loads(payload)["seq"] for payload in observer.payloads(topic)]
        assert sorted(seqs) == list(range(1, DAY_REPORTS + live + 1)), "whole, and nothing twice"
        of_the_day = [seq for seq in seqs if seq <= DAY_REPORTS]
        assert of_the_day == sorted(of_the_day)
        assert seqs.index(DAY_REPORTS + 1) < seqs.index(DAY_REPORTS), "live does not wait"


# ---- killed at any moment -----------------------------------------------------------------------

VEN_PROCESS = """
import sys, time
from pathlib import Path
from tests.platform.link_harness import settings
import gevent
from VenAgent.cloud import reconnect_policy as reconnecting
from VenAgent.cloud.mqtt_link import MqttLink
from VenAgent.cloud.outbox import OutboxMessage, Outbox, OutboxRank
from VenAgent.config.cloud_config import CloudBrokerConfig

reconnecting.SHORTEST_SEC, reconnecting.FIRST_WINDOW_SEC, reconnecting.LONGEST_SEC = 0.1, 0.2, 0.3
port, path, most = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
outbox = Outbox(path, synced=True)
config = CloudBrokerConfig(host="127.0.0.1", port=port, keepalive_sec=5)
link = MqttLink(settings(path, config, "boot"))
link.start(link.acknowledge, lambda: None)
print("begun", flush=True)


def make(seq):
    body = b"%d" % seq
    telemetry = [OutboxMessage("metering", body), OutboxMessage("telemetry", body)]
    return [*telemetry, OutboxMessage("ack", body, OutboxRank.ACK)], 1


while outbox._number("SELECT value FROM counters WHERE name = 'seq'") < most:
    outbox.put_numbered(make)
    link.wake()
    gevent.sleep(0.005)
while outbox.depth():
    gevent.sleep(0.02)
print("all sent", flush=True)
gevent.sleep(3600)
"""


class VenProcess:
    """Outbox and link in a process of their own, again after each kill, on the same file.

    It makes `most` reports of three messages in all, 200 a second at the most.
    """

    def __init__(self, port: int, path: Path, most: int) -> None:
        self._arguments = [sys.executable, "-c", VEN_PROCESS, str(port), str(path), str(most)]
        self.kills = 0
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(self._arguments, cwd=ROOT, stdout=subprocess.PIPE)
        self._until_it_says(b"begun")

    def kill_and_restart(self) -> None:
        self.close()
        self.kills += 1
        self._start()

    def until_all_sent(self) -> None:
        self._until_it_says(b"all sent")

    def _until_it_says(self, text: bytes) -> None:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], 60.0)
        assert readable, f"the process has not said {text!r}"
        assert self._process.stdout.readline() == text + b"\n"

    def close(self) -> None:
        self._process.kill()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def far_observer(broker: Broker) -> Iterator[Observer]:
    """Not through the proxy: it misses nothing."""
    observer = Observer(broker.port, "far-end")
    yield observer
    observer.close()


@pytest.mark.parametrize("chance", [1, 2])
def test_killed_at_random_moments_of_an_outage_it_loses_nothing_and_doubles_only_what_flew(
    far_observer: Observer, proxy: TcpProxy, tmp_path: Path, chance: int
) -> None:
    draw = random.Random(chance)
    most = 600
    process = VenProcess(proxy.port, tmp_path / "outbox.sqlite", most)
    troubles = [proxy.cut, lambda: proxy.cut(reset=True), proxy.half_open]
    try:
        for _ in range(6):
            gevent.sleep(draw.uniform(0.05, 0.6))
            draw.choice(troubles)()
            gevent.sleep(draw.uniform(0.0, 0.4))
            process.kill_and_restart()
            proxy.heal()
        process.until_all_sent()
    finally:
        process.close()
    everything = {str(seq).encode() for seq in range(1, most + 1)}
    interruptions = 2 * process.kills
    doubled = 0
    for topic in ("metering", "telemetry", "ack"):
        wait_until(lambda t=topic: set(far_observer.payloads(t)) == everything, f"all of {topic}")
        came = Counter(far_observer.payloads(topic))
        assert max(came.values()) <= 1 + interruptions
        doubled += sum(came.values()) - len(came)
    assert doubled <= interruptions * URGENT_WINDOW
    acks = list(dict.fromkeys(far_observer.payloads("ack")))
    assert acks == [str(seq).encode() for seq in range(1, most + 1)], "acks came in order"
