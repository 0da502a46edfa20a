"""How long the agent's hub is held up by the outbox: one with a day in it, and one that is full.

What is timed is what greenlets call; SQLite holds the whole hub meanwhile. The broker is away: the
link's thread tries to connect and tidies up, as in an agent, but more often (`--tidy`), because
here a night's reports come within a minute. The floor beside it is a write with fdatasync.

    scripts/benchmark.sh link_stall [--reports 3000] [--mb 256] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.common import machine, quantile
from VenAgent.cloud import mqtt_thread as connection
from VenAgent.cloud.mqtt_settings import MqttSettings
from VenAgent.cloud.mqtt_thread import MqttThread
from VenAgent.cloud.outbox import Outbox, OutboxMessage, OutboxRank
from VenAgent.cloud.thread_handoff import ThreadHandoff
from VenAgent.config.cloud_config import CloudBrokerConfig

PAYLOAD = b"x" * 4_096
ACK = b"x" * 1_024
TOPICS = ("volttron/metering", "ven/telemetry/bench")
DAY_MESSAGES = 2 * 86_400 // 5


def put_report(outbox: Outbox) -> None:
    outbox.put_numbered(lambda _seq: ([OutboxMessage(topic, PAYLOAD) for topic in TOPICS], 1))


def put_ack(outbox: Outbox) -> None:
    outbox.put([OutboxMessage("ven/ack/bench", ACK, OutboxRank.ACK)])


def times_ms(work: Callable[[], Any], times: int) -> list[float]:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1e3)
    return found


@contextmanager
def link_without_broker(path: Path) -> Iterator[None]:
    """The thread of a link whose broker refuses every connection."""
    handoff = ThreadHandoff()
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        settings = MqttSettings(
            broker=CloudBrokerConfig(port=unheard.getsockname()[1]),
            ven_id="bench",
            status_topic="ven/status/bench",
            subscriptions=(),
            outbox_path=path,
            boot_id="bench",
        )
        thread = threading.Thread(target=MqttThread(settings, handoff).run)
        waker = threading.Thread(target=_wake_regularly, args=(handoff,))
        thread.start()
        waker.start()
        yield
        handoff.stopping = True
        handoff.wake()
        thread.join()
        waker.join()


def _wake_regularly(handoff: ThreadHandoff) -> None:
    while not handoff.stopping:
        handoff.wake()
        time.sleep(0.05)


def synced_write_ms(folder: Path, times: int) -> list[float]:
    with (folder / "floor").open("wb") as file:

        def write() -> None:
            file.write(PAYLOAD)
            file.flush()
            os.fdatasync(file.fileno())

        return times_ms(write, times)


def measure(reports: int, megabytes: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=os.environ.get("VENAGENT_HOME")) as name:
        folder = Path(name)
        path = folder / "outbox.sqlite"
        filling = Outbox(path, synced=False)
        while filling.depth() < DAY_MESSAGES:
            put_report(filling)
        figures: dict[str, Any] = {"floor": synced_write_ms(folder, 300)}
        with link_without_broker(path):
            figures["day"] = _of_hub(path, reports // 10, 1e12)
        while filling.backlog().used_mb < megabytes:
            put_report(filling)
        filling.close()
        with link_without_broker(path):
            figures["full"] = _of_hub(path, reports, megabytes * 1e6)
        return figures


def _of_hub(path: Path, reports: int, max_bytes: float) -> dict[str, Any]:
    began = time.perf_counter()
    outbox = Outbox(path, synced=True, max_bytes=int(max_bytes))
    found: dict[str, Any] = {"open": [(time.perf_counter() - began) * 1e3]}
    found["first"] = times_ms(lambda: put_report(outbox), 1)
    found["report"] = times_ms(lambda: put_report(outbox), reports)
    found["ack"] = times_ms(lambda: put_ack(outbox), 300)
    found["figures"] = times_ms(outbox.backlog, 300)
    found["bulk"] = times_ms(lambda: outbox.bulk_waits("ven/bus/bench/out"), 300)
    backlog = outbox.backlog()
    found.update(messages=backlog.messages, mb=backlog.used_mb, thinned=backlog.thinned)
    outbox.close()
    return found


def table(title: str, found: dict[str, Any], floor: list[float]) -> Table:
    """The times of one stage."""
    table = Table(title=f"{title}: {found['messages']:,} messages, {found['mb']:.0f} MB; ms")
    for heading in ("", "p50", "p99", "worst"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, label in (
        ("open", "opening the file"),
        ("first", "the first report after that"),
        ("report", f"a report, 2 x 4 KB ({len(found['report']):,}; {found['thinned']:,} thinned)"),
        ("ack", "an ack, 1 KB"),
        ("figures", "the figures of `status`"),
        ("bulk", "whether the bus bridge may send"),
    ):
        _row(table, label, found[name])
    _row(table, "a write of 4 KB and fdatasync (floor)", floor)
    return table


def _row(table: Table, label: str, values: list[float]) -> None:
    row = [
        f"{value:.2f}" for value in (_quantile(values, 0.5), _quantile(values, 0.99), max(values))
    ]
    table.add_row(label, *(row if len(values) > 1 else ("", "", row[-1])))


def _quantile(values: list[float], q: float) -> float:
    return quantile(values, q) if len(values) > 1 else values[0]


def main() -> int:
    """Print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--reports", type=int, default=3_000, help="put into the full outbox")
    parser.add_argument("--mb", type=float, default=256.0, help="outbox.max_mb")
    parser.add_argument("--tidy", type=float, default=1.0, help="seconds between checkpoints")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    connection.CHECKPOINT_SEC = arguments.tidy
    figures = measure(arguments.reports, arguments.mb)
    print(machine())
    Console().print(table("A day away", figures["day"], figures["floor"]))
    Console().print(table("Full", figures["full"], figures["floor"]))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), **figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
