"""Several dispatchers on one database and a real broker; killed at random moments."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import text

from backend.config.broker_settings import BrokerSettings
from backend.dispatch.event_lifecycle import stop_dispatched_event
from backend.dispatch.mqtt_publisher import MqttPublisher
from backend.store.database import Database
from backend.store.statuses import COMPLETED
from backend.store.tables import COMMANDS
from backend.store.transaction import in_transaction

from .conftest import Broker, mosquitto
from .dispatching import add_event, add_vens, dispatching, eventually, participants, quick, rows

pytestmark = pytest.mark.asyncio
REPO = Path(__file__).resolve().parents[2]


class Listener:
    """Hears all commands of VENs whose ids begin with a prefix, as they are on the wire."""

    def __init__(self, broker: Broker, prefix: str) -> None:
        self.heard: dict[str, list[dict[str, object]]] = defaultdict(list)
        self._prefix = prefix
        self._client = paho.Client(CallbackAPIVersion.VERSION2, f"listener-{prefix}")
        self._client.on_message = self._on_message
        self._ready = threading.Event()
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_connect = lambda client, *_: client.subscribe("ven/cmd/+", 1)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert self._ready.wait(60)

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        command = json.loads(message.payload)
        if command["venId"].startswith(self._prefix):
            self.heard[command["venId"]].append(command)

    def ids(self, op: str) -> dict[str, set[str]]:
        return {
            ven_id: {str(c["correlationId"]) for c in commands if c["op"] == op}
            for ven_id, commands in self.heard.items()
        }

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def listening(broker: Broker, prefix: str) -> Iterator[Listener]:
    listener = Listener(broker, prefix)
    try:
        yield listener
    finally:
        listener.close()


async def test_two_dispatchers_tell_each_ven_once(postgresql_url: str, broker: Broker) -> None:
    first, second = Database(postgresql_url), Database(postgresql_url)
    await add_vens(first, {f"two{n}": 1.0 for n in range(150)})
    settings = quick(batch=10)
    mqtt = BrokerSettings(MQTT_HOST=broker.host, MQTT_PORT=broker.port)
    with listening(broker, "two") as listener:
        async with (
            dispatching(first, MqttPublisher(mqtt, timeout_sec=10), settings),
            dispatching(second, MqttPublisher(mqtt, timeout_sec=10), settings),
        ):
            for n in range(3):
                await add_event(
                    first,
                    50.0,
                    event_id=f"e{n}",
                    in_sec=0.5,
                    ven_ids=[f"two{v}" for v in range(n, 150, 3)],
                )
            await eventually(lambda: len(listener.heard) == 150)
            await eventually(lambda: _all_published(first))
        assert all(len(commands) == 1 for commands in listener.heard.values())
        assert len(await rows(first, COMMANDS)) == 150
    await first.close()
    await second.close()


@pytest.mark.parametrize("round_number", range(3))
async def test_dispatchers_killed_at_random_moments_tell_every_ven_and_none_twice(
    postgresql_url: str, broker: Broker, round_number: int
) -> None:
    dice = random.Random(f"round {round_number}")
    database = Database(postgresql_url)
    prefix = f"kill{round_number}-"
    vens = {f"{prefix}{n}": 1.0 for n in range(400)}
    await add_vens(database, vens)
    processes = [_start(postgresql_url, broker) for _ in range(2)]
    try:
        with listening(broker, prefix) as listener:
            await add_event(database, 400.0, in_sec=4.0)
            await eventually(lambda: participants(database))
            for _ in range(4):
                await asyncio.sleep(dice.uniform(0, 0.25))  # a random moment, not a hope
                victim = dice.randrange(2)
                processes[victim].send_signal(signal.SIGKILL)
                processes[victim].wait(60)
                processes[victim] = _start(postgresql_url, broker)
            await eventually(lambda: len(listener.heard) == 400)
            await eventually(lambda: _all_published(database))
            told = listener.ids("event")
            await in_transaction(
                database.engine,
                lambda c: stop_dispatched_event(c, "e1", status=COMPLETED, reason="stopped"),
            )
            processes[0].send_signal(signal.SIGKILL)
            await eventually(lambda: sum(map(len, listener.ids("restore").values())) == 400)
            await eventually(lambda: _all_published(database))
            restored = listener.ids("restore")
    finally:
        for process in processes:
            process.kill()
            process.wait(60)
    assert all(len(told[ven_id]) == 1 for ven_id in vens), "a VEN was told under two ids"
    assert all(len(restored[ven_id]) == 1 for ven_id in vens)
    events = [c for commands in listener.heard.values() for c in commands if c["op"] == "event"]
    shed_kw = {c["correlationId"]: c["shed_kw"] for c in events}
    assert list(shed_kw.values()) == [1.0] * 400
    await database.close()


async def test_news_of_another_process_arrive_by_notification(
    postgresql_url: str, broker: Broker
) -> None:
    """Its fallback is an hour: only LISTEN can have told it."""
    database = Database(postgresql_url)
    await add_vens(database, {"notified": 1.0})
    process = _start(postgresql_url, broker, DISPATCH_FALLBACK_SEC="3600")
    try:
        with listening(broker, "notified") as listener:
            await eventually(lambda: _listens(database))
            await add_event(database, 1.0)
            await eventually(lambda: listener.heard)
    finally:
        process.terminate()
        assert process.wait(60) == 0
    await database.close()


async def test_a_broker_that_comes_back_gets_what_waited(
    postgresql_url: str, tmp_path: Path
) -> None:
    database = Database(postgresql_url)
    await add_vens(database, {"waits": 1.0})
    with mosquitto(tmp_path) as broker:
        settings = BrokerSettings(MQTT_HOST=broker.host, MQTT_PORT=broker.port)
    publisher = MqttPublisher(settings, timeout_sec=1)
    async with dispatching(database, publisher, quick()) as dispatcher:
        await add_event(database, 1.0)
        await eventually(lambda: _has_error(database))
        await eventually(lambda: str(broker.port) in (dispatcher.problem() or ""))
        with mosquitto(tmp_path, broker.port), listening(broker, "waits") as listener:
            await eventually(lambda: listener.heard)
            await eventually(lambda: dispatcher.problem() is None)
    await database.close()


async def _all_published(database: Database) -> bool:
    return {row.state for row in await rows(database, COMMANDS)} <= {"published", "withdrawn"}


async def _has_error(database: Database) -> bool:
    return any(row.error for row in await rows(database, COMMANDS))


async def _listens(database: Database) -> bool:
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
    )
    async with database.engine.connect() as connection:
        return bool(await connection.scalar(text(query)))


def _start(url: str, broker: Broker, **variables: str) -> subprocess.Popen[bytes]:
    environment = {
        **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        "PYTHONDONTWRITEBYTECODE": "1",
        "DATABASE_URL": url,
        "MQTT_HOST": broker.host,
        "MQTT_PORT": str(broker.port),
        "DISPATCH_BATCH": "10",
        "DISPATCH_LEASE_SEC": "1",
        "DISPATCH_PUBLISH_TIMEOUT_SEC": "0.5",
        "DISPATCH_ACK_TIMEOUT_SEC": "600",
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "backend", "dispatch"],
        cwd=REPO,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
