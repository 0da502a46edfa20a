"""The ingest as a process of its own, and a fleet that sends to it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg

from ops.host.condition import wait_for_condition
from tests.backend.conftest import Broker
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]


class IngestProcess:
    """`python -m backend ingest`, which can be killed and started again."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.port = free_port()
        self._log = folder / f"ingest-{self.port}.log"
        self._variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "INGEST_HEALTH_PORT": str(self.port),
            "INGEST_BATCH_WAIT_SEC": "0.05",
            **variables,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "backend", "ingest"],
                env=self._variables,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def signal(self, number: int = signal.SIGKILL) -> int:
        """Sends a signal and waits for the end; the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self.wait()

    def ask_to_end(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """For its end; the exit code."""
        assert self._process is not None
        return self._process.wait(60)

    def kill(self) -> None:
        self.signal()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGTERM)

    def readiness(self) -> tuple[int, list[str]]:
        """The status and the reasons; 0 when nothing answers."""
        url = f"http://127.0.0.1:{self.port}/health/ready"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return answer.status, json.load(answer)["reasons"]
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["reasons"]
        except OSError:
            return 0, []

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def wait_until_ready(self) -> None:
        assert wait_for_condition(lambda: self.readiness()[0] == 200, 60), self.log()

    def log(self) -> str:
        return self._log.read_text()[-3_000:] if self._log.exists() else ""


@contextmanager
def ingest(folder: Path, broker: Broker, database_url: str, **more: str) -> Iterator[IngestProcess]:
    """An ingest that runs and is ready."""
    variables = {"MQTT_PORT": str(broker.port), "DATABASE_URL": database_url, **more}
    process = IngestProcess(folder, **variables)
    process.start()
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.stop()


class Fleet:
    """Publishes at QoS 1, and knows what the broker has."""

    def __init__(self, broker: Broker) -> None:
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.max_inflight_messages_set(1_000)
        self._client.on_publish = lambda *_: self._answered.put(None)
        self._answered: queue.Queue[None] = queue.Queue()
        connected = threading.Event()
        self._client.on_connect = lambda *_: connected.set()
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert connected.wait(60)

    def send(self, payloads: Iterable[bytes], topic: str = "volttron/metering") -> int:
        """Returns how many, when the broker has them all."""
        count = 0
        for payload in payloads:
            self._client.publish(topic, payload, qos=1)
            count += 1
        for _ in range(count):
            self._answered.get(timeout=60)
        return count

    def send_slowly(self, payloads: Iterable[bytes], per_sec: float) -> None:
        """In small pieces, so that what happens to the ingest happens in the middle of it."""
        begun = time.monotonic()
        for number, payload in enumerate(payloads):
            with contextlib.suppress(ValueError):  # it is time already
                time.sleep(begun + number / per_sec - time.monotonic())
            self.send([payload])

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def stored(url: str, query: str = "SELECT count(*) FROM ven_telemetry") -> int:
    """What a query counts, on PostgreSQL."""
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    return int(row[0])
