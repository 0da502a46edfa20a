"""What the fleet's benchmark runs against: a broker, a PostgreSQL and the ingest."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from ops.host.condition import wait_for_condition
from ops.host.ports import port_is_listening
from ops.services import postgres_server as postgres
from ops.services.local_broker import find_mosquitto

ROOT = Path(__file__).parent.parent
BROKER = """listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
"""
POSTGRESQL = ("shared_buffers=512MB", "max_wal_size=4GB", "track_commit_timestamp=on")
"""A small machine's; fsync and synchronous_commit stay on."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_sec(process: psutil.Process) -> float:
    """Of a process and what it started, ended children too."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
        if one == process:
            total += times.children_user + times.children_system
    return total


@dataclass
class Stack:
    """The processes, and how to ask them."""

    broker_port: int
    database_url: str
    folder: Path
    broker: psutil.Process
    database: psutil.Process
    ingest: subprocess.Popen[bytes] | None = None
    second: subprocess.Popen[bytes] | None = None
    """One more ingest beside it, on the same database."""
    gone_cpu_sec: float = 0.0
    """Of ingests that were killed."""

    def start_ingest(self) -> None:
        self.ingest = self._start("ingest", INGEST_HEALTH_PORT="0", INGEST_INSTANCE="bench")

    def start_second_ingest(self) -> None:
        there = self._connected()
        # No session of it is left when it ends: the broker would keep a share for it.
        more = {"INGEST_HEALTH_PORT": "0", "MQTT_SESSION_EXPIRY_SEC": "0"}
        self.second = self._start("ingest", INGEST_INSTANCE="bench-2", **more)
        wait_for_condition(lambda: self._connected() > there, 60)

    def stop_second_ingest(self) -> None:
        """Its CPU stays counted."""
        if self.second is not None:
            self.gone_cpu_sec += cpu_sec(psutil.Process(self.second.pid))
            self.second.terminate()
            self.second.wait(30)
            self.second = None

    @contextmanager
    def serving(self) -> Iterator[tuple[str, psutil.Process]]:
        """The API and a dispatcher; gives the API's address, and the process."""
        port = free_port()
        process = self._start("serve", API_PORT=str(port), API_REQUESTS_PER_SEC="10000")
        try:
            wait_for_condition(lambda: port_is_listening("127.0.0.1", port), 60)
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)

    def _start(self, command: str, **more: str) -> subprocess.Popen[bytes]:
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MQTT_PORT": str(self.broker_port),
            "DATABASE_URL": self.database_url,
            "DISPATCH_ASK_AGENTS_SEC": "0",
            **more,
        }
        with (self.folder / f"{command}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "backend", command], env=variables, stdout=log, stderr=log
            )

    def wait_for_ingest(self) -> None:
        """Until it is subscribed."""
        wait_for_condition(lambda: self._connected() > 0, 60)

    def _connected(self) -> int:
        """How often one was: the broker's log is not ours to read, their own is."""
        return (self.folder / "ingest.log").read_text().count("connected to the broker")

    def kill_ingest(self) -> None:
        assert self.ingest is not None
        self.gone_cpu_sec += cpu_sec(psutil.Process(self.ingest.pid))
        self.ingest.kill()
        self.ingest.wait()

    def stop_ingest(self) -> None:
        if self.ingest is not None and self.ingest.poll() is None:
            self.ingest.terminate()
            self.ingest.wait(30)

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by part."""
        assert self.ingest is not None
        return {
            "broker": cpu_sec(self.broker),
            "database": cpu_sec(self.database),
            "ingest": self.gone_cpu_sec
            + sum(cpu_sec(psutil.Process(one.pid)) for one in (self.ingest, self.second) if one),
        }

    def ask(self, query: str) -> Any:
        """The first row's first value."""
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(query).fetchone()  # type: ignore[call-overload]
        return row[0]

    def rows(self) -> int:
        return int(self.ask("SELECT count(*) FROM ven_telemetry"))

    def send(self, *arguments: object) -> subprocess.Popen[str]:
        """A fleet in a process of its own; `result` waits for it."""
        command = [sys.executable, "-m", "benchmarks.fleet_vens", "--port", str(self.broker_port)]
        return subprocess.Popen(
            [*command, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )


def result(process: subprocess.Popen[str]) -> tuple[dict[str, float], float]:
    """What a fleet says at its end, and the CPU seconds it took."""
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return json.loads(said), usage.ru_utime + usage.ru_stime


@contextmanager
def stack() -> Iterator[Stack]:
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="fleet.")))
        port, database_port = free_port(), free_port()
        config = folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        config.write_text(BROKER.format(port=port) + user)
        broker = subprocess.Popen(
            [find_mosquitto(), "-c", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        cleanup.callback(broker.wait)
        cleanup.callback(broker.terminate)
        wait_for_condition(lambda: port_is_listening("127.0.0.1", port), 20)
        url = cleanup.enter_context(postgres.postgres_server(database_port, POSTGRESQL))
        with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE fleet")
        made = Stack(
            broker_port=port,
            database_url=f"{url}/fleet",
            folder=folder,
            broker=psutil.Process(broker.pid),
            database=_listener(database_port),
        )
        cleanup.callback(made.stop_ingest)
        cleanup.callback(made.stop_second_ingest)
        made.start_ingest()
        made.wait_for_ingest()
        yield made


def _listener(port: int) -> psutil.Process:
    for connection in psutil.net_connections("tcp4"):
        if connection.laddr and connection.laddr.port == port and connection.status == "LISTEN":
            return psutil.Process(connection.pid)
    raise RuntimeError(f"nothing listens on port {port}")
