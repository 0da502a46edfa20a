"""The operator's side as it runs: a broker, ingest, API and VENs that shed, on SQLite."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.host.condition import wait_for_condition
from ops.host.ports import port_is_listening
from ops.services.local_broker import find_mosquitto
from tests.support.asked_to_end import asked_to_end
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class OperatorsSide:
    folder: Path
    url: str
    variables: dict[str, str]
    api: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str) -> str:
        """`python -m backend …` and what it says."""
        return subprocess.run(
            [sys.executable, "-m", "backend", *arguments],
            env=self.variables,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()


@contextmanager
def operators_side(
    folder: Path, *, vens: int = 12, broker_port: int | None = None, **variables: str
) -> Iterator[OperatorsSide]:
    """`broker_port`: of a broker that runs already, with sites on it."""
    has_broker = broker_port is not None
    broker_port, api_port = broker_port or free_port(), free_port()
    config = folder / "mosquitto.conf"
    user = "user root\n" if os.geteuid() == 0 else ""
    config.write_text(f"listener {broker_port} 127.0.0.1\nallow_anonymous true\n{user}")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
        "DATABASE_URL": f"sqlite:///{folder / 'backend.sqlite'}",
        "MQTT_PORT": str(broker_port),
        "API_PORT": str(api_port),
        "INGEST_HEALTH_PORT": "0",
        **variables,
    }
    side = OperatorsSide(folder, f"http://localhost:{api_port}", environment)
    python = [sys.executable, "-m"]
    processes = [] if has_broker else [_start(side, [find_mosquitto(), "-c", str(config)])]
    try:
        wait_for_condition(lambda: port_is_listening("127.0.0.1", broker_port), 60)
        side.api = _start(side, [*python, "backend", "serve"])
        processes.append(side.api)
        wait_for_condition(lambda: _answers(f"{side.url}/health/db-check"), 60)
        processes.append(_start(side, [*python, "backend", "ingest"]))
        if not vens:
            yield side
            return
        with simulated_sites(side, vens, interval_sec=1.0):
            yield side
    finally:
        for process in reversed(processes):
            asked_to_end(process)


@contextmanager
def simulated_sites(side: OperatorsSide, vens: int, *, interval_sec: float) -> Iterator[None]:
    """Sites that shed, beside what runs there."""
    port, interval = side.variables["MQTT_PORT"], str(interval_sec)
    options = ["--port", port, "--interval", interval, "--vens", str(vens)]
    process = _start(side, [sys.executable, "-m", "benchmarks.shedding_vens", *options])
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _start(side: OperatorsSide, command: list[str]) -> subprocess.Popen[bytes]:
    with (side.folder / "output.log").open("ab") as log:
        return subprocess.Popen(command, env=side.variables, cwd=ROOT, stdout=log, stderr=log)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return False
    except OSError:
        return False
