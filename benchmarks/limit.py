"""A load step of 10 kW at a site that draws what its limit allows: how long until it is under it.

In the same run, turn by turn: the floor of any controller, one read of the panel's power and one
register written, bare over Modbus. The step is seen at the driver's next reading of the panel,
which takes half its interval on average: the time from that reading on is shown by itself. Needs a
running `scripts/ven_control.sh start --steady`; the driver reads each second for its time, and
limit, panel, agent and driver are as before at the end.

    scripts/benchmark.sh limit [--steps 25] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymodbus.client import ModbusTcpClient
from rich.console import Console
from rich.table import Table

from benchmarks.common import configured, machine, quantile
from ops.clients.mqtt_client import OperatorMqttClient, mqtt_client_messages
from ops.clients.ven_target import VenTarget
from ops.host import site_settings as settings
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings
from ops.volttron.config_store import DRIVER, ConfigStoreEntry, store_config_entry
from ops.volttron.vctl import vctl_output
from simulator.simulated_panel_control import SimulatedPanelControl, SimulatedPanelControlError

LIMIT_KW, STEP_KW = 15.0, 10.0
AT_THE_LIMIT_KW = {
    "hvac1": 3.2,
    "heater1": 3.5,
    "ev1": 2.0,
    "dryer1": 2.0,
    "range1": 2.3,
    "lights1": 0.6,
    "outlets1": 0.8,
    "fridge1": 0.2,
}
STEPPING, STEPPING_REGISTER = "ev1", 2
INTERVAL_SEC = 1.0
"""Between two readings of the driver."""
WITHIN_SEC = 15.0
PANEL_CONTROL_PORT, PANEL_PORT = 5021, 5020


class LimitBench:
    """The running site, its broker, and what measures it."""

    def __init__(self, site: SiteSettings, cloud: OperatorMqttClient) -> None:
        self.panel = SimulatedPanelControl(site.port("VEN_PANEL_CONTROL_PORT", PANEL_CONTROL_PORT))
        self._modbus_port = site.port("VEN_PANEL_PORT", PANEL_PORT)
        self._topics = site.agent().topic_names()
        self._cloud = cloud
        self._count = 0
        cloud.subscribe(self._topics.ack)

    def command(self, **fields: Any) -> dict[str, Any]:
        """The first ack of a command. Raises OpsError if none comes, or a refusal."""
        self._count += 1
        correlation_id = f"bench-limit-{time.time()}-{self._count}"
        self._cloud.publish(self._topics.command, {**fields, "correlationId": correlation_id})
        for _, body in mqtt_client_messages(self._cloud.messages(WITHIN_SEC)):
            if body.get("correlationId") == correlation_id:
                if not body["ok"]:
                    raise OpsError(f"{fields['op']} was refused: {body}")
                return body
        raise OpsError(f"no ack to {fields['op']} within {WITHIN_SEC:g} s")

    def step(self) -> tuple[float, float]:
        """Seconds from the step to the moment when the panel draws what is allowed, and from the
        reading that shows the step to that moment. Then all is as it was."""
        event_id = f"bench-limit-{time.time()}"
        self.command(op="limit", event_id=event_id, import_kw=LIMIT_KW)
        try:
            time.sleep(random.uniform(0.0, INTERVAL_SEC))  # anywhere between two readings
            begun = time.time()
            self.panel.draw(STEPPING, AT_THE_LIMIT_KW[STEPPING] + STEP_KW)
            read = self.panel.wait_until(lambda now: (now["read_ts"] or 0.0) > begun, WITHIN_SEC)
            under = self.panel.wait_until(lambda now: now["total_kw"] <= LIMIT_KW, WITHIN_SEC)
        finally:  # a limit does not lapse
            self.panel.draw(STEPPING, AT_THE_LIMIT_KW[STEPPING])
            self.command(op="cancel", event_id=event_id)
        self.panel.wait_until(_is_unlimited, WITHIN_SEC)
        moments = (each.values() for each in under["changed_ts"].values())
        last = max(ts or 0.0 for each in moments for ts in each)
        return last - begun, last - read["read_ts"]

    def floor(self) -> float:
        """Seconds for one read of the panel's power and one limit written, a connection each, as
        the driver makes them."""
        begun = time.time()
        with ModbusTcpClient("127.0.0.1", port=self._modbus_port) as client:
            if client.read_input_registers(0, count=2, device_id=1).isError():
                raise OpsError("the panel's power could not be read")
        with ModbusTcpClient("127.0.0.1", port=self._modbus_port) as client:
            if client.write_register(STEPPING_REGISTER, 100, device_id=1).isError():
                raise OpsError(f"register {STEPPING_REGISTER} could not be written")
        return time.time() - begun


def _is_unlimited(state: dict[str, Any]) -> bool:
    return all(state["contactors"].values()) and set(state["limits_percent"].values()) == {100}


@contextmanager
def at_the_limit(panel: SimulatedPanelControl) -> Iterator[None]:
    """The panel draws a little less than the limit; as it was, afterwards."""
    for circuit, power_kw in AT_THE_LIMIT_KW.items():
        panel.draw(circuit, power_kw)
    try:
        yield
    finally:
        for circuit in AT_THE_LIMIT_KW:
            panel.draw(circuit, None)


@contextmanager
def read_each_second(paths: Paths, device: str) -> Iterator[None]:
    """The driver's entry of the panel with the benchmark's interval; as it was, afterwards."""
    name = f"devices/{device}"
    before = vctl_output(paths, "config", "get", DRIVER, name)
    changed = json.dumps({**json.loads(before), "interval": INTERVAL_SEC})
    store_config_entry(paths, ConfigStoreEntry(DRIVER, name, changed, "json"))
    try:
        yield
    finally:
        store_config_entry(paths, ConfigStoreEntry(DRIVER, name, before, "json"))


def measure(bench: LimitBench, steps: int) -> dict[str, list[float]]:
    """Milliseconds by what was measured."""
    times: dict[str, list[float]] = {"step_under": [], "reading_under": [], "read_and_write": []}
    bench.step()  # one that is not counted
    for _ in range(steps):
        from_step, from_reading = bench.step()
        times["step_under"].append(from_step * 1e3)
        times["reading_under"].append(from_reading * 1e3)
        times["read_and_write"].append(bench.floor() * 1e3)
    return times


ROWS = (
    ("step_under", f"{STEP_KW:g} kW step at a {LIMIT_KW:g} kW limit → under it"),
    ("reading_under", "… of it from the driver's reading of the panel on"),
    ("read_and_write", "floor: one read, one write, bare Modbus"),
)


def report(times: dict[str, list[float]]) -> dict[str, Any]:
    """Print the table; the same as JSON."""
    steps = len(times["step_under"])
    title = f"Limit, {steps} steps, read each {INTERVAL_SEC:g} s, ms ({machine()})"
    table = Table(title=title)
    for heading in ("", "p50", "p99", "p50 / floor"):
        table.add_column(heading, justify="left" if not heading else "right")
    results: dict[str, Any] = {"machine": machine(), "steps": steps, "interval_sec": INTERVAL_SEC}
    floor = quantile(times["read_and_write"], 0.5)
    for name, label in ROWS:
        p50, p99 = quantile(times[name], 0.5), quantile(times[name], 0.99)
        table.add_row(label, f"{p50:.1f}", f"{p99:.1f}", f"{p50 / floor:.1f}")
        results[name] = {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2)}
    Console().print(table)
    return results


def main() -> int:
    """Print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    paths = Paths.from_environment()
    try:
        site = settings.current_site_settings(paths, os.environ)
        agent = site.agent()
        event = {**site.agent_config.get("event", {}), "restore_stagger_sec": 0, "rebound_sec": 0}
        with OperatorMqttClient(VenTarget.of_config(agent)) as cloud:
            bench = LimitBench(site, cloud)
            with (
                configured(paths, site, {**site.agent_config, "event": event}),
                read_each_second(paths, agent.panel.device),
                at_the_limit(bench.panel),
            ):
                times = measure(bench, arguments.steps)
    except (OpsError, ConnectionRefusedError, SimulatedPanelControlError) as error:
        print(
            f"error: {error}\nRun `scripts/ven_control.sh start --steady` first.", file=sys.stderr
        )
        return 1
    results = report(times)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
