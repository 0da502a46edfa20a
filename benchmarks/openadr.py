"""How long a utility's event takes to reach the fleet: published at a VTN → all VENs told.

VTN (the small one of tests/openadr), the VEN's process, a dispatcher, broker, PostgreSQL and the
listener are on one machine. How long the event waits for the next poll is named apart.

    scripts/benchmark.sh openadr [--vens 10000] [--rounds 3] [--poll-sec 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import delete

from backend.store.database import Database
from backend.store.openadr_tables import OpenAdrEventRow, OpenAdrPieceRow
from backend.store.tables import COMMANDS, EVENTS, PARTICIPANTS
from benchmarks.common import machine
from benchmarks.dispatch import ROOM_KW, Listener, dispatchers, fill
from benchmarks.fleet_stack import ROOT, Stack, stack
from tests.openadr import vtn3

READY_WITHIN_SEC = 120.0


class TimedVtn:
    """When the VEN asked for events."""

    def __init__(self, vtn: vtn3.Vtn) -> None:
        self.vtn = vtn
        self.asked: list[float] = []
        answer = vtn.answer

        def timed(method: str, path: str, *rest: Any) -> Any:
            if (method, path) == ("GET", "/events"):
                self.asked.append(time.time())
            return answer(method, path, *rest)

        vtn.answer = timed  # type: ignore[method-assign]


@contextmanager
def speaking(running: Stack, url: str, poll_sec: float) -> Iterator[None]:
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DATABASE_URL": running.database_url,
        "LOG_LEVEL": "WARNING",
        "OPENADR_VTN_URL": url,
        "OPENADR_CLIENT_ID": "ven-client",
        "OPENADR_CLIENT_SECRET": "secret",
        "OPENADR_POLL_SEC": str(poll_sec),
    }
    process = subprocess.Popen([sys.executable, "-m", "backend", "openadr"], env=variables)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


async def one_event(
    database: Database, vtn: TimedVtn, listener: Listener, vens: int, number: int
) -> dict[str, float]:
    """Seconds from publication: asked for, first and last VEN told."""
    listener.reset()
    published = time.time()
    event_id = vtn.vtn.event(f"bench-{number}", kws=[-vens * ROOM_KW / 2], targets=["label"])
    while len(listener.heard) < vens:
        assert time.time() - published < READY_WITHIN_SEC, f"{len(listener.heard)} VENs told"
        await asyncio.sleep(0.02)
    asked = next(at for at in vtn.asked if at >= published)
    heard = sorted(listener.heard.values())
    vtn.vtn.delete(event_id)
    while listener.messages < 2 * vens:  # and restored
        assert time.time() - published < 2 * READY_WITHIN_SEC
        await asyncio.sleep(0.02)
    async with database.engine.begin() as connection:
        for table in (COMMANDS, PARTICIPANTS, EVENTS):
            await connection.execute(delete(table))
        await connection.execute(delete(OpenAdrPieceRow))
        await connection.execute(delete(OpenAdrEventRow))
    return {
        "polled": asked - published,
        "first": heard[0] - published,
        "all": heard[-1] - published,
        "all after the poll": heard[-1] - asked,
    }


async def measure(vens: int, rounds: int, poll_sec: float) -> dict[str, Any]:
    found: dict[str, Any] = {"machine": machine(), "vens": vens, "poll_sec": poll_sec}
    with stack() as running, vtn3.running(is_checked=False) as plain:
        database = Database(running.database_url)
        await fill(database, vens)
        listener = Listener(running.broker_port)
        vtn = TimedVtn(plain)
        with dispatchers(running, 1), speaking(running, plain.url, poll_sec):
            begun = time.time()
            while not vtn.asked:
                assert time.time() - begun < READY_WITHIN_SEC
                await asyncio.sleep(0.1)
            found["events"] = [
                await one_event(database, vtn, listener, vens, number) for number in range(rounds)
            ]
        listener.close()
        await database.close()
    return found


def show(found: dict[str, Any]) -> None:
    table = Table(
        title=f"an event to {found['vens']:,} VENs, seconds; polled every {found['poll_sec']:g} s"
    )
    columns = list(found["events"][0])
    for column in columns:
        table.add_column(column, justify="right")
    table.add_row(
        *(f"{statistics.median(one[name] for one in found['events']):,.2f}" for name in columns)
    )
    console = Console()
    console.print(table)
    console.print(found["machine"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--vens", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--poll-sec", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = asyncio.run(measure(options.vens, options.rounds, options.poll_sec))
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
