"""How long an event takes while the local page is loaded as badly as anyone on the network can.

MQTT publish → last of eight coils, quiet and under each load in turns, so that the machine's mood
is shared: requests sent ahead (50 at a time and connection), 500 idle sockets, clients that read or
write a byte now and then, storms of live views and of changes, and all of them together. The loads
run in a process of the lowest priority: in the field they are other machines. Needs a running
`scripts/ven_control.sh start --steady`, as event_latency does.

    scripts/benchmark.sh page_load [--events 40] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.common import machine, quantile
from benchmarks.event_latency import Bench, all_circuits_sheddable
from ops.clients.mqtt_client import OperatorMqttClient
from ops.clients.ven_target import VenTarget
from ops.host import site_settings as settings
from ops.host.ops_error import OpsError
from ops.host.paths import Paths

ROUND = 10
WARM_UP_SEC = 2.0
TO_REACH = 2.0
"""Times the quiet p99."""
_CHANGES = (
    ("/api/circuits/ev1", {"priority": 5}),
    ("/api/circuits/nobody", {"enabled": True}),
    ("/api/opt-in", {}),
    ("/api/events", {"shed_kw": 4000}),
    ("/api/restore", {"event_id": "nobody"}),
)
"""None of them takes a circuit from the event that is measured."""
_PATHS = ("/api/status", "/api/circuits", "/api/events?limit=500", "/api/history", "/metrics")


# ---- the loads -----------------------------------------------------------------------------------


class PageLoad:
    """What a client does to the page at `port`, again and again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers = 0

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    def _request(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode()

    async def pipelining(self) -> None:
        """50 requests sent ahead on one connection, and their answers read."""
        reader, writer = await self._open()
        writer.write(b"".join(self._request(_PATHS[n % len(_PATHS)]) for n in range(50)))
        answered = 0
        while answered < 50 and (part := await reader.read(262_144)):
            answered += part.count(b"HTTP/1.1 ")
        self.answers += answered
        writer.close()

    async def idle(self) -> None:
        """A connection on which nothing is said."""
        reader, writer = await self._open()
        await reader.read()
        writer.close()

    async def slow_reader(self) -> None:
        """The largest answers there are, taken a few bytes at a time."""
        reader, writer = await self._open()
        writer.write(self._request("/api/events?limit=500") * 20)
        for _ in range(100):
            if not await reader.read(64):
                break
            await asyncio.sleep(0.1)
        writer.close()

    async def slow_writer(self) -> None:
        """A request that takes its time."""
        _, writer = await self._open()
        for letter in self._request("/api/status"):
            writer.write(bytes([letter]))
            await writer.drain()
            await asyncio.sleep(0.1)
        writer.close()

    async def live_views(self) -> None:
        """A live view that is left after its first words."""
        reader, writer = await self._open()
        writer.write(self._request("/api/stream"))
        self.answers += bool(await reader.read(65_536))
        writer.close()

    async def changes(self) -> None:
        """Changes one after the other, as fast as they are answered."""
        reader, writer = await self._open()
        writer.write(self._request("/api/session"))
        _, _, session = (await reader.readuntil(b"}")).partition(b"\r\n\r\n")
        token = json.loads(session)["csrf_token"]
        for number in range(900):
            path, fields = _CHANGES[number % len(_CHANGES)]
            body = json.dumps(fields).encode()
            head = (
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nX-CSRF-Token: {token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await reader.readuntil(b"}")
            self.answers += 1
        writer.close()


LOADS: dict[str, dict[str, int]] = {
    "quiet": {},
    "pipelining": {"pipelining": 16},
    "500 idle sockets": {"idle": 500},
    "slow readers and writers": {"slow_reader": 40, "slow_writer": 40},
    "storm of live views": {"live_views": 40},
    "storm of changes": {"changes": 40},
    "all together": {
        "pipelining": 16,
        "idle": 500,
        "slow_reader": 20,
        "slow_writer": 20,
        "live_views": 20,
        "changes": 20,
    },
}


async def _again_and_again(one: Callable[[], Awaitable[None]]) -> None:
    while True:
        with suppress(OSError, EOFError):  # refused, or closed by the page
            await one()
        await asyncio.sleep(0)


async def _press(port: int, clients: dict[str, int]) -> None:
    load = PageLoad(port)
    tasks = [
        asyncio.create_task(_again_and_again(getattr(load, name)))
        for name, count in clients.items()
        for _ in range(count)
    ]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    print(load.answers, flush=True)
    os._exit(0)


@contextmanager
def loaded(port: int, clients: dict[str, int]) -> Iterator[Callable[[], int]]:
    """A process that presses the page; afterwards the answers that it got."""
    if not clients:
        yield lambda: 0
        return
    command = [sys.executable, "-m", "benchmarks.page_load", "--press", json.dumps(clients)]
    pressing = subprocess.Popen(
        ["nice", "-n", "19", *command, "--port", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    answers = 0
    try:
        time.sleep(WARM_UP_SEC)
        yield lambda: answers
    finally:
        assert pressing.stdin is not None
        assert pressing.stdout is not None
        pressing.stdin.close()
        answers = int(pressing.stdout.readline() or 0)
        pressing.wait(20)


# ---- the measurement -----------------------------------------------------------------------------


def measure(bench: Bench, port: int, events: int) -> dict[str, list[float]]:
    """Milliseconds to the last coil, by load."""
    times: dict[str, list[float]] = {name: [] for name in LOADS}
    with OperatorMqttClient(VenTarget.of_config(bench.agent)) as cloud:
        cloud.subscribe(bench.agent.topic_names().ack)
        bench.event(cloud)  # the first is not counted
        while len(times["quiet"]) < events:
            for name, clients in LOADS.items():
                with loaded(port, clients):
                    for _ in range(ROUND):
                        last_coil, _, _ = bench.event(cloud)
                        times[name].append(last_coil * 1e3)
    return times


def main() -> int:
    """Print the table, write the JSON; 1 when a load costs more than twice the quiet p99."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=40, help="of each load")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--press", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.press:
        asyncio.run(_press(arguments.port, json.loads(arguments.press)))
    paths = Paths.from_environment()
    try:
        bench = Bench(paths, settings.current_site_settings(paths, os.environ))
        with all_circuits_sheddable(bench):
            times = measure(bench, bench.agent.web.port, arguments.events)
    except (OpsError, ConnectionRefusedError) as error:
        print(
            f"error: {error}\nRun `scripts/ven_control.sh start --steady` first.", file=sys.stderr
        )
        return 1
    table = Table(title=f"Events while the page is loaded, ms to the last coil ({machine()})")
    for heading in ("load", "events", "p50", "p99", "p99 / quiet p99"):
        table.add_column(heading, justify="left" if heading == "load" else "right")
    quiet_p99 = quantile(times["quiet"], 0.99)
    results: dict[str, Any] = {"machine": machine()}
    worst = 0.0
    for name, values in times.items():
        p50, p99 = quantile(values, 0.5), quantile(values, 0.99)
        worst = max(worst, p99 / quiet_p99)
        table.add_row(name, str(len(values)), f"{p50:.1f}", f"{p99:.1f}", f"{p99 / quiet_p99:.2f}")
        results[name] = {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2)}
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if worst <= TO_REACH else 1


if __name__ == "__main__":
    sys.exit(main())
