"""How long one event takes to reach the fleet: its start → the last of 10,000 commands heard.

Broker, PostgreSQL, dispatchers and the listener are on one machine. In the same run the floor: the
same messages published by the same publisher with no database behind it. And what AWS's way costs
here: signed HTTPS requests are replaced by signed HTTP to a server of our own that answers after
20 ms, so only this side's part is measured.

    scripts/benchmark.sh dispatch [--vens 10000] [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console
from rich.table import Table
from sqlalchemy import delete, func, insert, select, update

from backend.config.broker_settings import BrokerSettings
from backend.dispatch.command_publisher import CommandPublisherMessage
from backend.dispatch.dispatch_wake import send_dispatch_wake
from backend.dispatch.iot_data_publisher import IotDataPublisher
from backend.dispatch.mqtt_publisher import MqttPublisher
from backend.store.database import Database
from backend.store.tables import COMMANDS, EVENTS, PARTICIPANTS, VEN_STATE, VENS
from backend.store.utc_time import utc_now
from benchmarks.common import machine
from benchmarks.fleet_stack import ROOT, Stack, cpu_sec, stack
from VenAgent.contract.command_builder import build_correlation_id, build_event_command

ROOM_KW = 5.0
HTTP_DELAY_SEC, HTTP_MESSAGES = 0.02, 2_000


class Listener:
    """When the first command of each VEN was heard."""

    def __init__(self, port: int) -> None:
        self.heard: dict[str, float] = {}
        self.messages = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "dispatch-listener")
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("ven/cmd/+", 0)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self.messages += 1
        self.heard.setdefault(message.topic, time.time())

    def reset(self) -> None:
        self.heard, self.messages = {}, 0

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def dispatchers(running: Stack, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MQTT_PORT": str(running.broker_port),
        "DATABASE_URL": running.database_url,
        "DISPATCH_ASK_AGENTS_SEC": "0",
        "DISPATCH_ACK_TIMEOUT_SEC": "600",
        "LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "backend", "dispatch"]
    processes = [subprocess.Popen(command, env=variables) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)


async def fill(database: Database, vens: int) -> None:
    now = utc_now()
    names = [f"sim-{number:05d}" for number in range(vens)]
    async with database.engine.begin() as connection:
        await connection.execute(
            insert(VENS),
            [
                {"id": v, "name": v, "status": "online", "status_since": now, "created_at": now}
                for v in names
            ],
        )
        state = {"last_seen": now + timedelta(hours=1), "timestamp": now, "seq": 1}
        await connection.execute(
            insert(VEN_STATE),
            [{"ven_id": v, **state, "shed_available_kw": ROOM_KW} for v in names],
        )


async def one_event(
    database: Database, listener: Listener, vens: int, number: int
) -> dict[str, float]:
    """Seconds from the event's start to: active, the first, half, all heard; all marked."""
    start = utc_now() + timedelta(seconds=3)
    event_id = f"bench-{number}"
    listener.reset()
    async with database.engine.begin() as connection:
        await connection.execute(
            insert(EVENTS).values(
                id=event_id,
                status="scheduled",
                start_time=start,
                end_time=start + timedelta(hours=1),
                requested_reduction_kw=vens * ROOM_KW / 2,
                modification=0,
                created_at=utc_now(),
            )
        )
        await send_dispatch_wake(connection)
    published = 0
    while published < vens:
        await asyncio.sleep(0.05)
        async with database.engine.connect() as connection:
            published = await connection.scalar(
                select(func.count()).where(COMMANDS.c.published_at.is_not(None))
            )
    marked = time.time()
    begun = start.timestamp()
    async with database.engine.begin() as connection:
        event = (await connection.execute(select(EVENTS).where(EVENTS.c.id == event_id))).one()
        await connection.execute(update(EVENTS).values(status="completed"))
        await connection.execute(delete(COMMANDS))
        await connection.execute(delete(PARTICIPANTS))
    times = sorted(listener.heard.values())
    assert len(times) == vens, f"{len(times)} VENs were told of {vens}"
    return {
        "active": (event.activated_at - start).total_seconds(),
        "first": times[0] - begun,
        "half": times[len(times) // 2] - begun,
        "all": times[-1] - begun,
        "marked": marked - begun,
        "messages": listener.messages,
    }


async def bare(listener: Listener, port: int, vens: int) -> float:
    """Seconds for as many messages without a database."""
    publisher = MqttPublisher(BrokerSettings(MQTT_PORT=port), timeout_sec=60)
    messages = made(vens)
    await publisher.publish(messages[:1])
    listener.reset()
    begun = time.time()
    for at in range(0, vens, 2_000):
        outcomes = await publisher.publish(messages[at : at + 2_000])
        assert not any(outcome.error for outcome in outcomes)
    while len(listener.heard) < vens:
        await asyncio.sleep(0.01)
    await publisher.close()
    return max(listener.heard.values()) - begun


def made(count: int) -> list[CommandPublisherMessage]:
    now = datetime.now(timezone.utc)
    return [
        CommandPublisherMessage(
            f"ven/cmd/sim-{number:05d}",
            json.dumps(
                build_event_command(
                    ven_id=f"sim-{number:05d}",
                    correlation_id=build_correlation_id("bare", f"{number:010d}"),
                    event_id="bare",
                    shed_kw=2.5,
                    start_ts=now.timestamp(),
                    end_ts=now.timestamp() + 3_600,
                    duration_sec=3_600,
                    modification=0,
                    issued_ts=now.timestamp(),
                    expires_ts=now.timestamp() + 3_600,
                )
            ).encode(),
        )
        for number in range(count)
    ]


async def over_http(parallel: int) -> float:
    """Messages a second through boto3, to a server that answers after a while."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                await reader.readexactly(length)
                await asyncio.sleep(HTTP_DELAY_SEC)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    publisher = IotDataPublisher(
        f"http://127.0.0.1:{port}", region="us-west-2", parallel=parallel, timeout_sec=10
    )
    messages = made(HTTP_MESSAGES)
    await publisher.publish(messages[:parallel])
    begun = time.monotonic()
    outcomes = []
    for at in range(0, HTTP_MESSAGES, publisher.at_once):
        outcomes += await publisher.publish(messages[at : at + publisher.at_once])
    seconds = time.monotonic() - begun
    assert not any(outcome.error for outcome in outcomes)
    await publisher.close()
    server.close()
    return HTTP_MESSAGES / seconds


async def measure(vens: int, rounds: int) -> dict[str, Any]:
    found: dict[str, Any] = {"machine": machine(), "vens": vens, "events": {}, "floor": []}
    with stack() as running:
        database = Database(running.database_url)
        await fill(database, vens)
        listener = Listener(running.broker_port)
        number = 0
        for count in (1, 2):
            with dispatchers(running, count) as processes:
                await asyncio.sleep(5)  # they import for a while
                results = []
                for _ in range(rounds):
                    number += 1
                    before = sum(cpu_sec(psutil.Process(p.pid)) for p in processes)
                    one = await one_event(database, listener, vens, number)
                    spent = sum(cpu_sec(psutil.Process(p.pid)) for p in processes) - before
                    results.append({**one, "cpu": spent})
                    found["floor"].append(await bare(listener, running.broker_port, vens))
                found["events"][str(count)] = results
        listener.close()
        await database.close()
    found["http_per_sec"] = {str(n): await over_http(n) for n in (24, 64)}
    return found


def show(found: dict[str, Any]) -> None:
    table = Table(title=f"one event to {found['vens']:,} VENs, seconds from its start")
    columns = ("active", "first", "half", "all", "marked", "cpu", "messages")
    for column in ("dispatchers", *columns):
        table.add_column(column, justify="right")
    for count, results in found["events"].items():
        medians = {name: statistics.median(one[name] for one in results) for name in columns}
        table.add_row(count, *(f"{medians[name]:,.2f}" for name in columns))
    console = Console()
    console.print(table)
    floor = statistics.median(found["floor"])
    told = statistics.median(one["all"] for one in found["events"]["1"])
    console.print(
        f"floor, the same messages with no database: {floor:.2f} s; ratio {told / floor:.1f}"
    )
    for count, rate in found["http_per_sec"].items():
        console.print(f"iot-data, {count} connections, 20 ms an answer: {rate:,.0f} messages/s")
    console.print(found["machine"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--vens", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = asyncio.run(measure(options.vens, options.rounds))
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
