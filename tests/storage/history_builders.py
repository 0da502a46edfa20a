"""Readings for the tests of the power history, and what they find in its file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from VenAgent.storage.power_history import PowerHistory

NOON = 1_781_697_600  # 2026-06-17 12:00 UTC, the start of an interval


def feed(
    history: PowerHistory,
    begin: float,
    end: float,
    power_kw: float | Callable[[float], float] = 10.0,
    *,
    in_event: bool = False,
    step_sec: float = 5.0,
) -> None:
    """Readings from `begin` to `end`, both included."""
    for n in range(int((end - begin) / step_sec) + 1):
        ts = begin + n * step_sec
        history.add(ts, power_kw(ts) if callable(power_kw) else power_kw, in_event)


def stored(path: Path) -> dict[int, tuple[float, float, int]]:
    """What another process finds in the file: start → mean kW, covered s, touched by an event."""
    db = sqlite3.connect(path)
    rows = db.execute("SELECT start, energy_kj, covered_sec, in_event FROM intervals").fetchall()
    db.close()
    return {s: (energy / (covered or 1.0), covered, event) for s, energy, covered, event in rows}
