"""How long an event takes: MQTT publish → last of eight coils changed at the panel, and → ack.

In the same run, turn by turn so that the machine's mood is shared: the same schedule and writes
called bare on the actuator (floor A: eight writes in parallel; floor B: one call for all), and bare
Modbus writes (the floor of any driver). Needs a running `scripts/ven_control.sh start --steady`;
for its time it makes all eight circuits sheddable switches, and puts the agent's configuration back
at the end.

`--scheduled`: so many events of which the agent knows before their start, from the start to the
last coil. `--gateway`: so many events while the panel is behind a slow gateway, which does one
request at a time and needs 45 ms for each; the driver opens one connection at a time then, and is
restarted for it.

    scripts/benchmark.sh event_latency [--events 100] [--scheduled 30] [--gateway 10] [--json FILE]

On a quiet machine `--events 40 --scheduled 12 --gateway 6` takes about a minute and a half.
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

from pymodbus.client import ModbusTcpClient
from rich.console import Console
from rich.table import Table

from benchmarks.common import configured, machine, on_the_bus, quantile
from ops.clients.mqtt_client import OperatorMqttClient, mqtt_client_messages
from ops.clients.ven_target import VenTarget
from ops.host import site_settings as settings
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings
from ops.volttron.agent_install import restart_installed_agent
from ops.volttron.config_store import DRIVER, ConfigStoreEntry, store_config_entry
from ops.volttron.vctl import vctl_output
from simulator.simulated_panel_control import SimulatedPanelControl

ROUND = 10
"""Events, bare schedules and bare Modbus rounds are done in turns of so many."""
ANSWER_SEC = 15.0
START_IN_SEC = 2.0
"""The agent begins to prepare it at once: it is near. That takes a fraction of this."""
READ_WITHIN_SEC = 60.0
GATEWAY_SEC = 0.045
GATEWAY_FLOORS = 2
"""Bare rounds behind the gateway, each off and on again."""
PANEL_CONTROL_PORT, PANEL_PORT = 5021, 5020


class Bench:
    """The running site, and what measures it."""

    def __init__(self, paths: Paths, started: SiteSettings) -> None:
        self.paths = paths
        self.settings = started
        self.agent = started.agent()
        self.panel = SimulatedPanelControl(
            started.port("VEN_PANEL_CONTROL_PORT", PANEL_CONTROL_PORT)
        )
        self.points = [circuit.switch_point or "" for circuit in self.agent.circuits]
        self._count = 0

    def last_change_ts(self) -> float:
        """When the last contactor moved, by the panel's clock (this machine's)."""
        changed = self.panel.state()["changed_ts"]["contactors"].values()
        return max(moment for moment in changed if moment is not None)

    def contactors(self) -> list[bool]:
        return list(self.panel.state()["contactors"].values())

    def event(
        self, cloud: OperatorMqttClient, start_in_sec: float = 0.0
    ) -> tuple[float, float, float]:
        """Seconds to the last coil, to the ack, to the measured ack; then it is restored. They
        count from the command, or from the start, if that is later."""
        topics = self.agent.topic_names()
        self._count += 1
        correlation_id = f"bench-{time.time()}-{self._count}"
        total_kw = self.panel.state()["total_kw"]
        command = {"op": "event", "shed_kw": total_kw, "duration_sec": 600}
        begun = time.time() + start_in_sec
        if start_in_sec:
            command["start_ts"] = begun
        ack = self._command(cloud, topics.command, {**command, "correlationId": correlation_id})
        while ack["status"] == "scheduled":
            ack = self._next(cloud, correlation_id)
        answered = time.time()
        if not ack["ok"] or any(self.contactors()):
            raise OpsError(f"the event did not open all eight coils: {ack}")
        last_coil = self.last_change_ts()
        measured = self._next(cloud, correlation_id)
        if abs(measured["actual_shed_kw"] - total_kw) > 0.05 * total_kw:
            raise OpsError(f"the measured shed is not the requested one: {measured}")
        proven = time.time()
        restored = {"op": "restore", "correlationId": f"{correlation_id}-restore"}
        if not self._command(cloud, topics.command, restored)["ok"]:
            raise OpsError("the event could not be restored")
        return last_coil - begun, answered - begun, proven - begun

    def _command(
        self, cloud: OperatorMqttClient, topic: str, command: dict[str, Any]
    ) -> dict[str, Any]:
        cloud.publish(topic, command)
        return self._next(cloud, command["correlationId"])

    def _next(self, cloud: OperatorMqttClient, correlation_id: str) -> dict[str, Any]:
        """The next ack under this correlation id."""
        for _, body in mqtt_client_messages(cloud.messages(ANSWER_SEC)):
            if body.get("correlationId") == correlation_id:
                return body
        raise OpsError(f"no ack to {correlation_id} within {ANSWER_SEC:g} s")

    def modbus(self, value: bool) -> float:
        """Seconds for eight coil writes, a connection each, as the driver makes them."""
        port = self.settings.port("VEN_PANEL_PORT", PANEL_PORT)
        begun = time.time()
        for address in range(len(self.points)):
            with ModbusTcpClient("127.0.0.1", port=port) as client:
                if client.write_coil(address, value, device_id=1).isError():
                    raise OpsError(f"coil {address} could not be written")
        return time.time() - begun


@contextmanager
def bare_actuator(bench: Bench) -> Iterator[Callable[..., tuple[float, float]]]:
    """A process of the platform's environment that calls the actuator and nothing else."""
    points = [bench.agent.panel.device, *bench.points]
    with on_the_bus(bench.paths, bench.settings, "bare_actuator.py", *points) as ask:

        def one(value: bool, *, together: bool = False) -> tuple[float, float]:
            """(seconds to the last coil, seconds until all writes returned)."""
            times = ask({"value": value, "together": together})
            return bench.last_change_ts() - times["begun"], times["done"] - times["begun"]

        yield one


@contextmanager
def all_circuits_sheddable(bench: Bench, **blocks: Any) -> Iterator[None]:
    """Eight switches, none critical, in force at the agent; the old configuration afterwards.

    `blocks` of the configuration are changed with it.
    """
    changed = {**json.loads(json.dumps(bench.settings.agent_config)), **blocks}
    for circuit in changed["circuits"]:
        circuit.update(critical=False, control="switch", priority=5)
    # What is measured is the way there; circuits that go back one after the other take seconds.
    changed["event"] = {**changed.get("event", {}), "restore_stagger_sec": 0, "rebound_sec": 0}
    with configured(bench.paths, bench.settings, changed):
        _wait_until(lambda: not any(c["critical"] for c in _reported(bench)))
        yield


def _reported(bench: Bench) -> list[dict[str, Any]]:
    with OperatorMqttClient(VenTarget.of_config(bench.agent)) as cloud:
        topics = bench.agent.topic_names()
        cloud.subscribe(topics.ack)
        command = {"op": "get", "what": "shadow", "correlationId": f"bench-{time.time()}"}
        return list(bench._command(cloud, topics.command, command)["data"]["circuits"])


def _wait_until(condition: Callable[[], bool], timeout_sec: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_sec
    while not condition():
        if time.monotonic() > deadline:
            raise OpsError("the agent did not take the benchmark's configuration")
        time.sleep(0.2)


def measure(bench: Bench, events: int) -> dict[str, list[float]]:
    """Milliseconds by what was measured."""
    times: dict[str, list[float]] = {
        "event_last_coil": [],
        "event_ack": [],
        "event_measured": [],
        "bare_last_coil": [],
        "bare_returned": [],
        "together_last_coil": [],
        "modbus": [],
    }
    with (
        OperatorMqttClient(VenTarget.of_config(bench.agent)) as cloud,
        bare_actuator(bench) as bare,
    ):
        cloud.subscribe(bench.agent.topic_names().ack)
        for value in (False, True):  # one of each that is not counted; all are closed then
            bare(value)
            bench.modbus(value)
        bench.event(cloud)
        while len(times["event_ack"]) < events:
            for _ in range(ROUND):
                last_coil, acked, measured = bench.event(cloud)
                times["event_last_coil"].append(last_coil * 1e3)
                times["event_ack"].append(acked * 1e3)
                times["event_measured"].append(measured * 1e3)
            for number in range(ROUND):
                last_coil, returned = bare(bool(number % 2))
                times["bare_last_coil"].append(last_coil * 1e3)
                times["bare_returned"].append(returned * 1e3)
            for number in range(ROUND):
                last_coil, _ = bare(bool(number % 2), together=True)
                times["together_last_coil"].append(last_coil * 1e3)
            for number in range(ROUND):
                times["modbus"].append(bench.modbus(bool(number % 2)) * 1e3)
    return times


def measure_scheduled(bench: Bench, events: int) -> dict[str, list[float]]:
    """Milliseconds from an event's start to its last coil, and to the ack."""
    times: dict[str, list[float]] = {"scheduled_last_coil": [], "scheduled_ack": []}
    with OperatorMqttClient(VenTarget.of_config(bench.agent)) as cloud:
        cloud.subscribe(bench.agent.topic_names().ack)
        for _ in range(events):
            last_coil, acked, _ = bench.event(cloud, START_IN_SEC)
            times["scheduled_last_coil"].append(last_coil * 1e3)
            times["scheduled_ack"].append(acked * 1e3)
    return times


def measure_gateway(bench: Bench, events: int) -> dict[str, list[float]]:
    """Milliseconds from a command to the last of eight coils behind a slow gateway, and of the
    schedule and one call for eight writes alone. The event makes nine requests more before its
    last coil: five that read the panel, and four that arm the lease (two registers, which the
    driver reads again after it has written them)."""
    names = ("gateway_last_coil", "gateway_ack", "gateway_together")
    times: dict[str, list[float]] = {name: [] for name in names}
    with (
        one_socket(bench),
        OperatorMqttClient(VenTarget.of_config(bench.agent)) as cloud,
        bare_actuator(bench) as bare,
    ):
        cloud.subscribe(bench.agent.topic_names().ack)
        bench.panel.fault("gateway", seconds=GATEWAY_SEC, connections=1)
        try:
            for _ in range(events):
                last_coil, acked, _ = bench.event(cloud)
                times["gateway_last_coil"].append(last_coil * 1e3)
                times["gateway_ack"].append(acked * 1e3)
            for number in range(2 * min(events, GATEWAY_FLOORS)):
                last_coil, _ = bare(bool(number % 2), together=True)
                times["gateway_together"].append(last_coil * 1e3)
        finally:
            bench.panel.clear()
    return times


@contextmanager
def one_socket(bench: Bench) -> Iterator[None]:
    """The platform driver with one connection at a time; as it was, afterwards."""
    paths, entry = bench.paths, (DRIVER, "config")
    contents = json.dumps({"max_open_sockets": 1})
    store_config_entry(paths, ConfigStoreEntry(*entry, contents, "json"))
    try:
        _restart_driver(bench)
        yield
    finally:
        vctl_output(paths, "config", "delete", *entry)
        _restart_driver(bench)


def _restart_driver(bench: Bench) -> None:
    restarted_ts = time.time()
    restart_installed_agent(bench.paths, DRIVER)
    with OperatorMqttClient(VenTarget.of_config(bench.agent)) as cloud:
        topics = bench.agent.topic_names()
        cloud.subscribe(topics.ack)

        def is_read() -> bool:
            command = {"op": "get", "what": "status", "correlationId": f"bench-{time.time()}"}
            return bool(bench._command(cloud, topics.command, command)["data"]["health"] == "GOOD")

        # What the agent has read before the restart is good for a moment.
        bench.panel.wait_until(
            lambda state: (state["read_ts"] or 0.0) > restarted_ts, READ_WITHIN_SEC, 0.1
        )
        _wait_until(is_read, READ_WITHIN_SEC)


FLOORS = ("bare_last_coil", "together_last_coil")
ROWS: tuple[tuple[str, str, tuple[str, ...], float | None, float | None], ...] = (
    ("event_last_coil", "MQTT publish → last of 8 coils", FLOORS, 30.0, 100.0),
    ("event_ack", "MQTT publish → ack", ("bare_returned",), 38.0, 100.0),
    ("event_measured", "MQTT publish → shed measured, ±5 %", (), 2000.0, 2000.0),
    ("scheduled_last_coil", "scheduled start → last of 8 coils", FLOORS, 20.0, 100.0),
    ("scheduled_ack", "scheduled start → ack", ("bare_returned",), None, None),
    (
        "gateway_last_coil",
        "MQTT publish → last of 8 coils, gateway of 45 ms a request",
        ("gateway_together",),
        1.2 * 8 * GATEWAY_SEC * 1e3,
        1_000.0,
    ),
    ("gateway_ack", "MQTT publish → ack, gateway of 45 ms a request", (), None, None),
    ("gateway_together", "gateway: schedule, one call for 8 writes → last coil", (), None, None),
    ("bare_last_coil", "floor A: schedule, 8 writes in parallel → last coil", (), None, None),
    ("bare_returned", "floor A: schedule, 8 writes in parallel → all returned", (), None, None),
    ("together_last_coil", "floor B: schedule, one call for 8 writes → last coil", (), None, None),
    ("modbus", "bare Modbus: 8 writes, one after the other", (), None, None),
)


def main() -> int:
    """Print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--scheduled", type=int, default=0, metavar="EVENTS")
    parser.add_argument("--gateway", type=int, default=0, metavar="EVENTS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    paths = Paths.from_environment()
    try:
        bench = Bench(paths, settings.current_site_settings(paths, os.environ))
        with all_circuits_sheddable(bench):
            times = measure(bench, arguments.events)
            if arguments.scheduled:
                times |= measure_scheduled(bench, arguments.scheduled)
            if arguments.gateway:
                times |= measure_gateway(bench, arguments.gateway)
    except (OpsError, ConnectionRefusedError) as error:
        print(
            f"error: {error}\nRun `scripts/ven_control.sh start --steady` first.", file=sys.stderr
        )
        return 1
    table = Table(title=f"Event latency, {len(times['event_ack'])} events, ms ({machine()})")
    for heading in ("", "p50", "p99", "p50 / floors A, B", "to reach"):
        table.add_column(heading, justify="left" if not heading else "right")
    results: dict[str, Any] = {"machine": machine(), "events": len(times["event_ack"])}
    for name, label, floors, reach_p50, reach_p99 in ROWS:
        if name not in times:
            continue
        p50, p99 = quantile(times[name], 0.5), quantile(times[name], 0.99)
        ratios = [p50 / quantile(times[floor], 0.5) for floor in floors]
        reach = f"p50 < {reach_p50:g}, p99 < {reach_p99:g}" if reach_p50 and reach_p99 else ""
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        table.add_row(label, f"{p50:.1f}", f"{p99:.1f}", shown, reach)
        results[name] = {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2)}
        results[name] |= dict(zip(("ratio", "ratio_b"), ratios, strict=False))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
