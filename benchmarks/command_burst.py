"""What a burst of commands costs: intake, an event's restore meanwhile, and recovery after kill -9.

Commands that may not wait any more (`event.max_scheduled` is reached) are published as fast as the
broker takes them. Measured: acks a second of the first thousand and the last; how late the circuits
of an event are back that ends in the midst of it, against the same without a burst; and after a
`kill -9` in mid-event, behind the burst, how long the restarted agent takes to be back at work.
Needs a running `scripts/ven_control.sh start --steady`.

    scripts/benchmark.sh command_burst [--commands 10000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.common import machine
from benchmarks.event_latency import Bench, all_circuits_sheddable
from benchmarks.footprint import processes
from ops.clients.mqtt_client import OperatorMqttClient, mqtt_client_messages
from ops.clients.ven_target import VenTarget
from ops.host import site_settings as settings
from ops.host.ops_error import OpsError
from ops.host.paths import Paths

AHEAD_SEC = 7_200.0
AT_ONCE = 100
"""So many of the burst wait at the broker, which delivers in order: what comes later waits too."""
EVENT_SEC = 6.0
BACK_WITHIN_SEC = 60.0


class Burst:
    """`publish` sends; `acks` tells when each was answered (s since the first was sent)."""

    def __init__(self, bench: Bench, name: str, count: int) -> None:
        self._bench = bench
        self._name = name
        self._count = count
        self.acks: list[float] = []
        self.statuses: dict[str, int] = {}
        self.began = 0.0

    def run(self, ready: threading.Event) -> None:
        """Send all and wait for the answers; `ready` when the first thousand are answered."""
        topics = self._bench.agent.topic_names()
        with OperatorMqttClient(VenTarget.of_config(self._bench.agent)) as cloud:
            cloud.subscribe(topics.ack)
            self.began = time.monotonic()
            sender = threading.Thread(target=self._send, args=(topics.command,), daemon=True)
            sender.start()
            for _, body in mqtt_client_messages(cloud.messages(None)):
                if not str(body.get("correlationId")).startswith(self._name):
                    continue
                self.acks.append(time.monotonic() - self.began)
                status = body["status"]
                self.statuses[status] = self.statuses.get(status, 0) + 1
                if len(self.acks) == 1_000 or len(self.acks) == self._count:
                    ready.set()
                if len(self.acks) == self._count:
                    break
            sender.join(60.0)

    def _send(self, topic: str) -> None:
        now = time.time()
        with OperatorMqttClient(VenTarget.of_config(self._bench.agent)) as cloud:
            for number in range(self._count):
                # What waits at the broker stays well below what it keeps for one client.
                while number - len(self.acks) > AT_ONCE:
                    time.sleep(0.005)
                command = {
                    "op": "event",
                    "event_id": f"{self._name}-{number}",
                    "correlationId": f"{self._name}-{number}",
                    "shed_kw": 1.0,
                    "start_ts": now + AHEAD_SEC + number % 1_000,
                    "duration_sec": 60,
                    "issued_ts": time.time(),
                }
                # Without waiting for the broker's word: this is to be faster than any agent.
                cloud._client.publish(topic, json.dumps(command), qos=1)
            while len(self.acks) < self._count:
                time.sleep(0.05)

    def rate(self, first: int, last: int) -> float:
        """Acks a second, from one number to another."""
        return (last - first) / (self.acks[last - 1] - self.acks[first])


def until_completed(cloud: OperatorMqttClient, event_id: str) -> None:
    """The site is free for the next event."""
    for _, body in mqtt_client_messages(cloud.messages(BACK_WITHIN_SEC)):
        if body.get("event_id") == event_id and body.get("status") == "completed":
            return
    raise OpsError(f"event {event_id} was not completed")


def restore_lag_sec(bench: Bench, name: str) -> float:
    """How long after the end of a short event the last circuit is back."""
    topics = bench.agent.topic_names()
    with OperatorMqttClient(VenTarget.of_config(bench.agent)) as cloud:
        cloud.subscribe(topics.ack)
        total_kw = bench.panel.state()["total_kw"]
        ack = bench._command(
            cloud,
            topics.command,
            {
                "op": "event",
                "event_id": name,
                "correlationId": name,
                "shed_kw": total_kw,
                "duration_sec": EVENT_SEC,
                "issued_ts": time.time(),
            },
        )
        if not ack["ok"]:
            raise OpsError(f"the event was not taken: {ack}")
        deadline = ack["end_ts"] + BACK_WITHIN_SEC
        while not all(bench.contactors()):
            if time.time() > deadline:
                raise OpsError("the circuits did not go back")
            time.sleep(0.02)
        lag_sec = bench.last_change_ts() - ack["end_ts"]
        until_completed(cloud, name)
        return lag_sec


def recovery_sec(bench: Bench) -> float:
    """From `kill -9` of the agent in mid-event until it answers a ping; the event is ended then."""
    topics = bench.agent.topic_names()
    with OperatorMqttClient(VenTarget.of_config(bench.agent)) as cloud:
        cloud.subscribe(topics.ack)
        total_kw = bench.panel.state()["total_kw"]
        name = f"killed-{time.time()}"
        command = {"op": "event", "event_id": name, "correlationId": name, "issued_ts": time.time()}
        if not bench._command(cloud, topics.command, {**command, "shed_kw": total_kw})["ok"]:
            raise OpsError("the event was not taken")
        process = processes(bench.paths)["ven.agent"]
        killed = time.monotonic()
        process.kill()
        restore = {"op": "restore", "event_id": name, "correlationId": f"{name}-restore"}
        cloud.publish(topics.command, restore)
        deadline = time.monotonic() + 120.0
        while not all(bench.contactors()):
            if time.monotonic() > deadline:
                raise OpsError("the circuits did not go back after the kill")
            time.sleep(0.05)
        took_sec = time.monotonic() - killed
        until_completed(cloud, name)
        return took_sec


def measure(bench: Bench, count: int) -> dict[str, Any]:
    quiet = [restore_lag_sec(bench, f"quiet-{time.time()}") for _ in range(3)]
    ready = threading.Event()
    burst = Burst(bench, f"burst-{int(time.time())}", count)
    answering = threading.Thread(target=burst.run, args=(ready,), daemon=True)
    answering.start()
    ready.wait(600.0)
    lags = []
    while answering.is_alive() and len(burst.acks) < 0.8 * count:
        lags.append(restore_lag_sec(bench, f"meanwhile-{time.time()}"))
    answering.join(1_200.0)
    if len(burst.acks) < count:
        raise OpsError(f"{count - len(burst.acks)} of {count} commands got no answer")
    window = min(1_000, count // 4)
    return {
        "commands": count,
        "statuses": burst.statuses,
        "intake_first_per_sec": round(burst.rate(0, window), 1),
        "intake_last_per_sec": round(burst.rate(count - window, count), 1),
        "restore_lag_quiet_sec": round(max(quiet), 3),
        "restore_lag_meanwhile_sec": round(max(lags, default=0.0), 3),
        "restores_meanwhile": len(lags),
    }


def main() -> int:
    """Print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--commands", type=int, default=10_000)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    paths = Paths.from_environment()
    try:
        bench = Bench(paths, settings.current_site_settings(paths, os.environ))
        with all_circuits_sheddable(bench):
            quiet_sec = recovery_sec(bench)
            results = measure(bench, arguments.commands)
            results["recovery_quiet_sec"] = round(quiet_sec, 2)
            results["recovery_behind_burst_sec"] = round(recovery_sec(bench), 2)
    except (OpsError, ConnectionRefusedError) as error:
        print(
            f"error: {error}\nRun `scripts/ven_control.sh start --steady` first.", file=sys.stderr
        )
        return 1
    results["intake_ratio"] = round(
        results["intake_last_per_sec"] / results["intake_first_per_sec"], 2
    )
    table = Table(title=f"A burst of {arguments.commands} commands ({machine()})")
    table.add_column("")
    table.add_column("", justify="right")
    for name, value in results.items():
        table.add_row(name, str(value))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), **results}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
