"""The API as a process: what its users wait for beside the database, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ops.host.condition import wait_for_condition
from ops.host.ports import port_is_listening
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture
def serving(sqlite_url: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """A client of `python -m backend serve`, and the process."""
    port = free_port()
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DATABASE_URL": sqlite_url,
        "API_PORT": str(port),
        "API_REQUESTS_PER_SEC": "10000",
        "EVENT_COMMAND_ENABLED": "false",
    }
    process = subprocess.Popen([sys.executable, "-m", "backend", "serve"], env=variables)
    try:
        assert wait_for_condition(lambda: port_is_listening("127.0.0.1", port), 60)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client, process
    finally:
        process.kill()
        process.wait(60)


def collections(client: httpx.Client) -> float:
    """How often the process has looked for cycles, in any generation."""
    lines = client.get("/metrics").raise_for_status().text.splitlines()
    name = "python_gc_collections_total"
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def test_requests_do_not_wait_for_the_collector(
    serving: tuple[httpx.Client, subprocess.Popen[bytes]],
) -> None:
    client, _process = serving
    client.post("/api/vens/", json={"name": "one", "registrationId": "one"}).raise_for_status()
    before = collections(client)
    for _ in range(100):
        client.get("/api/vens/one/circuits/history").raise_for_status()
    assert collections(client) - before <= 3


def test_it_ends_an_open_console_s_stream_itself_when_it_is_stopped(
    serving: tuple[httpx.Client, subprocess.Popen[bytes]],
) -> None:
    """A stream that is cancelled when the time for it is up breaks off, which httpx raises."""
    client, process = serving
    with client.stream("GET", "/console/stream") as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry")
        process.send_signal(signal.SIGTERM)
        for _ in lines:
            pass
    assert process.wait(60) in (0, -signal.SIGTERM)
