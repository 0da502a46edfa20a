"""The measured part of benchmarks/link.py: outbox and link in one process, as in an agent.

It runs in VOLTTRON's environment, whose sockets are gevent's. The floor beside it is a bare paho
client on the same broker, in the same process. Prints its figures as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import paho.mqtt.client as mqtt
import volttron.client  # noqa: F401  it patches sockets and TLS, as in an agent
from paho.mqtt.enums import CallbackAPIVersion

from VenAgent.cloud.mqtt_link import MqttLink
from VenAgent.cloud.mqtt_settings import MqttSettings
from VenAgent.cloud.outbox import Outbox, OutboxMessage, OutboxRank
from VenAgent.cloud.outbox_sender import OutboxSender, OutboxSenderPace
from VenAgent.config.cloud_config import CloudBrokerConfig

PAYLOAD = b"x" * 4_096
DAY_MESSAGES = 2 * 86_400 // 5
UNPACED = OutboxSenderPace(messages_per_sec=1e9, bytes_per_sec=1e12)
EVERY_SEC = 0.01
LIMIT_SEC = 300.0


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + LIMIT_SEC
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not finished within {LIMIT_SEC:g} s")
        gevent.sleep(0.005)


@dataclass
class Stretch:
    """What a stretch of time cost."""

    seconds: float = 0.0
    core_percent: float = 0.0
    resident_mb: float = 0.0


@contextmanager
def measured() -> Iterator[Stretch]:
    stretch = Stretch()
    began, processor = time.perf_counter(), time.process_time()
    yield stretch
    stretch.seconds = time.perf_counter() - began
    stretch.core_percent = 100.0 * (time.process_time() - processor) / stretch.seconds
    stretch.resident_mb = resident_mb()


class Node:
    """A link with its outbox in a folder of its own; `confirmed_at` is when each PUBACK came."""

    confirmed_at: list[float] = []

    def __init__(self, port: int, folder: str, pace: OutboxSenderPace, day: bool = False) -> None:
        path = Path(folder) / "outbox.sqlite"
        self.outbox = Outbox(path, synced=True)
        if day:
            for _ in range(24):
                lot = [OutboxMessage("bench/data", PAYLOAD)] * (DAY_MESSAGES // 24)
                self.outbox.put(lot)
        self.file_mb = sum(each.stat().st_size for each in path.parent.iterdir()) / 1e6
        self.link = MqttLink(
            MqttSettings(
                broker=CloudBrokerConfig(host="127.0.0.1", port=port),
                ven_id="bench-node",
                status_topic="bench/status",
                subscriptions=("bench/cmd",),
                outbox_path=path,
                boot_id="bench",
                pace=pace,
            )
        )

    def start(self) -> None:
        self.link.start(self.link.acknowledge, lambda: None)
        wait_until(lambda: self.link.state.online)

    def put(self, rank: OutboxRank) -> None:
        self.outbox.put([OutboxMessage("bench/data", PAYLOAD, rank)])
        self.link.wake()

    def empty(self) -> bool:
        return self.outbox.depth() == 0

    def stop(self) -> None:
        self.link.stop()
        self.outbox.close()


@contextmanager
def node(port: int, pace: OutboxSenderPace, *, day: bool = False) -> Iterator[Node]:
    with tempfile.TemporaryDirectory() as folder:
        made = Node(port, folder, pace, day)
        try:
            yield made
        finally:
            made.stop()


def note_pubacks() -> None:
    confirmed = OutboxSender.confirmed

    def noting(self: OutboxSender, mid: int) -> None:
        Node.confirmed_at.append(time.perf_counter())
        confirmed(self, mid)

    OutboxSender.confirmed = noting  # type: ignore[method-assign]


class Bare:
    """paho alone, with its own loop; nothing on the disk."""

    def __init__(self, port: int, window: int) -> None:
        self.confirmed_at: list[float] = []
        self._online = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bench-bare")
        self._client.max_inflight_messages_set(window)
        self._client.on_connect = lambda *_: self._online.set()
        self._client.on_socket_open = lambda _client, _data, sock: sock.setsockopt(6, 1, 1)
        self._client.on_publish = lambda *_: self.confirmed_at.append(time.perf_counter())
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_until(self._online.is_set)

    def put(self) -> None:
        self._client.publish("bench/data", PAYLOAD, qos=1)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def latency_ms(
    put: Callable[[], None], confirmed_at: list[float], messages: int
) -> dict[str, list[float]]:
    """From before the put to its PUBACK, one message at a time; and what the put itself took."""
    confirmed_at.clear()
    began, put_ms = [], []
    for _ in range(messages):
        began.append(time.perf_counter())
        put()
        put_ms.append((time.perf_counter() - began[-1]) * 1e3)
        gevent.sleep(EVERY_SEC)
        wait_until(lambda: len(confirmed_at) == len(began))
    total = [(end - start) * 1e3 for start, end in zip(began, confirmed_at, strict=True)]
    return {"total": total, "put": put_ms}


def synced_write_ms(messages: int) -> list[float]:
    """What the disk takes for one message: a write and an fsync."""
    times = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(messages):
            began = time.perf_counter()
            file.write(PAYLOAD)
            file.flush()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1e3)
    return times


def latencies(port: int, messages: int) -> dict[str, list[float]]:
    """Floor and outbox by turns, so that what else runs disturbs both."""
    found: dict[str, list[float]] = {name: [] for name in ("bare", "outbox", "put", "disk")}
    with node(port, OutboxSenderPace()) as ours:
        ours.start()
        bare = Bare(port, 20)
        Node.confirmed_at.clear()
        for _ in range(4):
            some = messages // 4
            found["bare"] += latency_ms(bare.put, bare.confirmed_at, some)["total"]
            both = latency_ms(lambda: ours.put(OutboxRank.ACK), Node.confirmed_at, some)
            found["outbox"] += both["total"]
            found["put"] += both["put"]
            found["disk"] += synced_write_ms(some)
        bare.stop()
    return found


def bare_rate(port: int, messages: int) -> float:
    bare = Bare(port, 20)
    began = time.perf_counter()
    for _ in range(messages):
        bare.put()
    wait_until(lambda: len(bare.confirmed_at) == messages)
    rate = messages / (time.perf_counter() - began)
    bare.stop()
    return rate


def main() -> None:
    port, messages, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    figures: dict[str, Any] = {"imported_mb": resident_mb(), "day_messages": DAY_MESSAGES}
    note_pubacks()
    with node(port, OutboxSenderPace()) as idle:
        idle.start()
        with measured() as stretch:
            gevent.sleep(seconds)
        figures["idle"] = vars(stretch)
    figures["latency_ms"] = latencies(port, messages)
    figures["bare_per_sec"] = bare_rate(port, DAY_MESSAGES // 4)
    with node(port, UNPACED, day=True) as day:
        figures["day_file_mb"] = day.file_mb
        with measured() as stretch:
            day.start()
            wait_until(day.empty)
        figures["day_unpaced"] = vars(stretch)
    with node(port, OutboxSenderPace(), day=True) as day:
        day.start()
        before = day.outbox.depth()
        with measured() as stretch:
            gevent.sleep(seconds)
        figures["day_paced"] = {**vars(stretch), "sent": before - day.outbox.depth()}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
