"""How long a utility's event takes to a real site: published at a VTN → the last breaker open.

VTN (the small one of tests/openadr), the VEN's process, the operator's side, broker, VOLTTRON and
the simulated panel are on one machine. How long the event waits for the next poll is named apart.
Needs what `scripts/ven_control.sh start --steady` and then `… backend start` (without
OPENADR_VTN_URL) brought up; the agent's configuration is as before at the end.

    scripts/benchmark.sh openadr_site [--rounds 5] [--poll-sec 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
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

from benchmarks.common import machine
from benchmarks.event_latency import Bench, all_circuits_sheddable
from benchmarks.openadr import TimedVtn
from ops.host import site_settings as settings
from ops.host.child_environment import child_environment
from ops.host.condition import wait_for_condition
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.plain_user import plain_user
from ops.services.backend_service import (
    backend_service_folder,
    backend_service_status,
    running_backend_service_database,
)
from simulator.simulated_panel_control import SimulatedPanelControlError
from tests.openadr import vtn3

WITHIN_SEC = 40.0


@contextmanager
def speaking_for_the_site(paths: Paths, url: str, poll_sec: float) -> Iterator[None]:
    """The VEN's process on the running operator's side's database. Raises OpsError without one."""
    database = running_backend_service_database(paths)
    if not database:
        raise OpsError("the operator's side does not run", "Run `ven_control.sh backend start`.")
    variables = {
        **database,
        "PYTHONPATH": str(paths.staged / "backend"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LOG_LEVEL": "WARNING",
        "OPENADR_VTN_URL": url,
        "OPENADR_CLIENT_ID": "ven-client",
        "OPENADR_CLIENT_SECRET": "secret",
        "OPENADR_VEN_NAME": f"benchmark-{time.time():.0f}",
        "OPENADR_POLL_SEC": str(poll_sec),
    }
    process = subprocess.Popen(
        [paths.tools_python, "-m", "backend", "openadr"],
        env=child_environment(paths, variables),
        cwd=backend_service_folder(paths),
        **plain_user(paths),
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def one_event(
    bench: Bench, vtn: TimedVtn, ven_id: str, number: int, poll_sec: float
) -> dict[str, float]:
    """Seconds from publication: asked for, first and last breaker open. Then it is withdrawn, and
    all are closed again."""
    event_id = f"bench-{number}"
    total_kw = bench.panel.state()["total_kw"]
    time.sleep(random.uniform(0.0, poll_sec))  # anywhere between two polls
    published = time.time()
    vtn.vtn.event(event_id, kws=[-total_kw], targets=[ven_id], duration="PT10M")
    try:
        opened = bench.panel.wait_until(
            lambda state: not any(state["contactors"].values()), WITHIN_SEC
        )
    finally:
        vtn.vtn.delete(event_id)
    moved = sorted(ts or 0.0 for ts in opened["changed_ts"]["contactors"].values())
    bench.panel.wait_until(lambda state: all(state["contactors"].values()), WITHIN_SEC)
    asked = next(at for at in vtn.asked if at >= published)
    return {
        "polled": asked - published,
        "first breaker": moved[0] - published,
        "last breaker": moved[-1] - published,
        "last breaker after the poll": moved[-1] - asked,
    }


def measure(bench: Bench, rounds: int, poll_sec: float) -> dict[str, Any]:
    found: dict[str, Any] = {"machine": machine(), "poll_sec": poll_sec}
    ven_id = bench.agent.ven_id
    with vtn3.running(is_checked=False) as plain:
        vtn = TimedVtn(plain)
        with speaking_for_the_site(bench.paths, plain.url, poll_sec):
            if not wait_for_condition(lambda: bool(vtn.asked), WITHIN_SEC, 0.1):
                raise OpsError("the VEN's process asks the VTN for nothing")

            def sees_the_site() -> bool:
                network = backend_service_status(bench.paths).get("network") or {}
                return bool(network.get("potentialLoadReductionKw"))

            if not wait_for_condition(sees_the_site, WITHIN_SEC, 0.5):
                raise OpsError("the operator's side has nothing of the site that can be shed")
            one_event(bench, vtn, ven_id, 0, poll_sec)  # one that is not counted
            found["events"] = [
                one_event(bench, vtn, ven_id, number + 1, poll_sec) for number in range(rounds)
            ]
    return found


def show(found: dict[str, Any]) -> None:
    events = found["events"]
    table = Table(title=f"{len(events)} events, ms; polled every {found['poll_sec']:g} s")
    for heading in ("published at the VTN →", "p50", "most"):
        table.add_column(heading, justify="left" if "→" in heading else "right")
    for name in events[0]:
        values = [each[name] * 1e3 for each in events]
        table.add_row(name, f"{statistics.median(values):,.0f}", f"{max(values):,.0f}")
    console = Console()
    console.print(table)
    console.print(found["machine"])


def main() -> int:
    """Print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--poll-sec", type=float, default=2.0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    paths = Paths.from_environment()
    try:
        bench = Bench(paths, settings.current_site_settings(paths, os.environ))
        with all_circuits_sheddable(bench):
            found = measure(bench, options.rounds, options.poll_sec)
    except (OpsError, ConnectionRefusedError, SimulatedPanelControlError) as error:
        print(
            f"error: {error}\nRun `scripts/ven_control.sh start --steady` and "
            "`scripts/ven_control.sh backend start` first.",
            file=sys.stderr,
        )
        return 1
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
