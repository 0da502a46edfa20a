"""The cloud link: what the outbox adds to a publish, how fast it goes, and what a day away costs.

Beside it, in the same run on the same broker, a bare paho client as the floor. It starts a broker
of its own and needs VOLTTRON's environment, not a running platform.

    scripts/benchmark.sh link [--messages 400] [--seconds 20] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.common import machine, quantile
from ops.host.condition import wait_for_condition
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.ports import port_is_listening
from ops.services.local_broker import find_mosquitto
from VenAgent.config.cloud_config import CloudOutboxConfig

NODE_LIMIT_SEC = 900
_BROKER = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
log_type error
"""


def platform_python(paths: Paths) -> Path:
    """Of VOLTTRON's environment: `ven_control.sh start` makes it, or the tests."""
    for name in ("platform", "platform-test"):
        python = paths.home / name / "bin/python"
        if python.exists():
            return python
    raise OpsError("VOLTTRON is not installed", "Run scripts/ven_control.sh start once.")


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    config = folder / "mosquitto.conf"
    config.write_text(_BROKER.format(port=port))
    with subprocess.Popen([find_mosquitto(), "-c", str(config)]) as process:
        try:
            wait_for_condition(lambda: port_is_listening("127.0.0.1", port), 10)
            yield port
        finally:
            process.terminate()


def measure(paths: Paths, messages: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as port:
        command = [str(platform_python(paths)), "-m", "benchmarks.link_node"]
        done = subprocess.run(
            [*command, str(port), str(messages), str(seconds)],
            cwd=paths.repo,
            env={**os.environ, "PYTHONPATH": str(paths.repo)},
            stdout=subprocess.PIPE,
            timeout=NODE_LIMIT_SEC,
            check=False,
        )
    if done.returncode:
        raise OpsError("the measured process has failed", "Its output is above.")
    figures: dict[str, Any] = json.loads(done.stdout)
    latencies = figures.pop("latency_ms")
    figures["latency_ms"] = {
        name: {"p50": quantile(values, 0.5), "p99": quantile(values, 0.99)}
        for name, values in latencies.items()
    }
    return figures


def tables(figures: dict[str, Any], seconds: float) -> Iterator[Table]:
    table = Table(title=f"publish → PUBACK, 4 KB, ms ({machine()})")
    for heading in ("", "p50", "p99"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, label in (
        ("bare", "paho alone (floor)"),
        ("outbox", "through the outbox"),
        ("put", "… of it the put, synced to the disk"),
        ("disk", "a write of 4 KB and fdatasync"),
    ):
        found = figures["latency_ms"][name]
        table.add_row(label, f"{found['p50']:.2f}", f"{found['p99']:.2f}")
    yield table
    day, sent = figures["day_messages"], figures["day_paced"]["sent"]
    unpaced, pace = figures["day_unpaced"], CloudOutboxConfig().backlog_per_sec
    table = Table(title=f"24 h of backlog: {day:,} messages, {figures['day_file_mb']:.0f} MB")
    for heading in ("", "messages/s", "24 h in", "% of a core", "resident MB"):
        table.add_column(heading, justify="left" if not heading else "right")
    bare = figures["bare_per_sec"]
    rate = day / unpaced["seconds"]
    table.add_row("paho alone, from memory (floor)", f"{bare:,.0f}", f"{day / bare:.1f} s", "", "")
    rows = (
        ("pacing off", rate, f"{unpaced['seconds']:.1f} s", unpaced),
        (
            f"default pace ({seconds:g} s measured)",
            sent / figures["day_paced"]["seconds"],
            f"{day / pace / 60:.1f} min (computed)",
            figures["day_paced"],
        ),
        (f"idle ({seconds:g} s)", 0.0, "", figures["idle"]),
    )
    for label, per_sec, whole, cost in rows:
        percent, resident = f"{cost['core_percent']:.1f}", f"{cost['resident_mb']:.0f}"
        table.add_row(label, f"{per_sec:,.0f}", whole, percent, resident)
    table.caption = f"imports alone: {figures['imported_mb']:.0f} MB resident"
    yield table


def main() -> int:
    """Print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--messages", type=int, default=400, help="for the latencies")
    parser.add_argument("--seconds", type=float, default=20.0, help="idle, and at the default pace")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    try:
        figures = measure(Paths.from_environment(), arguments.messages, arguments.seconds)
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for table in tables(figures, arguments.seconds):
        Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), **figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
