"""What the backend's ingest takes: broker, ingest, PostgreSQL and the fleet on one machine.

    scripts/benchmark.sh fleet [--messages 200000] [--seconds 60] [--only PART …] [--json FILE]

1. COPY alone into our table, a row a message; and in the shape of the contract's tables, nine
   rows a message. Two ceilings, and the ratio to each.
2. As fast as it goes, from the first message until the last is stored.
   `workers`: the same with two ingests on one database, in turn with one; the ratio, and what each
   message costs. On two cores broker, database and senders share them with the ingests, so the
   ratio tells what is gained there; the CPU a message tells what would be on more.
   `disk`: bytes of a telemetry and of a quarter of an hour.
3. The same with a kill -9 of the ingest in the middle: rows stored against rows sent.
4. 10,000 VENs at 5 s: lag from the message's making to its commit (`track_commit_timestamp`), CPU.
5. One event to 10,000 VENs that answer, by the API.
6. circuits/history of one VEN over 24 hours by the API, from 1.1 million telemetries.

`--only history` (or copy, speed, kill, cadence, dispatch; several) does those parts. What else the
machine does is told by the load average before and after each part; our own part is in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psycopg
from rich.console import Console

from backend.store.bulk_copy import TELEMETRY, bulk_copy_columns
from backend.store.database import Database, database_dsn
from backend.store.day_partitions import create_day_partitions
from benchmarks.common import machine, quantile
from benchmarks.fleet_figures import INTERVAL_SEC, PARTS, fleet_figures_table
from benchmarks.fleet_stack import Stack, cpu_sec, result, stack
from benchmarks.fleet_vens import LOADS, ven_name
from ops.host.condition import wait_for_condition

VENS, BATCH = 10_000, 2_000
DAY_SAMPLES, DAY_VENS = 17_280, 64


def row(ven: int, moment: datetime, seq: int, load_set: int = 1) -> tuple[Any, ...]:
    """A telemetry's row, as the ingest makes it."""
    power_w = [(seq * 37 + at * 611) % 5_000 for at in range(len(LOADS))]
    total_kw = sum(power_w) / 1_000.0
    fixed = (total_kw, 0.0, 0.0, total_kw, None, None, "good")
    return (ven_name(ven), moment, seq, *fixed, load_set, power_w, power_w, "t" * len(LOADS), None)


async def copy_ceiling(url: str, count: int) -> float:
    """Rows a second of COPY into the real table, one transaction a batch, rows ready beforehand."""
    database = Database(url)
    begin = datetime.now(timezone.utc) - timedelta(days=2)
    async with database.engine.begin() as connection:
        await connection.run_sync(
            create_day_partitions, [(begin + timedelta(n)).date() for n in (0, 1)]
        )
    await database.close()
    rows = [
        row(n % VENS, begin + timedelta(seconds=n // VENS * INTERVAL_SEC), 1 + n // VENS)
        for n in range(count)
    ]
    connection = await asyncpg.connect(database_dsn(url))
    begun = time.perf_counter()
    for at in range(0, count, BATCH):
        await connection.copy_records_to_table(
            TELEMETRY.name, records=rows[at : at + BATCH], columns=bulk_copy_columns(TELEMETRY)
        )
    seconds = time.perf_counter() - begun
    await connection.execute("TRUNCATE ven_telemetry")
    await connection.close()
    return count / seconds


async def copy_contract(url: str, count: int) -> float:
    """Messages a second of COPY in the shape of the contract's tables: nine rows a message.

    Without the foreign key and the raw payloads that the contract names beside: they would make it
    slower, and our ratio to it better.
    """
    connection = await asyncpg.connect(database_dsn(url))
    await connection.execute(
        "CREATE TABLE plain (id bigint PRIMARY KEY, ven_id text, timestamp timestamptz, "
        "used_power_kw float8, shed_power_kw float8, requested_reduction_kw float8, "
        "event_id text, battery_soc float8);"
        "CREATE UNIQUE INDEX ON plain (ven_id, timestamp);"
        "CREATE TABLE plain_loads (id bigint PRIMARY KEY, telemetry_id bigint, load_id text, "
        "name text, type text, capacity_kw float8, current_power_kw float8, "
        "shed_capability_kw float8, enabled bool, priority int);"
        "CREATE INDEX ON plain_loads (telemetry_id)"
    )
    now = datetime.now(timezone.utc)
    rows = [
        (n, ven_name(n % VENS), now + timedelta(seconds=n // VENS), 9.5, 0.0, 0.0, None, None)
        for n in range(count)
    ]
    loads = [
        (8 * n + at, n, name, name, name, 9.6, 1.5, 1.5, True, 4)
        for n in range(count)
        for at, name in enumerate(LOADS)
    ]
    begun = time.perf_counter()
    for at in range(0, count, BATCH):
        async with connection.transaction():
            await connection.copy_records_to_table("plain", records=rows[at : at + BATCH])
            await connection.copy_records_to_table(
                "plain_loads", records=loads[8 * at : 8 * (at + BATCH)]
            )
    seconds = time.perf_counter() - begun
    await connection.execute("DROP TABLE plain, plain_loads")
    await connection.close()
    return count / seconds


def full_speed(bench: Stack, count: int, first_seq: int, *, kill: bool) -> dict[str, Any]:
    """From the first message sent until the last is stored."""
    before_rows, before, begun = bench.rows(), bench.cpu(), time.monotonic()
    fleet = bench.send("--vens", VENS, "--count", count, "--first-seq", first_seq)
    if kill:
        wait_for_condition(lambda: bench.rows() >= before_rows + count // 2, 300, 0.05)
        bench.kill_ingest()
        bench.start_ingest()
    sent, fleet_cpu_sec = result(fleet)
    wait_for_condition(lambda: bench.rows() >= before_rows + count, 300, 0.2)
    seconds = time.monotonic() - begun
    if kill:
        bench.stop_ingest()  # so that what comes again is stored, or not
        bench.start_ingest()
    used = {name: value - before[name] for name, value in bench.cpu().items()}
    used["fleet"] = fleet_cpu_sec
    return {
        "sent": int(sent["sent"]),
        "stored": bench.rows() - before_rows,
        "messages_per_sec": count / seconds,
        "cpu_us_per_message": {name: 1e6 * value / count for name, value in used.items()},
    }


def workers(bench: Stack, count: int, first_seq: int, rounds: int = 3) -> dict[str, Any]:
    """One ingest and two, in turn; the rounds' middle ones and the ratio of two to one."""
    found: dict[str, list[dict[str, Any]]] = {"one": [], "two": []}
    each = count // VENS + 10
    for at in range(rounds):
        for number, name in enumerate(("one", "two")):
            if name == "two":
                bench.start_second_ingest()
            first = first_seq + (2 * at + number) * each
            found[name].append(full_speed(bench, count, first, kill=False))
            bench.stop_second_ingest()
    middle = {
        name: sorted(runs, key=lambda run: run["messages_per_sec"])[rounds // 2]
        for name, runs in found.items()
    }
    ratio = middle["two"]["messages_per_sec"] / middle["one"]["messages_per_sec"]
    lost = sum(run["sent"] - run["stored"] for runs in found.values() for run in runs)
    return {**middle, "ratio": ratio, "lost": lost}


_TELEMETRY_BYTES = (
    "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits "
    "WHERE inhparent = 'ven_telemetry'::regclass"
)
_QUARTER_HOURS = (
    "INSERT INTO ven_quarter_hours (ven_id, start, used_power_kw, shed_power_kw, "
    "requested_reduction_kw, samples, in_event) SELECT 'ven-' || lpad(v::text, 5, '0'), "
    "now() - q * interval '15 min', v * 0.37 + q * 0.011, 0, 0, 180, false "
    "FROM generate_series(1, 100) q, generate_series(1, 1000) v"
)


def disk(bench: Stack, count: int, first_seq: int) -> dict[str, float]:
    """Bytes on disk, with indexes: of a telemetry of 8 loads, and of a quarter of an hour."""
    full_speed(bench, count, first_seq, kill=False)
    with psycopg.connect(bench.database_url, autocommit=True) as connection:
        connection.execute("VACUUM ven_telemetry")
        connection.execute("TRUNCATE ven_quarter_hours")
        connection.execute(_QUARTER_HOURS)
    quarter_bytes = float(bench.ask("SELECT pg_total_relation_size('ven_quarter_hours')"))
    return {
        "telemetry_bytes": float(bench.ask(_TELEMETRY_BYTES)) / bench.rows(),
        "quarter_hour_bytes": quarter_bytes / 100_000,
    }


def cadence(bench: Stack, seconds: float, first_seq: int) -> dict[str, Any]:
    """10,000 VENs at 5 s: lag and cores."""
    count = int(VENS / INTERVAL_SEC * seconds)
    before_rows, before, begun = bench.rows(), bench.cpu(), time.monotonic()
    since = datetime.now(timezone.utc)
    fleet = bench.send(
        "--vens", VENS, "--interval", INTERVAL_SEC, "--count", count, "--first-seq", first_seq
    )
    sent, fleet_cpu_sec = result(fleet)
    wait_for_condition(lambda: bench.rows() >= before_rows + count, 60, 0.2)
    wall_sec = time.monotonic() - begun
    used = {name: value - before[name] for name, value in bench.cpu().items()}
    lag = (
        "SELECT percentile_cont({q}) WITHIN GROUP (ORDER BY extract(epoch FROM "
        "pg_xact_commit_timestamp(xmin) - timestamp)) "
        f"FROM ven_telemetry WHERE timestamp >= '{since.isoformat()}'"
    )
    return {
        "sent": int(sent["sent"]),
        "stored": bench.rows() - before_rows,
        "lag_p50_sec": float(bench.ask(lag.format(q=0.5))),
        "lag_p99_sec": float(bench.ask(lag.format(q=0.99))),
        "lag_max_sec": float(bench.ask(lag.format(q=1.0))),
        "cores": sum(used.values()) / wall_sec,
        "cores_by_part": {name: value / wall_sec for name, value in used.items()},
        "cores_of_the_fleet": fleet_cpu_sec / wall_sec,
    }


def dispatch(bench: Stack, first_seq: int) -> dict[str, Any]:
    """One event to 10,000 VENs that answer after 40 … 150 ms, by the API; seconds."""
    fleet = bench.send(
        *("--vens", VENS, "--interval", INTERVAL_SEC, "--first-seq", first_seq, "--answer")
    )
    ready = "SELECT count(*) FROM ven_state WHERE last_seen > now() - interval '15 s'"
    wait_for_condition(lambda: bench.ask(ready) >= VENS, 60, 0.2)
    body = {"requestedReductionKw": 2.0 * VENS, "durationSec": 600, "status": "active"}
    told = "SELECT count(*) FROM commands WHERE published_at IS NOT NULL"
    acked = "SELECT count(*) FROM event_participants WHERE first_ack_at IS NOT NULL"
    with bench.serving() as (address, _api):
        begun = time.monotonic()
        httpx.post(f"{address}/api/events/", json=body, timeout=60).raise_for_status()
        accepted_sec = time.monotonic() - begun
        wait_for_condition(lambda: bench.ask(told) >= VENS, 120, 0.1)
        told_sec = time.monotonic() - begun
        wait_for_condition(lambda: bench.ask(acked) >= VENS, 120, 0.1)
        acked_sec = time.monotonic() - begun
    fleet.terminate()
    fleet.wait()
    return {
        "accepted_sec": accepted_sec,
        "told": int(bench.ask(told)),
        "told_sec": told_sec,
        "acked": int(bench.ask(acked)),
        "acked_sec": acked_sec,
        "answer_p50_ms": float(bench.ask(_ANSWER)),
    }


_ANSWER = "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY response_ms) FROM event_participants"


async def a_day_of_telemetry(url: str) -> tuple[datetime, datetime]:
    """1.1 million telemetries: 64 VENs for 24 hours at 5 s; from when to when."""
    connection = await asyncpg.connect(database_dsn(url))
    await connection.execute("TRUNCATE ven_telemetry")
    load_set = await connection.fetchval("SELECT min(id) FROM load_sets")
    end = datetime.now(timezone.utc).replace(microsecond=0)
    start = end - timedelta(seconds=DAY_SAMPLES * INTERVAL_SEC)
    for at in range(0, DAY_SAMPLES, 30):  # in the order in which they would come
        rows = [
            row(ven, start + timedelta(seconds=n * INTERVAL_SEC), n + 1, load_set)
            for n in range(at, min(at + 30, DAY_SAMPLES))
            for ven in range(DAY_VENS)
        ]
        await connection.copy_records_to_table(
            TELEMETRY.name, records=rows, columns=bulk_copy_columns(TELEMETRY)
        )
    await connection.execute("VACUUM ANALYZE ven_telemetry")
    await connection.close()
    return start, end


ROUNDS = 4
"""How often each VEN's history is asked for: 256 answers, the first of the process among them."""


def history(bench: Stack) -> dict[str, float]:
    """circuits/history of one VEN over 24 hours through the API, ms.

    And the API's own CPU for an answer, ms: the part that no other work on the machine makes longer
    by making it wait.
    """
    start, end = asyncio.run(a_day_of_telemetry(bench.database_url))
    span = {"start": start.isoformat(), "end": end.isoformat()}
    asked = {
        "100 snapshots of all loads": {**span, "limit": 100},
        "1,000 of one load": {**span, "limit": 1_000, "load_id": "hvac"},
    }
    figures = {}
    with bench.serving() as (address, api), httpx.Client(base_url=address, timeout=30) as client:
        for name, query in asked.items():
            times = []
            used_sec = cpu_sec(api)
            for ven in (*range(DAY_VENS),) * ROUNDS:
                begun = time.perf_counter()
                answer = client.get(f"/api/vens/{ven_name(ven)}/circuits/history", params=query)
                times.append(1e3 * (time.perf_counter() - begun))
                page = answer.raise_for_status().json()
                per_row = 1 if "load_id" in query else len(LOADS)
                assert page["totalCount"] == DAY_SAMPLES * per_row, page["totalCount"]
                assert len(page["snapshots"]) == query["limit"]
            used_sec = cpu_sec(api) - used_sec
            figures |= {f"{name}, p50": quantile(times, 0.5), f"{name}, p99": quantile(times, 0.99)}
            figures[f"{name}, CPU of the API"] = 1e3 * used_sec / len(times)
    return figures


def measure(messages: int, seconds: float, parts: Collection[str]) -> dict[str, Any]:
    """The figures of `parts`, each with the load average (1 min) before and after it."""
    results: dict[str, Any] = {"machine": machine(), "load": {}}
    each = messages // VENS + 10  # sequence numbers for one part
    with stack() as bench:
        url = bench.database_url
        work: dict[str, Callable[[], Any]] = {
            "copy": lambda: {
                "ours": asyncio.run(copy_ceiling(url, messages)),
                "contract": asyncio.run(copy_contract(url, messages // 4)),
            },
            "speed": lambda: full_speed(bench, messages, 1 + each, kill=False),
            "workers": lambda: workers(bench, messages // 4, 1 + 6 * each),
            "disk": lambda: disk(bench, messages, 1 + 9 * each),
            "kill": lambda: full_speed(bench, messages, 1 + 2 * each, kill=True),
            "cadence": lambda: cadence(bench, seconds, 1 + 3 * each),
            "dispatch": lambda: dispatch(bench, 1 + 4 * each),
            "history": lambda: history(bench),
        }
        for part in PARTS:
            if part == "speed":
                # VENs and loads are registered by the first round, which is not measured.
                full_speed(bench, VENS, 1, kill=False)
            if part == "history":
                bench.stop_ingest()
            if part in parts:
                load = os.getloadavg()[0]
                results[part] = work[part]()
                results["load"][part] = (load, os.getloadavg()[0])
    return results


def main() -> None:
    """Print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    results = measure(arguments.messages, arguments.seconds, arguments.only)
    Console(width=130).print(fleet_figures_table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
