"""A load step of 10 kW at a site that draws what its limit allows: how long until it is under it.

In the same run, turn by turn: the floor of any controller, one read of the panel's power and one
coil written, bare over Modbus. Needs a running `scripts/ven_control.sh start --steady`; the agent's
limit is cancelled and the panel is as before at the end.

    scripts/benchmark.sh limit [--steps 30] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from pymodbus.client import ModbusTcpClient
from rich.console import Console
from rich.table import Table

from benchmarks.common import machine, quantile
from ops.clients.command_sender import CommandSenderDraft, send_command_to_ven
from ops.clients.ven_target import VenTarget
from ops.host import site_settings as settings
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from simulator.simulated_panel_control import SimulatedPanelControl

LIMIT_KW, STEP_KW = 15.0, 10.0
AT_THE_LIMIT_KW = {
    "hvac1": 3.0,
    "heater1": 3.5,
    "ev1": 3.0,
    "dryer1": 2.0,
    "range1": 1.5,
    "lights1": 0.6,
    "outlets1": 0.8,
    "fridge1": 0.2,
}
STEPPING = "ev1"
SETTLED_SEC = 20.0
"""Between two steps: the mean is to be at the limit again, not below it."""
WITHIN_SEC = 90.0


def step(panel: SimulatedPanelControl) -> float:
    """Seconds from the step to the moment when the panel draws what is allowed; then it is taken
    back, and what was shed returns."""
    begun = time.time()
    panel.draw(STEPPING, AT_THE_LIMIT_KW[STEPPING] + STEP_KW)
    panel.wait_until(lambda state: state["total_kw"] > LIMIT_KW, 5.0)
    panel.wait_until(lambda state: state["total_kw"] <= LIMIT_KW, WITHIN_SEC)
    took = time.time() - begun
    panel.draw(STEPPING, AT_THE_LIMIT_KW[STEPPING])
    return took


def floor(port: int) -> float:
    """Seconds for one read of eight registers and one coil written, a connection each."""
    begun = time.time()
    with ModbusTcpClient("127.0.0.1", port=port) as client:
        if client.read_input_registers(0, count=8, device_id=1).isError():
            raise OpsError("the panel's power could not be read")
    with ModbusTcpClient("127.0.0.1", port=port) as client:
        if client.write_coil(0, True, device_id=1).isError():
            raise OpsError("coil 0 could not be written")
    return time.time() - begun


def measure(
    panel: SimulatedPanelControl, target: VenTarget, port: int, steps: int
) -> dict[str, list[float]]:
    """Milliseconds by what was measured."""
    draft = CommandSenderDraft(target.ven_id)
    times: dict[str, list[float]] = {"under_again": [], "read_and_write": []}
    for circuit, power_kw in AT_THE_LIMIT_KW.items():
        panel.draw(circuit, power_kw)
    try:
        for number in range(steps):
            event_id = f"bench-limit-{time.time():.0f}-{number}"
            fields = {"import_kw": LIMIT_KW, "window_sec": 10.0}
            begun = send_command_to_ven(
                target, draft.about_event("limit", event_id, None, **fields)
            )
            if not begun["ok"]:
                raise OpsError(f"the limit was not accepted: {begun}")
            time.sleep(SETTLED_SEC)
            times["under_again"].append(step(panel) * 1e3)
            send_command_to_ven(target, draft.of("cancel", event_id=event_id))
            times["read_and_write"].append(floor(port) * 1e3)
    finally:
        for circuit in AT_THE_LIMIT_KW:
            panel.draw(circuit, None)
    return times


def main() -> int:
    """Print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    paths = Paths.from_environment()
    try:
        site = settings.current_site_settings(paths, os.environ)
        panel = SimulatedPanelControl(site.port("VEN_PANEL_CONTROL_PORT", 5021))
        port = site.port("VEN_PANEL_PORT", 5020)
        times = measure(panel, VenTarget.of_config(site.agent()), port, arguments.steps)
    except (OpsError, ConnectionRefusedError) as error:
        print(
            f"error: {error}\nRun `scripts/ven_control.sh start --steady` first.", file=sys.stderr
        )
        return 1
    rows = (
        ("under_again", f"{STEP_KW:g} kW step at a {LIMIT_KW:g} kW limit → under it"),
        ("read_and_write", "floor: one read, one write, bare Modbus"),
    )
    table = Table(title=f"Limit, {len(times['under_again'])} steps, ms ({machine()})")
    for heading in ("", "p50", "p99"):
        table.add_column(heading, justify="left" if not heading else "right")
    results: dict[str, Any] = {"machine": machine(), "steps": len(times["under_again"])}
    for name, label in rows:
        p50, p99 = quantile(times[name], 0.5), quantile(times[name], 0.99)
        table.add_row(label, f"{p50:.1f}", f"{p99:.1f}")
        results[name] = {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2)}
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
