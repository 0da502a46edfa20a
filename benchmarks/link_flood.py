"""An event while the VOLTTRON bus is flooded: the bridge must not be in its way.

By turns, so that the machine's mood is shared: a quiet bus; a flood below a topic that nobody takes
(what router and machine make of it); the same flood below a topic that the bus bridge forwards.
Needs a running `scripts/ven_control.sh start --steady`; the agent's configuration is put back.

    scripts/benchmark.sh link_flood [--events 20] [--per-sec 400 2000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.common import machine, on_the_bus, quantile
from benchmarks.event_latency import Bench, all_circuits_sheddable
from ops.clients.mqtt_client import OperatorMqttClient
from ops.clients.ven_target import VenTarget
from ops.host import site_settings as settings
from ops.host.ops_error import OpsError
from ops.host.paths import Paths

TAKEN, PASSED_OVER = "benchmark/taken", "benchmark/unheard"
BRIDGE = {"enabled": True, "forward": [TAKEN], "flood_pause_sec": 2}
"""The defaults, but that it listens again soon: so it meets the flood many times."""
ROUND = 5
SETTLE_SEC = 1.0
RECOVER_SEC = 60.0
Rate = Callable[[float], dict[str, float]]


@contextmanager
def flooder(bench: Bench, prefix: str) -> Iterator[Rate]:
    """A process that publishes below `prefix`; call it with the messages a second."""
    with on_the_bus(bench.paths, bench.settings, "flooder.py", prefix) as ask:
        yield lambda per_sec: ask({"per_sec": per_sec})


class Stage:
    """One kind of load, and what was measured under it."""

    def __init__(self, name: str, rate: Rate | None = None, per_sec: float = 0.0) -> None:
        self.name = name
        self._rate = rate
        self._per_sec = per_sec
        self.coil_ms: list[float] = []
        self.ack_ms: list[float] = []
        self.failed = 0
        """Events that did not open all eight coils in time."""
        self.published = 0.0
        self.seconds = 0.0

    def run(self, bench: Bench, cloud: OperatorMqttClient, events: int) -> None:
        if self._rate is not None:
            self._rate(self._per_sec)
        time.sleep(SETTLE_SEC)
        for _ in range(events):
            try:
                last_coil, acked, _ = bench.event(cloud)
            except OpsError as error:
                self.failed += 1
                print(f"{self.name}, {self._per_sec:g}/s: {error}", file=sys.stderr)
                _recover(bench, cloud)
            else:
                self.coil_ms.append(last_coil * 1e3)
                self.ack_ms.append(acked * 1e3)
        if self._rate is not None:
            told = self._rate(0)
            self.published += told["published"]
            self.seconds += told["seconds"]
            time.sleep(SETTLE_SEC)

    @property
    def per_sec(self) -> float:
        return self.published / self.seconds if self.seconds else 0.0


def _recover(bench: Bench, cloud: OperatorMqttClient) -> None:
    """Whatever has become of the last event, the next one finds a building at rest."""
    restore = {"op": "restore", "correlationId": f"bench-{time.time()}-recover"}
    bench._command(cloud, bench.agent.topic_names().command, restore)
    deadline = time.monotonic() + RECOVER_SEC
    while not all(bench.contactors()):
        if time.monotonic() > deadline:
            raise OpsError("the building did not come to rest after an event that failed")
        time.sleep(0.2)


def bridge_figures(bench: Bench, cloud: OperatorMqttClient) -> dict[str, Any]:
    command = {"op": "get", "what": "status", "correlationId": f"bench-{time.time()}"}
    answer = bench._command(cloud, bench.agent.topic_names().command, command)
    figures: dict[str, Any] = answer["data"]["bus_bridge"]
    return figures


def measure(bench: Bench, events: int, rates: list[float]) -> tuple[list[Stage], dict[str, Any]]:
    """The stages, and what the bridge counted."""
    with (
        OperatorMqttClient(VenTarget.of_config(bench.agent)) as cloud,
        flooder(bench, PASSED_OVER) as unheard,
        flooder(bench, TAKEN) as taken,
    ):
        cloud.subscribe(bench.agent.topic_names().ack)
        stages = [Stage("quiet bus")]
        for per_sec in rates:
            stages.append(Stage("flood, unheard", unheard, per_sec))
            stages.append(Stage("flood, bridged", taken, per_sec))
        bench.event(cloud)  # one that is not counted
        before = bridge_figures(bench, cloud)
        for _ in range(-(-events // ROUND)):
            for stage in stages:
                stage.run(bench, cloud, ROUND)
        after = bridge_figures(bench, cloud)
    counted = {name: after[name] - before[name] for name in ("forwarded", "dropped", "floods")}
    return stages, {**counted, "waiting": after["waiting"]}


def shown(stages: list[Stage], counted: dict[str, Any]) -> Table:
    """One row a stage."""
    table = Table(title=f"Event while the bus is flooded, ms ({machine()})")
    headings = (
        "",
        "messages/s",
        "events",
        "failed",
        "coil p50",
        "p99",
        "ack p50",
        "p99",
        "/ quiet",
    )
    for heading in headings:
        table.add_column(heading, justify="left" if not heading else "right", no_wrap=not heading)
    quiet = _quantile(stages[0].ack_ms, 0.5)
    for stage in stages:
        times = [
            *(_quantile(stage.coil_ms, q) for q in (0.5, 0.99)),
            *(_quantile(stage.ack_ms, q) for q in (0.5, 0.99)),
        ]
        table.add_row(
            stage.name,
            f"{stage.per_sec:,.0f}",
            str(len(stage.ack_ms)),
            str(stage.failed),
            *(f"{ms:.1f}" for ms in times),
            f"{_quantile(stage.ack_ms, 0.5) / quiet:.2f}",
        )
    published = sum(stage.published for stage in stages if "bridged" in stage.name)
    table.caption = (
        f"to the bridge {published:,.0f}; it forwarded {counted['forwarded']:,}, dropped "
        f"{counted['dropped']:,}, left the topic {counted['floods']:,} times"
    )
    return table


def _quantile(values: list[float], q: float) -> float:
    return quantile(values, q) if len(values) > 1 else float("nan")


def main() -> int:
    """Print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=20, help="in each stage")
    parser.add_argument("--per-sec", type=float, nargs="+", default=[400.0, 2000.0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    paths = Paths.from_environment()
    try:
        bench = Bench(paths, settings.current_site_settings(paths, os.environ))
        with all_circuits_sheddable(bench, bus_bridge=BRIDGE):
            stages, counted = measure(bench, arguments.events, arguments.per_sec)
    except (OpsError, ConnectionRefusedError) as error:
        print(
            f"error: {error}\nRun `scripts/ven_control.sh start --steady` first.", file=sys.stderr
        )
        return 1
    Console().print(shown(stages, counted))
    if arguments.json:
        found = [{**vars(stage), "_rate": None, "per_sec": stage.per_sec} for stage in stages]
        results = {"machine": machine(), "stages": found, "bridge": counted}
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
