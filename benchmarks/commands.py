"""What a command costs: the processor time of the whole call, beside a bare Python.

The script itself, all that it starts and what those start (`status` asks vctl). Bytecode may not be
written, as in a service or a container; a VEN must run for `ping` and `status`.

    scripts/benchmark.sh commands [--rounds 7] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.common import machine
from ops.host.paths import Paths

ROOT = Path(__file__).resolve().parents[1]
DOOR = str(ROOT / "scripts/ven_control.sh")
LIMITS_SEC = {"--help": 0.35, "ping": 0.6, "status": 1.0}
"""On a slow day, on which a bare Python takes BARE_SEC."""
BARE_SEC = 0.02
TAB = (
    "_VEN_CONTROL_COMPLETE=complete_bash",
    "COMP_WORDS=ven_control.sh send-event --sh",
    "COMP_CWORD=2",
)
"""What the shell asks after `send-event --sh`."""


def cpu_sec(command: Sequence[str | Path], environment: dict[str, str]) -> float:
    """User and system time of a command and its children; all of them have ended."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(rounds: int) -> dict[str, Any]:
    """Medians, by turns."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)
    calls: dict[str, list[str | Path]] = {
        "bare": [Paths.of_our_own().tools_python, "-c", "pass"],
        "Tab": ["env", *TAB, DOOR],
        **{name: [DOOR, name] for name in LIMITS_SEC},
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, command in calls.items():
            taken[name].append(cpu_sec(command, environment))
    figures = {name: statistics.median(values) for name, values in taken.items()}
    slow_day = BARE_SEC / max(figures["bare"], 0.001)
    return {
        "machine": machine(),
        "cpu_sec": figures,
        "bares": {name: value / figures["bare"] for name, value in figures.items()},
        "on_a_slow_day_sec": {name: figures[name] * slow_day for name in LIMITS_SEC},
    }


def main() -> int:
    """Print the table, write the JSON; 1 when a command is over its limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    found = measure(arguments.rounds)
    table = Table(title=found["machine"], title_justify="left")
    for column in ("command", "CPU s", "bare Pythons", "slow day s", "at most"):
        table.add_column(column, justify="left" if column == "command" else "right")
    for name, seconds in found["cpu_sec"].items():
        slow = found["on_a_slow_day_sec"].get(name)
        table.add_row(
            name,
            f"{seconds:.3f}",
            f"{found['bares'][name]:.0f}",
            "" if slow is None else f"{slow:.2f}",
            "" if slow is None else f"{LIMITS_SEC[name]:.2f}",
        )
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    over = [name for name in LIMITS_SEC if found["on_a_slow_day_sec"][name] > LIMITS_SEC[name]]
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
