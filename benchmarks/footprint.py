"""What the agent costs while nothing happens: memory and processor, at its cadence of 5 s.

It runs with 40 circuits (the panel's eight, five times over) for a minute. The floor is the
actuator beside it: a VOLTTRON agent that does nothing meanwhile. Needs `ven_control.sh start`.

    scripts/benchmark.sh footprint [--seconds 60] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.common import configured, machine
from ops.host import site_settings as settings
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.volttron import vctl

COPIES = 5
SETTLE_SEC = 10.0
AGENTS = ("ven.agent", "platform.actuator")


def forty_circuits(original: dict[str, Any]) -> dict[str, Any]:
    """The same configuration with each circuit five times, under names of its own."""
    changed: dict[str, Any] = json.loads(json.dumps(original))
    changed["circuits"] = [
        {**circuit, "id": f"{circuit['id']}-{copy}"}
        for copy in range(COPIES)
        for circuit in original["circuits"]
    ]
    return changed


def processes(paths: Paths) -> dict[str, psutil.Process]:
    """The agents' processes, by identity."""
    found = {}
    for identity, agent in vctl.vctl_status(paths).items():
        pid = re.search(r"\[(\d+)\]", agent.status)
        if identity in AGENTS and pid:
            found[identity] = psutil.Process(int(pid.group(1)))
    if len(found) < len(AGENTS):
        raise OpsError("the agents are not running", "Run scripts/ven_control.sh start.")
    return found


def measure(paths: Paths, seconds: float) -> dict[str, dict[str, float]]:
    """Resident MB and percent of a core, by agent."""
    running = processes(paths)
    time.sleep(SETTLE_SEC)  # the time itself is what is measured over
    before = {name: sum(process.cpu_times()[:2]) for name, process in running.items()}
    begun = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - begun
    return {
        name: {
            "resident_mb": process.memory_info().rss / 1e6,
            "core_percent": 100.0 * (sum(process.cpu_times()[:2]) - before[name]) / passed,
        }
        for name, process in running.items()
    }


def main() -> int:
    """Print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    paths = Paths.from_environment()
    try:
        started = settings.current_site_settings(paths, os.environ)
        with configured(paths, started, forty_circuits(started.agent_config)):
            figures = measure(paths, arguments.seconds)
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    table = Table(title=f"40 circuits, {arguments.seconds:g} s ({machine()})")
    for heading in ("", "resident MB", "% of a core", "to reach"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name in AGENTS:
        mine = figures[name]
        reach = "< 90 MB, < 3 %" if name == AGENTS[0] else "(floor)"
        table.add_row(name, f"{mine['resident_mb']:.1f}", f"{mine['core_percent']:.2f}", reach)
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), **figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
