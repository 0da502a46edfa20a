"""How long a baseline takes with 60 days known, and what a reading costs the site's history.

The floor of a baseline is one pass over the intervals that its days have in the event's hours; of
a reading, an addition to a sum.

    scripts/benchmark.sh baselines
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from benchmarks.common import machine, quantile
from VenAgent.baseline.baseline_methods import METHODS, baseline_by_method
from VenAgent.baseline.intervals import DAY_SEC, INTERVAL_SEC, IntervalHistory
from VenAgent.baseline.recent_power import RecentPower
from VenAgent.baseline.site_calendar import SiteCalendar
from VenAgent.storage.power_history import KEPT_DAYS, PowerHistory

ROUNDS, READINGS = 200, 20_000
HOURS = (1, 4, 24)
CALENDAR = SiteCalendar(ZoneInfo("America/New_York"), nerc=True)
EVENT_TS = CALENDAR.midnight(date(2026, 6, 17)) + 14 * 3600
BUDGETS_MS = {"pre_event_mean": 1, "meter_before": 1, "high_4_of_5": 5, "ten_of_ten": 5}


def milliseconds(
    work: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> float:
    begun = clock()
    work()
    return (clock() - begun) * 1e3


def past() -> IntervalHistory:
    """Sixty days, five of them with an event."""
    starts = range(EVENT_TS - KEPT_DAYS * DAY_SEC, EVENT_TS, INTERVAL_SEC)
    touched = {EVENT_TS - days * DAY_SEC for days in (3, 9, 17, 30, 44)}
    return IntervalHistory({s: random.uniform(20, 90) for s in starts}, touched, CALENDAR)


def baselines() -> Table:
    history, recent = past(), RecentPower()
    for back in range(300, -1, -5):
        recent.add(EVENT_TS - back, random.uniform(20, 90))
    table = Table(title=f"A baseline with its RRMSE, {KEPT_DAYS} days known, ms ({machine()})")
    for heading in ("method", "event", "p50", "p99", "p99 CPU", "p50 / floor", "to reach"):
        table.add_column(heading, justify="right")
    for method in METHODS:
        for hours in HOURS:
            count = hours * 4 * KEPT_DAYS
            values = list(history.means.values())[:count]
            floor = quantile([milliseconds(lambda v=values: sum(v)) for _ in range(ROUNDS)], 0.5)

            def choose(method: str = method, end_ts: float = EVENT_TS + hours * 3600.0) -> None:
                baseline_by_method(
                    method,
                    recent,
                    history,
                    start_ts=EVENT_TS,
                    end_ts=end_ts,
                    now=EVENT_TS,
                    present_kw=50.0,
                )

            times = [milliseconds(choose) for _ in range(ROUNDS)]
            p50, p99 = quantile(times, 0.5), quantile(times, 0.99)
            # What the other work of a busy machine does not disturb.
            cpu = quantile([milliseconds(choose, time.thread_time) for _ in range(ROUNDS)], 0.99)
            reach = f"< {BUDGETS_MS[method]}"
            cells = (f"{p50:.2f}", f"{p99:.2f}", f"{cpu:.2f}", f"{p50 / floor:.0f}", reach)
            table.add_row(method, f"{hours} h", *cells)
    return table


def readings(folder: Path) -> Table:
    history = PowerHistory(folder / "history.sqlite", EVENT_TS, CALENDAR, max_gap_sec=INTERVAL_SEC)
    for start in range(EVENT_TS - KEPT_DAYS * DAY_SEC, EVENT_TS + 1, INTERVAL_SEC):
        history.add(start, random.uniform(20, 90), False)
    history.close()
    opened: list[PowerHistory] = []
    open_ms = milliseconds(
        lambda: opened.append(PowerHistory(folder / "history.sqlite", EVENT_TS, CALENDAR))
    )
    (history,) = opened
    times = [
        milliseconds(lambda ts=EVENT_TS + 5.0 * n: history.add(ts, 50.0, False))
        for n in range(READINGS)
    ]
    history.close()
    size_kb = (folder / "history.sqlite").stat().st_size / 1024
    table = Table(title=f"{READINGS} readings of 5 s into the history, on {folder.parent} (µs)")
    for heading in ("p50", "p99", "p99.9", "most", "floor", "opened in ms", "file in KB"):
        table.add_column(heading, justify="right")
    times.sort()
    floor = quantile([milliseconds(lambda: 1.5 + 2.5) for _ in range(READINGS)], 0.5)
    cells = [times[round(q * (READINGS - 1))] * 1e3 for q in (0.5, 0.99, 0.999, 1.0)]
    table.add_row(
        *(f"{cell:.1f}" for cell in cells), f"{floor * 1e3:.1f}", f"{open_ms:.1f}", f"{size_kb:.0f}"
    )
    return table


def main() -> None:
    """Print the tables."""
    random.seed(7)
    Console().print(baselines())
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # a disk, not memory
        Console().print(readings(Path(folder)))


if __name__ == "__main__":
    main()
