"""The figures of `benchmarks.fleet` as a table, each beside what it is to reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rich.table import Table

PARTS = ("copy", "speed", "workers", "disk", "kill", "cadence", "dispatch", "history")
INTERVAL_SEC = 5.0
Row = tuple[str, str, str]


def fleet_figures_table(results: dict[str, Any]) -> Table:
    table = Table(title=f"The backend's ingest, 8 loads a message ({results['machine']})")
    for heading in ("what", "figure", "to reach", "load before, after"):
        table.add_column(heading)
    for part in PARTS:
        if part not in results:
            continue
        load = "{:.1f}, {:.1f}".format(*results["load"][part])
        for at, row in enumerate(_ROWS[part](results[part], results)):
            table.add_row(*row, "" if at else load)
    return table


def _copy_rows(copy: dict[str, float], _results: Any) -> Iterator[Row]:
    yield "COPY alone, a row a message as we store it, messages/s", f"{copy['ours']:,.0f}", ""
    yield "COPY alone, the contract's nine rows, messages/s", f"{copy['contract']:,.0f}", ""


def _speed_rows(fast: dict[str, Any], results: dict[str, Any]) -> Iterator[Row]:
    yield "messages/s until stored", f"{fast['messages_per_sec']:,.0f}", "≥ 8,000"
    for name, words in (("contract", "in the contract's shape"), ("ours", "in our shape")):
        if "copy" in results:
            share = fast["messages_per_sec"] / results["copy"][name]
            yield f"… of COPY alone {words}", f"{share:.0%}", "≥ 60 %"
    used = fast["cpu_us_per_message"]
    cpu = ", ".join(f"{name} {us:.0f}" for name, us in used.items())
    yield "CPU, µs a message", f"{cpu}: {sum(used.values()):.0f}", ""


def _workers_rows(both: dict[str, Any], _results: Any) -> Iterator[Row]:
    for name in ("one", "two"):
        run = both[name]
        cpu = ", ".join(f"{part} {us:.0f}" for part, us in run["cpu_us_per_message"].items())
        words = "one ingest" if name == "one" else "two ingests on one database"
        yield f"{words}: messages/s", f"{run['messages_per_sec']:,.0f}", ""
        yield "… CPU, µs a message", cpu, ""
    yield "two to one", f"{both['ratio']:.2f}", ""
    yield "lost", f"{both['lost']:,}", "0"


def _disk_rows(used: dict[str, float], _results: Any) -> Iterator[Row]:
    yield "on disk: a telemetry, bytes", f"{used['telemetry_bytes']:.0f}", ""
    yield "… a quarter of an hour, bytes", f"{used['quarter_hour_bytes']:.0f}", ""
    year_sec = 365 * 86_400
    for words, figure in (
        ("a VEN-year at 5 s, GB", used["telemetry_bytes"] * year_sec / INTERVAL_SEC / 1e9),
        ("… its quarter hours, MB", used["quarter_hour_bytes"] * year_sec / 900 / 1e6),
    ):
        yield words, f"{figure:.2f}", ""


def _kill_rows(kill: dict[str, Any], _results: Any) -> Iterator[Row]:
    yield "kill -9: sent, stored", f"{kill['sent']:,}, {kill['stored']:,}", "equal"
    yield "… messages/s", f"{kill['messages_per_sec']:,.0f}", ""


def _cadence_rows(paced: dict[str, Any], _results: Any) -> Iterator[Row]:
    lag = "{lag_p50_sec:.2f}, {lag_p99_sec:.2f}, {lag_max_sec:.2f} s".format(**paced)
    cores = ", ".join(f"{name} {each:.2f}" for name, each in paced["cores_by_part"].items())
    yield "10,000 VENs at 5 s: lag p50, p99, max", lag, "p99 < 1 s"
    yield "… cores, in all", f"{paced['cores']:.2f} ({cores})", "< 1"
    yield "… sent, stored", f"{paced['sent']:,}, {paced['stored']:,}", "equal"


def _dispatch_rows(sent: dict[str, Any], _results: Any) -> Iterator[Row]:
    yield "an event to 10,000 VENs: told after", f"{sent['told_sec']:.1f} s", "< 10 s"
    acked = f"{sent['acked_sec']:.1f} s ({sent['acked']:,} of {sent['told']:,})"
    yield "… all acks stored after", acked, ""


def _history_rows(figures: dict[str, float], _results: Any) -> Iterator[Row]:
    for name, milliseconds in figures.items():
        reach = "" if "CPU" in name else "< 50 ms"
        yield f"circuits/history of 24 h, {name}", f"{milliseconds:.1f} ms", reach


_ROWS: dict[str, Callable[[Any, dict[str, Any]], Iterator[Row]]] = {
    "copy": _copy_rows,
    "speed": _speed_rows,
    "workers": _workers_rows,
    "disk": _disk_rows,
    "kill": _kill_rows,
    "cadence": _cadence_rows,
    "dispatch": _dispatch_rows,
    "history": _history_rows,
}
